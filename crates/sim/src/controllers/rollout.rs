//! How a Deployment moves from its old ReplicaSets to the new one: surge, unavailability, order.

use std::collections::BTreeMap;

use kubewise_core::document::Document;
use kubewise_core::event::EventType;
use kubewise_core::{ObjectRef, Timestamp};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::read::{count, share};

/// A ReplicaSet as its Deployment sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Set {
    pub(super) object: ObjectRef,
    pub(super) revision: u64,
    pub(super) created: Option<Timestamp>,
    /// Wanted, there, ready, available.
    pub(super) wanted: u32,
    pub(super) replicas: u32,
    pub(super) ready: u32,
    pub(super) available: u32,
}

impl Set {
    pub(super) fn of(object: &ObjectRef, document: &Document) -> Self {
        let revision = document.annotation(super::deployment::REVISION).and_then(|text| text.parse().ok());
        Set {
            object: object.clone(),
            revision: revision.unwrap_or(0),
            created: document.time("/metadata/creationTimestamp"),
            wanted: count(document, "/spec/replicas"),
            replicas: count(document, "/status/replicas"),
            ready: count(document, "/status/readyReplicas"),
            available: count(document, "/status/availableReplicas"),
        }
    }
}

/// How many may be there beyond, and missing from, the wanted replicas.
pub(super) fn bounds(deployment: &Document, desired: u32) -> (u32, u32) {
    let of = |field: &str, round_up: bool| {
        let value = deployment.0.pointer(&format!("/spec/strategy/rollingUpdate/{field}"));
        share(value.or(Some(&json!("25%"))), desired, round_up).unwrap_or(0)
    };
    let (surge, unavailable) = (of("maxSurge", true), of("maxUnavailable", false).min(desired));
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// The number of replicas that each ReplicaSet should want next; only what changes is named. `old` is in the
/// order of creation.
pub(super) fn next(
    deployment: &Document,
    desired: u32,
    new: Option<&Set>,
    old: &[Set],
) -> BTreeMap<ObjectRef, u32> {
    let mut next = BTreeMap::new();
    let Some(new) = new else {
        // Paused before its first revision was made, or between revisions: only the newest set is scaled.
        if let Some(newest) = old.last().filter(|newest| newest.wanted != desired) {
            next.insert(newest.object.clone(), desired);
        }
        return next;
    };
    if deployment.text("/spec/strategy/type") == Some("Recreate") {
        for set in old.iter().filter(|set| set.wanted > 0) {
            next.insert(set.object.clone(), 0);
        }
        if old.iter().all(|set| set.replicas == 0 && set.wanted == 0) && new.wanted != desired {
            next.insert(new.object.clone(), desired);
        }
        return next;
    }
    let (surge, unavailable) = bounds(deployment, desired);
    let all: u32 = old.iter().map(|set| set.wanted).sum::<u32>() + new.wanted;
    if new.wanted > desired {
        next.insert(new.object.clone(), desired);
        return next;
    }
    let room = (desired + surge).saturating_sub(all);
    if new.wanted < desired && room > 0 {
        next.insert(new.object.clone(), new.wanted + room.min(desired - new.wanted));
        return next;
    }
    let least = desired.saturating_sub(unavailable); // nothing is wanted of a Deployment scaled to zero
    let missing_of_new = new.wanted.saturating_sub(new.available);
    let mut may_go = all.saturating_sub(least + missing_of_new);
    if may_go == 0 {
        return next; // also while what was asked for last is not done yet
    }
    // First what does not work anyway.
    let mut wanted: Vec<u32> = old.iter().map(|set| set.wanted).collect();
    for (set, wanted) in old.iter().zip(&mut wanted) {
        let going = set.wanted.saturating_sub(set.available).min(may_go);
        *wanted -= going;
        may_go -= going;
    }
    let available: u32 = old.iter().map(|set| set.available).sum::<u32>() + new.available;
    let mut may_go = available.saturating_sub(least).min(may_go);
    for (set, wanted) in old.iter().zip(&mut wanted) {
        let going = set.available.min(*wanted).min(may_go);
        *wanted -= going;
        may_go -= going;
    }
    for (set, wanted) in old.iter().zip(wanted).filter(|(set, wanted)| set.wanted != *wanted) {
        next.insert(set.object.clone(), wanted);
    }
    next
}

impl Cluster {
    pub(super) fn scale_set(&mut self, deployment: &ObjectRef, set: &Set, replicas: u32) {
        let verb = if replicas > set.wanted { "up" } else { "down" };
        self.store.update(&set.object, |document| document["spec"]["replicas"] = json!(replicas));
        let message =
            format!("Scaled {verb} replica set {} from {} to {replicas}", set.object.name, set.wanted);
        self.tell(deployment, EventType::Normal, "ScalingReplicaSet", message, "deployment-controller");
    }
}

/// Labels with one more, of an object's template or selector.
pub(super) fn with_label(value: Option<&Value>, pointer: &str, key: &str, label: &str) -> Value {
    let mut value = value.cloned().unwrap_or_else(|| json!({}));
    if value.pointer(pointer).is_none() {
        let parent = pointer.trim_start_matches('/').split('/').collect::<Vec<_>>();
        let mut node = &mut value;
        for part in parent {
            node = &mut node[part];
        }
        *node = json!({});
    }
    if let Some(labels) = value.pointer_mut(pointer) {
        labels[key] = json!(label);
    }
    value
}
