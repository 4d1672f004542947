//! Leadership by a Lease, as client-go does it, with an epoch.
//!
//! Whoever holds the Lease renews it; the others watch it change. A record that has not changed for its own duration,
//! *measured here since we first saw it*, has expired; the times inside it come from another machine's clock and
//! are never compared with ours. Every write names the resourceVersion that it was decided on, so of two that see
//! the same expired record one gets 409.
//!
//! A holder acts for the renew deadline after the *start* of its last successful renewal. The others saw that renewal
//! later than it started and wait longer than the deadline, so nobody takes over while it acts. What a holder
//! sent before and what arrives late is fenced off by the epoch: `leaseTransitions + 1`, which grows with
//! each new holder. A Lease that somebody deleted starts again at 1, or where this process remembers it; then the journal
//! refuses an epoch that it has gone beyond, so delete the Lease only together with the store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::core::params::PostParams;
use kubewise_core::document::Document;
use kubewise_core::guard::{Guard, Guards};
use kubewise_core::journal::Epoch;
use kubewise_core::port::{Clock, Leadership, Standing};
use kubewise_core::request::FIELD_MANAGER;
use kubewise_core::{Failure, Kind, ObjectRef, Period, Rejection, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::answer::Intent;
use crate::connection::{Connection, collection};
use crate::options::Options;
use crate::reader;

/// One candidate for the Lease. Of several calls one works at a time.
pub struct Lease {
    connection: Connection,
    object: ObjectRef,
    identity: String,
    duration: Period,
    renew_deadline: Period,
    clock: Arc<dyn Clock>,
    guards: Guards,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The record as it last changed, and when we saw that.
    observed: Option<(String, Timestamp)>,
    /// The most transitions that we ever saw, in case the Lease is deleted.
    transitions: Option<u64>,
}

impl Lease {
    pub(crate) fn new(connection: Connection, options: &Options, clock: Arc<dyn Clock>) -> Self {
        let (guards, options) = (options.guards, &options.lease);
        let host = options.identity.clone().or_else(|| std::env::var("HOSTNAME").ok()).or_else(hostname);
        let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| "kubewise".into());
        let timeout = connection.timeout().min(options.renew_deadline.as_duration() / 2);
        Lease {
            // Two calls within the deadline, or the answer comes too late to be of use.
            connection: connection.with_timeout(timeout),
            object: ObjectRef::namespaced(Kind::Lease, &*options.namespace, &*options.name),
            identity: format!("{host}_{}", suffix()),
            duration: options.duration,
            renew_deadline: options.renew_deadline,
            clock,
            guards,
            memory: Mutex::default(),
        }
    }

    /// The name in the Lease while this process leads.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    async fn read(&self) -> Result<Option<Document>, Failure> {
        reader::get(&self.connection, &self.object).await
    }

    async fn create(&self, transitions: u64, now: Timestamp) -> Result<(), Failure> {
        let mut lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.object.name, "namespace": self.object.namespace},
            "spec": {},
        });
        self.fill(&mut lease, &self.identity, transitions, now);
        lease["spec"]["acquireTime"] = json!(MicroTime(now));
        let request = collection(&Kind::Lease, self.object.namespace.as_deref())?
            .create(&written_by_us(), lease.to_string().into_bytes());
        let what = format!("create {}", self.object);
        self.connection.text(Intent::Write, &what, request).await.map(drop)
    }

    /// Fails with a conflict if anybody wrote since `lease` was read: it carries its resourceVersion.
    async fn replace(&self, lease: &Value) -> Result<(), Failure> {
        let mut lease = lease.clone();
        if !self.guards.stands(Guard::LeaseCompareAndSwap)
            && let Some(Document(latest)) = self.read().await?
        {
            lease["metadata"]["resourceVersion"] = latest["metadata"]["resourceVersion"].clone();
        }
        let request = collection(&Kind::Lease, self.object.namespace.as_deref())?.replace(
            &self.object.name,
            &written_by_us(),
            lease.to_string().into_bytes(),
        );
        let what = format!("renew {}", self.object);
        self.connection.text(Intent::Write, &what, request).await.map(drop)
    }

    fn fill(&self, lease: &mut Value, holder: &str, transitions: u64, now: Timestamp) {
        let spec = &mut lease["spec"];
        spec["holderIdentity"] = json!(holder);
        spec["leaseDurationSeconds"] = json!(self.duration.as_duration().as_secs());
        spec["renewTime"] = json!(MicroTime(now));
        spec["leaseTransitions"] = json!(transitions);
    }
}

