//! How likely is a value as high as this, or higher? Streaming peaks over a threshold (SPOT).
//!
//! What exceeds a high quantile follows, for almost any distribution, a generalised Pareto distribution. Its two
//! parameters come from mean and variance of the excesses (method of moments), so a value costs constant time, and
//! tails of features with different units can be compared. (A. Siffer et al., "Anomaly detection in streams with
//! extreme value theory", KDD 2017; moments: J. R. M. Hosking, J. R. Wallis, Technometrics 1987.)
//!
//! The threshold comes from the first values; if later the share above it is no longer what it should be, it is
//! learnt anew while the old one stays in use. Values that alarmed are better not learnt. For low values learn −x.

use serde::{Deserialize, Serialize};

use crate::quantile::Quantile;
use crate::snapshot::{self, Snapshot, ensure};
use crate::value::{Refused, accept, is_variance};

/// The smallest tail that is told: beyond, moments of a few hundred peaks say nothing more.
pub const MIN_TAIL: f64 = 1e-8;
/// Peaks that the first guess of the excess counts for.
const PRIOR: f64 = 5.0;
/// The shape is cut to these: from below half, where the variance exists, down to a bounded tail.
const SHAPES: (f64, f64) = (-0.5, 0.45);
/// The threshold is learnt anew if the share above it is off by more than this factor.
const TOLERANCE: f64 = 4.0;

/// What is chosen once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Values that a threshold is learnt from, at least 50.
    pub warm: u32,
    /// Share of values below the threshold, at least one half, below 1.
    pub below: f64,
    /// Values after which an excess counts half; infinite: never.
    pub half_life: f64,
    /// The smallest scale of excesses that means anything in the values' unit, above 0.
    pub floor: f64,
}

