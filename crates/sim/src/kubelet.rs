//! The kubelet: pulls, starts, probes, restarts with back-off, ends.

mod container;
mod measure;
mod status;

use std::sync::Arc;

use kubewise_core::document::Document;
use kubewise_core::event::EventType;
use kubewise_core::{Failure, Kind, ObjectRef, Period, Timestamp, Uid};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Task};
use crate::store::stamp;
pub(crate) use container::{ContainerRun, Phase, Step, Termination};

/// From SIGTERM to the end of the containers.
const STOPPING: Period = Period::from_secs(2);
/// From binding to the first look at the image: sandbox and volumes.
const PREPARING: Period = Period::from_secs(1);
const MAX_OWNERS: usize = 8;

/// A pod as it runs.
#[derive(Clone, Debug)]
pub(crate) struct PodRun {
    pub(crate) uid: Uid,
    /// The topmost owner: it decides load and behaviour.
    pub(crate) workload: ObjectRef,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) containers: Vec<ContainerRun>,
    pub(crate) ready: bool,
    pub(crate) created: Timestamp,
    pub(crate) scheduled: Option<Timestamp>,
    pub(crate) unschedulable: Option<String>,
    pub(crate) ready_changed: Timestamp,
    pub(crate) deleted: Option<Timestamp>,
    /// `restartPolicy: Never`.
    pub(crate) once: bool,
    /// The label that tells the revision.
    pub(crate) template: Arc<str>,
}

impl PodRun {
    /// CPU and memory that the scheduler keeps for it.
    pub(crate) fn requests(&self) -> [f64; 2] {
        let sum = |of: fn(&ContainerRun) -> Option<f64>| self.containers.iter().filter_map(of).sum();
        [sum(|container| container.cpu_request), sum(|container| container.memory_request)]
    }

    pub(crate) fn limits(&self) -> [f64; 2] {
        let sum = |of: fn(&ContainerRun) -> Option<f64>| self.containers.iter().filter_map(of).sum();
        [sum(|container| container.cpu_limit), sum(|container| container.memory_limit)]
    }

    /// `Succeeded` or `Failed`: its containers have ended for good.
    pub(crate) fn is_over(&self) -> bool {
        self.once && self.containers.iter().all(|container| container.ended().is_some())
    }

    pub(crate) fn failed(&self) -> bool {
        self.is_over()
            && self.containers.iter().any(|container| container.ended().is_some_and(|end| end.exit_code != 0))
    }

    /// Counts towards its controller's replicas.
    pub(crate) fn is_active(&self) -> bool {
        self.deleted.is_none() && !self.is_over()
    }

    pub(crate) fn is_available(&self, min_ready: Period, now: Timestamp) -> bool {
        self.ready && self.deleted.is_none() && min_ready.after(self.ready_changed) <= now
    }
}

