//! Kubernetes Events: a repeated one keeps its uid and counts.

use std::collections::BTreeMap;

use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::record::{Extra, SchemaVersion};
use kubewise_core::{ObjectRef, Period, Timestamp, Uid};

/// How long the API server keeps an Event after its last occurrence.
const LIFE: Period = Period::from_mins(60);
/// Beyond this many the expired ones are removed.
const SWEEP_AT: usize = 4096;

type Key = (Uid, String, String);

#[derive(Debug, Default)]
pub(crate) struct EventLog {
    events: BTreeMap<Key, EventRecord>,
    uids: u64,
}

/// Something to tell about an object.
#[derive(Clone, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) object: &'a ObjectRef,
    pub(crate) uid: Uid,
    pub(crate) event_type: EventType,
    pub(crate) reason: &'a str,
    pub(crate) message: String,
    pub(crate) source: &'static str,
}

impl EventLog {
    pub(crate) fn tell(&mut self, told: Told<'_>, now: Timestamp) -> EventRecord {
        if self.events.len() > SWEEP_AT {
            self.events.retain(|_, event| LIFE.after(event.last_seen) >= now);
        }
        let key = (told.uid.clone(), told.reason.to_owned(), told.message.clone());
        let known = self.events.get(&key).filter(|event| LIFE.after(event.last_seen) >= now);
        let (uid, count, first_seen) = if let Some(known) = known {
            (known.uid.clone(), known.count + 1, known.first_seen)
        } else {
            self.uids += 1;
            (Uid(format!("00000000-0000-4000-9000-{:012x}", self.uids).into()), 1, now)
        };
        let event = EventRecord {
            version: SchemaVersion::CURRENT,
            uid,
            count,
            object: told.object.clone(),
            object_uid: told.uid,
            event_type: told.event_type,
            reason: told.reason.into(),
            message: told.message,
            first_seen,
            last_seen: now,
            source: told.source.into(),
            workload: None,
            extra: Extra::new(),
        };
        self.events.insert(key, event.clone());
        event
    }

    /// What the API server still holds, oldest first.
    pub(crate) fn all(&self, now: Timestamp) -> Vec<EventRecord> {
        let kept = self.events.values().filter(|event| LIFE.after(event.last_seen) >= now);
        let mut kept: Vec<EventRecord> = kept.cloned().collect();
        kept.sort_by(|a, b| (a.last_seen, &a.uid).cmp(&(b.last_seen, &b.uid)));
        kept
    }
}
