//! The nodes of the cluster, as a node's incident sees them.

use kubewise_core::Kind;
use kubewise_core::state::{NodeState, StateDetail, condition};
use serde::Serialize;

use crate::evidence::Evidence;

/// The incident's node, if it is one's, among all others.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeFacts {
    /// Empty if the incident is no node's.
    pub(crate) name: String,
    /// No new pod comes to it.
    pub(crate) cordoned: bool,
    /// Nodes of the cluster, and those of them that are not ready now.
    pub(crate) count: i64,
    pub(crate) not_ready: i64,
}

impl NodeFacts {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let object = &evidence.incident.workload;
        if object.kind != Kind::Node {
            return NodeFacts::default();
        }
        let nodes = evidence.nodes.iter().filter_map(|node| node.state().ok());
        let all: Vec<_> = nodes
            .filter_map(|state| {
                let StateDetail::Node(node) = state.detail else { return None };
                Some((state.object, node))
            })
            .collect();
        NodeFacts {
            name: object.name.to_string(),
            cordoned: all.iter().any(|(known, node)| known == object && node.unschedulable),
            count: all.len() as i64,
            not_ready: all.iter().filter(|(_, node)| !is_ready(node)).count() as i64,
        }
    }
}

fn is_ready(node: &NodeState) -> bool {
    condition(&node.conditions, "Ready").is_some_and(|ready| &*ready.status == "True")
}
