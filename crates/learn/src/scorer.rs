//! The model of one series: a value in, a verdict out.
//!
//! Four features ask four questions. *Level*: how far is the value from its level, in scales? *Season*: how far from
//! what is usual at this hour, where the series has such a habit? *Shift* and *trend*: is the mean of the last few,
//! or of the last hour's, residuals off where such means usually are? Each answer goes through its own [`Tail`] and
//! becomes a rarity; the largest leads. Rarities of features are not added up: they see the same event.
//!
//! Distances say how far off the series is *now* and feed the entity's score; the score of the series itself says
//! whether this is *news*: the leading rarity, bounded by how recently the like was seen ([`Recurrence`]), less the
//! alarm budget. Nothing is ever learnt faster than its half-life allows, and clamped: no anomaly is normal at once.

mod options;

use serde::{Deserialize, Serialize};

use crate::ewma::{self, Level, Pace};
use crate::recurrence::Recurrence;
use crate::seasonal::Season;
use crate::snapshot::{self, Snapshot, ensure};
use crate::spot::Tail;
use crate::value::{LARGEST, is_variance};
pub use options::Options;

/// Distances are cut here: beyond, the number says nothing more.
const MAX_DISTANCE: f64 = 1e4;
/// Values are cut here so that the squares of their differences stay finite.
const MAX_VALUE: f64 = LARGEST;
/// The smallest scale of a mean of residuals, which are in scales.
const RESIDUAL_FLOOR: f64 = 0.02;
/// Samples before the means of residuals are learnt: they start from nothing.
const SETTLE: u32 = 30;
/// Samples before a season may lead and residuals are clamped.
const GROWN: u32 = 100;
/// After a silence of this many intervals the last residuals are no neighbours of the next.
const GAP: f64 = 20.0;
const FEATURES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Feature {
    Level,
    Season,
    Shift,
    Trend,
}

const ORDER: [Feature; FEATURES] = [Feature::Level, Feature::Season, Feature::Shift, Feature::Trend];

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    Judged,
    /// Too little is known of the series.
    WarmingUp,
    /// Not a finite number, or not newer than the last: nothing was learnt.
    Ignored,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub outcome: Outcome,
    /// Is it news? From 0 to 1; one half is the threshold that serves all series.
    pub score: f64,
    /// How likely a deviation of this kind is, at least 1e-8.
    pub p: f64,
    /// The kind.
    pub feature: Feature,
    /// What was expected instead.
    pub expected: f64,
    /// How far off the series is now, whether news or not: this dimension's part in the entity's score.
    pub deviation: f64,
    /// By each feature, in the order of [`Feature`], in scales; 0 where a feature has nothing to say.
    pub distances: [f32; FEATURES],
}

/// What is shared by all series: the options, and what follows from them.
#[derive(Clone, Debug)]
pub struct Scorer {
    options: Options,
    pace: Pace,
    memory: f64,
    short: f64,
    long: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    level: Level,
    /// Mean squared residuals of level, day and week.
    errors: [f64; 3],
    short: f64,
    long: f64,
    short_level: Level,
    long_level: Level,
    season: Season,
    last: f64,
    interval: f32,
    count: u32,
    tails: [Tail; FEATURES],
    recurrence: Recurrence,
}

