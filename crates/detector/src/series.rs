//! One series: one measure of one object under its workload, and when what is news of it is trouble.
//!
//! News becomes a deviation if it matters (it is higher by an amount that means something in its unit, or less work is
//! done, as `work` tells) and lasts.

use std::sync::Arc;

use jiff::Timestamp;
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::unit::Unit;
use kubewise_core::{ObjectRef, Period};
use kubewise_learn::hysteresis::{Hysteresis, Zone};
use kubewise_learn::scorer::{self, Verdict};

use crate::text;
use crate::work::Work;

/// A rise to less than twice of what is expected does not matter; where a wall is near, less of it does.
const RELATIVE_RISE: f64 = 1.0;
const RATIO_RISE: f64 = 0.35;
/// At news and after it, points that are at least this rare count.
const RARE: f64 = 3e-3;
/// What recurs is no news, but what lasts this many points is more than a recurrence, if it began this rare.
const LASTING: u8 = 12;
const HINT: f64 = 1e-3;
/// The rarest point may come so long before a rise matters: a rate over five minutes, as the catalogue asks for, shows
/// a step little by little, and what rises so is soon the like of the point before.
const RUN_UP: Period = Period::from_mins(6);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeriesKey {
    pub(crate) workload: ObjectRef,
    pub(crate) container: Option<Arc<str>>,
    pub(crate) metric_type: MetricType,
    pub(crate) detail: Option<Arc<str>>,
    pub(crate) object: ObjectRef,
}

impl SeriesKey {
    pub(crate) fn of(sample: &NormalizedMetric, workload: ObjectRef) -> Self {
        SeriesKey {
            workload,
            container: sample.container.clone(),
            metric_type: sample.metric_type.clone(),
            detail: sample.detail.clone(),
            object: sample.object.clone(),
        }
    }

    /// `of container app of pod shop/cart-1`, to follow the measure's name.
    pub(crate) fn whose(&self) -> String {
        match (&self.container, &self.detail) {
            (Some(container), _) => format!("of container {container} of {}", text::name(&self.object)),
            (None, Some(detail)) => format!("({detail}) of {}", text::name(&self.object)),
            (None, None) => format!("of {}", text::name(&self.object)),
        }
    }
}

/// The rarest point of a rise.
#[derive(Clone, Debug)]
pub(crate) struct Rarest {
    pub(crate) verdict: Verdict,
    time: Timestamp,
}

/// Where a point lies from what is expected.
pub(crate) struct Shift {
    pub(crate) time: Timestamp,
    pub(crate) is_judged: bool,
    /// On the side that is trouble, by whatever amount.
    pub(crate) is_worse: bool,
    /// By an amount that matters.
    pub(crate) leaves: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) model: scorer::Series,
    pub(crate) hysteresis: Hysteresis,
    /// Of what may become, or is, a deviation.
    pub(crate) rarest: Option<Box<Rarest>>,
    /// For so many points to come the latest news may become a deviation.
    pub(crate) fresh: u8,
    /// Points in a row that matter.
    pub(crate) run: u8,
    pub(crate) last: Timestamp,
    pub(crate) unit: Unit,
    /// Of a measure of work.
    pub(crate) work: Option<Box<Work>>,
    /// The revision of the pod: another may well have another level.
    pub(crate) template: Option<Arc<str>>,
}

impl Series {
    /// Nothing is known of it any more but whose it is.
    pub(crate) fn forget(&mut self) {
        self.model = scorer::Series::default();
        self.rest();
    }

    /// What it learnt stays, what was on its way is over.
    pub(crate) fn rest(&mut self) {
        self.hysteresis = Hysteresis::default();
        (self.rarest, self.fresh, self.run) = (None, 0, 0);
        if let Some(work) = &mut self.work {
            **work = work.heir();
        }
    }

    /// Where a point lies: over if it is part of what is news, and lasts; under if it does not matter.
    pub(crate) fn zone(&mut self, verdict: &Verdict, shift: &Shift, threshold: f64, window: u8) -> Zone {
        let Shift { time, is_judged, is_worse, leaves } = *shift;
        let matters = leaves && is_judged;
        self.run = if matters { self.run.saturating_add(1) } else { 0 };
        let news = matters && verdict.score >= threshold;
        self.fresh = if news { window } else { self.fresh.saturating_sub(1) };
        if self.fresh == 0 && self.run == 0 && !self.hysteresis.is_on() {
            self.rarest.take_if(|one| RUN_UP.after(one.time) < time);
        }
        if is_worse
            && is_judged
            && verdict.p <= RARE
            && self.rarest.as_ref().is_none_or(|one| verdict.p < one.verdict.p)
        {
            self.rarest = Some(Box::new(Rarest { verdict: *verdict, time }));
        }
        let counts = self.lasts() || self.fresh > 0 && verdict.p <= RARE;
        match (matters, self.hysteresis.is_on()) {
            (_, true) if leaves => Zone::Over,
            (true, false) if counts => Zone::Over,
            (true, _) => Zone::Between,
            (false, _) => Zone::Under,
        }
    }

    /// The points to come are no neighbours of the last: nothing lasts over a gap. `fell` if it is off for a fall.
    pub(crate) fn gap(&mut self, fell: bool) {
        self.hysteresis.gap();
        (self.fresh, self.run) = (0, 0);
        if let Some(work) = &mut self.work {
            work.gap(fell);
        }
    }

    fn lasts(&self) -> bool {
        self.run >= LASTING && self.rarest.as_ref().is_some_and(|one| one.verdict.p <= HINT)
    }
}

/// The smallest rise that matters.
pub(crate) fn least_rise(unit: Unit, expected: f64) -> f64 {
    let relative = RELATIVE_RISE * expected.abs();
    let relative = if unit == Unit::Ratio { relative.min(RATIO_RISE) } else { relative };
    relative.max(floor(unit))
}

/// The smallest rise that means anything in a unit, however steady a series is.
pub(crate) fn floor(unit: Unit) -> f64 {
    match unit {
        Unit::Ratio | Unit::Cores => 0.15,
        Unit::Bytes => 67_108_864.0,
        Unit::BytesPerSecond => 524_288.0,
        Unit::Seconds => 0.5,
        Unit::Count | Unit::PerSecond => 5.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Series, SeriesKey};

    #[test]
    fn a_series_is_compact() {
        // A season's profiles come to it, 1.1 KB at most, and less than 100 bytes of a measure of work.
        assert!(size_of::<Series>() + size_of::<SeriesKey>() <= 600);
    }
}
