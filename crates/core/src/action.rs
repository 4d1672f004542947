//! What was done, for the audit.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ActionId, AnomalyId, IncidentId, PlanId, SagaId};
use crate::journal::Outcome;
use crate::object::ObjectRef;
use crate::plan::{Action, FieldChange, Verdict};
use crate::record::{Extra, SchemaVersion};

/// One step of a saga, forward or back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutedActionRecord {
    #[serde(default)]
    pub version: SchemaVersion,
    pub id: ActionId,
    pub saga: SagaId,
    pub plan: PlanId,
    pub incident: IncidentId,
    /// The anomalies that led to it.
    pub anomalies: Vec<AnomalyId>,
    pub workload: ObjectRef,
    pub step: usize,
    pub direction: Direction,
    /// What it was to cure, in a name that does not change with pods, revisions or texts: the playbook that knew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Name, target and parameters.
    pub action: Action,
    /// The fields as they were and as they became.
    #[serde(default)]
    pub changes: Vec<FieldChange>,
    pub status: ActionStatus,
    /// What happened, in words; on failure the other side's message.
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// How its saga ended; `None` while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    pub started_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    #[serde(flatten)]
    pub extra: Extra,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Direction {
    Act,
    Undo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ActionStatus {
    Started,
    Succeeded,
    /// Surely not applied.
    Failed,
    /// Somebody else changed the field; left as it is.
    Superseded,
}

impl fmt::Display for ActionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
