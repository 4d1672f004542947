//! Empty a node: let no new pod come, then evict what it holds, one pod at a time.
//!
//! The evictions are steps of the plan, so each has its entries in the journal, its check before it and its place to go on
//! from after a crash. Budgets hold: a drain that one of them stops waits for a while, then it is a person's.

use kubewise_core::document::Document;
use kubewise_core::plan::PlanStep;
use kubewise_core::{Kind, ObjectRef};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cordon_node::{self, CordonNode};
use super::evict_pod::eviction;
use super::{Lower, Premise, Risk, Unmet};
use crate::evidence::all_pods::is_alive;

/// Empty the node: cordon it, then evict its pods one at a time. Pods of DaemonSets stay. Not where a pod would be lost for
/// good, with its controller missing or its data on the node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainNode {}

impl Lower for DrainNode {
    const NAME: &'static str = "DrainNode";
    const RISK: Risk = Risk::High;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        if premise.evidence.all_pods.is_none() {
            return Err(Unmet(format!("the pods on {} could not all be listed", premise.object)));
        }
        let cordon = if premise.workload.0.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
            cordon_node::node(premise)?;
            Vec::new()
        } else {
            let mut steps = CordonNode {}.lower(premise)?;
            for step in &mut steps {
                step.action = premise.action(Self::NAME, json!({}));
            }
            steps
        };
        let mut pods: Vec<&Document> = premise.evidence.on_node().filter(|pod| has_to_go(pod)).collect();
        pods.sort_by_key(|pod| (pod.text("/metadata/namespace"), pod.text("/metadata/name")));
        if pods.is_empty() {
            return Err(Unmet(format!("{} holds no pod that could be evicted", premise.object)));
        }
        let action = || premise.action(Self::NAME, json!({}));
        let evictions = pods.into_iter().map(|pod| {
            comes_back(pod)?;
            eviction(action(), pod)
        });
        cordon.into_iter().map(Ok).chain(evictions).collect()
    }
}

/// Pods that are over, on their way out, or tied to the node stay where they are.
fn has_to_go(pod: &Document) -> bool {
    let tied = pod.owners().into_iter().any(|owner| owner.controller && owner.object.kind == Kind::DaemonSet)
        || pod.annotation("kubernetes.io/config.mirror").is_some();
    let leaving = pod.text("/metadata/deletionTimestamp").is_some();
    is_alive(pod) && !tied && !leaving
}

fn comes_back(pod: &Document) -> Result<(), Unmet> {
    let object = || pod.object().map_or_else(|_| "a pod".into(), |object: ObjectRef| object.to_string());
    if !pod.owners().iter().any(|owner| owner.controller) {
        return Err(Unmet(format!("no controller would replace {}", object())));
    }
    let on_disk = |volume: &&Value| {
        volume.get("emptyDir").is_some_and(|dir| dir.get("medium").and_then(Value::as_str) != Some("Memory"))
    };
    if pod.list("/spec/volumes").iter().any(|volume| on_disk(&volume)) {
        return Err(Unmet(format!("{} has data of its own on the node (emptyDir)", object())));
    }
    Ok(())
}
