//! What is to be looked at next.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kubewise_core::ObjectRef;

/// A workload has one entry.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    by_time: BTreeSet<(Timestamp, ObjectRef)>,
    by_workload: BTreeMap<ObjectRef, Timestamp>,
}

impl Agenda {
    pub(crate) fn look_at(&mut self, workload: &ObjectRef, at: Timestamp) {
        if let Some(before) = self.by_workload.insert(workload.clone(), at) {
            self.by_time.remove(&(before, workload.clone()));
        }
        self.by_time.insert((at, workload.clone()));
    }

    /// Nothing waits for a moment later than `now`.
    pub(crate) fn bring_forward(&mut self, now: Timestamp) {
        for (workload, at) in &mut self.by_workload {
            if *at > now {
                self.by_time.remove(&(*at, workload.clone()));
                self.by_time.insert((now, workload.clone()));
                *at = now;
            }
        }
    }

    pub(crate) fn strike(&mut self, workload: &ObjectRef) {
        if let Some(before) = self.by_workload.remove(workload) {
            self.by_time.remove(&(before, workload.clone()));
        }
    }

    /// What is due, in order of name.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<ObjectRef> {
        let mut due = Vec::new();
        while let Some((at, workload)) = self.by_time.first().cloned()
            && at <= now
        {
            self.by_time.pop_first();
            self.by_workload.remove(&workload);
            due.push(workload);
        }
        due.sort();
        due
    }
}
