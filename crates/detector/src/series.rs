//! What is normal for each series, and which series have left it.
//!
//! A series is one measure of one object under its workload. A new pod takes over what a sibling of the same
//! revision has learnt, so a restart of pods neither blinds nor alarms. Whether a value is news says the scorer
//! (`learn::scorer`): how rare it is for this series at this hour, how lately the like was seen, and an alarm budget.
//! News becomes a deviation if it matters (it is higher by an amount that means something in its unit; less load than
//! usual is no failure by itself) and lasts, unless what people said of others like it (`models`) speaks against it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kubewise_core::anomaly::{AnomalyRecord, Reason, Severity};
use kubewise_core::feedback::Label;
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::unit::Unit;
use kubewise_core::{ObjectRef, Period, quantity};
use kubewise_learn::hysteresis::{Hysteresis, Switch, Turn, Zone};
use kubewise_learn::scorer::{self, Feature, Outcome, Scorer, Verdict};

use crate::models::{HELD_FOR, Models, OUTGROWN, Opinion, Row, Sight};
use crate::options::DeviationOptions;
use crate::symptom::{Measure, Symptom};
use crate::text;

/// After a longer silence the last points are no neighbours of the next.
const GAP: Period = Period::from_mins(10);
/// A series that was silent for this long belongs to an object that is gone.
const FORGET_AFTER: Period = Period::from_mins(6 * 60);
/// A rise to less than twice of what is expected does not matter; where a wall is near, less of it does.
const RELATIVE_RISE: f64 = 1.0;
const RATIO_RISE: f64 = 0.35;
/// At news and after it, points that are at least this rare count.
const RARE: f64 = 3e-3;
/// What recurs is no news, but what lasts this many points is more than a recurrence, if it began this rare.
const LASTING: u8 = 12;
const HINT: f64 = 1e-3;
/// A young series must rise by more, but by at most this many times as much.
const YOUNG_RISE: f64 = 4.0;

#[derive(Debug)]
pub(crate) struct SeriesBook {
    options: DeviationOptions,
    /// Absent if deviations are not looked for.
    tuning: Option<(Scorer, Switch)>,
    capacity: usize,
    series: BTreeMap<SeriesKey, Series>,
    models: Models,
    /// Series that are off their level now, by workload.
    off: BTreeMap<ObjectRef, BTreeMap<SeriesKey, Off>>,
    newest: Timestamp,
    pub(crate) evicted: u64,
    pub(crate) held_back: u64,
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
    model: scorer::Series,
    hysteresis: Hysteresis,
    /// The rarest point of what may become, or is, a deviation.
    rarest: Option<Box<Verdict>>,
    /// For so many points to come the latest news may become a deviation.
    fresh: u8,
    /// Points in a row that matter.
    run: u8,
    last: Timestamp,
    /// The revision of the pod: another may well have another level.
    template: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
struct Off {
    since: Timestamp,
    value: f64,
    unit: Unit,
    news: Verdict,
    threshold: f64,
    /// What the series looked like when it was first off: what a label will be about.
    row: Option<Row>,
    /// How far it rose then.
    rise: f64,
    /// It lasts or grew so that it is told whatever labels say.
    is_overdue: bool,
}

/// What surrounds a sample.
pub(crate) struct Place<'a> {
    pub(crate) template: Option<&'a Arc<str>>,
    /// It starts or was just changed: learn, do not judge.
    pub(crate) is_changing: bool,
    pub(crate) changed_at: Option<Timestamp>,
    /// Recent Events of the workload.
    pub(crate) events: usize,
}

