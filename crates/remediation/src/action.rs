//! The registry of action types. Each is one pure module that knows its parameters, when it makes sense, and
//! which fields it changes; adding one touches its module and one line here.

mod change_autoscaler;
mod cordon_node;
mod drain_node;
mod evict_pod;
pub(crate) mod expand_claim;
pub(crate) mod hand_over;
mod notify;
mod patch_probe;
mod pause_rollout;
mod resize_pod;
pub(crate) mod restore_service;
mod retry_job;
mod rollout_restart;
mod rollout_undo;
mod scale_workload;
mod set_resources;
mod suspend_cron_job;

use kubewise_core::document::Document;
use kubewise_core::id::PlanId;
use kubewise_core::plan::{Action, FieldChange, HAND_OVER, Operation, PlanStep};
use kubewise_core::request::FIELD_MANAGER;
use kubewise_core::{Kind, ObjectRef, Uid};
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::evidence::Evidence;
use crate::field::managers;
use crate::revision::Revisions;

pub use retry_job::successor;

/// Every action type.
pub const REGISTRY: &[ActionType] = &[
    ActionType::of::<change_autoscaler::ChangeAutoscaler>(),
    ActionType::of::<cordon_node::CordonNode>(),
    ActionType::of::<cordon_node::UncordonNode>(),
    ActionType::of::<drain_node::DrainNode>(),
    ActionType::of::<evict_pod::EvictPod>(),
    ActionType::of::<expand_claim::ExpandClaim>(),
    ActionType::of::<hand_over::HandOver>(),
    ActionType::of::<notify::Notify>(),
    ActionType::of::<patch_probe::PatchProbe>(),
    ActionType::of::<pause_rollout::PauseRollout>(),
    ActionType::of::<pause_rollout::ResumeRollout>(),
    ActionType::of::<resize_pod::ResizePod>(),
    ActionType::of::<restore_service::RestoreService>(),
    ActionType::of::<retry_job::RetryJob>(),
    ActionType::of::<rollout_restart::RolloutRestart>(),
    ActionType::of::<rollout_undo::RolloutUndo>(),
    ActionType::of::<scale_workload::ScaleWorkload>(),
    ActionType::of::<set_resources::SetResources>(),
    ActionType::of::<suspend_cron_job::SuspendCronJob>(),
    ActionType::of::<suspend_cron_job::ResumeCronJob>(),
];

/// What may go wrong with an action that does what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Nothing is changed.
    None,
    /// Running pods stay as they are.
    Low,
    /// Pods are replaced.
    Medium,
    /// It cannot be taken back.
    High,
}

impl Risk {
    /// In words for people.
    pub fn told(self) -> &'static str {
        match self {
            Risk::None => "none: nothing is changed",
            Risk::Low => "low: running pods stay as they are",
            Risk::Medium => "medium: pods are replaced",
            Risk::High => "high: it cannot be taken back",
        }
    }
}

/// Where a workload that rolls out has its pod template.
pub(crate) const TEMPLATE: &str = "/spec/template";

/// One action type of the registry.
#[derive(Clone, Copy, Debug)]
pub struct ActionType {
    /// PascalCase.
    pub name: &'static str,
    /// The JSON schema of its parameters; its description says what the action does.
    pub schema: fn() -> Schema,
    pub risk: Risk,
    /// Parameters that say how much: an author may set them otherwise than a playbook does, within bounds.
    pub(crate) amounts: &'static [&'static str],
    /// Parameters that are words for people: an author chooses its own.
    pub(crate) words: &'static [&'static str],
    /// Whether these are parameters of it, in type; bounds are policy's.
    pub(crate) check: fn(&Value) -> Result<(), Unmet>,
    pub(crate) lower: fn(&Premise<'_>, &Value) -> Result<Vec<PlanStep>, Unmet>,
}

impl ActionType {
    pub fn named(name: &str) -> Option<&'static ActionType> {
        REGISTRY.iter().find(|action| action.name == name)
    }

    /// Whether it leaves the trouble to a person.
    pub(crate) fn hands_over(&self) -> bool {
        self.name == HAND_OVER
    }

    const fn of<A: Lower>() -> Self {
        ActionType {
            name: A::NAME,
            schema: || schemars::schema_for!(A),
            risk: A::RISK,
            amounts: A::AMOUNTS,
            words: A::WORDS,
            check: |parameters| parsed::<A>(parameters).map(drop),
            lower: |premise, parameters| parsed::<A>(parameters)?.lower(premise),
        }
    }
}

/// Implemented by the parameters of each action type.
trait Lower: DeserializeOwned + JsonSchema {
    const NAME: &'static str;
    const RISK: Risk;
    /// Names of the parameters that say how much, and of those that are words for people; all others say of what.
    const AMOUNTS: &'static [&'static str] = &[];
    const WORDS: &'static [&'static str] = &[];

    /// The steps that do it, or why it makes no sense here.
    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet>;
}

fn parsed<A: Lower>(parameters: &Value) -> Result<A, Unmet> {
    serde_json::from_value(parameters.clone())
        .map_err(|error| Unmet(format!("the parameters of {} are wrong: {error}", A::NAME)))
}

/// Why an action makes no sense here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unmet(pub(crate) String);

/// What an action is lowered against.
#[derive(Debug)]
pub(crate) struct Premise<'a> {
    pub(crate) evidence: &'a Evidence,
    pub(crate) workload: &'a Document,
    pub(crate) object: &'a ObjectRef,
    pub(crate) uid: &'a Uid,
    pub(crate) revisions: &'a Revisions,
    pub(crate) plan: &'a PlanId,
}

