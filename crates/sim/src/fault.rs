//! Faults of what lies between KubeWise and the cluster.

use std::collections::{BTreeMap, VecDeque};

use kubewise_core::journal::Epoch;
use kubewise_core::port::Standing;
use kubewise_core::{Failure, ObjectRef, Period, Timestamp};

use crate::world::Change;

/// How long a leader leads without renewing.
const LEASE: Period = Period::from_secs(15);

/// What happens to one request of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerformFault {
    /// The server applies it, the answer is lost.
    UnknownApplied,
    /// The connection breaks before the server applies it.
    UnknownNotApplied,
    RateLimited,
    Unavailable,
}

/// Telemetry that does not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Every query fails.
    Unavailable,
    /// Queries succeed, with nothing about this namespace (or nothing at all).
    Silent { namespace: Option<String> },
}

/// A moment of a process at which it dies. Counted from 1, from the start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    BeforeAppend(u32),
    /// The entry is durable, its writer never learns it.
    AfterAppend(u32),
    BeforePerform(u32),
    AfterPerform(u32),
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) gap: Option<Gap>,
    pub(crate) next_performs: VecDeque<PerformFault>,
    /// Requests performed so far, dry runs aside.
    performed: u32,
    before: BTreeMap<u32, Vec<Change>>,
    after: BTreeMap<u32, Vec<Change>>,
    /// Changes of the script that the cluster refused.
    pub(crate) mishaps: Vec<String>,
}

impl Faults {
    pub(crate) fn metrics_are_gone(&self, object: &ObjectRef) -> bool {
        match &self.gap {
            None => false,
            Some(Gap::Unavailable | Gap::Silent { namespace: None }) => true,
            Some(Gap::Silent { namespace: Some(namespace) }) => object.namespace_or_empty() == namespace,
        }
    }

    pub(crate) fn hook(&mut self, before: bool, number: u32, change: Change) {
        let hooks = if before { &mut self.before } else { &mut self.after };
        hooks.entry(self.performed + number).or_default().push(change);
    }

    /// Counts one request and gives what others do just before it.
    pub(crate) fn begin(&mut self) -> Vec<Change> {
        self.performed += 1;
        self.before.remove(&self.performed).unwrap_or_default()
    }

    pub(crate) fn end(&mut self) -> Vec<Change> {
        self.after.remove(&self.performed).unwrap_or_default()
    }
}

impl PerformFault {
    pub(crate) fn failure(self) -> Failure {
        match self {
            PerformFault::UnknownApplied | PerformFault::UnknownNotApplied => {
                Failure::Unknown { message: "connection reset while waiting for the answer".into() }
            }
            PerformFault::RateLimited => {
                let message = "the server has received too many requests and has asked us to try again later";
                Failure::RateLimited {
                    retry_after: Some(std::time::Duration::from_secs(1)),
                    message: message.into(),
                }
            }
            PerformFault::Unavailable => Failure::Unavailable { message: "connection refused".into() },
        }
    }
}

/// The Lease by which one of several processes leads.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    holder: Option<String>,
    epoch: u64,
    until: Timestamp,
}

impl Lease {
    pub(crate) fn hold(&mut self, identity: &str, now: Timestamp) -> Standing {
        match &self.holder {
            Some(holder) if holder != identity && self.until > now => {
                Standing::Follower { holder: holder.clone() }
            }
            Some(holder) if holder == identity => self.renew(now),
            Some(_) | None => self.take(identity, now),
        }
    }

    /// Leads from now on, whoever led before.
    pub(crate) fn take(&mut self, identity: &str, now: Timestamp) -> Standing {
        self.holder = Some(identity.into());
        self.epoch += 1;
        self.renew(now)
    }

    fn renew(&mut self, now: Timestamp) -> Standing {
        self.until = LEASE.after(now);
        Standing::Leader { epoch: Epoch(self.epoch), until: self.until }
    }

    pub(crate) fn release(&mut self, identity: &str) {
        if self.holder.as_deref() == Some(identity) {
            self.holder = None;
        }
    }
}
