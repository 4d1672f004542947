//! What shall be done: a plan in which nothing is left to choose.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::anomaly::Severity;
use crate::id::{IncidentId, PlanId};
use crate::object::{ObjectRef, Uid};
use crate::period::Period;
use crate::record::{Extra, SchemaVersion};
use crate::request::Subresource;

/// The most steps a plan may have: what a person can still read at night.
pub const MAX_STEPS: usize = 10;
/// The most pods that a plan may evict one after the other: what a node holds by the kubelet's default.
pub const MAX_EVICTIONS: usize = 110;
/// The action that changes nothing and leaves the trouble to a person.
pub const HAND_OVER: &str = "HandOver";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemediationPlan {
    #[serde(default)]
    pub version: SchemaVersion,
    pub id: PlanId,
    pub incident: IncidentId,
    pub workload: ObjectRef,
    /// 1 for the first plan of its incident.
    pub attempt: u32,
    pub author: Author,
    /// Why this and not something else.
    pub reasoning: String,
    pub root_cause: String,
    /// What the reasoning rests on.
    pub evidence: Vec<EvidenceItem>,
    pub priority: Severity,
    /// In order; irreversible ones last. A plan that hands over has one step, of the action `HandOver`.
    pub actions: Vec<PlanStep>,
    /// The rules this plan was held against, and what each one found.
    pub safety_constraints: Vec<SafetyConstraint>,
    pub verification: Verification,
    /// The mode that applied when it was made, after every cap.
    pub mode: Mode,
    pub status: PlanStatus,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Why it was rejected, superseded, or how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

impl RemediationPlan {
    /// Whether it leaves the trouble to a person, who is told what is known.
    pub fn hands_over(&self) -> bool {
        self.actions.iter().all(|step| step.action.name == HAND_OVER)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Author {
    Playbook {
        name: String,
    },
    /// A model's proposal for what a playbook is for.
    Model {
        name: String,
        playbook: String,
    },
}

impl Author {
    /// What the plan is to cure, in a name that does not change with pods, revisions or texts.
    pub fn cause(&self) -> &str {
        match self {
            Author::Playbook { name } | Author::Model { playbook: name, .. } => name,
        }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Author::Playbook { name } => write!(f, "playbook {name}"),
            Author::Model { name, playbook } => write!(f, "model {name} for playbook {playbook}"),
        }
    }
}

/// One fact that a plan rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceItem {
    /// Unique within the plan; reasoning cites it.
    pub id: String,
    pub source: String,
    pub text: String,
}

/// One step: an action of the registry, lowered to what it does to the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStep {
    pub action: Action,
    pub operation: Operation,
    /// One sentence for people.
    pub description: String,
    pub reversible: bool,
    /// Pods that may be unavailable because of it at one time; charged to the cluster's budget.
    pub disruption: u32,
}

/// Pods that steps may make unavailable at one time. A step begins when the one before is done, which is before the
/// rollout that it set off has ended, so they add up. Evictions come one after the other, each when the one before it
/// has been made good.
pub fn disruption(steps: &[PlanStep]) -> u32 {
    let (evictions, others): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.operation.is_eviction());
    let others = others.iter().map(|step| step.disruption).fold(0, u32::saturating_add);
    others.saturating_add(evictions.iter().map(|step| step.disruption).max().unwrap_or(0))
}

impl PlanStep {
    /// Whether it takes pods down, with all that they would tell.
    pub fn takes_down(&self) -> bool {
        match &self.operation {
            Operation::Evict { .. } => true,
            Operation::Write { changes, .. } => {
                let template = |change: &FieldChange| change.path.starts_with("/spec/template");
                self.disruption > 0
                    || changes.iter().any(|change| template(change) && change.before != change.after)
            }
            Operation::Create { .. } | Operation::Notify { .. } => false,
        }
    }
}

/// An action of the registry with its parameters, as a playbook or a person names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// PascalCase, such as `RolloutUndo`.
    pub name: String,
    pub target: ObjectRef,
    #[serde(default)]
    pub parameters: Value,
}

