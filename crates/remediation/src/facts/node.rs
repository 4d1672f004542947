//! The nodes of the cluster, as a node's incident sees them.

use kubewise_core::document::Document;
use kubewise_core::state::{StateDetail, condition};
use kubewise_core::{Kind, Period, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::evidence::Evidence;

/// A node that is ready for less than this time was not ready shortly before: as long as falls are counted together.
const SHORTLY: Period = Period::from_mins(15);
/// Unless it was just made: to become ready at first takes some seconds.
const JOINING: Period = Period::from_mins(1);

/// The incident's node, if it is one's, among all others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeFacts {
    /// Empty if the incident is no node's.
    pub(crate) name: String,
    /// No new pod comes to it.
    pub(crate) cordoned: bool,
    /// Nodes of the cluster, and those of them that are not ready now or were not shortly before.
    pub(crate) count: i64,
    pub(crate) unsteady: i64,
}

impl NodeFacts {
    pub(super) fn of(evidence: &Evidence, now: Timestamp) -> Self {
        let object = &evidence.incident.workload;
        if object.kind != Kind::Node {
            return NodeFacts::default();
        }
        let own = evidence.workload.as_ref();
        NodeFacts {
            name: object.name.to_string(),
            cordoned: own.and_then(|node| node.0.pointer("/spec/unschedulable")?.as_bool()).unwrap_or(false),
            count: evidence.nodes.len() as i64,
            unsteady: evidence.nodes.iter().filter(|node| is_unsteady(node, now)).count() as i64,
        }
    }
}

fn is_unsteady(document: &Document, now: Timestamp) -> bool {
    let Ok(state) = document.state() else { return true };
    let StateDetail::Node(node) = &state.detail else { return true };
    let Some(ready) = condition(&node.conditions, "Ready").filter(|ready| &*ready.status == "True") else {
        return true;
    };
    let was_new = |since| state.created.is_some_and(|created| JOINING.after(created) >= since);
    ready.since.is_some_and(|since| SHORTLY.after(since) > now && !was_new(since))
}
