//! Kubernetes Events, normalised.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::EventId;
use crate::object::{ObjectRef, Uid};
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    Normal,
    Warning,
}
