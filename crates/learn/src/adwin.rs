//! ADWIN: a window as long as the mean of what it holds does not change. Equal to River 0.26.1, bit for bit.
//!
//! The window is kept as buckets of 1, 2, 4, … values, at most five of a size; the oldest two of a size that has
//! six become one of the next size. Every `clock` values each border between buckets is tried: if the means of
//! the two sides differ by more than chance explains, the oldest bucket is dropped. (A. Bifet, R. Gavaldà,
//! "Learning from time-changing data with adaptive windowing", SDM 2007; the bound is their normal
//! approximation.)
//!
//! Most borders are far from the bound. A lower estimate of the bound, without division or root, rules those out;
//! only the others are computed as River does, so every decision is the same.

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot};
use crate::value::{Refused, accept};

/// Buckets of one size, River's `max_buckets`.
const BUCKETS: usize = 5;
/// Sizes of buckets: 2^52 values at five each are more than any stream has.
const MAX_ROWS: usize = 53;

/// What is chosen once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Chance of a false alarm at one border, between 0 and 1.
    pub delta: f64,
    /// Values between two checks, at least 1.
    pub clock: u32,
    /// Values that either side of a border must have, at least 1.
    pub min_side: u32,
    /// No check with this many values or fewer.
    pub grace: u32,
}

/// A window of adaptive length, about 100 bytes for each doubling of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adwin {
    options: Options,
    width: f64,
    total: f64,
    /// Sum of squared differences from the mean.
    variance: f64,
    /// Values until the next check.
    left: u32,
    /// Whether the last value brought a change.
    changed: bool,
    /// `rows[i]` holds buckets of 2^i values.
    rows: Vec<Buckets>,
}

/// Buckets of one size, the oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Buckets {
    count: u8,
    totals: [f64; BUCKETS],
    variances: [f64; BUCKETS],
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("delta {0} is not between 0 and 1")]
    Delta(f64),
    #[error("clock and the smallest side are at least 1 value")]
    Zero,
}

impl Default for Options {
    /// River's.
    fn default() -> Self {
        Options { delta: 0.002, clock: 32, min_side: 5, grace: 10 }
    }
}

impl Options {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if !(self.delta > 0.0 && self.delta < 1.0) {
            return Err(Error::Delta(self.delta));
        }
        if self.clock == 0 || self.min_side == 0 {
            return Err(Error::Zero);
        }
        Ok(())
    }
}

impl Adwin {
    pub fn new(options: Options) -> Result<Self, Error> {
        options.validate()?;
        Ok(Self::blank(options))
    }

    /// Takes in a value; true if the mean has changed. After a change the window starts anew with the next value,
    /// as River's does.
    pub fn update(&mut self, value: f64) -> Result<bool, Refused> {
        let value = accept(value)?;
        if self.changed {
            self.restart();
        }
        self.insert(value);
        self.left -= 1;
        if self.left == 0 {
            self.left = self.options.clock;
            if self.width > f64::from(self.options.grace) {
                self.changed = self.shrink();
            }
        }
        Ok(self.changed)
    }

    /// Forgets everything.
    pub fn restart(&mut self) {
        self.rows.truncate(1);
        self.rows[0].count = 0;
        self.width = 0.0;
        self.total = 0.0;
        self.variance = 0.0;
        self.left = self.options.clock;
        self.changed = false;
    }

    /// Values in the window.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// Sum of the values in the window.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Of the values in the window; 0 while it is empty.
    pub fn mean(&self) -> f64 {
        if self.width > 0.0 { self.total / self.width } else { 0.0 }
    }

    /// Whether the last value brought a change.
    pub fn changed(&self) -> bool {
        self.changed
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    fn blank(options: Options) -> Self {
        Adwin {
            options,
            width: 0.0,
            total: 0.0,
            variance: 0.0,
            left: options.clock,
            changed: false,
            rows: vec![Buckets::default()],
        }
    }

    fn insert(&mut self, value: f64) {
        let before = self.width;
        self.width += 1.0;
        if before > 0.0 {
            let difference = value - self.total / before;
            self.variance += before * difference * difference / self.width;
        }
        self.total += value;
        if !self.rows[0].push(value, 0.0) {
            self.merge(value);
        }
    }

    /// Puts a value where there is no room: two old buckets become one of the next size, and so on.
    #[inline(never)]
    fn merge(&mut self, value: f64) {
        let (mut total, mut variance, mut size) = (value, 0.0, 1.0);
        for row in 0..MAX_ROWS {
            if row == self.rows.len() {
                self.rows.push(Buckets::default());
            }
            let buckets = &mut self.rows[row];
            if buckets.push(total, variance) {
                return;
            }
            (total, variance) = buckets.push_and_merge(total, variance, size);
            size *= 2.0;
        }
    }

    /// Drops old buckets until no border shows a change; true if any was dropped.
    fn shrink(&mut self) -> bool {
        let mut changed = false;
        while self.cut() {
            changed = true;
            self.drop_oldest();
        }
        changed
    }

    /// Whether the two sides of some border differ.
    fn cut(&self) -> bool {
        let bound = Bound::new(self);
        let (mut n0, mut n1, mut u0, mut u1) = (0.0, self.width, 0.0, self.total);
        for (row, buckets) in self.rows.iter().enumerate().rev() {
            let size = (1_u64 << row) as f64;
            let count = usize::from(buckets.count);
            // Behind the newest bucket there is no border.
            let borders = if row == 0 { count.saturating_sub(1) } else { count };
            for total in &buckets.totals[..borders] {
                n0 += size;
                n1 -= size;
                u0 += total;
                u1 -= total;
                if bound.may_differ(n0, n1, u0, u1) && bound.differ(n0, n1, u0, u1) {
                    return true;
                }
            }
        }
        false
    }

    fn drop_oldest(&mut self) {
        let row = self.rows.len() - 1;
        let size = (1_u64 << row) as f64;
        let buckets = &mut self.rows[row];
        let (total, variance) = buckets.take_oldest();
        if buckets.count == 0 && row > 0 {
            self.rows.pop();
        }
        self.width -= size;
        self.total -= total;
        let apart = total / size - self.total / self.width;
        self.variance -= variance + size * self.width * apart * apart / (size + self.width);
    }
}

/// How far apart two means may be, for one state of the window.
struct Bound {
    /// Of the values in the window.
    variance: f64,
    /// ln(2·ln(width)/delta)
    evidence: f64,
    min_side: f64,
    /// A little less than 2·width·variance·evidence.
    spread: f64,
    /// A little less than 2/3·evidence·width.
    offset: f64,
}

impl Bound {
    fn new(of: &Adwin) -> Self {
        let evidence = (2.0 * of.width.ln() / of.options.delta).ln();
        let variance = of.variance / of.width;
        Bound {
            variance,
            evidence,
            min_side: f64::from(of.options.min_side),
            spread: 2.0 * of.width * variance * evidence * (1.0 - 1e-9),
            offset: 2.0 / 3.0 * evidence * of.width * (1.0 - 1e-9),
        }
    }

