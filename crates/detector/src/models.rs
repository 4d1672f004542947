//! What the series of one metric type have in common, and what people said of their deviations.
//!
//! The scorer knows one series and asks whether a value is news for it. A model of a metric type sees all its series
//! and looks at many [`Sight`]s at once, each a row of features between 0 and 1. Half-Space Trees say how rare the
//! place is where a row lies, among rows of series that are on their level: what is off is not learnt, or a long
//! trouble would make itself normal. That is told with a deviation and decides nothing.
//!
//! What decides is labels. Each row of a deviation is kept in its anomaly's record, by name, so that a label given
//! days later, or read again at a start, finds the row that it is about. An adaptive random forest learns from them
//! which deviations of this type people call trouble, one of rises and one of falls. A new one that it surely takes for no trouble is held back, but
//! not for ever: labels are few, and what lasts longer than a batch does, or grows, is told whatever the forest says. A
//! forest only ever speaks of deviations; a known failure is never its business.
//!
//! One model takes about 60 KB for its trees and a few for its forests, and there is one for each metric type that is
//! followed (about ten), however many series there are.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use kubewise_core::Period;
use kubewise_core::anomaly::{AnomalyRecord, Feature, Reason};
use kubewise_core::feedback::Label;
use kubewise_core::id::AnomalyId;
use kubewise_core::metric::MetricType;
use kubewise_learn::adaptive_forest::{AdaptiveForest, Options as ForestOptions};
use kubewise_learn::half_space_trees::{HalfSpaceTrees, Options as TreeOptions};
use kubewise_learn::quantile::Quantile;

/// Features that the trees see; their own answer is the last one of a row.
const SEEN: usize = 9;
const FEATURES: usize = SEEN + 1;
/// Under these names a row is kept in a record. No metric type should be called so: its own feature has its name.
const NAMES: [&str; FEATURES] = [
    "row_level",
    "row_season",
    "row_shift",
    "row_trend",
    "row_rise",
    "row_hour_east",
    "row_hour_north",
    "row_since_change",
    "row_events",
    "half_space",
];
/// Where the rise stands among them.
const RISE: usize = 4;
/// Features are rounded to this, so that a record holds them exactly, however it writes its numbers.
const GRAIN: f64 = 1000.0;
/// Where the middle of a feature's range lies. Distances: at four scales the usual ends.
const HALF_DISTANCE: f64 = 4.0;
/// In rises that just matter.
const HALF_RISE: f64 = 1.0;
/// A rollout shows its effects within the hour, if it has any.
const HALF_CHANGE: Period = Period::from_mins(60);
/// Of Events: one or two come with anything, more tell something.
const HALF_EVENTS: f64 = 2.0;

const NO_TROUBLE: u16 = 0;
const TROUBLE: u16 = 1;
/// Labels of each class before the forest is asked: with fewer it would repeat the last person's word.
const LEAST_LABELS: u32 = 5;
/// The share of the forest's votes from which on it is sure.
const SURE: f64 = 0.9;
/// What is off for longer than this is told though the forest says no trouble.
pub(crate) const HELD_FOR: Period = Period::from_mins(2 * 60);
/// So is what rises this many times as far as when it was first seen: the forest judged something smaller.
pub(crate) const OUTGROWN: f64 = 1.5;
/// Anomalies whose label is remembered: as many as a start takes up.
const CALLED: usize = 10_000;
/// One seed, so that the same labels give the same decisions after a restart.
const SEED: u64 = 42;

/// The models, by metric type. Types are few: those of the options.
#[derive(Debug, Default)]
pub(crate) struct Models {
    by_type: BTreeMap<MetricType, Model>,
    /// What each anomaly was called last: a second label of one incident is no second case.
    called: BTreeMap<AnomalyId, u16>,
    /// These, the longest known first.
    called_in_order: VecDeque<AnomalyId>,
}

#[derive(Debug)]
struct Model {
    trees: HalfSpaceTrees,
    standing: Standing,
    rises: Lessons,
    falls: Lessons,
}

/// What labels taught of deviations in one direction: what people say of rises says nothing of falls.
#[derive(Debug)]
struct Lessons {
    forest: AdaptiveForest,
    /// Anomalies that were called so, by class.
    labels: [u32; 2],
}

/// One look at a series: what its row is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// Level, season, shift and trend, in scales.
    pub(crate) distances: [f32; 4],
    /// Over the least rise that matters; of a fall less than 0.
    pub(crate) rise: f64,
    pub(crate) time: Timestamp,
    /// When the object began or its workload was changed, if that is known.
    pub(crate) changed_at: Option<Timestamp>,
    /// Recent Events of the workload that tell of trouble.
    pub(crate) events: usize,
}

