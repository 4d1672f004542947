//! What a value usually is at this hour: a profile over the phases of a period, and whether there is one at all.
//!
//! Each phase (say, each five minutes of a day) keeps an exponentially weighted mean over the periods. A profile
//! is always there, a season is not: before a phase learns a value, its old mean is compared with the value, and
//! only while the two correlate (an autocorrelation at the period, smoothed by the profile) is anything expected.
//!
//! The caller says which phase it is, so that a gap shifts nothing.

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot, ensure};
use crate::value::{Refused, accept, is_variance};

/// Phases of a period, at most: a week of five minutes has 2,016.
pub const MAX_PHASES: u16 = 4096;
/// The correlation forgets over as many periods.
const MEMORY: f64 = 4.0;

/// What is chosen once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// 2 to [`MAX_PHASES`].
    pub phases: u16,
    /// Of the newest period in the profile, above 0 and up to 1.
    pub weight: f64,
    /// The least correlation, 0 to 1, with which the profile is believed.
    pub support: f64,
}

/// The profile of one series: 8 bytes a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seasonal {
    options: Options,
    /// NaN where nothing was learnt.
    profile: Vec<f64>,
    /// Values compared with the profile.
    compared: f64,
    value: f64,
    usual: f64,
    value_variance: f64,
    usual_variance: f64,
    covariance: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{0} phases; write 2 to {MAX_PHASES}")]
    Phases(u16),
    #[error("{name} {value} is out of its range")]
    Number { name: &'static str, value: f64 },
    #[error("phase {phase} of {phases}")]
    Phase { phase: u16, phases: u16 },
    #[error(transparent)]
    Value(#[from] Refused),
}

impl Seasonal {
    pub fn new(options: Options) -> Result<Self, Error> {
        validate(&options)?;
        Ok(Seasonal {
            options,
            profile: vec![f64::NAN; usize::from(options.phases)],
            compared: 0.0,
            value: 0.0,
            usual: 0.0,
            value_variance: 0.0,
            usual_variance: 0.0,
            covariance: 0.0,
        })
    }

    /// Takes in the value of a phase; what is refused changes nothing.
    pub fn learn(&mut self, phase: u16, value: f64) -> Result<(), Error> {
        let value = accept(value)?;
        let old = self.at(phase)?;
        let new = if old.is_nan() {
            value
        } else {
            self.compare(value, old);
            old + self.options.weight * (value - old)
        };
        self.profile[usize::from(phase)] = new;
        Ok(())
    }

    /// What a phase's value usually is; none where the phase was never learnt or the series has no such season.
    pub fn expected(&self, phase: u16) -> Result<Option<f64>, Error> {
        let usual = self.at(phase)?;
        let believed = !usual.is_nan() && self.support() >= self.options.support;
        Ok(believed.then_some(usual))
    }

    /// How much higher a value is than usual; none where nothing is expected.
    pub fn residual(&self, phase: u16, value: f64) -> Result<Option<f64>, Error> {
        let value = accept(value)?;
        Ok(self.expected(phase)?.map(|usual| value - usual))
    }

    /// Correlation of values with the profile before them, −1 to 1; 0 until a whole period was compared.
    pub fn support(&self) -> f64 {
        let scale = self.value_variance.sqrt() * self.usual_variance.sqrt();
        if self.compared < f64::from(self.options.phases) || scale <= 0.0 {
            return 0.0;
        }
        (self.covariance / scale).clamp(-1.0, 1.0)
    }

    fn at(&self, phase: u16) -> Result<f64, Error> {
        let phases = self.options.phases;
        self.profile.get(usize::from(phase)).copied().ok_or(Error::Phase { phase, phases })
    }

    fn compare(&mut self, value: f64, usual: f64) {
        self.compared += 1.0;
        let weight = (1.0 / (MEMORY * f64::from(self.options.phases))).max(1.0 / self.compared);
        let (by, usually) = (value - self.value, usual - self.usual);
        self.value += weight * by;
        self.usual += weight * usually;
        let mix = |old: f64, product: f64| (1.0 - weight) * (old + weight * product);
        self.value_variance = mix(self.value_variance, by * by);
        self.usual_variance = mix(self.usual_variance, usually * usually);
        self.covariance = mix(self.covariance, by * usually);
    }
}

impl Snapshot for Seasonal {
    const KIND: [u8; 4] = *b"seas";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        ensure(validate(&self.options).is_ok(), "no profile has such options")?;
        ensure(self.profile.len() == usize::from(self.options.phases), "a mean for each phase")?;
        let phases = self.profile.iter().all(|usual| usual.is_nan() || accept(*usual).is_ok());
        ensure(phases, "a phase is infinite")?;
        let means = accept(self.value).is_ok() && accept(self.usual).is_ok();
        let squares = [self.value_variance, self.usual_variance, self.covariance.abs()];
        let counted = self.compared.is_finite() && self.compared >= 0.0;
        let sound = means && counted && squares.into_iter().all(is_variance);
        ensure(sound, "the moments cannot come from values")
    }
}

fn validate(options: &Options) -> Result<(), Error> {
    let Options { phases, weight, support } = *options;
    if !(2..=MAX_PHASES).contains(&phases) {
        return Err(Error::Phases(phases));
    }
    if !(weight > 0.0 && weight <= 1.0) {
        return Err(Error::Number { name: "weight", value: weight });
    }
    if !(0.0..=1.0).contains(&support) {
        return Err(Error::Number { name: "support", value: support });
    }
    Ok(())
}
