//! How long ago the like was seen: what keeps coming back is no news.
//!
//! A surprise that recurred after n samples happens about once in n samples, whatever a fitted tail says, so its
//! rarity is bounded by a little more than log10 n. This one rule does the work of dampening ("report only above the
//! recent maximum"), of a refractory time after an alarm, and of getting used to a nightly backup: a repetition of
//! the same height at once is bounded to nothing, after a day to something, and a new record is never bounded.
//!
//! The last sample at which each step of a ladder of surprises was reached is kept, 128 bytes in all.

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot};

const STEPS: usize = 32;
/// Surprises below do not count: one sample in ten has them.
const LOWEST: f64 = 1.0;
/// The ladder ends at a surprise of 1e-7, where the bound is never felt.
const STEP: f64 = 6.0 / STEPS as f64;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recurrence {
    /// The number of the sample, from 1, that last reached this step but not the next; 0: none did.
    last: [u32; STEPS],
}

fn step(surprise: f64) -> Option<usize> {
    // Negative and not-a-number convert to 0, so the order of the checks matters.
    (surprise >= LOWEST).then(|| (((surprise - LOWEST) / STEP) as usize).min(STEPS - 1))
}

impl Recurrence {
    /// How many samples ago the like of this surprise was seen; none: never.
    pub fn age(&self, surprise: f64, likeness: f64, sample: u32) -> Option<u32> {
        let from = step(surprise - likeness).unwrap_or(0);
        let last = self.last[from..].iter().copied().max().unwrap_or(0);
        (last > 0).then(|| sample.saturating_sub(last))
    }

    pub fn learn(&mut self, surprise: f64, sample: u32) {
        if let Some(step) = step(surprise) {
            self.last[step] = sample;
        }
    }
}

impl Snapshot for Recurrence {
    const KIND: [u8; 4] = *b"recu";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        Ok(()) // any numbers fit each other
    }
}
