//! Kubernetes Events, normalised.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::id::EventId;
use crate::object::{Kind, ObjectRef, Uid};
use crate::record::{Extra, SchemaVersion};

/// One state of a Kubernetes Event. A repeated Event keeps its uid and raises its count, so both are its identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    #[serde(default)]
    pub version: SchemaVersion,
    pub uid: Uid,
    /// Occurrences so far, at least 1.
    pub count: u32,
    pub object: ObjectRef,
    pub object_uid: Uid,
    #[serde(rename = "type")]
    pub event_type: EventType,
    pub reason: String,
    pub message: String,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// The component that reported it.
    pub source: String,
    /// The workload that owns the object, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<ObjectRef>,
    #[serde(flatten)]
    pub extra: Extra,
}

impl EventRecord {
    pub fn id(&self) -> EventId {
        EventId::derive(&[&self.uid, &self.count])
    }

    /// From a Kubernetes Event, in either of its two ages. `None` if it names no object or has no time: not an Event
    /// that the API server would have taken.
    pub fn from_document(event: &Document) -> Option<Self> {
        let created = event.time("/metadata/creationTimestamp");
        let observed = event.time("/eventTime");
        let first_seen = event.time("/firstTimestamp").or(observed).or(created)?;
        let last_seen = ["/series/lastObservedTime", "/lastTimestamp"]
            .iter()
            .filter_map(|pointer| event.time(pointer))
            .chain(observed)
            .max()
            .unwrap_or(first_seen);
        let count = event.number("/count").max(event.number("/series/count")).unwrap_or(0).max(1);
        let text = |pointer| event.text(pointer).unwrap_or_default();
        Some(EventRecord {
            version: SchemaVersion::CURRENT,
            uid: event.uid().ok()?,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            object: involved(event)?,
            object_uid: Uid::from(text("/involvedObject/uid")),
            event_type: if text("/type") == "Warning" { EventType::Warning } else { EventType::Normal },
            reason: text("/reason").into(),
            message: text("/message").into(),
            first_seen,
            last_seen: last_seen.max(first_seen),
            source: source(event).into(),
            workload: None,
            extra: Extra::new(),
        })
    }
}

fn involved(event: &Document) -> Option<ObjectRef> {
    let kind = Kind::from(event.text("/involvedObject/kind")?);
    let namespaced = kind.api().is_none_or(|api| api.namespaced);
    let namespace = event.text("/involvedObject/namespace").filter(|name| namespaced && !name.is_empty());
    let name = event.text("/involvedObject/name").filter(|name| !name.is_empty())?.into();
    Some(ObjectRef { kind, namespace: namespace.map(Into::into), name })
}

fn source(event: &Document) -> &str {
    ["/source/component", "/reportingComponent"]
        .iter()
        .filter_map(|pointer| event.text(pointer))
        .find(|component| !component.is_empty())
        .unwrap_or_default()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    Normal,
    Warning,
}
