//! Page-Hinkley: has the mean moved? Decides as River 0.26.1.
//!
//! Differences from the running mean, less what is tolerated, are summed with slow forgetting; when the sum rises
//! further above its minimum (or falls further below its maximum) than the threshold, the mean has moved.
//! (E. S. Page, "Continuous inspection schemes", Biometrika 1954.)

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot};
use crate::value::{Refused, accept};

/// What is chosen once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Values before anything is said.
    pub min_values: u32,
    /// What each value may differ from the mean, in the values' unit.
    pub delta: f64,
    /// How far the sum may go, in the values' unit.
    pub threshold: f64,
    /// What remains of the sum at each value, from 0 to 1.
    pub alpha: f64,
    pub mode: Mode,
}

/// Which moves count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    Up,
    Down,
    Both,
}

/// The sums, in less than 100 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageHinkley {
    options: Options,
    count: f64,
    mean: f64,
    rise: f64,
    fall: f64,
    lowest: f64,
    highest: f64,
    changed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{name} {value} is not a number from 0 on")]
    Number { name: &'static str, value: f64 },
    #[error("alpha {0} is not between 0 and 1")]
    Alpha(f64),
}

impl Default for Options {
    /// River's.
    fn default() -> Self {
        Options { min_values: 30, delta: 0.005, threshold: 50.0, alpha: 1.0 - 0.0001, mode: Mode::Both }
    }
}

impl Options {
    fn validate(&self) -> Result<(), Error> {
        for (name, value) in [("delta", self.delta), ("threshold", self.threshold)] {
            if !(value >= 0.0 && accept(value).is_ok()) {
                return Err(Error::Number { name, value });
            }
        }
        if (0.0..=1.0).contains(&self.alpha) { Ok(()) } else { Err(Error::Alpha(self.alpha)) }
    }
}

impl PageHinkley {
    pub fn new(options: Options) -> Result<Self, Error> {
        options.validate()?;
        Ok(Self::blank(options))
    }

    /// Takes in a value; true if the mean has moved. After that everything starts anew with the next value.
    pub fn update(&mut self, value: f64) -> Result<bool, Refused> {
        let value = accept(value)?;
        if self.changed {
            *self = Self::blank(self.options);
        }
        let Options { min_values, delta, threshold, alpha, mode } = self.options;
        self.count += 1.0;
        self.mean += (1.0 / self.count) * (value - self.mean);
        let difference = value - self.mean;
        self.rise = alpha * self.rise + difference - delta;
        self.fall = alpha * self.fall + difference + delta;
        self.lowest = self.lowest.min(self.rise);
        self.highest = self.highest.max(self.fall);
        if self.count >= f64::from(min_values) {
            let up = self.rise - self.lowest > threshold;
            let down = self.highest - self.fall > threshold;
            self.changed = match mode {
                Mode::Up => up,
                Mode::Down => down,
                Mode::Both => up || down,
            };
        }
        Ok(self.changed)
    }

    /// Of all values since the last change.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Whether the last value brought a change.
    pub fn changed(&self) -> bool {
        self.changed
    }

    fn blank(options: Options) -> Self {
        PageHinkley {
            options,
            count: 0.0,
            mean: 0.0,
            rise: 0.0,
            fall: 0.0,
            lowest: f64::INFINITY,
            // River starts the maximum here, not at minus infinity.
            highest: -1.0,
            changed: false,
        }
    }
}

impl Snapshot for PageHinkley {
    const KIND: [u8; 4] = *b"pghk";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        snapshot::ensure(self.options.validate().is_ok(), "no test has such options")?;
        let sums = [self.count, self.mean, self.rise, self.fall, self.highest];
        let numbers = sums.iter().all(|sum| sum.is_finite()) && !self.lowest.is_nan() && self.count >= 0.0;
        snapshot::ensure(numbers, "a sum is not finite")
    }
}