/// A sight with the trees' answer to it, each feature from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row([f64; FEATURES]);

/// What labels say of a deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opinion {
    /// There are too few labels, or they do not agree.
    Unsure,
    Trouble,
    NoTrouble,
}

impl Models {
    /// Makes a row of a sight; `learns` if the series is on its level.
    pub(crate) fn look(&mut self, metric_type: &MetricType, sight: &Sight, learns: bool) -> Option<Row> {
        let seen = sight.features();
        let Model { trees, standing, .. } = self.of(metric_type)?;
        let is_ready = trees.ready();
        let score = if learns { trees.score_and_learn(&seen[..]) } else { trees.score(&seen[..]) }.ok()?;
        let rank = standing.rank(score);
        if learns && is_ready {
            standing.learn(score);
        }
        let mut row = [rank; FEATURES];
        row[..SEEN].copy_from_slice(&seen);
        Some(Row(row))
    }

    /// Learns what was said of anomalies. Those that are no deviations, or of a version that kept no row, are left
    /// out; `follows` says which metric types have a model.
    pub(crate) fn learn(
        &mut self,
        label: Label,
        anomalies: &[AnomalyRecord],
        follows: impl Fn(&MetricType) -> bool,
    ) {
        let class = match label {
            Label::True => TROUBLE,
            // What is as it should be is no trouble either.
            Label::False | Label::Expected => NO_TROUBLE,
        };
        for anomaly in anomalies {
            let Some((metric_type, row)) = Row::of(anomaly).filter(|(of, _)| follows(of)) else { continue };
            let before = self.called.get(&anomaly.id).copied();
            if before == Some(class) {
                continue;
            }
            let Some(lessons) = self.of(metric_type).map(|model| model.lessons_mut(&row)) else { continue };
            if lessons.forest.learn(&row.0, class).is_ok() {
                lessons.count(class, before);
                self.call(&anomaly.id, class);
            }
        }
    }

    fn call(&mut self, anomaly: &AnomalyId, class: u16) {
        if self.called.insert(anomaly.clone(), class).is_none() {
            self.called_in_order.push_back(anomaly.clone());
        }
        if self.called_in_order.len() > CALLED
            && let Some(oldest) = self.called_in_order.pop_front()
        {
            self.called.remove(&oldest);
        }
    }

    pub(crate) fn opinion(&self, metric_type: &MetricType, row: &Row) -> Opinion {
        let lessons = self.by_type.get(metric_type).map(|model| model.lessons(row));
        let asked = lessons.filter(|lessons| {
            let [no_trouble, trouble] = lessons.labels;
            no_trouble.min(trouble) >= LEAST_LABELS
        });
        let share = |class| asked.and_then(|lessons| lessons.forest.share(&row.0, class).ok().flatten());
        let is_sure = |class| share(class).is_some_and(|share| share >= SURE);
        match (is_sure(TROUBLE), is_sure(NO_TROUBLE)) {
            (true, _) => Opinion::Trouble,
            (false, true) => Opinion::NoTrouble,
            (false, false) => Opinion::Unsure,
        }
    }

    fn of(&mut self, metric_type: &MetricType) -> Option<&mut Model> {
        if !self.by_type.contains_key(metric_type) {
            self.by_type.insert(metric_type.clone(), Model::new()?);
        }
        self.by_type.get_mut(metric_type)
    }
}

impl Model {
    /// The options are our own and legal, so there always is one.
    fn new() -> Option<Self> {
        Some(Model {
            trees: HalfSpaceTrees::new(TreeOptions { seed: SEED, ..TreeOptions::default() }).ok()?,
            standing: Standing::new()?,
            rises: Lessons::new()?,
            falls: Lessons::new()?,
        })
    }

    fn lessons(&self, row: &Row) -> &Lessons {
        if row.is_fall() { &self.falls } else { &self.rises }
    }

    fn lessons_mut(&mut self, row: &Row) -> &mut Lessons {
        if row.is_fall() { &mut self.falls } else { &mut self.rises }
    }
}

impl Lessons {
    fn new() -> Option<Self> {
        let forest = AdaptiveForest::new(ForestOptions::new(FEATURES as u16, 2, SEED)).ok()?;
        Some(Lessons { forest, labels: [0; 2] })
    }

    /// One more anomaly of this class, that may have been of the other so far.
    fn count(&mut self, class: u16, before: Option<u16>) {
        let [no_trouble, trouble] = &mut self.labels;
        let (to, from) = if class == TROUBLE { (trouble, no_trouble) } else { (no_trouble, trouble) };
        *to = to.saturating_add(1);
        *from = from.saturating_sub(u32::from(before.is_some()));
    }
}