impl Cluster {
    /// Creates a pod from a template, or tells why admission refuses.
    pub(crate) fn create_pod(
        &mut self,
        name: &str,
        owner: &ObjectRef,
        template: &Value,
        labels: &[(&str, &str)],
        manager: &'static str,
    ) -> Result<ObjectRef, Failure> {
        let mut pod = json!({
            "kind": "Pod", "metadata": template.get("metadata").cloned().unwrap_or_else(|| json!({})),
            "spec": template.get("spec").cloned().unwrap_or_else(|| json!({})),
            "status": { "phase": "Pending" },
        });
        pod["metadata"]["namespace"] = json!(owner.namespace);
        pod["metadata"]["name"] = json!(name);
        for (key, value) in labels {
            pod["metadata"]["labels"][*key] = json!(value);
        }
        let owner_uid = self.store.get(owner).and_then(|document| document.uid().ok());
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": owner.kind.api().map(|api| api.api_version()), "kind": owner.kind, "name": owner.name,
            "uid": owner_uid, "controller": true, "blockOwnerDeletion": true,
        }]);
        let document = Document(pod);
        let workload = self.workload_of(owner);
        let now = self.now;
        let mut run = PodRun {
            uid: Uid::default(),
            workload: workload.clone(),
            node: document.text("/spec/nodeName").map(Into::into),
            containers: document
                .list("/spec/containers")
                .iter()
                .map(|container| ContainerRun::new(container, &workload, name, self.seed))
                .collect(),
            ready: false,
            created: now,
            scheduled: None,
            unschedulable: None,
            ready_changed: now,
            deleted: None,
            once: document.text("/spec/restartPolicy") == Some("Never"),
            template: ["pod-template-hash", "controller-revision-hash"]
                .iter()
                .find_map(|key| document.label(key))
                .unwrap_or_default()
                .into(),
        };
        self.admit(owner.namespace_or_empty(), &run)?;
        let object = self.store.create(document.0, manager, now)?;
        run.uid = self.store.get(&object).and_then(|document| document.uid().ok()).unwrap_or_default();
        let bound = run.node.clone();
        self.pods.insert(object.clone(), run);
        if let Some(node) = bound {
            self.bind(&object, &node);
        }
        Ok(object)
    }

    fn workload_of(&self, owner: &ObjectRef) -> ObjectRef {
        let mut top = owner.clone();
        for _ in 0..MAX_OWNERS {
            let above = self.store.get(&top).and_then(|document| document.owners().into_iter().next());
            match above.filter(|above| above.controller) {
                Some(above) => top = above.object,
                None => break,
            }
        }
        top
    }

    /// Gives a pod to a node.
    pub(crate) fn bind(&mut self, object: &ObjectRef, node: &Arc<str>) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(object) else { return };
        pod.node = Some(node.clone());
        pod.scheduled = Some(now);
        pod.unschedulable = None;
        let containers = pod.containers.len();
        self.store.update(object, |document| document["spec"]["nodeName"] = json!(node));
        for index in 0..containers {
            self.step_after(PREPARING, object, index, Step::Pull);
        }
        self.write_pod(object);
    }

    /// Asks a pod to end. One that never ran is gone at once.
    pub(crate) fn delete_pod(&mut self, object: &ObjectRef) {
        let now = self.now;
        let Some(pod) = self.pods.get_mut(object) else { return };
        if pod.deleted.is_some() {
            return;
        }
        pod.deleted = Some(now);
        let (uid, ran) = (pod.uid.clone(), pod.node.is_some());
        let names: Vec<_> = pod
            .containers
            .iter()
            .filter(|container| matches!(container.phase, Phase::Running { .. }))
            .map(|container| container.name.clone())
            .collect();
        if !ran {
            self.pod_gone(object, &uid);
            return;
        }
        self.store.update(object, |document| {
            document["metadata"]["deletionTimestamp"] = json!(stamp(now));
            document["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        });
        for name in names {
            self.tell(object, EventType::Normal, "Killing", format!("Stopping container {name}"), "kubelet");
        }
        self.after(STOPPING, Task::Gone { pod: object.clone(), uid });
    }

    pub(crate) fn pod_gone(&mut self, object: &ObjectRef, uid: &Uid) {
        let Some(pod) = self.pods.get(object).filter(|pod| pod.uid == *uid) else { return };
        // Nobody confirms the end of a pod on a node that does not answer.
        if pod.node.as_ref().is_some_and(|node| self.lost_nodes.contains(node)) {
            return;
        }
        self.pods.remove(object);
        self.store.remove(object);
    }

    pub(crate) fn pods_of(&self, owner: &Uid) -> Vec<ObjectRef> {
        let mut pods = self.store.children(owner, &Kind::Pod);
        pods.retain(|pod| self.pods.contains_key(pod));
        pods
    }

    /// Removes an object and, in the background, all that it controls.
    pub(crate) fn delete_tree(&mut self, object: &ObjectRef) {
        if object.kind == Kind::Pod {
            self.delete_pod(object);
            return;
        }
        let Some(uid) = self.store.get(object).and_then(|document| document.uid().ok()) else { return };
        self.store.remove(object);
        for kind in [Kind::ReplicaSet, Kind::ControllerRevision, Kind::Pod] {
            for child in self.store.children(&uid, &kind) {
                self.delete_tree(&child);
            }
        }
    }

    /// The kubelet of a node comes back.
    pub(crate) fn node_answers(&mut self, node: &str) {
        self.lost_nodes.remove(node);
        let there: Vec<(ObjectRef, Uid, bool)> = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.node.as_deref() == Some(node))
            .map(|(object, pod)| (object.clone(), pod.uid.clone(), pod.deleted.is_some()))
            .collect();
        for (object, uid, deleted) in there {
            if deleted {
                self.pod_gone(&object, &uid);
                continue;
            }
            let Some(pod) = self.pods.get(&object) else { continue };
            for index in 0..pod.containers.len() {
                let running = self.pods[&object].containers[index].is_running();
                // What waited when the node went is tried again; what ran still runs and is probed.
                let step = if running { Step::Probe } else { Step::Pull };
                self.step_after(PREPARING, &object, index, step);
            }
        }
    }
}
