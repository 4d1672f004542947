//! What is kept: records with a version, and how they are asked for.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::action::ExecutedActionRecord;
use crate::anomaly::AnomalyRecord;
use crate::author::AuthorCall;
use crate::capture::Capture;
use crate::event::EventRecord;
use crate::feedback::{Feedback, OURSELVES};
use crate::incident::Incident;
use crate::object::ObjectRef;
use crate::pause::Pause;
use crate::plan::RemediationPlan;
use crate::service::ServingService;

/// Fields of a newer minor version, kept as they came so that writing the record back loses nothing.
pub type Extra = BTreeMap<String, Value>;

/// `major.minor`. A newer minor only adds fields; another major is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaVersion {
    pub major: u32,
    pub minor: u32,
}

impl SchemaVersion {
    pub const CURRENT: SchemaVersion = SchemaVersion { major: 1, minor: 0 };
}

impl Default for SchemaVersion {
    fn default() -> Self {
        SchemaVersion::CURRENT
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for SchemaVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SchemaVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let text = String::deserialize(deserializer)?;
        let (major, minor) = text
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not a record version such as `1.0`")))?;
        if major != SchemaVersion::CURRENT.major {
            return Err(D::Error::custom(format!(
                "record version {text} is not readable by this program, which reads {}.x",
                SchemaVersion::CURRENT.major
            )));
        }
        Ok(SchemaVersion { major, minor })
    }
}

impl JsonSchema for SchemaVersion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SchemaVersion".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": r"^\d+\.\d+$" })
    }
}

/// Anything a [`RecordStore`](crate::port::RecordStore) keeps.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Event(EventRecord),
    Anomaly(AnomalyRecord),
    Incident(Incident),
    Plan(RemediationPlan),
    Action(ExecutedActionRecord),
    /// What a step took down, as it was before.
    Capture(Box<Capture>),
    /// A revision of a workload that was seen available.
    Revision(HealthyRevision),
    /// A Service that was seen leading to ready pods.
    Service(ServingService),
    Feedback(Feedback),
    /// A person's word that nothing shall be begun.
    Pause(Pause),
    /// A question to a plan's author.
    Call(AuthorCall),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RecordKind {
    Event,
    Anomaly,
    Incident,
    Plan,
    Action,
    Capture,
    Revision,
    Service,
    Feedback,
    Pause,
    Call,
}

impl RecordKind {
    pub const ALL: [RecordKind; 11] = [
        RecordKind::Event,
        RecordKind::Anomaly,
        RecordKind::Incident,
        RecordKind::Plan,
        RecordKind::Action,
        RecordKind::Capture,
        RecordKind::Revision,
        RecordKind::Service,
        RecordKind::Feedback,
        RecordKind::Pause,
        RecordKind::Call,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            RecordKind::Event => "event",
            RecordKind::Anomaly => "anomaly",
            RecordKind::Incident => "incident",
            RecordKind::Plan => "plan",
            RecordKind::Action => "action",
            RecordKind::Capture => "capture",
            RecordKind::Revision => "revision",
            RecordKind::Service => "service",
            RecordKind::Feedback => "feedback",
            RecordKind::Pause => "pause",
            RecordKind::Call => "call",
        }
    }
}

/// What a store indexes, read off a record in one place for all stores.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    pub kind: RecordKind,
    pub id: String,
    /// Orders lists, and decides what retention removes.
    pub time: Timestamp,
    pub workload: Option<ObjectRef>,
    pub status: Option<String>,
    pub incident: Option<String>,
    /// Retention leaves open incidents, firing anomalies and undecided plans alone.
    pub closed: bool,
}

