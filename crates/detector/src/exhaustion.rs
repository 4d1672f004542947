//! What grows towards a wall: memory against its limit, a volume, a quota. When will it be there?
//!
//! Each measure of a share (1 is the wall) is followed on three scales of time, by the mean of a minute, of ten
//! minutes and of an hour, so that a leak that fills its limit in an hour and one that takes days both show as a
//! straight line of enough points. A rise counts if nearly all later points are higher than earlier ones, if its newer
//! half is about as steep as the whole (a cache that fills flattens), if it is higher than ever before (the daily
//! load comes back to where it was), and if its line reaches the wall soon. (Theil-Sen: outliers do not move it.) A
//! sample that is not newer than the last changes nothing.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use kubewise_core::anomaly::{Reason, Severity};
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::{ObjectRef, Period};
use kubewise_learn::trend::TheilSen;

use crate::off::ByWorkload;
use crate::options::ExhaustionOptions;
use crate::samples::CLOCK_SKEW;
use crate::series::SeriesKey;
use crate::symptom::{Measure, Symptom};
use crate::text;

/// Seconds of which a point is the mean.
const SCALES: [f64; 3] = [60.0, 600.0, 3600.0];
/// Points of a scale: nearly half an hour, four hours, a day and more.
const POINTS: u8 = 26;
/// Fewer make no trend.
const ENOUGH: usize = 15;
/// Share of pairs that must rise: a steady rise under some noise has more, a day's wave and noise have less.
const RISING: f64 = 0.9;
/// The newer half is at least this steep, as a share of the whole; an exponential that is half way to its plateau is
/// below.
const STEADY: f64 = 0.7;
/// Nothing is foretold further ahead than this many times the time over which it was seen.
const AHEAD: f64 = 6.0;
/// A rise within what the series has shown before is its habit, unless it exceeds it by this share of the wall.
const NEW_GROUND: f64 = 0.02;
/// Below, there is room for any habit to form.
const LOWEST: f64 = 0.3;
/// Silent for this long, the object is gone.
const FORGET_AFTER: Period = Period::from_mins(6 * 60);

#[derive(Debug)]
pub(crate) struct Exhaustion {
    options: ExhaustionOptions,
    tracks: BTreeMap<SeriesKey, Track>,
    /// Tracks that grow towards their wall now.
    growing: ByWorkload<Growth>,
    newest: Timestamp,
    /// Tracks that began anew since the clock was put back.
    pub(crate) begun_anew: u64,
}

#[derive(Clone, Debug)]
struct Track {
    last: Timestamp,
    scales: [Scale; SCALES.len()],
    /// The highest that left the longest scale: habits older than a day.
    highest: f64,
}

#[derive(Clone, Debug)]
struct Scale {
    points: TheilSen,
    /// The highest sample of each point: a mean hides how far the ground was trodden.
    peaks: VecDeque<f32>,
    block: Block,
}

/// The samples of the point that is being made.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    start: f64,
    sum: f64,
    peak: f64,
    count: u32,
}

#[derive(Clone, Debug, PartialEq)]
struct Growth {
    since: Timestamp,
    value: f64,
    /// A second.
    slope: f64,
    full_in: Period,
}

impl Exhaustion {
    pub(crate) fn new(options: ExhaustionOptions) -> Self {
        Exhaustion {
            options,
            tracks: BTreeMap::new(),
            growing: ByWorkload::default(),
            newest: Timestamp::MIN,
            begun_anew: 0,
        }
    }

    pub(crate) fn follows(&self, metric_type: &MetricType) -> bool {
        self.options.horizons.contains_key(metric_type)
    }

    /// Takes in a sample; whether it made a difference to what is shown.
    pub(crate) fn observe(&mut self, sample: &NormalizedMetric, key: &SeriesKey, now: Timestamp) -> bool {
        let Some(horizon) = self.options.horizons.get(&sample.metric_type).copied() else { return false };
        if self.tracks.get(key).is_some_and(|track| track.last > CLOCK_SKEW.after(now)) {
            self.tracks.remove(key);
            self.begun_anew += 1;
        }
        if !self.tracks.contains_key(key) {
            let Some(track) = Track::new() else { return false };
            self.tracks.insert(key.clone(), track);
        }
        let Some(track) = self.tracks.get_mut(key) else { return false };
        if sample.time <= track.last || !sample.value.is_finite() {
            return false;
        }
        track.last = sample.time;
        self.newest = self.newest.max(sample.time);
        if !track.learn(sample.time.as_millisecond() as f64 / 1000.0, sample.value) {
            return false; // within a point nothing is judged anew
        }
        let was = self.growing.get(key);
        // Once told it stays, until it is plainly over: a foretold moment wavers.
        let horizon = if was.is_some() { Period::from(horizon.as_duration() * 2) } else { horizon };
        let growth = track.growth(sample.value, horizon, was.map_or(sample.time, |was| was.since));
        let changed = was.is_some() != growth.is_some();
        match growth {
            Some(growth) => self.growing.insert(key, growth),
            None => self.growing.remove(key),
        };
        changed
    }

