//! The ports: everything outside the process, as seen from inside. Each says what it promises.
//!
//! Every method bounds its own time. No implementation retries or trips a breaker: that is put around it in
//! the wiring. Every failure is classified by [`Failure`].

use std::fmt;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;

use crate::author::{Answer, Explanation, Prompt, Question, Spending, Trial};
use crate::autonomy::AutonomyReport;
use crate::document::Document;
use crate::event::{EventRecord, EventType};
use crate::failure::Failure;
use crate::feedback::{Feedback, Said};
use crate::health::{HealthReport, Status};
use crate::id::{FeedbackId, IncidentId, PlanId, SagaId};
use crate::incident::Incident;
use crate::journal::{Epoch, JournalEntry};
use crate::metric::{MetricAnswer, MetricQuery};
use crate::object::{Kind, ObjectRef, Uid};
use crate::pause::Pause;
use crate::plan::RemediationPlan;
use crate::record::{Page, Record, RecordKind, RecordQuery};
use crate::request::{ClusterRequest, Performed};
use crate::state::ObjectState;

/// The only time there is: wall clock in production, virtual in simulation.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Never goes backwards within one process.
    fn now(&self) -> Timestamp;

    /// Completes at or after `deadline`; at once if that is past.
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()>;
}

/// Where samples come from.
#[async_trait]
pub trait MetricSource: Send + Sync {
    /// The answer to one query as of `now`, in base units. What could not be used is counted, not hidden.
    /// The failure carries the source's own message.
    async fn sample(&self, query: &MetricQuery, now: Timestamp) -> Result<MetricAnswer, Failure>;
}

/// Where Events and object states come from.
pub trait EventSource: Send + Sync {
    /// Never ends while it is held. First every object as it is, then every change. A cut is told, resumed, and
    /// if the server has forgotten our place, listed anew: then some items come twice (same uid and count, same
    /// resourceVersion), none is left out, and objects that went meanwhile are told as `Deleted`.
    fn watch(&self) -> BoxStream<'static, WatchItem>;
}

#[derive(Clone, Debug, PartialEq)]
pub enum WatchItem {
    Event(Box<EventRecord>),
    Applied(Box<ObjectState>),
    Deleted {
        object: ObjectRef,
        uid: Uid,
    },
    /// Every object of the kind that existed has been told.
    Synced(Kind),
    /// The watch of a kind broke; it is being taken up again.
    Interrupted {
        kind: Kind,
        failure: Failure,
    },
}

/// Reads objects as they are now, from the API server and not from a cache.
#[async_trait]
pub trait ClusterReader: Send + Sync {
    /// `None` if there is no such object.
    async fn get(&self, object: &ObjectRef) -> Result<Option<Document>, Failure>;

    /// All objects of a kind in a namespace (or of the cluster), by name; at most 5,000, else a failure, since
    /// a cut list must not pass for a whole one. None of a kind that the cluster does not have.
    async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Vec<Document>, Failure>;

    /// The pods of every namespace that are bound to a node, by name; whole or a failure, as a list.
    async fn pods_on(&self, node: &str) -> Result<Vec<Document>, Failure>;

    /// The last lines that a container wrote; of its previous run if `previous`. At most 64 KiB.
    async fn logs(&self, pod: &ObjectRef, container: &str, previous: bool) -> Result<String, Failure>;

    /// When the contents of a ConfigMap or Secret last changed, by its metadata: what it holds is never asked for. `None`
    /// if that is not known: there is no such object, or we may not look.
    async fn last_changed(&self, settings: &ObjectRef) -> Result<Option<Timestamp>, Failure>;
}

/// Changes the cluster. Sends a request once: never again by itself.
#[async_trait]
pub trait ClusterActor: Send + Sync {
    /// Performs a request whole or not at all. With `dry_run` the server judges it and keeps nothing.
    /// A failed `test`, another uid, a missing object or a name that is taken is `Rejected`; a time-out or a cut connection after
    /// sending is `Unknown`; a budget that forbids an eviction is `RateLimited`.
    async fn perform(&self, request: &ClusterRequest, dry_run: bool) -> Result<Performed, Failure>;
}

/// Writes proposals: a language model.
#[async_trait]
pub trait PlanAuthor: Send + Sync {
    /// One answer to one prompt, which is sent once. `Rejected(Forbidden)` for a bad key, `Rejected(Invalid)` for a
    /// request or an answer that does not keep the provider's protocol, `RateLimited` with what the provider asks to
    /// wait. After `Unknown` the call may have been charged.
    async fn answer(&self, prompt: &Prompt) -> Result<Answer, Failure>;

    /// Provider and model, such as `gemini/gemini-3.8-flash`: what plans and the ledger name.
    fn name(&self) -> &str;
}

/// Keeps records.
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// Inserts or replaces by id, all or none. When it returns, a crash of the process loses nothing.
    async fn save(&self, records: &[Record]) -> Result<(), Failure>;

    async fn get(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, Failure>;

    /// Newest first, by time and then id; stable over pages while nothing is written.
    async fn find(&self, query: &RecordQuery) -> Result<Page, Failure>;

    /// Removes closed records older than `before`; returns how many.
    async fn purge(&self, before: Timestamp) -> Result<u64, Failure>;
}

