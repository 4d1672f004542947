//! Who owns whom: from a pod to the workload that gives it its identity.

use std::collections::BTreeMap;

use crate::object::{Kind, ObjectRef, Uid};
use crate::state::{ObjectState, Owner};

/// Owner chains in Kubernetes are short (pod, ReplicaSet, Deployment, operator); a longer one is a cycle.
const MAX_DEPTH: usize = 8;

/// The objects of the cluster with their controllers.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    nodes: BTreeMap<ObjectRef, (Uid, Option<Owner>)>,
    /// Controlled objects by controller.
    children: BTreeMap<ObjectRef, Vec<ObjectRef>>,
}

impl Topology {
    pub fn apply(&mut self, state: &ObjectState) {
        self.remove(&state.object);
        if let Some(owner) = &state.owner {
            self.children.entry(owner.object.clone()).or_default().push(state.object.clone());
        }
        self.nodes.insert(state.object.clone(), (state.uid.clone(), state.owner.clone()));
    }

    pub fn remove(&mut self, object: &ObjectRef) {
        let Some((_, Some(owner))) = self.nodes.remove(object) else { return };
        if let Some(siblings) = self.children.get_mut(&owner.object) {
            siblings.retain(|sibling| sibling != object);
            if siblings.is_empty() {
                self.children.remove(&owner.object);
            }
        }
    }

    pub fn contains(&self, object: &ObjectRef) -> bool {
        self.nodes.contains_key(object)
    }

    pub fn uid(&self, object: &ObjectRef) -> Option<&Uid> {
        self.nodes.get(object).map(|(uid, _)| uid)
    }

    /// The topmost owner that is a workload. A node, and a pod that nobody controls, is its own. `None` while
    /// the object is not known, so that nothing is learnt under a wrong name.
    pub fn workload_of(&self, object: &ObjectRef) -> Option<ObjectRef> {
        let mut workload = object;
        let mut current = object;
        for _ in 0..MAX_DEPTH {
            let Some((_, owner)) = self.nodes.get(current) else {
                // An owner that is named but not yet seen counts, if it cannot have a workload above it.
                let may_be_owned = matches!(current.kind, Kind::ReplicaSet | Kind::Job);
                return (current != object && !may_be_owned).then(|| workload.clone());
            };
            let Some(owner) = owner else { break };
            if owner.object.kind.is_workload() {
                workload = &owner.object;
            }
            current = &owner.object;
        }
        Some(workload.clone())
    }

    /// Objects that this one controls, directly.
    pub fn children_of(&self, object: &ObjectRef) -> &[ObjectRef] {
        self.children.get(object).map_or(&[], Vec::as_slice)
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
