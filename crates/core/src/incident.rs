//! The anomalies of one workload, treated together, with their whole story.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::anomaly::{Reason, Severity};
use crate::id::{ActionId, AnomalyId, EventId, IncidentId, PlanId};
use crate::object::ObjectRef;
use crate::record::{Extra, SchemaVersion};

/// A story is read by people; beyond this many entries one from its middle gives way, so that start and end stay.
pub const MAX_STORY: usize = 200;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    #[serde(default)]
    pub version: SchemaVersion,
    pub id: IncidentId,
    pub workload: ObjectRef,
    /// The reason of its gravest anomaly.
    pub reason: Reason,
    pub severity: Severity,
    pub status: IncidentStatus,
    /// One sentence for lists.
    pub summary: String,
    pub opened_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    pub anomalies: Vec<AnomalyId>,
    /// Workloads that need this one, as far as names told when it was opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependants: Vec<ObjectRef>,
    #[serde(default)]
    pub events: Vec<EventId>,
    #[serde(default)]
    pub plans: Vec<PlanId>,
    #[serde(default)]
    pub actions: Vec<ActionId>,
    /// Sagas opened for it so far.
    #[serde(default)]
    pub attempts: u32,
    #[serde(default)]
    pub story: Vec<StoryEntry>,
    #[serde(flatten)]
    pub extra: Extra,
}

impl Incident {
    pub fn tell(&mut self, time: Timestamp, chapter: Chapter, text: impl Into<String>) {
        if self.story.len() >= MAX_STORY {
            self.story.remove(MAX_STORY / 2);
        }
        self.story.push(StoryEntry { time, chapter, text: text.into() });
        self.updated_at = self.updated_at.max(time);
    }
}

/// `Open` until something ends it. A handed-over incident stays open to people, closed to KubeWise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum IncidentStatus {
    Open,
    /// A plan waits for a person.
    Proposed,
    /// A saga runs.
    Repairing,
    /// The trouble is gone after a repair, and stayed gone.
    Repaired,
    /// The trouble went without an action of ours.
    Resolved,
    /// For people: no safe repair is known, or none helped.
    HandedOver,
    /// An undo failed; locks are held until a person comes.
    Stuck,
}

impl IncidentStatus {
    /// Whether KubeWise is done with it.
    pub fn is_closed(self) -> bool {
        match self {
            IncidentStatus::Open | IncidentStatus::Proposed | IncidentStatus::Repairing => false,
            IncidentStatus::Repaired
            | IncidentStatus::Resolved
            | IncidentStatus::HandedOver
            | IncidentStatus::Stuck => true,
        }
    }
}

impl fmt::Display for IncidentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoryEntry {
    pub time: Timestamp,
    pub chapter: Chapter,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Chapter {
    /// What was noticed.
    Seen,
    /// What was looked at.
    Evidence,
    /// What was decided, with the reason.
    Plan,
    /// What was deliberately not done, with the reason.
    Refused,
    /// What was done.
    Acted,
    /// How the outcome was judged.
    Verified,
    /// What was put back.
    Undone,
    /// What a person said of it.
    Said,
    /// How it ended.
    Closed,
}

impl fmt::Display for Chapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
