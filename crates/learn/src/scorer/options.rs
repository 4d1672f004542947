//! Every parameter of the scorer, with its reason. One set serves all data.

use serde::{Deserialize, Serialize};

use crate::{seasonal, spot};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Half-life of level and scale, in samples. 10,000 minutes are a week: shorter, and each weekend is learnt and
    /// unlearnt; longer, and a new normal takes a month.
    pub memory: f64,
    /// Half-life of the short mean of residuals, in samples: what lasts this long is no blip.
    pub short: f64,
    /// Half-life of the long mean of residuals: an hour of minutes.
    pub long: f64,
    /// A value this many scales off is learnt as if it were just so far: below 3 the scale of normal noise shrinks
    /// on itself, above 4 one burst widens it for a day.
    pub clamp: f64,
    /// Residuals count for the means up to this many scales, so that one spike is not also a shift.
    pub residual_clamp: f64,
    /// Smallest scale, as a share of the level: less is the noise of measuring.
    pub relative_floor: f64,
    /// Samples before anything is judged: the tail needs two peaks of its own.
    pub warm_up: u32,
    pub tail: spot::Options,
    pub season: seasonal::Options,
    /// Surprises this much smaller (in powers of ten) are still the like of this one: just more than rounding, for
    /// more makes the second of two different faults pass for the first.
    pub likeness: f64,
    /// What came back after n samples has at most this many times log10 n of surprise: a little over 1, since one
    /// recurrence is weak evidence for a rate.
    pub recurrence_gain: f64,
    /// The threshold grows with this power of the samples seen: an alarm budget. 0 is alarms at a constant rate,
    /// 1 a constant number for ever; in between, the longer a series is watched the more we ask.
    pub budget: f64,
    /// The budget grows up to this many samples, ten weeks of minutes.
    pub budget_samples: f64,
    /// The surprise (in powers of ten, budget deducted) at which the score of a series is one half.
    pub report_at: f64,
    /// An entity's score counts rarity with this weight and distance with the rest: distance alone trusts a noisy
    /// dimension, rarity alone forgets how far is far.
    pub rarity_share: f64,
    /// Rarity of a dimension is capped at 1e-8: more is extrapolation.
    pub rarity_limit: f64,
    /// An entity is as bad as its worst dimensions: the mean of this many. One may be a noisy gauge; more dilute a
    /// fault that two measures show.
    pub worst: usize,
    /// The trail of an entity without peers is a mean over about this many samples: two hours of minutes.
    pub trail: f64,
    /// The trail's share in such an entity's score: for the trouble of a machine, that it lasts says more than how
    /// high it peaks; the rest is for telling at once.
    pub trail_share: f64,
    /// The share of its worst peer's score that explains an entity's own.
    pub peer_share: f64,
    /// The entity's score in natural units at which it reads one half.
    pub entity_at: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            memory: 10_000.0,
            short: 7.0,
            long: 60.0,
            clamp: 3.4,
            residual_clamp: 8.0,
            relative_floor: 2e-3,
            warm_up: 100,
            tail: spot::Options::default(),
            season: seasonal::Options::default(),
            likeness: 0.05,
            recurrence_gain: 1.3,
            budget: 0.4,
            budget_samples: 100_000.0,
            report_at: 1.34,
            rarity_share: 0.6,
            rarity_limit: 8.0,
            worst: 2,
            trail: 120.0,
            trail_share: 0.8,
            peer_share: 0.5,
            entity_at: 6.0,
        }
    }
}