impl SeriesBook {
    /// Settings out of their range switch deviations off rather than mean something else; the configuration
    /// refuses them by the ranges of the schema.
    pub(crate) fn new(options: DeviationOptions, capacity: usize) -> Self {
        let scorer = Scorer::new(scorer::Options::default()).ok();
        let switch = Switch::new(options.needed, options.window, options.calm).ok();
        SeriesBook {
            tuning: scorer.zip(switch).filter(|_| options.enabled),
            options,
            capacity: capacity.max(1),
            series: BTreeMap::new(),
            models: Models::default(),
            off: BTreeMap::new(),
            newest: Timestamp::MIN,
            evicted: 0,
            held_back: 0,
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
    pub(crate) fn observe(&mut self, sample: &NormalizedMetric, key: &SeriesKey, place: &Place<'_>) -> bool {
        let Some(threshold) = self.options.thresholds.get(&sample.metric_type).copied() else { return false };
        let Place { template, is_changing, changed_at, events } = *place;
        if !self.series.contains_key(key) {
            self.begin(key, template);
        }
        let Some((scorer, switch)) = &self.tuning else { return false };
        let Some(series) = self.series.get_mut(key) else { return false };
        if Period::between(series.last, sample.time) > GAP {
            series.gap();
        }
        let verdict = scorer.observe(&mut series.model, seconds(sample.time), sample.value);
        if verdict.outcome == Outcome::Ignored {
            self.ignored += 1;
            return false;
        }
        series.last = sample.time;
        self.newest = self.newest.max(sample.time);
        let points = series.model.count();
        let judged =
            verdict.outcome == Outcome::Judged && points >= self.options.grace_points && !is_changing;
        // A young series has not shown all that is normal for it, so it must rise by more.
        let youth = f64::from(self.options.mature_points) / f64::from(points.max(1));
        let matters = least_rise(sample.unit, verdict.expected);
        let rise = sample.value - verdict.expected;
        let rises = rise >= matters * youth.clamp(1.0, YOUNG_RISE);
        let zone = series.zone(&verdict, rises, judged, threshold, self.options.window as u8);
        let was_on = series.hysteresis.is_on();
        let turn = series.hysteresis.push(zone, switch);
        let sight = Sight {
            distances: verdict.distances,
            rise: rise / matters,
            time: sample.time,
            changed_at,
            events,
        };
        // What is off, or about to be, must not become normal for its type.
        let learns = zone == Zone::Under && !was_on;
        let row = judged.then(|| self.models.look(&sample.metric_type, &sight, learns)).flatten();
        if !series.hysteresis.is_on() {
            if series.fresh == 0 && series.run == 0 {
                series.rarest = None;
            }
            return turn == Some(Turn::Off) && self.back(key);
        }
        let news = series.rarest.as_deref().copied().unwrap_or(verdict);
        let before = self.off.get(&key.workload).and_then(|off| off.get(key));
        let (since, row, first_rise) =
            before.map_or((sample.time, row, rise), |off| (off.since, off.row, off.rise));
        let was_overdue = before.is_some_and(|off| off.is_overdue);
        let is_overdue = was_overdue || HELD_FOR.after(since) <= sample.time || rise >= OUTGROWN * first_rise;
        let off = Off {
            since,
            value: sample.value,
            unit: sample.unit,
            news,
            threshold,
            row,
            rise: first_rise,
            is_overdue,
        };
        if self.options.accept_after.after(since) < sample.time {
            *series = Series::of(scorer::Series::default(), series.template.clone());
            return self.back(key);
        }
        let begins = turn == Some(Turn::On);
        if begins && off.opinion(key, &self.models) == Opinion::NoTrouble {
            self.held_back += 1;
        }
        self.off.entry(key.workload.clone()).or_default().insert(key.clone(), off);
        begins || is_overdue && !was_overdue
    }

    /// Learns what was said of deviations.
    pub(crate) fn learn(&mut self, label: Label, anomalies: &[AnomalyRecord]) {
        let Some(_) = &self.tuning else { return };
        self.models.learn(label, anomalies, |of| self.options.thresholds.contains_key(of));
    }

    /// The symptoms of a workload's series, without those that labels hold back.
    pub(crate) fn symptoms(&self, workload: &ObjectRef) -> Vec<Symptom> {
        let Some(off) = self.off.get(workload) else { return Vec::new() };
        let opinions = off.iter().map(|(key, off)| (key, off, off.opinion(key, &self.models)));
        let told = opinions.filter(|(_, off, opinion)| off.is_overdue || *opinion != Opinion::NoTrouble);
        told.map(|(key, off, opinion)| symptom(key, off, opinion)).collect()
    }

    /// An object is gone: its series are no trouble any more. What they learnt stays for its successor.
    pub(crate) fn object_gone(&mut self, workload: &ObjectRef, object: &ObjectRef) {
        if let Some(off) = self.off.get_mut(workload) {
            for (key, _) in off.extract_if(.., |key, _| key.object == *object) {
                if let Some(series) = self.series.get_mut(&key) {
                    *series = Series {
                        last: series.last,
                        ..Series::of(std::mem::take(&mut series.model), series.template.take())
                    };
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
        let elder = related.map(|(_, series)| &series.model).max_by_key(|model| model.count());
        let model = elder.map(scorer::Series::heir).unwrap_or_default();
        self.series.insert(key.clone(), Series::of(model, template.cloned()));
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

impl Off {
    fn opinion(&self, key: &SeriesKey, models: &Models) -> Opinion {
        self.row.as_ref().map_or(Opinion::Unsure, |row| models.opinion(&key.metric_type, row))
    }
}

impl Series {
    fn of(model: scorer::Series, template: Option<Arc<str>>) -> Self {
        let hysteresis = Hysteresis::default();
        Series { model, hysteresis, rarest: None, fresh: 0, run: 0, last: Timestamp::MIN, template }
    }

    /// Where a point lies: over if it is part of what is news, and lasts; under if it does not matter.
    fn zone(&mut self, verdict: &Verdict, rises: bool, judged: bool, threshold: f64, window: u8) -> Zone {
        let matters = rises && judged;
        self.run = if matters { self.run.saturating_add(1) } else { 0 };
        let news = matters && verdict.score >= threshold;
        self.fresh = if news { window } else { self.fresh.saturating_sub(1) };
        if matters && verdict.p <= RARE && self.rarest.as_ref().is_none_or(|one| verdict.p < one.p) {
            self.rarest = Some(Box::new(*verdict));
        }
        let counts = self.lasts() || self.fresh > 0 && verdict.p <= RARE;
        match (matters, self.hysteresis.is_on()) {
            (_, true) if rises => Zone::Over,
            (true, false) if counts => Zone::Over,
            (true, _) => Zone::Between,
            (false, _) => Zone::Under,
        }
    }

    /// The points to come are no neighbours of the last: nothing lasts over a gap.
    fn gap(&mut self) {
        self.hysteresis.gap();
        (self.fresh, self.run) = (0, 0);
    }

    fn lasts(&self) -> bool {
        self.run >= LASTING && self.rarest.as_ref().is_some_and(|one| one.p <= HINT)
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

/// The smallest rise that matters.
fn least_rise(unit: Unit, expected: f64) -> f64 {
    let relative = RELATIVE_RISE * expected.abs();
    let relative = if unit == Unit::Ratio { relative.min(RATIO_RISE) } else { relative };
    relative.max(floor(unit))
}

/// The smallest rise that means anything in a unit, however steady a series is.
fn floor(unit: Unit) -> f64 {
    match unit {
        Unit::Ratio | Unit::Cores => 0.15,
        Unit::Bytes => 67_108_864.0,
        Unit::BytesPerSecond => 524_288.0,
        Unit::Seconds => 0.5,
        Unit::Count | Unit::PerSecond => 5.0,
    }
}

fn symptom(key: &SeriesKey, off: &Off, opinion: Opinion) -> Symptom {
    let usual = off.news.expected;
    let text = format!(
        "{} {} is {} since {:.0}, {} {} (a chance of about 1 in {}){}",
        key.metric_type.as_str().replace('_', " "),
        key.whose(),
        amount(off.value, off.unit),
        off.since,
        usually(off.news.feature),
        amount(usual, off.unit),
        odds(off.news.p),
        if opinion == Opinion::Trouble { ", and others like it were called trouble" } else { "" }
    );
    let severity = match off.unit {
        Unit::Ratio => Severity::Warning,
        Unit::Bytes | Unit::BytesPerSecond | Unit::Cores | Unit::Seconds | Unit::Count | Unit::PerSecond => {
            Severity::Info
        }
    };
    let mut symptom = Symptom::new(Reason::Deviation, &key.object, off.since, text)
        .severity(severity)
        .feature(key.metric_type.as_str(), off.value, Some(usual))
        .feature("chance", off.news.p, None);
    symptom.features.extend(off.row.iter().flat_map(Row::features));
    symptom.container = key.container.as_deref().map(Into::into);
    symptom.measure = Some(Measure {
        metric_type: key.metric_type.clone(),
        score: off.news.score.max(off.threshold),
        threshold: off.threshold,
    });
    symptom
}

/// What the expectation rests on.
fn usually(feature: Feature) -> &'static str {
    match feature {
        Feature::Level => "usually",
        Feature::Season => "at this hour usually",
        Feature::Shift | Feature::Trend => "lately",
    }
}

/// The reciprocal of a chance, to its power of ten.
fn odds(p: f64) -> String {
    let power = -p.max(1e-9).log10();
    if power < 3.0 { format!("{:.0}", 1.0 / p.max(1e-9)) } else { format!("10^{power:.0}") }
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
        // A season's profiles come to it, 1.1 KB at most.
        assert!(size_of::<Series>() + size_of::<SeriesKey>() <= 600);
    }
}
