//! ReplicaSets: as many pods as asked for.

use kubewise_core::{ObjectRef, Period};
use serde_json::{Value, json};

use super::{min_ready, now_of, set_condition};
use crate::cluster::{Cluster, Task};
use crate::kubelet::PodRun;
use crate::read::count;

const SOURCE: &str = "replicaset-controller";

impl Cluster {
    pub(crate) fn replica_set(&mut self, object: &ObjectRef) {
        let Some(document) = self.store.get(object).cloned() else { return };
        let Ok(uid) = document.uid() else { return };
        let desired = count(&document, "/spec/replicas");
        let mut active = self.pods_of(&uid);
        active.retain(|pod| self.pods[pod].is_active());
        let mut refused = None;
        for _ in active.len()..desired as usize {
            let name = format!("{}-{}", object.name, self.suffix());
            let template = document.0.pointer("/spec/template").cloned().unwrap_or_default();
            if let Err(message) = self.create_for(object, &name, &template, &[], SOURCE) {
                refused = Some(message);
                break; // the others would be refused for the same reason
            }
        }
        if active.len() > desired as usize {
            active.sort_by_key(|pod| rank(&self.pods[pod], pod));
            for pod in active.drain(..active.len() - desired as usize).collect::<Vec<_>>() {
                self.delete_for(object, &pod, SOURCE);
            }
        }
        self.replica_set_status(object, min_ready(&document), refused);
    }

    fn replica_set_status(&mut self, object: &ObjectRef, min_ready: Period, refused: Option<String>) {
        let Some(document) = self.store.get(object).cloned() else { return };
        let Ok(uid) = document.uid() else { return };
        let pods: Vec<&PodRun> = self
            .pods_of(&uid)
            .iter()
            .filter_map(|pod| self.pods.get(pod))
            .filter(|pod| pod.is_active())
            .collect();
        let ready = pods.iter().filter(|pod| pod.ready).count();
        let available = pods.iter().filter(|pod| pod.is_available(min_ready, self.now)).count();
        let (replicas, now) = (pods.len(), now_of(self));
        let mut conditions: Vec<Value> = document.list("/status/conditions").to_vec();
        let enough = replicas >= count(&document, "/spec/replicas") as usize;
        match refused {
            Some(message) => {
                set_condition(&mut conditions, "ReplicaFailure", "True", "FailedCreate", &message, &now);
            }
            None if enough => conditions.retain(|condition| condition["type"] != "ReplicaFailure"),
            None => {}
        }
        let mut status = json!({
            "replicas": replicas, "fullyLabeledReplicas": replicas, "readyReplicas": ready,
            "availableReplicas": available, "observedGeneration": document.number("/metadata/generation"),
        });
        if !conditions.is_empty() {
            status["conditions"] = json!(conditions);
        }
        self.store.set_status(object, status);
        if ready > available {
            self.after(min_ready.max(Period::from_secs(1)), Task::Reconcile(object.clone()));
        }
    }
}

/// What goes first: not scheduled, not running, not ready, ready for the shortest time.
fn rank(
    pod: &PodRun,
    object: &ObjectRef,
) -> (bool, bool, bool, std::cmp::Reverse<kubewise_core::Timestamp>, ObjectRef) {
    let runs =
        pod.containers.iter().any(|container| container.is_running() || container.last_end().is_some());
    (pod.node.is_some(), runs, pod.ready, std::cmp::Reverse(pod.ready_changed), object.clone())
}
