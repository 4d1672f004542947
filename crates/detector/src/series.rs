//! The level of each series, and which series have left it.
//!
//! A series is one measure of one object under its workload. A new pod takes over what a sibling of the same
//! revision has learnt, so a restart of pods neither blinds nor alarms. Only values above the level count: less
//! load than usual is no failure by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kubewise_core::anomaly::{Reason, Severity};
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::unit::Unit;
use kubewise_core::{ObjectRef, Period, quantity};
use kubewise_learn::ewma::{Level, Pace};
use kubewise_learn::hysteresis::{Hysteresis, Switch, Turn, Zone};

use crate::options::DeviationOptions;
use crate::symptom::{Measure, Symptom};
use crate::text;

/// Values further away than this many scales are learnt as if they were this far.
const CLAMP: f64 = 4.0;
/// After a longer silence the last points are no neighbours of the next.
const GAP: Period = Period::from_mins(10);
/// A series that was silent for this long belongs to an object that is gone.
const FORGET_AFTER: Period = Period::from_mins(6 * 60);
/// A level below this share of its mean is no news.
const RELATIVE_FLOOR: f64 = 0.05;

#[derive(Debug)]
pub(crate) struct SeriesBook {
    options: DeviationOptions,
    /// Absent if deviations are not looked for.
    tuning: Option<(Pace, Switch)>,
    capacity: usize,
    series: BTreeMap<SeriesKey, Series>,
    /// Series that are off their level now, by workload.
    off: BTreeMap<ObjectRef, BTreeMap<SeriesKey, Off>>,
    newest: Timestamp,
    pub(crate) evicted: u64,
    /// Samples that were older than, or as old as, the last of their series.
    pub(crate) ignored: u64,
}

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

#[derive(Clone, Debug)]
struct Series {
    level: Level,
    hysteresis: Hysteresis,
    last: Timestamp,
    /// The revision of the pod: another may well have another level.
    template: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
struct Off {
    since: Timestamp,
    value: f64,
    unit: Unit,
    score: f64,
}

/// Where a sample belongs.
pub(crate) struct Place<'a> {
    pub(crate) workload: ObjectRef,
    pub(crate) template: Option<&'a Arc<str>>,
    /// It starts or was just changed: learn, do not judge.
    pub(crate) is_changing: bool,
}

impl SeriesBook {
    /// Settings out of their range switch deviations off rather than mean something else; the configuration
    /// refuses them by the ranges of the schema.
    pub(crate) fn new(options: DeviationOptions, capacity: usize) -> Self {
        let pace = Pace::new(options.half_life, CLAMP).ok();
        let switch = Switch::new(options.needed, options.window, options.calm).ok();
        SeriesBook {
            tuning: pace.zip(switch).filter(|_| options.enabled),
            options,
            capacity: capacity.max(1),
            series: BTreeMap::new(),
            off: BTreeMap::new(),
            newest: Timestamp::MIN,
            evicted: 0,
            ignored: 0,
        }
    }

    pub(crate) fn follows(&self, metric_type: &MetricType) -> bool {
        self.tuning.is_some() && self.options.thresholds.contains_key(metric_type)
    }

    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// Takes in a sample. Returns whether the series left its level, or is back.
    pub(crate) fn observe(&mut self, sample: &NormalizedMetric, place: Place<'_>) -> bool {
        let Some((pace, switch)) = self.tuning else { return false };
        let Some(threshold) = self.options.thresholds.get(&sample.metric_type).copied() else { return false };
        let Place { workload, template, is_changing } = place;
        let key = SeriesKey::of(sample, workload);
        if !self.series.contains_key(&key) {
            self.begin(&key, template);
        }
        let Some(series) = self.series.get_mut(&key) else { return false };
        if sample.time <= series.last || !sample.value.is_finite() {
            self.ignored += 1;
            return false;
        }
        if Period::between(series.last, sample.time) > GAP {
            series.hysteresis.gap();
        }
        series.last = sample.time;
        self.newest = self.newest.max(sample.time);
        let floor = floor(sample.unit).max(series.level.mean().abs() * RELATIVE_FLOOR);
        let Ok(z) = series.level.score(sample.value, floor) else { return false };
        // A young series has not shown all that is normal for it, so it must leave its level by more.
        let points = f64::from(series.level.count());
        let needed = threshold * (f64::from(self.options.mature_points) / points.max(1.0)).max(1.0);
        let judged = series.level.count() >= self.options.grace_points && !is_changing;
        let zone = match z {
            _ if !judged && !series.hysteresis.is_on() => Zone::Under,
            z if z >= needed => Zone::Over,
            z if z < needed / 2.0 => Zone::Under,
            _ => Zone::Between,
        };
        let turn = series.hysteresis.push(zone, &switch);
        if !series.hysteresis.is_on() {
            // Cannot fail: value and floor were found finite just before.
            let learnt = series.level.learn(sample.value, floor, &pace);
            debug_assert!(learnt.is_ok());
            return turn == Some(Turn::Off) && self.back(&key);
        }
        let score = z.max(0.0) / (z.max(0.0) + needed);
        let off = self.off.entry(key.workload.clone()).or_default();
        let since = off.get(&key).map_or(sample.time, |off| off.since);
        off.insert(key.clone(), Off { since, value: sample.value, unit: sample.unit, score });
        if self.options.accept_after.after(since) < sample.time {
            *series = Series { level: Level::default(), hysteresis: Hysteresis::default(), ..series.clone() };
            return self.back(&key);
        }
        turn == Some(Turn::On)
    }