impl Record {
    pub fn index(&self) -> Index {
        match self {
            Record::Event(event) => Index {
                kind: RecordKind::Event,
                id: event.id().to_string(),
                time: event.last_seen,
                workload: event.workload.clone(),
                status: Some(format!("{:?}", event.event_type)),
                incident: None,
                closed: true,
            },
            Record::Anomaly(anomaly) => Index {
                kind: RecordKind::Anomaly,
                id: anomaly.id.to_string(),
                time: anomaly.time,
                workload: Some(anomaly.workload.clone()),
                status: Some(format!("{:?}", anomaly.status)),
                incident: anomaly.incident.as_ref().map(ToString::to_string),
                closed: anomaly.resolved_at.is_some(),
            },
            Record::Incident(incident) => Index {
                kind: RecordKind::Incident,
                id: incident.id.to_string(),
                time: incident.opened_at,
                workload: Some(incident.workload.clone()),
                status: Some(incident.status.to_string()),
                incident: Some(incident.id.to_string()),
                closed: incident.closed_at.is_some(),
            },
            Record::Plan(plan) => Index {
                kind: RecordKind::Plan,
                id: plan.id.to_string(),
                time: plan.created_at,
                workload: Some(plan.workload.clone()),
                status: Some(plan.status.to_string()),
                incident: Some(plan.incident.to_string()),
                closed: plan.status.is_final(),
            },
            Record::Action(action) => Index {
                kind: RecordKind::Action,
                id: action.id.to_string(),
                time: action.started_at,
                workload: Some(action.workload.clone()),
                status: Some(action.status.to_string()),
                incident: Some(action.incident.to_string()),
                closed: action.finished_at.is_some(),
            },
            Record::Capture(capture) => Index {
                kind: RecordKind::Capture,
                id: capture.id.to_string(),
                time: capture.taken_at,
                workload: Some(capture.workload.clone()),
                status: Some(format!("{:?}", capture.status)),
                incident: Some(capture.incident.to_string()),
                closed: true,
            },
            Record::Revision(revision) => Index {
                kind: RecordKind::Revision,
                id: revision.id(),
                time: revision.seen_at,
                workload: Some(revision.workload.clone()),
                status: None,
                incident: None,
                closed: true,
            },
            Record::Service(serving) => Index {
                kind: RecordKind::Service,
                id: serving.id(),
                time: serving.seen_at,
                workload: Some(serving.workload.clone()),
                status: Some("Serving".into()),
                incident: None,
                closed: true,
            },
            Record::Feedback(feedback) => Index {
                kind: RecordKind::Feedback,
                id: feedback.id.to_string(),
                time: feedback.time,
                workload: Some(feedback.workload.clone()),
                status: Some(feedback.label.to_string()),
                incident: Some(feedback.incident.to_string()),
                // What people taught is little, and kept for good.
                closed: feedback.by == OURSELVES,
            },
            Record::Pause(pause) => Index {
                kind: RecordKind::Pause,
                id: pause.id(),
                time: pause.since,
                workload: None,
                status: Some(if pause.in_force() { "Paused" } else { "Resumed" }.into()),
                incident: None,
                closed: !pause.in_force(),
            },
            Record::Call(call) => Index {
                kind: RecordKind::Call,
                id: call.id.to_string(),
                time: call.asked_at,
                workload: Some(call.workload.clone()),
                status: Some(call.outcome.to_string()),
                incident: Some(call.incident.to_string()),
                closed: call.ended_at.is_some(),
            },
        }
    }

    pub fn to_document(&self) -> Result<Value, serde_json::Error> {
        match self {
            Record::Event(event) => serde_json::to_value(event),
            Record::Anomaly(anomaly) => serde_json::to_value(anomaly),
            Record::Incident(incident) => serde_json::to_value(incident),
            Record::Plan(plan) => serde_json::to_value(plan),
            Record::Action(action) => serde_json::to_value(action),
            Record::Capture(capture) => serde_json::to_value(capture),
            Record::Revision(revision) => serde_json::to_value(revision),
            Record::Service(serving) => serde_json::to_value(serving),
            Record::Feedback(feedback) => serde_json::to_value(feedback),
            Record::Pause(pause) => serde_json::to_value(pause),
            Record::Call(call) => serde_json::to_value(call),
        }
    }

