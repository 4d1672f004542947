//! Kubernetes Events: each is told once, and the latest of a workload are kept to go with its anomalies.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::id::EventId;
use kubewise_core::{ObjectRef, Period, Uid};

/// Events kept of one workload: an anomaly names no more.
pub(crate) const LINKED: usize = 16;
/// An Event this long before an anomaly may still have to do with it.
const RELATED: Period = Period::from_mins(10);
/// Reasons of Events that are not warnings and yet tell what led to trouble.
const TELLING: &[&str] = &["Killing", "ScalingReplicaSet", "SuccessfulRescale", "Preempting", "NodeNotReady"];

#[derive(Debug)]
pub(crate) struct Events {
    /// The highest count told of each Event, and when it was last seen.
    told: BTreeMap<Uid, (u32, Timestamp)>,
    capacity: usize,
    recent: BTreeMap<ObjectRef, VecDeque<(Timestamp, EventId)>>,
}

impl Events {
    pub(crate) fn new(capacity: usize) -> Self {
        Events { told: BTreeMap::new(), capacity: capacity.max(1), recent: BTreeMap::new() }
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
    pub(crate) fn keep(&mut self, workload: &ObjectRef, event: &EventRecord) -> bool {
        if event.event_type != EventType::Warning && !TELLING.contains(&event.reason.as_str()) {
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

    /// Forgets what is too old to be related to anything.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        self.recent.retain(|_, recent| {
            recent.retain(|(at, _)| RELATED.after(*at) >= now);
            !recent.is_empty()
        });
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