    /// The symptoms of a workload's series.
    pub(crate) fn symptoms(&self, workload: &ObjectRef) -> Vec<Symptom> {
        let Some(off) = self.off.get(workload) else { return Vec::new() };
        off.iter().filter_map(|(key, off)| Some(symptom(key, off, self.series.get(key)?))).collect()
    }

    /// An object is gone: its series are no trouble any more. What they learnt stays for its successor.
    pub(crate) fn object_gone(&mut self, workload: &ObjectRef, object: &ObjectRef) {
        if let Some(off) = self.off.get_mut(workload) {
            for (key, _) in off.extract_if(.., |key, _| key.object == *object) {
                if let Some(series) = self.series.get_mut(&key) {
                    series.hysteresis = Hysteresis::default();
                }
            }
            if off.is_empty() {
                self.off.remove(workload);
            }
        }
    }

    /// Forgets series of objects that are long gone, and if there are still too many, the longest unseen.
    pub(crate) fn sweep(&mut self) {
        let horizon = FORGET_AFTER.before(self.newest);
        let before = self.series.len();
        let off = &self.off;
        let is_off = |key: &SeriesKey| off.get(&key.workload).is_some_and(|off| off.contains_key(key));
        self.series.retain(|key, series| series.last >= horizon || is_off(key));
        self.evicted += (before - self.series.len()) as u64;
    }

    fn begin(&mut self, key: &SeriesKey, template: Option<&Arc<str>>) {
        if self.series.len() >= self.capacity {
            self.make_room();
        }
        let neighbours = [self.series.range(..key).next_back(), self.series.range(key..).next()];
        let related = neighbours.into_iter().flatten().filter(|(other, series)| {
            other.workload == key.workload
                && other.container == key.container
                && other.metric_type == key.metric_type
                && other.detail == key.detail
                && series.template.as_ref() == template
        });
        let level = related.map(|(_, series)| series.level).max_by_key(Level::count).unwrap_or_default();
        let series = Series {
            level,
            hysteresis: Hysteresis::default(),
            last: Timestamp::MIN,
            template: template.cloned(),
        };
        self.series.insert(key.clone(), series);
    }

    /// The twentieth that was silent the longest goes, so that this is rarely done.
    fn make_room(&mut self) {
        let mut ages: Vec<Timestamp> = self.series.values().map(|series| series.last).collect();
        let surplus = self.capacity / 20;
        let (_, horizon, _) = ages.select_nth_unstable(surplus.min(self.series.len() - 1));
        let horizon = *horizon;
        let mut left = surplus + 1;
        let gone: Vec<SeriesKey> = self
            .series
            .extract_if(.., |_, series| {
                let goes = left > 0 && series.last <= horizon;
                left -= usize::from(goes);
                goes
            })
            .map(|(key, _)| key)
            .collect();
        self.evicted += gone.len() as u64;
        for key in gone {
            self.back(&key);
        }
    }

    fn back(&mut self, key: &SeriesKey) -> bool {
        if let Some(off) = self.off.get_mut(&key.workload) {
            off.remove(key);
            if off.is_empty() {
                self.off.remove(&key.workload);
            }
        }
        true
    }
}

/// The smallest scale that means anything: below, differences are noise of the measurement.
fn floor(unit: Unit) -> f64 {
    match unit {
        Unit::Ratio | Unit::Cores => 0.02,
        Unit::Bytes => 8_388_608.0,
        Unit::BytesPerSecond => 65_536.0,
        Unit::Seconds => 0.05,
        Unit::Count | Unit::PerSecond => 1.0,
    }
}

fn symptom(key: &SeriesKey, off: &Off, series: &Series) -> Symptom {
    let usual = series.level.mean();
    let text = format!(
        "{} {} is {}, usually {} ± {}, since {:.0}",
        key.metric_type.as_str().replace('_', " "),
        key.whose(),
        amount(off.value, off.unit),
        amount(usual, off.unit),
        amount(series.level.deviation(), off.unit),
        off.since
    );
    let severity = match off.unit {
        Unit::Ratio => Severity::Warning,
        Unit::Bytes | Unit::BytesPerSecond | Unit::Cores | Unit::Seconds | Unit::Count | Unit::PerSecond => {
            Severity::Info
        }
    };
    let mut symptom = Symptom::new(Reason::Deviation, &key.object, off.since, text)
        .severity(severity)
        .feature(key.metric_type.as_str(), off.value, Some(usual));
    symptom.container = key.container.as_deref().map(Into::into);
    symptom.measure =
        Some(Measure { metric_type: key.metric_type.clone(), score: off.score, threshold: 0.5 });
    symptom
}

fn amount(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => quantity::mebibytes(value),
        Unit::BytesPerSecond => format!("{}/s", quantity::mebibytes(value)),
        Unit::Cores => quantity::millicores(value),
        Unit::Ratio => format!("{:.0}%", value * 100.0),
        Unit::Seconds => format!("{value:.2}s"),
        Unit::Count => format!("{value:.0}"),
        Unit::PerSecond => format!("{value:.2}/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Series, SeriesKey};

    #[test]
    fn a_series_is_compact() {
        // The rest of the 512 bytes is for the names, which the key holds by reference.
        assert!(size_of::<Series>() + size_of::<SeriesKey>() <= 256);
    }
}
