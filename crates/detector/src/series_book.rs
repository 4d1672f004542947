//! What is normal for each series, and which series have left it.
//!
//! A new pod takes over what a sibling of the same revision has learnt, so a restart of pods neither blinds nor alarms.
//! Whether a value is news says the scorer (`learn::scorer`): how rare it is for this series at this hour, how lately
//! the like was seen, and an alarm budget. News that matters and lasts (`series`) becomes a deviation, unless what
//! people said of others like it (`models`) speaks against it.
//!
//! What is no sample of the series is not learnt: nothing that is not newer than the last. A series begins anew when
//! its unit changes, when a counter is reset, and, without its last moment, when the clock was put back. Of series that
//! are silent while what they measure runs, and of those that all stand still together, the telemetry is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::feedback::Label;
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::{ObjectRef, Period};
use kubewise_learn::hysteresis::{Hysteresis, Switch, Turn, Zone};
use kubewise_learn::scorer::{self, Outcome, Scorer};

use crate::models::{HELD_FOR, Models, OUTGROWN, Opinion, Sight};
use crate::off::{ByWorkload, Off, Still};
use crate::options::DeviationOptions;
use crate::samples::CLOCK_SKEW;
use crate::series::{Series, SeriesKey, Shift, floor, least_rise};
use crate::symptom::Symptom;
use crate::work::{Point, Shown, Work};

/// After a longer silence the last points are no neighbours of the next.
const GAP: Period = Period::from_mins(10);
/// Silent for this long while its object runs, a series is missing: two of the longest usual intervals and more.
const SILENT: Period = Period::from_mins(15);
/// So many series that stand still at one time, and at least half of their type, are their source's trouble.
const STUCK_TOGETHER: usize = 5;
/// A series that was silent for this long belongs to an object that is gone.
const FORGET_AFTER: Period = Period::from_mins(6 * 60);
/// A young series must rise by more, but by at most this many times as much.
const YOUNG_RISE: f64 = 4.0;
/// The least height from which a fall means anything, as a share of the least rise: to do nothing is more than to do
/// somewhat more.
const LEAST_HEIGHT: f64 = 1.0 / 3.0;

#[derive(Debug)]
pub(crate) struct SeriesBook {
    options: DeviationOptions,
    /// Absent if deviations are not looked for.
    tuning: Option<(Scorer, Switch)>,
    capacity: usize,
    series: BTreeMap<SeriesKey, Series>,
    models: Models,
    /// Series that are off their level now.
    off: ByWorkload<Off>,
    /// Series that stand still now.
    still: ByWorkload<Still>,
    /// Deviations that were held back and are over.
    unseen: Vec<(ObjectRef, Symptom)>,
    /// Types of which too many series stand still to believe it.
    stuck: BTreeSet<MetricType>,
    newest: Timestamp,
    /// Types that came and do not, or stand still.
    pub(crate) missing: Vec<String>,
    pub(crate) evicted: u64,
    pub(crate) held_back: u64,
    pub(crate) begun_anew: u64,
    /// Samples that were older than, or as old as, the last of their series.
    pub(crate) ignored: u64,
}