    pub fn from_document(kind: RecordKind, document: &str) -> Result<Self, serde_json::Error> {
        Ok(match kind {
            RecordKind::Event => Record::Event(serde_json::from_str(document)?),
            RecordKind::Anomaly => Record::Anomaly(serde_json::from_str(document)?),
            RecordKind::Incident => Record::Incident(serde_json::from_str(document)?),
            RecordKind::Plan => Record::Plan(serde_json::from_str(document)?),
            RecordKind::Action => Record::Action(serde_json::from_str(document)?),
            RecordKind::Capture => Record::Capture(serde_json::from_str(document)?),
            RecordKind::Revision => Record::Revision(serde_json::from_str(document)?),
            RecordKind::Service => Record::Service(serde_json::from_str(document)?),
            RecordKind::Feedback => Record::Feedback(serde_json::from_str(document)?),
            RecordKind::Pause => Record::Pause(serde_json::from_str(document)?),
            RecordKind::Call => Record::Call(serde_json::from_str(document)?),
        })
    }
}

/// A revision of a workload that was fully available at `seen_at`; what a rollout undo may return to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthyRevision {
    #[serde(default)]
    pub version: SchemaVersion,
    pub workload: ObjectRef,
    /// The `pod-template-hash` (Deployment) or revision name (StatefulSet, DaemonSet).
    pub template: String,
    pub seen_at: Timestamp,
    #[serde(flatten)]
    pub extra: Extra,
}

impl HealthyRevision {
    pub fn id(&self) -> String {
        format!("{}/{}", self.workload, self.template)
    }
}

/// The most a page may hold: about 1 MB of the largest records.
pub const MAX_PAGE: usize = 500;

/// Newest first. All given filters must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordQuery {
    pub kind: RecordKind,
    pub workload: Option<ObjectRef>,
    pub namespace: Option<String>,
    pub status: Option<String>,
    pub incident: Option<String>,
    /// Inclusive.
    pub since: Option<Timestamp>,
    /// Exclusive.
    pub until: Option<Timestamp>,
    /// 1 to [`MAX_PAGE`].
    pub limit: usize,
    /// Where the previous page ended.
    pub cursor: Option<Cursor>,
}

impl RecordQuery {
    pub fn of(kind: RecordKind) -> Self {
        RecordQuery {
            kind,
            workload: None,
            namespace: None,
            status: None,
            incident: None,
            since: None,
            until: None,
            limit: MAX_PAGE,
            cursor: None,
        }
    }

    /// Whether a record passes the filters (the cursor aside).
    pub fn admits(&self, index: &Index) -> bool {
        let namespace = || index.workload.as_ref().and_then(|workload| workload.namespace.as_deref());
        self.kind == index.kind
            && self.workload.as_ref().is_none_or(|wanted| index.workload.as_ref() == Some(wanted))
            && self.namespace.as_deref().is_none_or(|wanted| namespace() == Some(wanted))
            && self.status.as_ref().is_none_or(|wanted| index.status.as_ref() == Some(wanted))
            && self.incident.as_ref().is_none_or(|wanted| index.incident.as_ref() == Some(wanted))
            && self.since.is_none_or(|since| index.time >= since)
            && self.until.is_none_or(|until| index.time < until)
    }
}

/// Time and id of the last record of a page; the next page holds what sorts after it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    pub time: Timestamp,
    pub id: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.time.as_nanosecond(), self.id)
    }
}

impl std::str::FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parse = || {
            let (nanos, id) = text.split_once('_')?;
            let time = Timestamp::from_nanosecond(nanos.parse().ok()?).ok()?;
            Some(Cursor { time, id: id.into() })
        };
        parse().ok_or(InvalidCursor)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that an earlier page returned")]
pub struct InvalidCursor;

#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub records: Vec<Record>,
    /// Present if there are more.
    pub next: Option<Cursor>,
}
