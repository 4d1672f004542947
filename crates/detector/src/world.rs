//! What is known of the cluster: every object's present state, who owns it, and what its past adds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kubewise_core::state::{
    JobState, NodeState, ObjectState, PodState, ReplicaSetState, StateDetail, WorkloadState, condition,
};
use kubewise_core::topology::Topology;
use kubewise_core::{Kind, ObjectRef, Period, Uid};

use crate::history::{History, NodeHistory, PodHistory, WorkloadHistory};
use crate::services::{Service, Services};

/// Owner chains in Kubernetes are short; a longer one is a cycle.
const MAX_DEPTH: usize = 8;
/// Pods whose nodes are looked at for what led up to a workload's trouble.
const MAX_NODES: usize = 32;
/// Whom more need is a hub: each of them is looked at before and after a repair, and these tell enough.
const MAX_DEPENDANTS: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct World {
    topology: Topology,
    objects: BTreeMap<ObjectRef, Known>,
    /// Workloads that no other workload owns.
    workloads: BTreeSet<ObjectRef>,
    /// Autoscalers by what they scale.
    autoscalers: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
    services: Services,
    /// Pods by the hosts that they are told of.
    told_of: BTreeMap<Arc<str>, BTreeSet<ObjectRef>>,
    /// Nodes that are to be emptied.
    cordoned: BTreeSet<Arc<str>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) state: ObjectState,
    pub(crate) history: History,
    /// When the watch last spoke of it.
    pub(crate) heard_at: Timestamp,
}

impl World {
    /// Takes in a state. An object of another uid under the same name has no past.
    pub(crate) fn apply(&mut self, state: &ObjectState, window: Period, now: Timestamp) {
        let object = &state.object;
        let known = self.objects.get(object).filter(|known| known.state.uid == state.uid);
        // An autoscaler may have been given another target.
        let settled = known.is_some_and(|known| known.state.owner == state.owner)
            && object.kind != Kind::HorizontalPodAutoscaler;
        let mut history = known.map_or_else(|| History::new(&state.detail), |known| known.history.clone());
        if !settled {
            self.forget(object);
            self.topology.apply(state);
            let owned = state.owner.as_ref().is_some_and(|owner| owner.object.kind.is_workload());
            if object.kind.is_workload() && !owned {
                self.workloads.insert(object.clone());
            }
            if let StateDetail::Pod(pod) = &state.detail {
                for host in &pod.hosts {
                    self.told_of.entry(host.clone()).or_default().insert(object.clone());
                }
            }
        }
        if let StateDetail::Autoscaler(autoscaler) = &state.detail {
            self.autoscalers.entry(autoscaler.target.clone()).or_default().insert(object.clone());
        }
        if let StateDetail::Service(route) = &state.detail {
            self.services.apply(object, &state.uid, route, now);
        }
        if let StateDetail::Node(node) = &state.detail {
            if node.unschedulable {
                self.cordoned.insert(object.name.clone());
            } else {
                self.cordoned.remove(&object.name);
            }
        }
        history.update(state, window, now);
        let known = Known { state: state.clone(), history, heard_at: now };
        self.objects.insert(object.clone(), known);
    }

    /// Removes an object, unless another of the same name has taken its place.
    pub(crate) fn remove(&mut self, object: &ObjectRef, uid: &Uid) {
        if self.objects.get(object).is_some_and(|known| known.state.uid == *uid) {
            self.forget(object);
        }
    }

    fn forget(&mut self, object: &ObjectRef) {
        let workload = self.workload_of(object);
        self.topology.remove(object);
        self.workloads.remove(object);
        let Some(known) = self.objects.remove(object) else { return };
        if let StateDetail::Pod(pod) = &known.state.detail {
            for host in &pod.hosts {
                if let Some(pods) = self.told_of.get_mut(host) {
                    pods.remove(object);
                    if pods.is_empty() {
                        self.told_of.remove(host);
                    }
                }
            }
            if let Some(workload) = workload {
                self.services.pod_gone(object.namespace_or_empty(), pod, &workload);
            }
        }
        if object.kind == Kind::Node {
            self.cordoned.remove(&object.name);
        }
        if object.kind == Kind::Service {
            self.services.remove(object);
        }
        if let StateDetail::Autoscaler(autoscaler) = &known.state.detail
            && let Some(of_target) = self.autoscalers.get_mut(&autoscaler.target)
        {
            of_target.remove(object);
            if of_target.is_empty() {
                self.autoscalers.remove(&autoscaler.target);
            }
        }
    }