impl Premise<'_> {
    /// The workload's pod template, if it is of a kind that rolls out a changed one.
    fn template(&self) -> Result<&Value, Unmet> {
        let rolls = matches!(self.object.kind, Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet);
        self.workload
            .0
            .pointer(TEMPLATE)
            .filter(|_| rolls)
            .ok_or_else(|| Unmet(format!("{} has no pod template that rolls out", self.object)))
    }

    /// Sets a field of the workload that is true or absent.
    fn switch(
        &self,
        action: Action,
        path: &str,
        on: bool,
        description: String,
    ) -> Result<Vec<PlanStep>, Unmet> {
        let before = self.workload.0.pointer(path).filter(|before| !before.is_null()).cloned();
        if (before == Some(Value::Bool(true))) == on {
            let is = if on { "set" } else { "not set" };
            return Err(Unmet(format!("{path} of {} is {is} already", self.object)));
        }
        let change = FieldChange { path: path.into(), before, after: on.then_some(Value::Bool(true)) };
        Ok(vec![self.write(action, vec![change], description, 0)])
    }

    /// Whether KubeWise alone set this field of the workload. Whoever else did, meant it.
    fn ours(&self, path: &str) -> bool {
        let mut managers = managers(self.workload, path).peekable();
        managers.peek().is_some()
            && managers.all(|entry| entry.get("manager").and_then(Value::as_str) == Some(FIELD_MANAGER))
    }

    /// A container of the pod template: its index and itself.
    fn container(&self, name: &str) -> Result<(usize, &Value), Unmet> {
        let containers = self.template()?.pointer("/spec/containers").and_then(Value::as_array);
        let mut containers = containers.into_iter().flatten().enumerate();
        containers
            .find(|(_, container)| container.get("name").and_then(Value::as_str) == Some(name))
            .ok_or_else(|| Unmet(format!("{} has no container {name}", self.object)))
    }

    /// A pod of the workload.
    fn pod(&self, name: &str) -> Result<&Document, Unmet> {
        let mut pods = self.evidence.pods.iter();
        pods.find(|pod| pod.text("/metadata/name") == Some(name))
            .ok_or_else(|| Unmet(format!("{} has no pod {name}", self.object)))
    }

    fn write(
        &self,
        action: Action,
        changes: Vec<FieldChange>,
        description: String,
        disruption: u32,
    ) -> PlanStep {
        PlanStep {
            action,
            operation: Operation::Write {
                object: self.object.clone(),
                uid: self.uid.clone(),
                subresource: None,
                changes,
            },
            description,
            reversible: true,
            disruption,
        }
    }

    fn action(&self, name: &str, parameters: Value) -> Action {
        Action { name: name.into(), target: self.object.clone(), parameters }
    }

    /// Pods that may be unavailable at one time while a changed template rolls out.
    fn rollout_disruption(&self) -> u32 {
        let desired = self.workload.state().ok().and_then(|state| state.workload().map(|w| w.desired));
        let desired = desired.unwrap_or(1);
        let spec = |pointer: &str| self.workload.0.pointer(pointer);
        let unavailable = if self.object.kind != Kind::Deployment {
            share(spec("/spec/updateStrategy/rollingUpdate/maxUnavailable"), "1", desired, Rounding::Up)
        } else if self.workload.text("/spec/strategy/type") == Some("Recreate") {
            self.workload.number("/status/readyReplicas").unwrap_or(0) as u32
        } else {
            share(spec("/spec/strategy/rollingUpdate/maxUnavailable"), "25%", desired, Rounding::Down)
        };
        unavailable.min(desired)
    }
}

/// A change of fields of another object than the workload, one that refers to it.
fn write_beside(
    document: &Document,
    action: Action,
    changes: Vec<FieldChange>,
    description: String,
) -> Result<PlanStep, Unmet> {
    let (object, uid) = identity(document)?;
    let operation = Operation::Write { object, uid, subresource: None, changes };
    Ok(PlanStep { action, operation, description, reversible: true, disruption: 0 })
}

fn identity(document: &Document) -> Result<(ObjectRef, Uid), Unmet> {
    let unreadable = |error: kubewise_core::document::NotAnObject| Unmet(error.to_string());
    Ok((document.object().map_err(unreadable)?, document.uid().map_err(unreadable)?))
}

/// A leaf field of a document becomes another; nothing if it is that already.
fn change(document: &Document, path: &str, after: Value) -> Option<FieldChange> {
    let before = document.0.pointer(path).filter(|before| !before.is_null()).cloned();
    (before.as_ref() != Some(&after)).then(|| FieldChange { path: path.into(), before, after: Some(after) })
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Rounding {
    Up,
    Down,
}

/// An int-or-percent of Kubernetes, resolved against a number of replicas.
pub(crate) fn share(value: Option<&Value>, default: &str, of: u32, rounding: Rounding) -> u32 {
    let text = match value {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        _ => default.into(),
    };
    let Some(percent) = text.strip_suffix('%') else { return text.parse().unwrap_or(0) };
    let exact = percent.parse::<f64>().unwrap_or(0.0) / 100.0 * f64::from(of);
    match rounding {
        Rounding::Up => exact.ceil() as u32,
        Rounding::Down => exact.floor() as u32,
    }
}