/// What surrounds a sample.
pub(crate) struct Place<'a> {
    pub(crate) template: Option<&'a Arc<str>>,
    /// It starts or was just changed: learn, do not judge.
    pub(crate) is_changing: bool,
    pub(crate) changed_at: Option<Timestamp>,
    /// It is there to go on working: no Job, whose work ends.
    pub(crate) serves: bool,
    /// Recent Events of the workload.
    pub(crate) events: usize,
    pub(crate) now: Timestamp,
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
            off: ByWorkload::default(),
            still: ByWorkload::default(),
            unseen: Vec::new(),
            stuck: BTreeSet::new(),
            newest: Timestamp::MIN,
            missing: Vec::new(),
            evicted: 0,
            held_back: 0,
            begun_anew: 0,
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
        let Place { is_changing, changed_at, events, .. } = *place;
        let begun = self.take_up(sample, key, place);
        let Some((scorer, switch)) = &self.tuning else { return false };
        let Some(series) = self.series.get_mut(key) else { return false };
        let before = self.off.get(key);
        if Period::between(series.last, sample.time) > GAP {
            series.gap(before.is_some_and(|off| off.is_fall));
        }
        let verdict = scorer.observe(&mut series.model, seconds(sample.time), sample.value);
        if verdict.outcome == Outcome::Ignored {
            self.ignored += 1;
            return begun;
        }
        series.last = sample.time;
        self.newest = self.newest.max(sample.time);
        let points = series.model.count();
        let judged =
            verdict.outcome == Outcome::Judged && points >= self.options.grace_points && !is_changing;
        // A young series has not shown all that is normal for it, so it must be off by more.
        let youth = (f64::from(self.options.mature_points) / f64::from(points.max(1))).clamp(1.0, YOUNG_RISE);
        let point = Point {
            time: sample.time,
            value: sample.value,
            expected: verdict.expected,
            least: LEAST_HEIGHT * floor(sample.unit),
            youth,
            is_judged: judged,
            is_told: before.is_some_and(|off| off.is_fall),
            accept_after: self.options.accept_after,
        };
        let shown = series.work.as_deref_mut().map(|work| work.observe(&point)).unwrap_or_default();
        if shown.was_reset {
            series.forget();
            self.begun_anew += 1;
            return self.gone(key);
        }
        let is_fall = before.map_or(shown.falls, |off| off.is_fall);
        let matters = least_rise(sample.unit, verdict.expected);
        let size = if is_fall { verdict.expected - sample.value } else { sample.value - verdict.expected };
        let leaves = if is_fall { shown.falls } else { !shown.is_counter && size >= matters * youth };
        let shift = Shift { time: sample.time, is_judged: judged, is_worse: size > 0.0, leaves };
        let zone = series.zone(&verdict, &shift, threshold, self.options.window as u8);
        let was_on = series.hysteresis.is_on();
        let turn = series.hysteresis.push(zone, switch);
        let sight = Sight {
            distances: verdict.distances,
            rise: if is_fall { -size / matters } else { size / matters },
            time: sample.time,
            changed_at,
            events,
        };
        // What is off, or about to be, must not become normal for its type.
        let learns = zone == Zone::Under && !was_on;
        let row = judged.then(|| self.models.look(&sample.metric_type, &sight, learns)).flatten();
        let stands = Self::stand(&mut self.still, &shown, sample, key, verdict.expected, points);
        if !series.hysteresis.is_on() {
            return turn == Some(Turn::Off) && self.back(key) || stands || begun;
        }
        let (since, row, first_size) =
            before.map_or((sample.time, row, size), |off| (off.since, off.row, off.size));
        let was_overdue = before.is_some_and(|off| off.is_overdue);
        let is_overdue = was_overdue || HELD_FOR.after(since) <= sample.time || size >= OUTGROWN * first_size;
        let mut off = Off {
            since,
            value: sample.value,
            unit: sample.unit,
            news: series.rarest.as_deref().map_or(verdict, |one| one.verdict),
            threshold,
            row,
            size: first_size,
            is_fall,
            is_overdue,
            was_told: before.is_some_and(|off| off.was_told),
        };
        if self.options.accept_after.after(since) < sample.time {
            series.forget();
            return self.back(key);
        }
        let begins = turn == Some(Turn::On);
        let is_told = is_overdue || off.opinion(key, &self.models) != Opinion::NoTrouble;
        off.was_told |= is_told;
        if begins && !is_told {
            self.held_back += 1;
        }
        self.off.insert(key, off);
        begins || stands || is_overdue && !was_overdue
    }

    /// Sees to it that there is a series that the sample may belong to. Returns whether one that was off is no more.
    fn take_up(&mut self, sample: &NormalizedMetric, key: &SeriesKey, place: &Place<'_>) -> bool {
        match self.series.get_mut(key) {
            None => {
                self.begin(sample, key, place);
                false
            }
            Some(series) if series.unit != sample.unit => {
                (series.unit, series.work) = (sample.unit, series.work.take().map(|_| Box::new(Work::new())));
                series.forget();
                self.begun_anew += 1;
                self.gone(key)
            }
            // The clock was put back since: nothing would be newer than the last for long.
            Some(series) if series.last > CLOCK_SKEW.after(place.now) => {
                series.model = series.model.heir();
                series.last = Timestamp::MIN;
                series.gap(self.off.get(key).is_some_and(|off| off.is_fall));
                self.begun_anew += 1;
                false
            }
            Some(_) => false,
        }
    }

    /// Keeps what stands still. Returns whether that is news.
    fn stand(
        still: &mut ByWorkload<Still>,
        shown: &Shown,
        sample: &NormalizedMetric,
        key: &SeriesKey,
        usual: f64,
        points: u32,
    ) -> bool {
        let Some(stands) = shown.still else { return still.remove(key).is_some() };
        let told_at = still.get(key).map_or(sample.time, |before| before.told_at);
        let one = Still {
            stands,
            value: sample.value,
            unit: sample.unit,
            usual,
            points,
            time: sample.time,
            told_at,
        };
        still.insert(key, one).is_none()
    }

    /// Learns what was said of deviations.
    pub(crate) fn learn(&mut self, label: Label, anomalies: &[AnomalyRecord]) {
        let Some(_) = &self.tuning else { return };
        self.models.learn(label, anomalies, |of| self.options.thresholds.contains_key(of));
    }

    /// The symptoms of a workload's series, without those that labels hold back.
    pub(crate) fn symptoms(&self, workload: &ObjectRef) -> Vec<Symptom> {
        let opinions = self.off.of(workload).map(|(key, off)| (key, off, off.opinion(key, &self.models)));
        let told = opinions.filter(|(_, off, opinion)| off.is_overdue || *opinion != Opinion::NoTrouble);
        let still = self.still.of(workload).filter(|(key, _)| !self.stuck.contains(&key.metric_type));
        told.map(|(key, off, opinion)| off.symptom(key, opinion))
            .chain(still.map(|(key, still)| still.symptom(key)))
            .collect()
    }

    /// Deviations that ended without having been told, with their workloads.
    pub(crate) fn take_unseen(&mut self) -> Vec<(ObjectRef, Symptom)> {
        std::mem::take(&mut self.unseen)
    }

    /// An object is gone: its series are no trouble any more. What they learnt stays for its successor.
    pub(crate) fn object_gone(&mut self, workload: &ObjectRef, object: &ObjectRef) {
        let off = self.off.of(workload).map(|(key, _)| key);
        let still = self.still.of(workload).map(|(key, _)| key);
        let gone: BTreeSet<SeriesKey> =
            off.chain(still).filter(|key| key.object == *object).cloned().collect();
        for key in gone {
            self.gone(&key);
            if let Some(series) = self.series.get_mut(&key) {
                series.rest();
            }
        }
    }

    /// Forgets series of objects that are long gone, and finds what is missing. `is_alive` says whether an object
    /// that was measured should still be.
    pub(crate) fn sweep(&mut self, now: Timestamp, is_alive: impl Fn(&ObjectRef) -> bool) {
        let mut heard: BTreeMap<&MetricType, Heard> = BTreeMap::new();
        for (key, series) in &self.series {
            let of_type = heard.entry(&key.metric_type).or_default();
            if SILENT.after(series.last) < now {
                of_type.misses |= !of_type.misses && is_alive(&key.object);
                continue;
            }
            of_type.any = true;
            if let Some(work) = &series.work {
                of_type.works += 1;
                of_type.stuck += usize::from(work.is_stuck());
            }
        }
        let silent = |heard: &Heard| !heard.any && heard.misses;
        let stuck = |heard: &Heard| heard.stuck >= STUCK_TOGETHER && heard.stuck * 2 >= heard.works;
        let types = |which: &dyn Fn(&Heard) -> bool| -> BTreeSet<MetricType> {
            heard.iter().filter(|(_, heard)| which(heard)).map(|(of, _)| (*of).clone()).collect()
        };
        let (silent, stuck) = (types(&silent), types(&stuck));
        self.missing = silent.iter().map(|of| format!("metric {of}")).collect();
        self.missing.extend(stuck.iter().map(|of| format!("metric {of} (it stands still everywhere)")));
        self.stuck = stuck;
        let horizon = FORGET_AFTER.before(self.newest);
        // What was off when its whole type fell silent is not well for that.
        let stays = |key: &SeriesKey| silent.contains(&key.metric_type) && self.off.get(key).is_some();
        let gone: Vec<SeriesKey> = self
            .series
            .extract_if(.., |key, series| series.last < horizon && !stays(key))
            .map(|(key, _)| key)
            .collect();
        self.evicted += gone.len() as u64;
        for key in gone {
            self.gone(&key);
        }
    }

    fn begin(&mut self, sample: &NormalizedMetric, key: &SeriesKey, place: &Place<'_>) {
        if self.series.len() >= self.capacity {
            self.make_room();
        }
        let neighbours = [self.series.range(..key).next_back(), self.series.range(key..).next()];
        let related = neighbours.into_iter().flatten().filter(|(other, series)| {
            other.workload == key.workload
                && other.container == key.container
                && other.metric_type == key.metric_type
                && other.detail == key.detail
                && series.unit == sample.unit
                && series.template.as_ref() == place.template
        });
        let elder = related.map(|(_, series)| series).max_by_key(|series| series.model.count());
        let model = elder.map(|elder| elder.model.heir()).unwrap_or_default();
        let works = place.serves && self.options.work.contains(&key.metric_type);
        let work = elder.and_then(|elder| Some(elder.work.as_ref()?.heir())).unwrap_or_else(Work::new);
        let series = Series {
            model,
            hysteresis: Hysteresis::default(),
            rarest: None,
            fresh: 0,
            run: 0,
            last: Timestamp::MIN,
            unit: sample.unit,
            work: works.then(|| Box::new(work)),
            template: place.template.cloned(),
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
            self.gone(&key);
        }
    }

    /// It is off no more. What labels held back all the time is told of now that it is over.
    fn back(&mut self, key: &SeriesKey) -> bool {
        if let Some(off) = self.off.remove(key).filter(|off| !off.was_told) {
            self.unseen.push((key.workload.clone(), off.symptom(key, Opinion::NoTrouble)));
        }
        true
    }

    /// It shows nothing more at all.
    fn gone(&mut self, key: &SeriesKey) -> bool {
        self.still.remove(key);
        self.back(key)
    }
}

/// What was heard of a type's series lately.
#[derive(Default)]
struct Heard {
    any: bool,
    /// One is silent whose object runs.
    misses: bool,
    works: usize,
    stuck: usize,
}

fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}
