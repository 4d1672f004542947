//! How rare a deviation is: streaming peaks over threshold.
//!
//! Siffer et al., "Anomaly detection in streams with extreme value theory" (SPOT), KDD 2017: what exceeds a high
//! threshold follows a generalised Pareto distribution, whatever the distribution of the whole. Two departures, for
//! a state of 20 bytes: the threshold is a quantile tracked by relative steps (up by the step when exceeded, down by
//! `rate` of it when not), so that it needs no buffer and knows no unit; and the Pareto distribution is fitted by
//! moments (Hosking and Wallis, Technometrics 1987) of the excess in units of the threshold, with a prior of ten
//! exponential peaks for the time when there are few. Below the threshold, rarity grows linearly to that of the
//! threshold itself.
//!
//! Because the threshold moves in small steps and excesses are clamped, a burst is not learnt as normal at once.

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, Snapshot, ensure};

/// The threshold before anything was seen: deviations come in scales, and 2 % of a normal distribution's lie there.
const FIRST_THRESHOLD: f64 = 2.5;
/// The threshold's logarithm stays above this: closer to zero it would be noise that it divides by.
const LEAST_LOG_THRESHOLD: f32 = -2.0;
/// What the prior is worth, in peaks.
const PRIOR_PEAKS: f64 = 10.0;
/// The prior's mean excess: a normal tail's beyond 2.5 scales.
const PRIOR_EXCESS: f64 = 0.35;
/// An excess is learnt as at most this many times the mean one, but at least half of it.
const EXCESS_CLAMP: f64 = 20.0;
const EXCESS_CLAMP_FLOOR: f64 = 0.5;
/// The first steps of the threshold are larger: ten over the samples seen.
const EARLY_STEPS: f64 = 10.0;

/// How a tail is learnt; shared by many.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The share of deviations that count as peaks, within 0 and 1: SPOT's usual 2 %.
    pub rate: f64,
    /// Relative step of the threshold. Times the rate, it makes a memory of a thousand deviations.
    pub step: f64,
    /// Peaks remembered by the mean excess, at least 1. 100 give its mean to a tenth.
    pub peaks: f64,
    /// Deviations are this much at most: beyond, they are all the same: broken.
    pub limit: f64,
    /// The fattest tail believed (GPD shape, below 1/2): at 1/2 the variance is infinite and moments say nothing.
    pub shape: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options { rate: 0.02, step: 0.05, peaks: 100.0, limit: 40.0, shape: 0.45 }
    }
}

/// The tail of one stream of deviations, which are not negative.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    log_threshold: f32,
    excess: f32,
    square: f32,
    /// Peaks seen, up to the number remembered.
    peaks: f32,
    samples: u32,
}

impl Default for Tail {
    fn default() -> Self {
        Tail { log_threshold: FIRST_THRESHOLD.ln() as f32, excess: 0.0, square: 0.0, peaks: 0.0, samples: 0 }
    }
}

impl Tail {
    /// The rarity (−log10 of the probability, 0 and up) of a deviation by what was known before, then learns it. A
    /// negative deviation counts as 0, and so does what is not a number.
    pub fn observe(&mut self, deviation: f64, options: &Options) -> f64 {
        let deviation = deviation.clamp(0.0, options.limit);
        let deviation = if deviation.is_nan() { 0.0 } else { deviation };
        let threshold = f64::from(self.log_threshold).exp();
        let rarity = if self.samples == 0 { 0.0 } else { self.rarity(deviation / threshold, options) };
        self.learn(deviation / threshold, options);
        rarity
    }

    fn rarity(&self, ratio: f64, options: &Options) -> f64 {
        let at_threshold = -options.rate.log10();
        if ratio <= 1.0 {
            return at_threshold * ratio;
        }
        let peaks = f64::from(self.peaks);
        let blend =
            |known: f32, prior: f64| (f64::from(known) * peaks + PRIOR_PEAKS * prior) / (peaks + PRIOR_PEAKS);
        let mean = blend(self.excess, PRIOR_EXCESS);
        let square = blend(self.square, 2.0 * PRIOR_EXCESS * PRIOR_EXCESS);
        let variance = (square - mean * mean).max(1e-9);
        let shape = (0.5 * (1.0 - mean * mean / variance)).clamp(0.0, options.shape);
        let scale = (mean * (1.0 - shape)).max(1e-9);
        let steps = (ratio - 1.0) / scale;
        let survival = if shape < 1e-3 { steps } else { (shape * steps).ln_1p() / shape };
        at_threshold + survival * std::f64::consts::LOG10_E
    }

    fn learn(&mut self, ratio: f64, options: &Options) {
        self.samples = self.samples.saturating_add(1);
        let step = (EARLY_STEPS / f64::from(self.samples)).clamp(options.step, 1.0);
        if ratio > 1.0 {
            self.log_threshold += (step * (1.0 - options.rate)) as f32;
            self.peaks = (self.peaks + 1.0).min(options.peaks as f32);
            let known = f64::from(self.excess);
            let excess = (ratio - 1.0).min(EXCESS_CLAMP * known.max(EXCESS_CLAMP_FLOOR));
            let weight = 1.0 / f64::from(self.peaks);
            self.excess += (weight * (excess - known)) as f32;
            self.square += (weight * (excess * excess - f64::from(self.square))) as f32;
        } else {
            self.log_threshold = (self.log_threshold - (step * options.rate) as f32).max(LEAST_LOG_THRESHOLD);
        }
    }
}

impl Snapshot for Tail {
    const KIND: [u8; 4] = *b"tail";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        let moments = [self.excess, self.square, self.peaks];
        ensure(moments.iter().all(|one| (0.0..=1e12).contains(one)), "a moment is no moment of a tail")?;
        ensure((LEAST_LOG_THRESHOLD..=20.0).contains(&self.log_threshold), "no threshold is like this")
    }
}
