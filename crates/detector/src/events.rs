//! Kubernetes Events: each is told once; the latest of a workload are kept to go with its anomalies, in the order in
//! which they came, and how many warnings are usual for it.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::id::EventId;
use kubewise_core::{ObjectRef, Period, Uid};

use crate::orders::{Mark, Trail};

/// Events kept of one workload: an anomaly names no more.
pub(crate) const LINKED: usize = 16;
/// An Event this long before an anomaly may still have to do with it.
const RELATED: Period = Period::from_mins(10);
/// Warnings counted within that time: beyond, more say no more.
const COUNTED: usize = 64;
/// What is usual is a mean over about this long.
const USUAL: Period = Period::from_mins(24 * 60);
/// Warnings that are less likely than this are unusual.
const UNUSUAL: f64 = 1e-3;
/// Reasons of Events that are not warnings and yet tell what led to trouble.
const TELLING: &[&str] = &["Killing", "ScalingReplicaSet", "SuccessfulRescale", "Preempting", "NodeNotReady"];

#[derive(Debug)]
pub(crate) struct Events {
    /// The highest count told of each Event, and when it was last seen.
    told: BTreeMap<Uid, (u32, Timestamp)>,
    capacity: usize,
    recent: BTreeMap<ObjectRef, VecDeque<(Timestamp, EventId)>>,
    /// Of workloads and nodes.
    trails: BTreeMap<ObjectRef, Trail>,
    rates: BTreeMap<ObjectRef, Rate>,
    /// Since when Events are counted.
    began: Option<Timestamp>,
}

/// How often a workload warns.
#[derive(Debug, Default)]
struct Rate {
    lately: VecDeque<Timestamp>,
    /// Those before, fading, as of a moment.
    earlier: f64,
    at: Timestamp,
}

/// Warnings of a workload within the last ten minutes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Warnings {
    pub(crate) count: usize,
    pub(crate) expected: f64,
    /// How likely so many or more are.
    pub(crate) chance: f64,
}

impl Events {
    pub(crate) fn new(capacity: usize) -> Self {
        Events {
            told: BTreeMap::new(),
            capacity: capacity.max(1),
            recent: BTreeMap::new(),
            trails: BTreeMap::new(),
            rates: BTreeMap::new(),
            began: None,
        }
    }

    /// Whether this state of the Event is new. A relist brings Events again with the same uid and count.
    pub(crate) fn is_new(&mut self, event: &EventRecord, now: Timestamp) -> bool {
        let told = self.told.get(&event.uid).is_some_and(|(count, _)| *count >= event.count);
        if !told {
            self.told.insert(event.uid.clone(), (event.count, now));
            self.make_room();
        }
        !told
    }

    /// Keeps an Event that tells of trouble; `false` if it does not.
    pub(crate) fn keep(&mut self, workload: &ObjectRef, event: &EventRecord, now: Timestamp) -> bool {
        let at = event.last_seen.min(now);
        self.trails.entry(workload.clone()).or_default().note(&event.reason, at);
        let is_warning = event.event_type == EventType::Warning;
        if is_warning && RELATED.after(at) >= now {
            self.rates.entry(workload.clone()).or_default().learn(at);
        }
        if !is_warning && !TELLING.contains(&event.reason.as_str()) {
            return false;
        }
        let recent = self.recent.entry(workload.clone()).or_default();
        if recent.len() >= LINKED {
            recent.pop_front();
        }
        recent.push_back((event.last_seen, event.id()));
        true
    }

    /// The kept Events of a workload that may have to do with something that begins now, oldest first.
    pub(crate) fn related(&self, workload: &ObjectRef, now: Timestamp) -> Vec<EventId> {
        let recent = self.recent.get(workload).into_iter().flatten();
        recent.filter(|(at, _)| RELATED.after(*at) >= now).map(|(_, id)| id.clone()).collect()
    }

    /// How many there are.
    pub(crate) fn count(&self, workload: &ObjectRef, now: Timestamp) -> usize {
        let recent = self.recent.get(workload).into_iter().flatten();
        recent.filter(|(at, _)| RELATED.after(*at) >= now).count()
    }

    /// The telling Events of a workload or a node.
    pub(crate) fn marks(&self, object: &ObjectRef) -> impl Iterator<Item = Mark> {
        self.trails.get(object).into_iter().flat_map(Trail::marks)
    }

    /// The warnings of a workload, if there are any and they are unusually many for it.
    pub(crate) fn unusual(&self, workload: &ObjectRef, now: Timestamp) -> Option<Warnings> {
        let began = self.began?;
        let rate = self.rates.get(workload)?;
        let count = rate.lately.iter().filter(|at| RELATED.after(**at) >= now).count();
        let watched = 1.0 - fading(Period::between(began, now));
        let spans = watched * USUAL.as_secs_f64() / RELATED.as_secs_f64();
        // Half an Event more than was seen, in one span more: nothing is known to be impossible.
        let earlier = rate.earlier * fading(Period::between(rate.at, now));
        let expected = (earlier + 0.5) / (spans + 1.0);
        let chance = at_least(count, expected);
        (count > 0 && chance <= UNUSUAL).then_some(Warnings { count, expected, chance })
    }

    /// Forgets what is too old to be related to anything.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        self.began.get_or_insert(now);
        self.recent.retain(|_, recent| {
            recent.retain(|(at, _)| RELATED.after(*at) >= now);
            !recent.is_empty()
        });
        self.trails.retain(|_, trail| trail.sweep(now));
        self.rates.retain(|_, rate| rate.sweep(now));
    }

    /// Beyond the capacity the tenth that was seen the longest ago goes, so that this is rarely done.
    fn make_room(&mut self) {
        if self.told.len() <= self.capacity {
            return;
        }
        let mut by_age: Vec<(Timestamp, Uid)> =
            self.told.iter().map(|(uid, (_, at))| (*at, uid.clone())).collect();
        by_age.sort();
        for (_, uid) in by_age.into_iter().take(self.capacity / 10 + 1) {
            self.told.remove(&uid);
        }
    }
}

impl Rate {
    fn learn(&mut self, at: Timestamp) {
        self.lately.push_back(at);
        if self.lately.len() > COUNTED {
            self.fade(1, at);
        }
    }

    /// Counts what is no longer of late among what is usual. Returns whether there is anything to remember.
    fn sweep(&mut self, now: Timestamp) -> bool {
        let old = self.lately.partition_point(|at| RELATED.after(*at) < now);
        self.fade(old, now);
        !self.lately.is_empty() || self.earlier >= 0.1
    }

    fn fade(&mut self, old: usize, now: Timestamp) {
        self.earlier = self.earlier * fading(Period::between(self.at, now)) + old as f64;
        self.at = now;
        self.lately.drain(..old.min(self.lately.len()));
    }
}

fn fading(passed: Period) -> f64 {
    (-passed.as_secs_f64() / USUAL.as_secs_f64()).exp()
}

/// How likely so many or more are where so many are expected, coming at random (Poisson).
fn at_least(count: usize, expected: f64) -> f64 {
    let mut one = (-expected).exp();
    let mut fewer = 0.0;
    for number in 0..count {
        fewer += one;
        one *= expected / (number + 1) as f64;
    }
    // The sum cannot tell what is rarer than its own rounding; the first left out is nearly all of the rest.
    (1.0 - fewer).max(one).min(1.0)
}