    /// False only where [`Self::differ`] surely is. With 1/(n−k+1) ≥ 1/n and both sides multiplied by n0·n1:
    /// |u0·n1 − u1·n0| > √(n0·n1·spread) + offset; the rounding errors of the left side are added to it.
    #[inline]
    fn may_differ(&self, n0: f64, n1: f64, u0: f64, u1: f64) -> bool {
        let (a, b) = (u0 * n1, u1 * n0);
        let beyond = (a - b).abs() + (a.abs() + b.abs()) * 4e-15 - self.offset;
        !(beyond <= 0.0 || beyond * beyond <= n0 * n1 * self.spread)
    }

    fn differ(&self, n0: f64, n1: f64, u0: f64, u1: f64) -> bool {
        if n0 < self.min_side || n1 < self.min_side {
            return false;
        }
        let sides = 1.0 / (n0 - self.min_side + 1.0) + 1.0 / (n1 - self.min_side + 1.0);
        let bound = (2.0 * sides * self.variance * self.evidence).sqrt() + 2.0 / 3.0 * self.evidence * sides;
        (u0 / n0 - u1 / n1).abs() > bound
    }
}

impl Buckets {
    /// False if there is no room.
    #[inline]
    fn push(&mut self, total: f64, variance: f64) -> bool {
        let at = usize::from(self.count);
        if at >= BUCKETS {
            return false;
        }
        self.totals[at] = total;
        self.variances[at] = variance;
        self.count += 1;
        true
    }

    /// Puts a bucket behind five others and returns the two oldest as one.
    fn push_and_merge(&mut self, total: f64, variance: f64, size: f64) -> (f64, f64) {
        let (totals, variances) = (&mut self.totals, &mut self.variances);
        let apart = totals[0] / size - totals[1] / size;
        let merged = (totals[0] + totals[1], variances[0] + variances[1] + size * 0.5 * apart * apart);
        *totals = [totals[2], totals[3], totals[4], total, 0.0];
        *variances = [variances[2], variances[3], variances[4], variance, 0.0];
        self.count = BUCKETS as u8 - 1;
        merged
    }

    fn take_oldest(&mut self) -> (f64, f64) {
        let oldest = (self.totals[0], self.variances[0]);
        self.totals.copy_within(1.., 0);
        self.variances.copy_within(1.., 0);
        self.count = self.count.saturating_sub(1);
        oldest
    }
}

impl Snapshot for Adwin {
    const KIND: [u8; 4] = *b"adwn";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        snapshot::ensure(self.options.validate().is_ok(), "no window has such options")?;
        snapshot::ensure((1..=self.options.clock).contains(&self.left), "the clock is behind or ahead")?;
        snapshot::ensure(matches!(self.rows.len(), 1..=MAX_ROWS), "a window has 1 to 53 rows")?;
        let counted = self.rows.iter().rev().fold(0.0, |sum, row| 2.0 * sum + f64::from(row.count));
        let counts = self.rows.iter().all(|row| usize::from(row.count) <= BUCKETS);
        snapshot::ensure(counts && counted == self.width, "the buckets do not sum up to the window")?;
        // In the middle an empty row would lose the order, at the end it would never be dropped.
        let gapless = self.width == 0.0 && self.rows.len() == 1 || self.rows.iter().all(|row| row.count > 0);
        snapshot::ensure(gapless, "a row is empty")?;
        let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
        let all = self.rows.iter().all(|row| finite(&row.totals) && finite(&row.variances));
        snapshot::ensure(all && finite(&[self.total, self.variance]), "a sum is not finite")
    }
}