/// The tail of one series, in about 300 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spot {
    options: Options,
    tail: Option<Tail>,
    /// The threshold that is being learnt, and from how many values.
    next: Option<(Quantile, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Tail {
    threshold: f64,
    /// Values since there is a threshold, and those above it.
    count: f64,
    peaks: f64,
    /// Share of values above.
    share: f64,
    /// Mean and variance of the excesses.
    mean: f64,
    variance: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{0} values are too few to learn a threshold from; write at least 50")]
    Warm(u32),
    #[error("{name} {value} is out of its range")]
    Number { name: &'static str, value: f64 },
}

impl Default for Options {
    fn default() -> Self {
        Options { warm: 500, below: 0.98, half_life: 20_000.0, floor: 1e-9 }
    }
}

impl Spot {
    pub fn new(options: Options) -> Result<Self, Error> {
        let first = validate(&options)?;
        Ok(Spot { options, tail: None, next: Some((first, 0)) })
    }

    /// Takes in a value; what is refused changes nothing.
    pub fn learn(&mut self, value: f64) -> Result<(), Refused> {
        let value = accept(value)?;
        if let Some(tail) = &mut self.tail {
            tail.learn(value, &self.options);
        }
        if let Some((quantile, count)) = &mut self.next {
            quantile.learn(value)?;
            *count += 1;
            if *count >= self.options.warm {
                self.tail = Some(Tail::new(quantile, &self.options));
                self.next = None;
            }
        } else if self.tail.is_some_and(|tail| tail.is_off(&self.options)) {
            self.next = Quantile::new(self.options.below).ok().map(|quantile| (quantile, 0));
        }
        Ok(())
    }

    /// Chance of a value at least as high, from [`MIN_TAIL`] to 1; 1 at or below the threshold, and before there is
    /// one.
    pub fn tail(&self, value: f64) -> Result<f64, Refused> {
        let value = accept(value)?;
        Ok(self.tail.map_or(1.0, |tail| tail.chance(value, &self.options)))
    }

    /// The value with this chance of one at least as high; none before there is a threshold. At a chance
    /// that is not below the share above the threshold it is the threshold.
    pub fn level(&self, chance: f64) -> Option<f64> {
        let tail = self.tail?;
        let (shape, scale) = tail.pareto(&self.options);
        let times = (tail.share / chance.clamp(MIN_TAIL, 1.0)).max(1.0);
        let excess = if shape == 0.0 { times.ln() } else { (times.powf(shape) - 1.0) / shape };
        Some(tail.threshold + scale * excess)
    }

    /// Whether tails mean something yet.
    pub fn ready(&self) -> bool {
        self.tail.is_some()
    }

    pub fn threshold(&self) -> Option<f64> {
        self.tail.map(|tail| tail.threshold)
    }
}

impl Tail {
    /// An exponential tail to begin with: half of the excesses are below the quantile halfway to 1.
    fn new(quantile: &Quantile, options: &Options) -> Self {
        let threshold = quantile.value().unwrap_or(0.0);
        let median = quantile.upper().unwrap_or(threshold) - threshold;
        let mean = (median / std::f64::consts::LN_2).max(options.floor);
        let share = 1.0 - options.below;
        Tail { threshold, count: 0.0, peaks: 0.0, share, mean, variance: mean * mean }
    }

    fn learn(&mut self, value: f64, options: &Options) {
        let over = value > self.threshold;
        let forgotten = 1.0 - 0.5_f64.powf(1.0 / options.half_life);
        self.count += 1.0;
        let weight = forgotten.max(1.0 / (f64::from(options.warm) + self.count));
        self.share += weight * (f64::from(u8::from(over)) - self.share);
        if over {
            self.peaks += 1.0;
            // Of the peaks' own number: as many of them as fall into the half-life.
            let weight = (forgotten / (1.0 - options.below)).min(0.5).max(1.0 / (PRIOR + self.peaks));
            let difference = value - self.threshold - self.mean;
            self.mean += weight * difference;
            self.variance = (1.0 - weight) * (self.variance + weight * difference * difference);
        }
    }

    fn is_off(&self, options: &Options) -> bool {
        let wanted = 1.0 - options.below;
        self.count >= f64::from(options.warm)
            && !(wanted / TOLERANCE..=wanted * TOLERANCE).contains(&self.share)
    }

    /// Shape and scale; the mean of the excesses is kept where the shape is cut.
    fn pareto(&self, options: &Options) -> (f64, f64) {
        let shape =
            if self.variance > 0.0 { 0.5 * (1.0 - self.mean / self.variance * self.mean) } else { SHAPES.0 };
        let shape = shape.clamp(SHAPES.0, SHAPES.1);
        // Near zero the power loses its digits; the exponential is its limit.
        let shape = if shape.abs() < 1e-6 { 0.0 } else { shape };
        (shape, (self.mean * (1.0 - shape)).max(options.floor))
    }

    fn chance(&self, value: f64, options: &Options) -> f64 {
        let excess = value - self.threshold;
        if excess <= 0.0 {
            return 1.0;
        }
        let (shape, scale) = self.pareto(options);
        let above = if shape == 0.0 {
            (-excess / scale).exp()
        } else {
            (1.0 + shape * excess / scale).max(0.0).powf(-1.0 / shape)
        };
        (self.share * above).clamp(MIN_TAIL, 1.0)
    }
}

impl Snapshot for Spot {
    const KIND: [u8; 4] = *b"spot";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        ensure(validate(&self.options).is_ok(), "no tail has such options")?;
        ensure(self.tail.is_some() || self.next.is_some(), "neither a threshold nor one being learnt")?;
        if let Some((quantile, count)) = &self.next {
            quantile.check()?;
            ensure(*count < self.options.warm && quantile.q() == self.options.below, "another threshold")?;
        }
        let Some(tail) = self.tail else { return Ok(()) };
        let Tail { threshold, count, peaks, share, mean, variance } = tail;
        let counts = [count, peaks].iter().all(|count| count.is_finite() && *count >= 0.0);
        let moments = is_variance(variance) && is_variance(mean * mean) && mean >= 0.0;
        let within = accept(threshold).is_ok() && (0.0..=1.0).contains(&share);
        ensure(counts && moments && within, "the tail cannot come from values")
    }
}

fn validate(options: &Options) -> Result<Quantile, Error> {
    let Options { warm, below, half_life, floor } = *options;
    if warm < 50 {
        return Err(Error::Warm(warm));
    }
    if half_life.is_nan() || half_life < 1.0 {
        return Err(Error::Number { name: "half-life", value: half_life });
    }
    if !(floor > 0.0 && accept(floor).is_ok()) {
        return Err(Error::Number { name: "floor", value: floor });
    }
    let share = Error::Number { name: "share below the threshold", value: below };
    if below < 0.5 { Err(share) } else { Quantile::new(below).map_err(|_| share) }
}
