//! Evict one pod of the workload, so that its controller makes another. Budgets hold.

use kubewise_core::document::Document;
use kubewise_core::plan::{Action, Operation, PlanStep};
use kubewise_core::{Kind, ObjectRef};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Lower, Premise, Risk, Unmet};

/// Evict one pod of the workload, so that its controller makes another. Budgets hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EvictPod {
    /// The name of a pod of the workload.
    pod: String,
}

impl Lower for EvictPod {
    const NAME: &'static str = "EvictPod";
    const RISK: Risk = Risk::Medium;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        step(premise, premise.pod(&self.pod)?).map(|step| vec![step])
    }
}

pub(super) fn step(premise: &Premise<'_>, pod: &Document) -> Result<PlanStep, Unmet> {
    let name = pod.text("/metadata/name").unwrap_or_default();
    eviction(premise.action(EvictPod::NAME, json!({ "pod": name })), pod)
}

/// The eviction of one pod, as a step of an action.
pub(super) fn eviction(action: Action, pod: &Document) -> Result<PlanStep, Unmet> {
    let unreadable = |error: kubewise_core::document::NotAnObject| Unmet(error.to_string());
    let uid = pod.uid().map_err(unreadable)?;
    let object = pod.object().map_err(unreadable)?;
    let name = object.name.clone();
    let pod = ObjectRef { kind: Kind::Pod, ..object };
    Ok(PlanStep {
        action,
        description: format!("evict pod {name}, so that its controller makes another"),
        operation: Operation::Evict { pod, uid },
        reversible: false,
        disruption: 1,
    })
}