    pub(crate) fn symptoms(&self, workload: &ObjectRef) -> Vec<Symptom> {
        self.growing.of(workload).map(|(key, growth)| symptom(key, growth)).collect()
    }

    pub(crate) fn object_gone(&mut self, workload: &ObjectRef, object: &ObjectRef) {
        self.forget(|key, _| key.workload == *workload && key.object == *object);
    }

    pub(crate) fn sweep(&mut self) {
        let horizon = FORGET_AFTER.before(self.newest);
        self.forget(|_, track| track.last < horizon);
    }

    fn forget(&mut self, is_over: impl Fn(&SeriesKey, &Track) -> bool) {
        let gone: Vec<SeriesKey> =
            self.tracks.extract_if(.., |key, track| is_over(key, track)).map(|(key, _)| key).collect();
        for key in gone {
            self.growing.remove(&key);
        }
    }
}

impl Track {
    fn new() -> Option<Self> {
        let scale = || {
            let points = TheilSen::new(POINTS).ok()?;
            Some(Scale { points, peaks: VecDeque::new(), block: Block::default() })
        };
        Some(Track { last: Timestamp::MIN, scales: [scale()?, scale()?, scale()?], highest: 0.0 })
    }

    /// Returns whether a point of any scale was finished.
    fn learn(&mut self, at: f64, value: f64) -> bool {
        let mut finished = false;
        for (scale, length) in self.scales.iter_mut().zip(SCALES) {
            let block = &mut scale.block;
            if block.count > 0 && at >= block.start + length {
                let Block { start, sum, peak, count } = *block;
                *block = Block::default();
                if scale.points.learn(f64::midpoint(start, at), sum / f64::from(count)).is_ok() {
                    finished = true;
                    scale.peaks.push_back(peak as f32);
                    if scale.peaks.len() > scale.points.count() {
                        let leaving = scale.peaks.pop_front().map_or(0.0, f64::from);
                        if length == SCALES[SCALES.len() - 1] {
                            self.highest = self.highest.max(leaving);
                        }
                    }
                }
            }
            let block = &mut scale.block;
            if block.count == 0 {
                block.start = at;
            }
            *block = Block {
                sum: block.sum + value,
                peak: block.peak.max(value),
                count: block.count + 1,
                ..*block
            };
        }
        finished
    }

    /// How it grows, by the scale that foretells the earliest end.
    fn growth(&self, value: f64, horizon: Period, since: Timestamp) -> Option<Growth> {
        if value < LOWEST {
            return None;
        }
        let scales = self.scales.iter().enumerate();
        let found = scales.filter_map(|(index, scale)| {
            let points = &scale.points;
            let (from, first) = points.oldest().filter(|_| points.count() >= ENOUGH)?;
            // Ground that was never trodden before the rise began. The lines are dear, so they come last.
            let habit = self.before(index, from).max(first);
            if value <= habit + NEW_GROUND || points.rising()? < RISING {
                return None;
            }
            let (line, recent) = (points.line()?, points.recent()?);
            let steady = line.slope > 0.0 && recent.slope >= STEADY * line.slope;
            let full_in = recent.reach(1.0)?;
            let soon = full_in <= horizon.as_secs_f64() && full_in <= AHEAD * (line.at - from);
            (steady && soon).then_some((full_in, recent.slope))
        });
        let (full_in, slope) = found.min_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(Growth { since, value, slope, full_in: Period::from_secs(full_in as u64) })
    }

    /// The highest level before a moment, as the longer scales remember it.
    fn before(&self, scale: usize, moment: f64) -> f64 {
        let longer = self.scales.iter().skip(scale + 1);
        let peaks = longer.flat_map(|scale| scale.points.times().zip(&scale.peaks));
        peaks.filter(|(at, _)| *at < moment).fold(self.highest, |most, (_, peak)| most.max(f64::from(*peak)))
    }
}

fn symptom(key: &SeriesKey, growth: &Growth) -> Symptom {
    let text = format!(
        "{} {} is {:.0}%, grows by {:.1}% an hour without a plateau and is full in about {}",
        key.metric_type.as_str().replace('_', " "),
        key.whose(),
        growth.value * 100.0,
        growth.slope * 360_000.0,
        text::whole(growth.full_in)
    );
    let severity =
        if growth.full_in < Period::from_mins(30) { Severity::Critical } else { Severity::Warning };
    let mut symptom = Symptom::new(Reason::Exhaustion, &key.object, growth.since, text)
        .severity(severity)
        .feature(key.metric_type.as_str(), growth.value, None)
        .feature("growth_per_hour", growth.slope * 3600.0, Some(0.0))
        .feature("full_in_seconds", growth.full_in.as_secs_f64(), None);
    symptom.container = key.container.as_deref().map(Into::into);
    symptom.measure = Some(Measure { metric_type: key.metric_type.clone(), score: 1.0, threshold: 0.5 });
    symptom
}