/// What a step does, down to the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verb", rename_all = "camelCase")]
pub enum Operation {
    /// Change fields of one object, together.
    Write {
        object: ObjectRef,
        uid: Uid,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subresource: Option<Subresource>,
        changes: Vec<FieldChange>,
    },
    Evict {
        pod: ObjectRef,
        uid: Uid,
    },
    /// Make an object. Its name is of this plan alone, so that one that is there already is known as ours or not by its
    /// annotations.
    Create {
        object: ObjectRef,
        body: Value,
    },
    /// Tell people through the notifier.
    Notify {
        message: String,
    },
}

impl Operation {
    pub fn is_eviction(&self) -> bool {
        matches!(self, Operation::Evict { .. })
    }

    /// The object that is written, if any; what a saga locks.
    pub fn writes(&self) -> Option<&ObjectRef> {
        match self {
            Operation::Write { object, .. } | Operation::Create { object, .. } => Some(object),
            Operation::Evict { pod, .. } => Some(pod),
            Operation::Notify { .. } => None,
        }
    }
}

/// A field by JSON pointer. `None` means that the field is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    pub path: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// A safety rule and what it found. A plan with a violated rule is never made; these are kept as proof.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SafetyConstraint {
    /// PascalCase name of the rule, such as `ProtectedNamespace`.
    pub rule: String,
    pub finding: String,
}

/// How the outcome will be judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// What must become true, in words.
    pub checks: Vec<String>,
    /// From the act to the earliest provisional verdict.
    pub provisional_after: Period,
    /// How long the trouble must stay gone: twice the failure's own interval.
    pub settle: Period,
    /// From the act; without a verdict by then it is handed over.
    pub deadline: Period,
    /// How the workload was when the plan was made.
    pub baseline: Indicators,
    /// How those that need it were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependants: Vec<Dependant>,
}

/// What is measured after an act.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    pub own: Indicators,
    /// Of those that the plan's verification names.
    pub dependants: Vec<Dependant>,
}

/// A workload that needs another, and how it fares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dependant {
    pub workload: ObjectRef,
    pub indicators: Indicators,
}

/// The guarded indicators of a workload: what "better" and "worse" are judged by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Indicators {
    pub desired: u32,
    pub available: u32,
    /// Whether the workload's controller has seen the newest spec and every replica runs it.
    pub rolled_out: bool,
    /// Restarts of the present pods, by pod and container (`pod/container`), so that a replaced pod starts anew.
    pub restarts: std::collections::BTreeMap<String, u32>,
    /// Containers that wait or ended for a known failure, as `pod/container: reason`.
    pub failing: Vec<String>,
    /// Its anomalies that fire, by reason. Not looked at for dependants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firing: Vec<String>,
    /// The newest sample about the workload or its pods; `None` if there was none lately.
    pub newest_sample: Option<Timestamp>,
    pub taken_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    Improved,
    Worse,
    Inconclusive,
}

/// How far KubeWise may go. Ordered: a cap is a minimum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Write nothing to the cluster at all.
    #[default]
    Observe,
    /// Plan, and wait for a person; write Events and the Lease only.
    Propose,
    /// Act.
    Auto,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Observe => "observe",
            Mode::Propose => "propose",
            Mode::Auto => "auto",
        })
    }
}

impl std::str::FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "observe" => Ok(Mode::Observe),
            "propose" => Ok(Mode::Propose),
            "auto" => Ok(Mode::Auto),
            other => Err(UnknownMode(other.into())),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a mode; modes are observe, propose and auto")]
pub struct UnknownMode(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum PlanStatus {
    /// Made in observe mode: what would have been done.
    Observed,
    /// Waits for a person.
    Proposed,
    Approved,
    Rejected,
    /// Its saga runs.
    Executing,
    /// Its trouble went, or its premise changed, before it ran.
    Superseded,
    Succeeded,
    RolledBack,
    Aborted,
    HandedOver,
    Stuck,
}

impl PlanStatus {
    pub fn is_final(self) -> bool {
        match self {
            PlanStatus::Proposed | PlanStatus::Approved | PlanStatus::Executing => false,
            PlanStatus::Observed
            | PlanStatus::Rejected
            | PlanStatus::Superseded
            | PlanStatus::Succeeded
            | PlanStatus::RolledBack
            | PlanStatus::Aborted
            | PlanStatus::HandedOver
            | PlanStatus::Stuck => true,
        }
    }
}

impl fmt::Display for PlanStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
