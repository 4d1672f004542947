//! What the kubelet and the scheduler write into a pod's status.

use kubewise_core::{ObjectRef, Timestamp};
use serde_json::{Value, json};

use super::{ContainerRun, Phase, PodRun, Termination};
use crate::cluster::Cluster;
use crate::store::stamp;

impl Cluster {
    /// Writes a pod's status as it is now.
    pub(crate) fn write_pod(&mut self, object: &ObjectRef) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(object) else { return };
        let reachable = pod.node.as_ref().is_none_or(|node| !self.lost_nodes.contains(node));
        let ready =
            reachable && !pod.containers.is_empty() && pod.containers.iter().all(|container| container.ready);
        if pod.ready != ready {
            pod.ready = ready;
            pod.ready_changed = now;
        }
        let status = status(pod);
        self.store.set_status(object, status);
    }
}

fn status(pod: &PodRun) -> Value {
    let phase = if pod.is_over() {
        if pod.failed() { "Failed" } else { "Succeeded" }
    } else if pod.containers.iter().any(|container| container.is_running() || container.last_end().is_some())
    {
        "Running"
    } else {
        "Pending"
    };
    let since = |time: Option<Timestamp>| stamp(time.unwrap_or(pod.created));
    let scheduled = match &pod.unschedulable {
        Some(message) => json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastTransitionTime": since(None),
        }),
        None => condition("PodScheduled", pod.node.is_some(), &since(pod.scheduled)),
    };
    if pod.node.is_none() {
        return json!({ "phase": "Pending", "qosClass": "Burstable", "conditions": [scheduled] });
    }
    let mut ready = condition("Ready", pod.ready, &since(Some(pod.ready_changed)));
    let mut containers_ready = condition("ContainersReady", pod.ready, &since(Some(pod.ready_changed)));
    if !pod.ready {
        let waiting: Vec<&str> = pod
            .containers
            .iter()
            .filter(|container| !container.ready)
            .map(|container| &*container.name)
            .collect();
        for condition in [&mut ready, &mut containers_ready] {
            condition["reason"] = json!(if pod.is_over() { "PodCompleted" } else { "ContainersNotReady" });
            condition["message"] = json!(format!("containers with unready status: [{}]", waiting.join(" ")));
        }
    }
    json!({
        "phase": phase,
        "qosClass": "Burstable",
        "startTime": since(pod.scheduled),
        "conditions": [scheduled, condition("Initialized", true, &since(pod.scheduled)), containers_ready, ready],
        "containerStatuses": pod.containers.iter().map(container).collect::<Vec<_>>(),
    })
}

fn condition(kind: &str, holds: bool, since: &str) -> Value {
    let status = if holds { "True" } else { "False" };
    json!({ "type": kind, "status": status, "lastTransitionTime": since })
}

fn container(container: &ContainerRun) -> Value {
    let state = match &container.phase {
        Phase::Waiting { reason, message } if message.is_empty() => {
            json!({ "waiting": { "reason": reason } })
        }
        Phase::Waiting { reason, message } => json!({ "waiting": { "reason": reason, "message": message } }),
        Phase::Running { since } => json!({ "running": { "startedAt": stamp(*since) } }),
        Phase::Ended(end) => json!({ "terminated": ended(end) }),
    };
    let last = container.last.as_ref().map_or_else(|| json!({}), |end| json!({ "terminated": ended(end) }));
    json!({
        "name": container.name, "image": container.image, "ready": container.ready,
        "started": container.is_running(), "restartCount": container.restarts, "state": state, "lastState": last,
    })
}

fn ended(end: &Termination) -> Value {
    json!({
        "exitCode": end.exit_code, "reason": end.reason,
        "startedAt": stamp(end.started), "finishedAt": stamp(end.finished),
    })
}
