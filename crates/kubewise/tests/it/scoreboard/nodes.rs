//! Nodes that no kubelet stands behind: the scenario is their heart. What the node controller makes of a heart that
//! stops is real.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::view::View;

/// The testbed's node controller gives a node eight seconds.
const BEAT: Duration = Duration::from_secs(2);
const LEASES: &str = "kube-node-lease";
/// Keeps the pods of other scenarios away.
const TAINT: &str = "kubewise.dev/staged";

pub(super) struct Nodes<'a> {
    view: &'a View<'a>,
    names: &'a [String],
    beating: Mutex<BTreeSet<String>>,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(view: &'a View<'a>, names: &'a [String]) -> Self {
        Self { view, names, beating: Mutex::default() }
    }

    /// The nodes and what shows that they are alive. KubeWise may act on them.
    pub(super) fn manifests(&self) -> Value {
        let node = |name: &String| {
            json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": name,
                    "labels": {"kubernetes.io/hostname": name},
                    "annotations": {"kubewise.dev/mode": "auto"},
                },
                "spec": {"taints": [{"key": TAINT, "effect": "NoSchedule"}]},
            })
        };
        let lease = |name: &String| {
            json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": LEASES},
                // Without a time the node controller would never see it renewed.
                "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": time()},
            })
        };
        let items: Vec<Value> = self.names.iter().map(node).chain(self.names.iter().map(lease)).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }

    /// Until it is over, every beating node is renewed.
    pub(super) fn live(&self, is_over: impl Fn() -> bool) {
        while !self.names.is_empty() && !is_over() {
            for name in self.beating().clone() {
                let renewed = json!({"spec": {"renewTime": time()}});
                // A beat that is lost is followed by the next.
                let _ = self.view.merge(LEASES, &format!("lease/{name}"), &renewed, false);
            }
            thread::sleep(BEAT);
        }
    }

    pub(super) fn beat(&self, name: &str) -> Result<()> {
        let now = Timestamp::now().to_string();
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind,
                "status": status,
                "reason": "Staged",
                "message": "staged",
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
            })
        };
        let room = json!({"cpu": "4", "memory": "4Gi", "pods": "110"});
        let status = json!({"status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [
                condition("Ready", "True"),
                condition("MemoryPressure", "False"),
                condition("DiskPressure", "False"),
                condition("PIDPressure", "False"),
            ],
        }});
        self.beating().insert(name.to_owned());
        self.view.merge("", &format!("node/{name}"), &status, true)
    }

    pub(super) fn silence(&self, name: &str) {
        self.beating().remove(name);
    }

    fn beating(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.beating.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As Kubernetes writes it, with microseconds.
fn time() -> String {
    format!("{:.6}", Timestamp::now())
}
