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
        let mut pods = premise.evidence.pods.iter();
        let pod = pods
            .find(|pod| pod.text("/metadata/name") == Some(&self.pod))
            .ok_or_else(|| Unmet(format!("{} has no pod {}", premise.object, self.pod)))?;
        step(premise, pod).map(|step| vec![step])
    }
}

pub(super) fn step(premise: &Premise<'_>, pod: &Document) -> Result<PlanStep, Unmet> {
    let unreadable = |error: kubewise_core::document::NotAnObject| Unmet(error.to_string());
    let uid = pod.uid().map_err(unreadable)?;
    let object = pod.object().map_err(unreadable)?;
    let name = object.name.clone();
    let pod = ObjectRef { kind: Kind::Pod, ..object };
    Ok(PlanStep {
        action: Action {
            name: EvictPod::NAME.into(),
            target: premise.object.clone(),
            parameters: json!({ "pod": *name }),
        },
        description: format!("evict pod {name}, so that its controller makes another"),
        operation: Operation::Evict { pod, uid },
        reversible: false,
        disruption: 1,
    })
}
