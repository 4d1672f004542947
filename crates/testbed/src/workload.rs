//! Deployments that behave well or badly on purpose.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Waits until it is told to stop, and stops at once.
pub(crate) const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done";

/// What a workload's containers do. Applying the same workload with another behaviour makes a new
/// revision of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Runs until it is told to stop.
    Healthy,
    /// Prints a line and exits with status 1 after a second.
    Crash,
    /// Fills that much memory, in mebibytes, and stays: killed if its limit is lower.
    Memory(u32),
    /// Names an image that nobody can pull.
    BadImage,
    /// Runs, and never passes its readiness probe.
    NeverReady,
    /// Uses as much processor as it may.
    Busy,
}

/// A Deployment whose pods carry the label `app: NAME`. Adjust it with struct update syntax.
#[derive(Clone, Debug)]
pub struct Workload {
    pub namespace: String,
    pub name: String,
    pub replicas: u32,
    pub behaviour: Behaviour,
    pub memory_limit_mebibytes: u32,
    pub cpu_limit_millicores: u32,
    /// After which a rollout without progress is called stuck.
    pub progress_deadline_seconds: u32,
    /// On the Deployment, not on its pods.
    pub annotations: BTreeMap<String, String>,
}

impl Workload {
    /// Healthy, one replica, 32 MiB, a fifth of a core.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            replicas: 1,
            behaviour: Behaviour::Healthy,
            memory_limit_mebibytes: 32,
            cpu_limit_millicores: 200,
            progress_deadline_seconds: 600,
            annotations: BTreeMap::new(),
        }
    }

    /// With an image that has busybox's programs, such as [`Cluster::image`](crate::Cluster::image).
    pub fn manifest(&self, image: &str) -> Value {
        let shell = |script: &str| json!(["/bin/sh", "-c", script]);
        let mut container = json!({
            "name": "main",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": shell(IDLE),
            "resources": {
                "requests": {"cpu": "10m", "memory": "8Mi"},
                "limits": {
                    "cpu": format!("{}m", self.cpu_limit_millicores),
                    "memory": format!("{}Mi", self.memory_limit_mebibytes),
                },
            },
        });
        match self.behaviour {
            Behaviour::Healthy => {}
            Behaviour::Crash => {
                container["command"] = shell("echo 'cannot read the configuration'; sleep 1; exit 1");
            }
            // dd fills its one block and then waits for ever, since nobody reads the pipe.
            Behaviour::Memory(mebibytes) => {
                container["command"] = shell(&format!(
                    "mkfifo /tmp/pipe; sleep 999999 </tmp/pipe & exec dd if=/dev/zero of=/tmp/pipe bs={mebibytes}M"
                ));
            }
            // Nothing listens there, so the pull fails at once instead of asking the network.
            Behaviour::BadImage => container["image"] = json!("localhost:1/absent:1"),
            Behaviour::NeverReady => {
                container["readinessProbe"] =
                    json!({"exec": {"command": ["/bin/false"]}, "periodSeconds": 1});
            }
            Behaviour::Busy => container["command"] = shell("while :; do :; done"),
        }
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "namespace": self.namespace,
                "name": self.name,
                "annotations": self.annotations,
            },
            "spec": {
                "replicas": self.replicas,
                "progressDeadlineSeconds": self.progress_deadline_seconds,
                "selector": {"matchLabels": {"app": self.name}},
                "template": {
                    "metadata": {"labels": {"app": self.name}},
                    "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
                },
            },
        })
    }
}