/// Keeps what sagas wrote down. Linearizable: one writer at a time wins.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Durable when it returns (synced to disk). `Rejected(Conflict)` if the sequence number is taken or leaves
    /// a gap, if a newer epoch has written, or, for `Opened`, if another saga holds one of the locks. Appending
    /// the very same entry again succeeds, so an `Unknown` may be repeated.
    async fn append(&self, entry: &JournalEntry) -> Result<(), Failure>;

    /// Sagas without `Closed`, and those closed as `Stuck`, in order of opening.
    async fn unfinished(&self) -> Result<Vec<SagaId>, Failure>;

    /// All entries of a saga in order.
    async fn read(&self, saga: &SagaId) -> Result<Vec<JournalEntry>, Failure>;
}

/// Tells people.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// At least once.
    async fn notify(&self, notice: &Notice) -> Result<(), Failure>;
}

/// Something to tell about an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub object: ObjectRef,
    pub uid: Option<Uid>,
    pub incident: IncidentId,
    pub event_type: EventType,
    /// PascalCase, such as `Repaired`.
    pub reason: String,
    pub message: String,
    pub time: Timestamp,
}

/// Decides which process may act.
#[async_trait]
pub trait Leadership: Send + Sync {
    /// Takes or renews the leadership. A holder must stop acting at `until` unless renewed; that is before
    /// anybody else can take over.
    async fn hold(&self) -> Result<Standing, Failure>;

    /// Gives it up, so that another need not wait. Best effort.
    async fn release(&self) -> Result<(), Failure>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Leader { epoch: Epoch, until: Timestamp },
    Follower { holder: String },
}

/// What people can change at run time; implemented by the runtime, used by the API.
#[async_trait]
pub trait Control: Send + Sync {
    /// Lets a proposed plan run. `Rejected(NotFound)`, or `Rejected(Conflict)` if it no longer waits.
    async fn approve(&self, plan: &PlanId, by: &str) -> Result<RemediationPlan, Failure>;

    async fn reject(&self, plan: &PlanId, by: &str, reason: &str) -> Result<RemediationPlan, Failure>;

    /// Keeps what a person says of an incident, and learns from it. An incident that is no trouble is closed, unless
    /// its repair runs. `Rejected(NotFound)`; durable when it returns.
    async fn say(&self, incident: &IncidentId, said: Said) -> Result<Feedback, Failure>;

    /// Gives back what a stuck repair holds, since a person saw to it; the incident stays that person's. Durable when it
    /// returns. `Rejected(NotFound)`, or `Rejected(Conflict)` if it is not stuck.
    async fn release(&self, incident: &IncidentId, by: &str, reason: &str) -> Result<Incident, Failure>;

    /// Ends a suppression now. `Rejected(NotFound)`, or `Rejected(Conflict)` if it is none or is over.
    async fn end_suppression(&self, feedback: &FeedbackId, by: &str) -> Result<Feedback, Failure>;

    /// Nothing is begun from now on, also after a restart: durable when it returns. What was begun goes on, and harm
    /// is undone. `Rejected(Conflict)` if it is paused already.
    async fn pause(&self, by: &str, reason: &str) -> Result<Pause, Failure>;

    /// Takes the pause back. `Rejected(Conflict)` if there is none.
    async fn resume(&self, by: &str) -> Result<Pause, Failure>;
}

/// What people can ask about plans and their author; implemented by the runtime, used by the API. Changes nothing but
/// the account of what the author costs.
#[async_trait]
pub trait Inquiry: Send + Sync {
    /// What was sent to the author about a plan or an incident, by the id of either; or what would be, if nothing was.
    /// `Rejected(NotFound)`, or `Rejected(Conflict)` if the author could add nothing to what is known.
    async fn prompt(&self, id: &str) -> Result<Question, Failure>;

    /// Tells an incident to a person. With `ask` by the author, if there is one and no cap is reached; else by what it
    /// told before, or a template.
    async fn explain(&self, incident: &IncidentId, ask: bool) -> Result<Explanation, Failure>;

    /// What would be planned now. Nothing is kept or done, and the author is not asked: what it answered before counts.
    async fn try_plan(&self, incident: &IncidentId) -> Result<Trial, Failure>;

    fn spending(&self) -> Spending;
}

/// What the runtime tells about itself; used by the API.
#[async_trait]
pub trait Introspection: Send + Sync {
    fn health(&self) -> HealthReport;

    fn status(&self) -> Status;

    /// All metrics in OpenMetrics text.
    fn metrics(&self) -> String;

    /// The effective configuration with secrets masked.
    fn configuration(&self) -> serde_json::Value;

    /// How far each action type that was ever done is trusted, read from the records.
    async fn autonomy(&self) -> Result<AutonomyReport, Failure>;
}