impl Sight {
    fn features(&self) -> [f64; SEEN] {
        let [level, season, shift, trend] =
            self.distances.map(|distance| squash(f64::from(distance), HALF_DISTANCE));
        // The hand of a clock of 24 hours, so that midnight is no edge.
        let day = (self.time.as_second().rem_euclid(86_400) as f64 / 86_400.0) * std::f64::consts::TAU;
        let since_change = self.changed_at.map_or(1.0, |at| {
            squash(Period::between(at, self.time).as_secs_f64(), HALF_CHANGE.as_secs_f64())
        });
        [
            level,
            season,
            shift,
            trend,
            squash(self.rise.max(0.0), HALF_RISE),
            f64::midpoint(1.0, day.sin()),
            f64::midpoint(1.0, day.cos()),
            since_change,
            squash(self.events as f64, HALF_EVENTS),
        ]
        .map(rounded)
    }
}

impl Row {
    /// As features of a record.
    pub(crate) fn features(&self) -> impl Iterator<Item = Feature> {
        let named = NAMES.into_iter().zip(self.0);
        named.map(|(name, value)| Feature { name: name.into(), value, expected: None })
    }

    /// What rises by enough to be told has a rise above this, what falls none.
    fn is_fall(&self) -> bool {
        self.0[RISE] == 0.0
    }

    /// From a record of a deviation: the metric type that it is about, and its row, if it is whole.
    fn of(anomaly: &AnomalyRecord) -> Option<(&MetricType, Self)> {
        let metric_type = anomaly.metric_type.as_ref().filter(|_| anomaly.reason == Reason::Deviation)?;
        let value = |name: &str| {
            let found = anomaly.features.iter().rfind(|feature| feature.name == name);
            found.map(|feature| feature.value).filter(|value| (0.0..=1.0).contains(value))
        };
        // A record that lives on when its first measure is back describes another one, and keeps its type.
        anomaly.features.iter().find(|feature| feature.name == metric_type.as_str())?;
        let mut row = [0.0; FEATURES];
        for (place, name) in row.iter_mut().zip(NAMES) {
            *place = value(name)?;
        }
        Some((metric_type, Row(row)))
    }
}

/// From 0 on to less than 1; `half` is in the middle.
fn squash(value: f64, half: f64) -> f64 {
    if value.is_finite() { value / (value + half) } else { 1.0 }
}

fn rounded(value: f64) -> f64 {
    (value * GRAIN).round() / GRAIN
}

/// Where a score stands among recent ones: the highest rung that it reaches.
///
/// One set of quantiles is asked while the next is learnt, so that nothing older than two terms has a say.
#[derive(Debug)]
struct Standing {
    asked: Option<[Quantile; 3]>,
    learnt: [Quantile; 3],
    count: u32,
}

/// Each quantile also knows the one halfway to 1.
const RUNGS: [f64; 3] = [0.5, 0.9, 0.99];
/// The last rung needs some hundreds of scores beyond it to mean anything.
const TERM: u32 = 20_000;
/// Before, no score has a standing.
const FEW: u32 = 250;

impl Standing {
    fn new() -> Option<Self> {
        Some(Standing { asked: None, learnt: blank()?, count: 0 })
    }

    /// One of 0, 0.5, 0.75, 0.9, 0.95, 0.99 and 0.995; 0 while too little is known.
    fn rank(&self, score: f64) -> f64 {
        let young = Some(&self.learnt).filter(|_| self.count >= FEW);
        let Some(quantiles) = self.asked.as_ref().or(young) else { return 0.0 };
        let rungs = quantiles
            .iter()
            .flat_map(|one| [(one.value(), one.q()), (one.upper(), f64::midpoint(1.0, one.q()))]);
        rungs
            .filter(|(height, _)| height.is_some_and(|height| score > height))
            .map(|(_, q)| q)
            .fold(0.0, f64::max)
    }

    fn learn(&mut self, score: f64) {
        for quantile in &mut self.learnt {
            let learnt = quantile.learn(score);
            debug_assert!(learnt.is_ok(), "a score lies between 0 and 1");
        }
        self.count += 1;
        if self.count >= TERM
            && let Some(next) = blank()
        {
            self.asked = Some(std::mem::replace(&mut self.learnt, next));
            self.count = 0;
        }
    }
}

fn blank() -> Option<[Quantile; 3]> {
    let [low, middle, high] = RUNGS.map(Quantile::new);
    Some([low.ok()?, middle.ok()?, high.ok()?])
}
