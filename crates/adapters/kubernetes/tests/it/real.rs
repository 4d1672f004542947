//! The same promises against the real API server.

mod acts;
mod cuts;
mod fencing;
mod nodes;
mod settings;

use std::path::Path;

use kubewise_kubernetes::{Kubernetes, Options};
use kubewise_testbed::{Cluster, Tier, shared};
use serde_json::{Value, json};

use crate::fake::with_kubeconfig;

/// The cluster that the tests share, or a skip that says why.
pub(crate) fn cluster() -> Option<&'static Cluster> {
    shared(Tier::ControlPlane)
}

async fn kubernetes(cluster: &Cluster) -> Kubernetes {
    with_kubeconfig(cluster.kubeconfig(), Options::default()).await
}

/// The administrator's kubeconfig, changed.
async fn kubernetes_with(cluster: &Cluster, change: impl FnOnce(&mut Value), options: Options) -> Kubernetes {
    let view = cluster.kubectl(&["config", "view", "--raw", "--flatten", "-o", "json"]).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&view).unwrap();
    change(&mut kubeconfig);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    with_kubeconfig(Path::new(&file), options).await
}

pub(crate) fn apply(cluster: &Cluster, manifest: &Value) {
    cluster.apply(&manifest.to_string()).unwrap();
}

/// A pod that nothing schedules or runs.
pub(crate) fn pod(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "none"}], "terminationGracePeriodSeconds": 0},
    })
}

fn event(namespace: &str, name: &str, count: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "BackOff", "message": "restarting",
        "metadata": {"namespace": namespace, "name": name},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name},
        "count": count, "firstTimestamp": "2026-11-24T04:00:00Z", "lastTimestamp": "2026-11-24T04:01:00Z",
        "source": {"component": "kubelet"},
    })
}
