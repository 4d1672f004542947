//! Level and scale of a series, exponentially forgetting.
//!
//! The mean and variance are those of all values learnt, each weighted by half for every `half_life` values
//! that came after it (D. H. D. West, "Updating mean and variance estimates", CACM 1979, with a constant
//! weight). Until as many values were seen as the weight stands for, all count alike, so that the first value
//! does not dominate. A value further from the mean than `clamp` scales is learnt as if it were that far
//! (winsorised): a burst moves the level a little, whatever its height.

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot, ensure};

/// Values learnt before clamping begins: before, the scale is too uncertain to call anything an outlier.
const WARM: u32 = 30;
/// Differences are cut here so that their squares stay finite.
const MAX_DIFFERENCE: f64 = 1e150;
/// Scores are cut here: beyond, the number says nothing more.
pub const MAX_SCORE: f64 = 1e9;

/// How fast and how robustly a level follows; shared by many series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    weight: f64,
    clamp: f64,
}

/// Mean and variance in 24 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Level {
    mean: f64,
    variance: f64,
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("half-life {0} is not a number of values of at least 1")]
    HalfLife(f64),
    #[error("clamp {0} is not a number of scales of at least 1")]
    Clamp(f64),
    #[error("{0} is not a finite number")]
    NotFinite(f64),
    #[error("floor {0} is not a positive, finite number")]
    Floor(f64),
}

impl Pace {
    /// `half_life` in values, at least 1; `clamp` in scales, at least 1 (infinite: no clamping).
    pub fn new(half_life: f64, clamp: f64) -> Result<Self, Error> {
        if !(half_life.is_finite() && half_life >= 1.0) {
            return Err(Error::HalfLife(half_life));
        }
        if clamp.is_nan() || clamp < 1.0 {
            return Err(Error::Clamp(clamp));
        }
        Ok(Pace { weight: 1.0 - 0.5_f64.powf(1.0 / half_life), clamp })
    }

    /// Of a new value.
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

impl Level {
    /// Takes in a value. `floor` is the smallest scale that means anything in the value's unit; a constant
    /// series has it instead of zero. Refuses what is not finite and changes nothing then.
    pub fn learn(&mut self, value: f64, floor: f64, pace: &Pace) -> Result<(), Error> {
        if !value.is_finite() {
            return Err(Error::NotFinite(value));
        }
        let scale = self.scale(floor)?;
        self.count = self.count.saturating_add(1);
        if self.count == 1 {
            self.mean = value;
            return Ok(());
        }
        let bound = if self.count > WARM { pace.clamp * scale } else { f64::INFINITY };
        let bound = bound.min(MAX_DIFFERENCE);
        let difference = (value - self.mean).clamp(-bound, bound);
        let weight = pace.weight.max(1.0 / f64::from(self.count));
        self.mean += weight * difference;
        self.variance = (1.0 - weight) * (self.variance + weight * difference * difference);
        Ok(())
    }

    /// How many scales a value lies above (positive) or below the mean, within ±[`MAX_SCORE`]; 0 while nothing
    /// was learnt.
    pub fn score(&self, value: f64, floor: f64) -> Result<f64, Error> {
        if !value.is_finite() {
            return Err(Error::NotFinite(value));
        }
        let scale = self.scale(floor)?;
        if self.count == 0 {
            return Ok(0.0);
        }
        // Halves first: the difference of two finite numbers may not be finite.
        let score = (value / 2.0 - self.mean / 2.0) / scale * 2.0;
        Ok(score.clamp(-MAX_SCORE, MAX_SCORE))
    }

    /// Values learnt.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// In the unit of the values; 0 while nothing was learnt.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Standard deviation, in the unit of the values.
    pub fn deviation(&self) -> f64 {
        self.variance.sqrt()
    }

    fn scale(&self, floor: f64) -> Result<f64, Error> {
        if floor.is_finite() && floor > 0.0 {
            Ok(self.deviation().max(floor))
        } else {
            Err(Error::Floor(floor))
        }
    }
}

impl Snapshot for Level {
    const KIND: [u8; 4] = *b"ewma";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        let finite = self.mean.is_finite() && self.variance.is_finite() && self.variance >= 0.0;
        ensure(finite, "mean and variance cannot come from values")
    }
}
