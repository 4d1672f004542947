//! What is known of the cluster: every object's present state, who owns it, and what its past adds.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kubewise_core::state::{
    JobState, NodeState, ObjectState, PodState, ReplicaSetState, StateDetail, WorkloadState, condition,
};
use kubewise_core::topology::Topology;
use kubewise_core::{Kind, ObjectRef, Period, Uid};

use crate::history::{History, PodHistory, WorkloadHistory};

/// Owner chains in Kubernetes are short; a longer one is a cycle.
const MAX_DEPTH: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct World {
    topology: Topology,
    objects: BTreeMap<ObjectRef, Known>,
    /// Workloads that no other workload owns.
    workloads: BTreeSet<ObjectRef>,
    /// Autoscalers by what they scale.
    autoscalers: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
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
        }
        if let StateDetail::Autoscaler(autoscaler) = &state.detail {
            self.autoscalers.entry(autoscaler.target.clone()).or_default().insert(object.clone());
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
        self.topology.remove(object);
        self.workloads.remove(object);
        let Some(known) = self.objects.remove(object) else { return };
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

    pub(crate) fn is_autoscaled(&self, workload: &ObjectRef) -> bool {
        self.autoscalers.contains_key(workload)
    }

    /// Whether a node is known to be in trouble.
    pub(crate) fn is_node_down(&self, name: &str) -> bool {
        let node = self.objects.get(&ObjectRef::cluster_scoped(Kind::Node, name));
        node.and_then(Known::node).is_some_and(|node| {
            condition(&node.conditions, "Ready").is_some_and(|ready| &*ready.status != "True")
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
            History::Pod(_) | History::Node { .. } | History::None => None,
        }
    }

    pub(crate) fn replica_set(&self) -> Option<&ReplicaSetState> {
        if let StateDetail::ReplicaSet(set) = &self.state.detail { Some(set) } else { None }
    }

    pub(crate) fn job(&self) -> Option<&JobState> {
        if let StateDetail::Job(job) = &self.state.detail { Some(job) } else { None }
    }

    pub(crate) fn node(&self) -> Option<&NodeState> {
        if let StateDetail::Node(node) = &self.state.detail { Some(node) } else { None }
    }
}
