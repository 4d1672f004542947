//! The life of nodes: what is done when one does not answer.

use std::sync::Arc;

use kubewise_core::event::EventType;
use kubewise_core::{Kind, ObjectRef, Period};
use serde_json::{Value, json};

use super::{now_of, set_condition};
use crate::cluster::{Cluster, Task};

/// Silence that is forgiven.
const GRACE: Period = Period::from_secs(40);
/// Pods tolerate an unreachable node that long.
const TOLERATED: Period = Period::from_secs(300);
const SOURCE: &str = "node-controller";
const PRESSURES: [(&str, &str, &str); 3] = [
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
];

impl Cluster {
    /// The kubelet posts its conditions.
    pub(crate) fn node_ready(&mut self, name: &str) {
        let now = now_of(self);
        self.store.update(&node(name), |document| {
            let conditions = document.pointer("/status/conditions").and_then(Value::as_array).cloned();
            let mut conditions = conditions.unwrap_or_default();
            for (kind, reason, message) in PRESSURES {
                set_condition(&mut conditions, kind, "False", reason, message, &now);
            }
            set_condition(
                &mut conditions,
                "Ready",
                "True",
                "KubeletReady",
                "kubelet is posting ready status",
                &now,
            );
            document["status"]["conditions"] = json!(conditions);
            document["spec"]["taints"] = json!([]);
        });
        self.tell(
            &node(name),
            EventType::Normal,
            "NodeReady",
            format!("Node {name} status is now: NodeReady"),
            "kubelet",
        );
    }

    /// The node goes away; after a while somebody notices.
    pub(crate) fn lose_node(&mut self, name: &str) {
        let name: Arc<str> = name.into();
        if self.lost_nodes.insert(name.clone()) {
            self.after(GRACE, Task::NodeSilent(name));
        }
    }

    pub(crate) fn bring_node_back(&mut self, name: &str) {
        if self.lost_nodes.contains(name) {
            self.node_answers(name);
            self.node_ready(name);
        }
    }

    pub(crate) fn node_silent(&mut self, name: &Arc<str>) {
        if !self.lost_nodes.contains(name) {
            return;
        }
        let now = now_of(self);
        self.store.update(&node(name), |document| {
            let conditions = document.pointer("/status/conditions").and_then(Value::as_array).cloned();
            let mut conditions = conditions.unwrap_or_default();
            let message = "Kubelet stopped posting node status.";
            for kind in PRESSURES.iter().map(|(kind, ..)| *kind).chain(["Ready"]) {
                set_condition(&mut conditions, kind, "Unknown", "NodeStatusUnknown", message, &now);
            }
            document["status"]["conditions"] = json!(conditions);
            document["spec"]["taints"] = json!([
                { "key": "node.kubernetes.io/unreachable", "effect": "NoSchedule" },
                { "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" },
            ]);
        });
        let message = format!("Node {name} status is now: NodeNotReady");
        self.tell(&node(name), EventType::Normal, "NodeNotReady", message, SOURCE);
        for pod in self.pods_on(name) {
            self.tell(&pod, EventType::Warning, "NodeNotReady", "Node is not ready", SOURCE);
            self.write_pod(&pod);
        }
        self.after(TOLERATED, Task::EvictFrom(name.clone()));
    }

    /// Pods of a node that stays away are deleted, so that others take their place. Those of DaemonSets stay.
    pub(crate) fn evict_from(&mut self, name: &Arc<str>) {
        if !self.lost_nodes.contains(name) {
            return;
        }
        for pod in self.pods_on(name) {
            if self.pods[&pod].workload.kind != Kind::DaemonSet {
                self.tell(
                    &pod,
                    EventType::Normal,
                    "TaintManagerEviction",
                    format!("Marking for deletion Pod {pod}"),
                    SOURCE,
                );
                self.delete_pod(&pod);
            }
        }
    }

    fn pods_on(&self, name: &Arc<str>) -> Vec<ObjectRef> {
        let there = self.pods.iter().filter(|(_, pod)| pod.node.as_ref() == Some(name));
        there.map(|(object, _)| object.clone()).collect()
    }
}

fn node(name: &str) -> ObjectRef {
    ObjectRef::cluster_scoped(Kind::Node, name)
}