    pub(crate) fn get(&self, object: &ObjectRef) -> Option<&Known> {
        self.objects.get(object)
    }

    /// To change an object's state by other means than the watch; its history is brought up to date after.
    pub(crate) fn change(
        &mut self,
        object: &ObjectRef,
        window: Period,
        now: Timestamp,
        change: impl FnOnce(&mut Known) -> bool,
    ) -> bool {
        let Some(known) = self.objects.get_mut(object) else { return false };
        let changed = change(known);
        if changed {
            let Known { state, history, .. } = known;
            history.update(state, window, now);
        }
        changed
    }

    pub(crate) fn workload_of(&self, object: &ObjectRef) -> Option<ObjectRef> {
        self.topology.workload_of(object)
    }

    /// Everything below a workload that it controls, and the workload itself, in order of name.
    pub(crate) fn objects_of(&self, workload: &ObjectRef) -> Vec<&Known> {
        let mut found = BTreeMap::new();
        let mut level = vec![workload];
        for _ in 0..MAX_DEPTH {
            let mut below = Vec::new();
            for object in level {
                if let Some(known) = self.objects.get(object)
                    && found.insert(object, known).is_none()
                {
                    below.extend(self.topology.children_of(object));
                } else if !self.objects.contains_key(object) {
                    below.extend(self.topology.children_of(object)); // its owner is not known yet
                }
            }
            level = below;
        }
        found.into_values().collect()
    }

    /// What a workload needs, as far as names tell: the workloads behind the services that its pods are told of, and
    /// the claims that they mount; itself left out, in order.
    pub(crate) fn needs(&self, workload: &ObjectRef) -> BTreeSet<ObjectRef> {
        let namespace = workload.namespace_or_empty();
        let pods: Vec<&PodState> =
            self.objects_of(workload).into_iter().filter_map(|known| Some(known.pod()?.0)).collect();
        let claims: BTreeSet<_> = pods.iter().flat_map(|pod| &pod.claims).collect();
        let hosts: BTreeSet<_> = pods.iter().flat_map(|pod| &pod.hosts).collect();
        let mut needs: BTreeSet<ObjectRef> = claims
            .into_iter()
            .map(|claim| ObjectRef::namespaced(Kind::PersistentVolumeClaim, namespace, claim.clone()))
            .collect();
        for host in hosts {
            if let Some((namespace, _, selection)) = self.services.find(host, namespace) {
                let pods = self.pods_in(namespace).filter(|(_, pod)| selection.selects(pod));
                needs.extend(pods.filter_map(|(object, _)| self.workload_of(object)));
                needs.extend(selection.past().cloned());
            }
        }
        needs.remove(workload);
        needs
    }

    /// Who needs a workload, as far as names tell: those whose pods are told of a Service that stands for it; a few of
    /// them, in order.
    pub(crate) fn dependants(&self, workload: &ObjectRef) -> Vec<ObjectRef> {
        let pods: Vec<&PodState> =
            self.objects_of(workload).into_iter().filter_map(|known| Some(known.pod()?.0)).collect();
        let services: BTreeSet<(&str, &str)> = self.services.standing_for(workload, &pods).collect();
        let may_mean =
            |host: &str| host.split('.').take(2).any(|label| services.iter().any(|(_, name)| *name == label));
        let mut found = BTreeSet::new();
        for (host, pods) in self.told_of.iter().filter(|(host, _)| may_mean(host)) {
            for pod in pods {
                let service = self.services.find(host, pod.namespace_or_empty());
                if service.is_some_and(|(namespace, name, _)| services.contains(&(namespace, name))) {
                    found.extend(self.workload_of(pod).filter(|needing| needing != workload));
                }
            }
        }
        found.into_iter().take(MAX_DEPENDANTS).collect()
    }

    /// The nodes that a workload's pods are on, a few of them: trouble of one is seen on any.
    pub(crate) fn nodes_of(&self, workload: &ObjectRef) -> BTreeSet<ObjectRef> {
        let pods = self.objects_of(workload).into_iter().filter_map(|known| known.pod());
        let names = pods.filter_map(|(pod, _)| pod.node.clone()).take(MAX_NODES);
        names.map(|name| ObjectRef::cluster_scoped(Kind::Node, name)).collect()
    }