impl Scorer {
    /// Half-lives and clamp are at least 1.
    pub fn new(options: Options) -> Result<Self, ewma::Error> {
        Ok(Scorer {
            pace: Pace::new(options.memory, options.clamp)?,
            memory: Pace::new(options.memory, options.clamp)?.weight(),
            short: Pace::new(options.short, options.clamp)?.weight(),
            long: Pace::new(options.long, options.clamp)?.weight(),
            options,
        })
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Judges a value by what was known before, then learns it. `time` is in seconds since 1970.
    pub fn observe(&self, series: &mut Series, time: f64, value: f64) -> Verdict {
        let options = &self.options;
        let first = series.count == 0;
        if !value.is_finite() || !time.is_finite() || (!first && time <= series.last) {
            return Verdict::nothing(Outcome::Ignored, series.level.mean());
        }
        let value = value.clamp(-MAX_VALUE, MAX_VALUE);
        series.arrive(time, first);
        let level = if first { value } else { series.level.mean() };
        let expected = series.season.expected(time, level);
        let residuals = expected.map(|expected| value - expected);
        let best = series.best(options);
        let floor = (options.relative_floor * level.abs()).max(f64::MIN_POSITIVE.sqrt());
        let distances = self.distances(series, residuals, best, floor);
        self.learn(series, time, value, residuals, best, floor);
        if series.count <= options.warm_up {
            return Verdict::nothing(Outcome::WarmingUp, expected[best]);
        }
        self.judge(series, distances, expected[best])
    }

    /// How far off the value is, by each feature. Moves the means of residuals on.
    fn distances(
        &self,
        series: &mut Series,
        residuals: [f64; 3],
        best: usize,
        floor: f64,
    ) -> [f64; FEATURES] {
        let options = &self.options;
        let residual = residuals[best] / series.errors[best].sqrt().max(floor);
        let clamped = residual.clamp(-options.residual_clamp, options.residual_clamp);
        series.short += self.short * (clamped - series.short);
        series.long += self.long * (clamped - series.long);
        let distances = [
            residuals[0].abs() / scale(&series.level, floor),
            if best > 0 { residual.abs() } else { 0.0 },
            distance(&series.short_level, series.short),
            distance(&series.long_level, series.long),
        ];
        if series.count > SETTLE {
            learn(&mut series.short_level, series.short, RESIDUAL_FLOOR, &self.pace);
            learn(&mut series.long_level, series.long, RESIDUAL_FLOOR, &self.pace);
        }
        distances.map(|distance| distance.min(MAX_DISTANCE))
    }

    fn learn(
        &self,
        series: &mut Series,
        time: f64,
        value: f64,
        residuals: [f64; 3],
        best: usize,
        floor: f64,
    ) {
        let options = &self.options;
        let count = f64::from(series.count);
        let first = series.count == 1;
        let weight = self.memory.max(1.0 / count);
        let usual = series.errors[best].sqrt().max(floor);
        let widest =
            if series.count > SETTLE { options.clamp * scale(&series.level, floor) } else { f64::MAX };
        if !first {
            for (error, residual) in series.errors.iter_mut().zip(residuals) {
                let bound = if series.count > GROWN {
                    widest.min(options.clamp * error.sqrt().max(floor))
                } else {
                    widest
                };
                let residual = residual.clamp(-bound, bound);
                *error += weight * (residual * residual - *error);
            }
        }
        let bound = if series.count > GROWN { options.clamp * usual } else { f64::MAX };
        let clamped = residuals.map(|residual| residual.clamp(-bound, bound));
        series.season.learn(time, value, clamped, best, first, &options.season);
        learn(&mut series.level, value, floor, &self.pace);
    }

    fn judge(&self, series: &mut Series, distances: [f64; FEATURES], expected: f64) -> Verdict {
        let options = &self.options;
        let (mut leading, mut rarest, mut deviation) = (Feature::Level, 0.0, 0.0);
        for ((feature, tail), distance) in ORDER.into_iter().zip(&mut series.tails).zip(distances) {
            if feature == Feature::Season && distance == 0.0 {
                continue;
            }
            let rarity = tail.observe(distance, &options.tail);
            deviation += (1.0 - options.rarity_share) * distance.ln_1p()
                + options.rarity_share * rarity.min(options.rarity_limit);
            if rarity > rarest {
                (leading, rarest) = (feature, rarity);
            }
        }
        let bound = series
            .recurrence
            .age(rarest, options.likeness, series.count)
            .map_or(f64::INFINITY, |age| options.recurrence_gain * f64::from(age.max(1)).log10());
        series.recurrence.learn(rarest, series.count);
        let news =
            rarest.min(bound) - options.budget * f64::from(series.count).min(options.budget_samples).log10();
        Verdict {
            outcome: Outcome::Judged,
            score: 1.0 / (1.0 + (2.0 * (options.report_at - news)).exp()),
            p: 10.0_f64.powf(-rarest.min(8.0)),
            feature: leading,
            expected,
            deviation,
            distances: distances.map(|distance| distance as f32),
        }
    }
}

impl Series {
    fn arrive(&mut self, time: f64, first: bool) {
        self.count = self.count.saturating_add(1);
        if !first {
            let passed = time - self.last;
            let interval = f64::from(self.interval);
            if interval > 0.0 && passed > GAP * interval {
                (self.short, self.long) = (self.short_level.mean(), self.long_level.mean());
            } else {
                // The typical distance: an average that a late sample moves little.
                let step = if interval > 0.0 {
                    (passed - interval).clamp(-interval, interval) / 16.0
                } else {
                    passed
                };
                self.interval += step as f32;
            }
        }
        self.last = time;
    }

    /// The most refined expectation that has earned trust.
    fn best(&self, options: &Options) -> usize {
        let mut best = 0;
        if self.count > GROWN {
            for index in 1..self.errors.len() {
                if self.errors[index] < options.season.gain * self.errors[best] {
                    best = index;
                }
            }
        }
        best
    }

    /// For a series that is to be like this one: what was learnt, without its last moment.
    #[must_use]
    pub fn heir(&self) -> Self {
        Series { last: f64::MIN, ..self.clone() }
    }

    /// Samples taken in.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Everything that this series holds in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.season.bytes()
    }
}

fn scale(level: &Level, floor: f64) -> f64 {
    level.deviation().max(floor)
}

fn distance(level: &Level, mean: f64) -> f64 {
    (mean - level.mean()).abs() / scale(level, RESIDUAL_FLOOR)
}

fn learn(level: &mut Level, value: f64, floor: f64, pace: &Pace) {
    let learnt = level.learn(value, floor, pace);
    debug_assert!(learnt.is_ok(), "values and floors were found finite before");
}

impl Snapshot for Series {
    const KIND: [u8; 4] = *b"seri";
    const VERSION: u16 = 1;

    fn check(&self) -> Result<(), snapshot::Inconsistent> {
        for level in [&self.level, &self.short_level, &self.long_level] {
            level.check()?;
        }
        self.season.check()?;
        self.tails.iter().try_for_each(Snapshot::check)?;
        let finite = [self.short, self.long, self.last, f64::from(self.interval)];
        ensure(finite.iter().all(|number| number.is_finite()), "a number is not finite")?;
        ensure(self.errors.iter().all(|error| is_variance(*error)), "an error is no mean square")
    }
}

impl Verdict {
    fn nothing(outcome: Outcome, expected: f64) -> Self {
        Verdict {
            outcome,
            score: 0.0,
            p: 1.0,
            feature: Feature::Level,
            expected,
            deviation: 0.0,
            distances: [0.0; FEATURES],
        }
    }
}