#[async_trait]
impl Leadership for Lease {
    async fn hold(&self) -> Result<Standing, Failure> {
        let mut memory = self.memory.lock().await;
        let Some(Document(mut lease)) = self.read().await? else {
            let transitions = memory.transitions.map_or(0, |highest| highest + 1);
            let start = self.clock.now();
            return match self.create(transitions, start).await {
                Ok(()) => Ok(self.leads(&mut memory, transitions, start)),
                Err(failure) => lost_race(failure),
            };
        };
        let record = Record::of(&lease);
        let start = self.clock.now();
        let ours = record.holder == self.identity;
        if !ours && !memory.expired(&record, self.duration, start) {
            return Ok(Standing::Follower { holder: record.holder });
        }
        let transitions = if ours { record.transitions } else { memory.next(record.transitions) };
        if !lease["spec"].is_object() {
            lease["spec"] = json!({});
        }
        if !ours {
            lease["spec"]["acquireTime"] = json!(MicroTime(start));
        }
        self.fill(&mut lease, &self.identity, transitions, start);
        match self.replace(&lease).await {
            Ok(()) => Ok(self.leads(&mut memory, transitions, start)),
            Err(failure) => lost_race(failure),
        }
    }

    async fn release(&self) -> Result<(), Failure> {
        let _memory = self.memory.lock().await;
        let Some(Document(mut lease)) = self.read().await? else { return Ok(()) };
        let record = Record::of(&lease);
        if record.holder != self.identity {
            return Ok(());
        }
        self.fill(&mut lease, "", record.transitions, self.clock.now());
        self.replace(&lease).await
    }
}

impl Lease {
    fn leads(&self, memory: &mut Memory, transitions: u64, start: Timestamp) -> Standing {
        memory.transitions = memory.transitions.max(Some(transitions));
        Standing::Leader { epoch: Epoch(transitions + 1), until: self.renew_deadline.after(start) }
    }
}

/// What of the Lease counts.
struct Record {
    holder: String,
    transitions: u64,
    duration: Option<Duration>,
    /// Changes with every write.
    version: String,
}

impl Record {
    fn of(lease: &Value) -> Self {
        let text = |pointer| lease.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |pointer| lease.pointer(pointer).and_then(Value::as_u64);
        Record {
            holder: text("/spec/holderIdentity"),
            transitions: number("/spec/leaseTransitions").unwrap_or(0),
            duration: number("/spec/leaseDurationSeconds")
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            version: text("/metadata/resourceVersion"),
        }
    }
}

impl Memory {
    /// Whether the record may be taken over: released, or unchanged for its duration since we saw it change.
    fn expired(&mut self, record: &Record, own_duration: Period, now: Timestamp) -> bool {
        self.transitions = self.transitions.max(Some(record.transitions));
        let since = match &self.observed {
            Some((version, since)) if *version == record.version => *since,
            Some(_) | None => {
                self.observed = Some((record.version.clone(), now));
                now
            }
        };
        let duration = record.duration.map_or(own_duration, Period::from);
        record.holder.is_empty() || now >= duration.after(since)
    }

    fn next(&self, transitions: u64) -> u64 {
        self.transitions.map_or(transitions, |highest| highest.max(transitions)) + 1
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("object", &self.object)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Somebody wrote between our read and our write. Who, the next look tells.
fn lost_race(failure: Failure) -> Result<Standing, Failure> {
    if failure.is(Rejection::Conflict) {
        return Ok(Standing::Follower { holder: "another candidate".into() });
    }
    Err(failure)
}

fn written_by_us() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.into()) }
}

/// Another for each candidate, also for two in one process, and for the next process of the same name.
fn suffix() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanoseconds = Timestamp::now().as_nanosecond();
    format!("{}-{nanoseconds:x}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/etc/hostname").ok()?;
    Some(name.trim().into())
}