    /// A workload that should have replicas and has none available.
    pub(crate) fn is_down(&self, workload: &ObjectRef) -> bool {
        let state = self.get(workload).and_then(|known| known.workload());
        state.is_some_and(|(state, _)| state.desired > 0 && state.available == 0)
    }

    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    pub(crate) fn services_mut(&mut self) -> &mut Services {
        &mut self.services
    }

    /// The Services that were seen leading to a workload.
    pub(crate) fn services_of(&self, workload: &ObjectRef) -> impl Iterator<Item = (&ObjectRef, &Service)> {
        self.services.of(workload)
    }

    /// The autoscalers of a workload.
    pub(crate) fn autoscalers_of(&self, workload: &ObjectRef) -> impl Iterator<Item = &Known> {
        let names = self.autoscalers.get(workload).into_iter().flatten();
        names.filter_map(|name| self.objects.get(name))
    }

    pub(crate) fn pods_in(&self, namespace: &str) -> impl Iterator<Item = (&ObjectRef, &PodState)> {
        let first = ObjectRef::namespaced(Kind::Pod, namespace, "");
        self.objects
            .range(first..)
            .take_while(move |(object, _)| {
                object.kind == Kind::Pod && object.namespace_or_empty() == namespace
            })
            .filter_map(|(object, known)| Some((object, known.pod()?.0)))
    }

    pub(crate) fn is_autoscaled(&self, workload: &ObjectRef) -> bool {
        self.autoscalers.contains_key(workload)
    }

    /// Whether a node is known to be in trouble.
    pub(crate) fn is_node_down(&self, name: &str) -> bool {
        let node = self.objects.get(&ObjectRef::cluster_scoped(Kind::Node, name));
        node.and_then(Known::node).is_some_and(|(node, _)| {
            condition(&node.conditions, "Ready").is_some_and(|ready| &*ready.status != "True")
        })
    }

    /// Whether a node runs out of something, and evicts.
    pub(crate) fn is_node_pressed(&self, name: &str) -> bool {
        let node = self.objects.get(&ObjectRef::cluster_scoped(Kind::Node, name));
        node.and_then(Known::node).is_some_and(|(_, history)| history.pressed_since.is_some())
    }

    /// Whether a node is to be emptied: its pods leave, and work moves away from them.
    pub(crate) fn is_cordoned(&self, name: &str) -> bool {
        self.cordoned.contains(name)
    }

    /// Whether what is measured of an object should go on coming.
    pub(crate) fn is_running(&self, object: &ObjectRef) -> bool {
        self.get(object).is_some_and(|known| match known.pod() {
            Some((pod, _)) => &*pod.phase == "Running" && known.state.deleted.is_none(),
            None => true,
        })
    }

    pub(crate) fn objects(&self) -> usize {
        self.objects.len()
    }

    pub(crate) fn workloads(&self) -> usize {
        self.workloads.len()
    }
}

impl Known {
    pub(crate) fn pod(&self) -> Option<(&PodState, &PodHistory)> {
        match (&self.state.detail, &self.history) {
            (StateDetail::Pod(pod), History::Pod(history)) => Some((pod, history)),
            _ => None,
        }
    }

    pub(crate) fn workload(&self) -> Option<(&WorkloadState, &WorkloadHistory)> {
        match (&self.state.detail, &self.history) {
            (StateDetail::Workload(workload), History::Workload(history)) => Some((workload, history)),
            _ => None,
        }
    }

    pub(crate) fn workload_history(&mut self) -> Option<&mut WorkloadHistory> {
        match &mut self.history {
            History::Workload(history) => Some(history),
            History::Pod(_) | History::Node(_) | History::None => None,
        }
    }

    pub(crate) fn replica_set(&self) -> Option<&ReplicaSetState> {
        if let StateDetail::ReplicaSet(set) = &self.state.detail { Some(set) } else { None }
    }

    pub(crate) fn job(&self) -> Option<&JobState> {
        if let StateDetail::Job(job) = &self.state.detail { Some(job) } else { None }
    }

    pub(crate) fn node(&self) -> Option<(&NodeState, &NodeHistory)> {
        match (&self.state.detail, &self.history) {
            (StateDetail::Node(node), History::Node(history)) => Some((node, history)),
            _ => None,
        }
    }
}
