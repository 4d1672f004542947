//! Is there a node for every pod, also while both revisions run? The replacement is played through on paper.
//!
//! Spreading and affinity between pods are not played: where they stand in the way, pods stay pending, and the
//! verification shows it.

use std::collections::BTreeMap;

use kubewise_core::document::Document;
use kubewise_core::{Kind, quantity};
use serde_json::Value;

use super::limits::Growth;
use super::{Case, Finding, never};
use crate::action::TEMPLATE;
use crate::evidence::all_pods::{add, is_alive};
use crate::evidence::amounts::{Amounts, Room, set_aside};

/// The kubelet's default, where a node does not tell.
const DEFAULT_MAX_PODS: f64 = 110.0;

pub(super) fn room(case: &Case<'_>, growth: &Growth) -> Finding {
    let Some(all_pods) = &case.evidence.all_pods else {
        return never("the room on the nodes is not known: not all pods could be listed");
    };
    let template = case.workload.0.pointer(TEMPLATE);
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    if template.and_then(|template| template.pointer(required)).is_some() {
        return never("the room on the nodes is not known: required node affinity is not judged");
    }
    let mut nodes: BTreeMap<&str, Room> = BTreeMap::new();
    for node in case.evidence.nodes.iter().filter(|node| admits(node, template)) {
        if let Some((name, mut free)) = capacity(node) {
            take(&mut free, all_pods.taken(name));
            nodes.insert(name, free);
        }
    }
    let weight_after = weight(growth.after.requests);
    let total = growth.replicas_after;
    let mut placed = 0;
    let in_place = case.object.kind == Kind::DaemonSet;
    let full = || {
        never(format!(
            "no node has room for {} of memory and {} of CPU more",
            quantity::mebibytes(weight_after[0]),
            quantity::millicores(weight_after[1])
        ))
    };
    // Surge pods come before old ones go, each old one then makes room for a new one, added ones come last.
    while placed < growth.surge.min(total) {
        if !place(&mut nodes, weight_after) {
            return full();
        }
        placed += 1;
    }
    if case.changes_template() {
        for pod in case.evidence.pods.iter().filter(|pod| is_alive(pod)) {
            let node = pod.text("/spec/nodeName").unwrap_or_default();
            let mut there = nodes.get_mut(node);
            if let Some(free) = &mut there {
                add(free, set_aside(pod));
            }
            // A DaemonSet's pod stays on its node; any other pod may move.
            let fits_again = match there.filter(|_| in_place) {
                Some(free) => {
                    fits(free, weight_after) && {
                        take(free, weight_after);
                        true
                    }
                }
                None => in_place || placed >= total || place(&mut nodes, weight_after),
            };
            if !fits_again {
                return full();
            }
            placed += 1;
        }
    } else {
        placed = growth.replicas_before;
    }
    while placed < total && !in_place {
        if !place(&mut nodes, weight_after) {
            return full();
        }
        placed += 1;
    }
    Ok(format!("{} nodes have room for every pod, surge included", nodes.len()))
}

/// Whether the node that a pod runs on has room for what it would ask for more.
pub(super) fn in_place(case: &Case<'_>, name: &str, growth: &Growth) -> Finding {
    let node = case.evidence.nodes.iter().filter_map(capacity).find(|(node, _)| *node == name);
    let (Some(all_pods), Some((_, mut free))) = (&case.evidence.all_pods, node) else {
        return never("the room on the pod's node is not known");
    };
    take(&mut free, all_pods.taken(name));
    add(&mut free, weight(growth.before.requests));
    if !fits(&free, weight(growth.after.requests)) {
        return never(format!("node {name} has no room for what the pod would ask for more"));
    }
    Ok(format!("node {name} has room for it"))
}

fn weight([memory, cpu]: Amounts) -> Room {
    [memory, cpu, 1.0]
}

fn take(free: &mut Room, weight: Room) {
    free.iter_mut().zip(weight).for_each(|(free, weight)| *free -= weight);
}

/// What is not asked for needs no room, even on a node that is overcommitted.
fn fits(free: &Room, weight: Room) -> bool {
    free.iter().zip(weight).all(|(free, weight)| weight <= 0.0 || *free >= weight)
}

/// On the node with the most memory to spare.
fn place(nodes: &mut BTreeMap<&str, Room>, weight: Room) -> bool {
    let fitting = nodes.values_mut().filter(|free| fits(free, weight));
    match fitting.max_by(|a, b| a[0].total_cmp(&b[0])) {
        Some(free) => {
            take(free, weight);
            true
        }
        None => false,
    }
}

fn capacity(node: &Document) -> Option<(&str, Room)> {
    let amount = |resource: &str| {
        let value = node.at("/status/allocatable")?.get(resource)?;
        value.as_f64().or_else(|| quantity::parse(value.as_str()?))
    };
    let pods = amount("pods").unwrap_or(DEFAULT_MAX_PODS);
    Some((node.text("/metadata/name")?, [amount("memory")?, amount("cpu")?, pods]))
}

/// Whether the scheduler would put a pod of the template on the node, room aside.
fn admits(node: &Document, template: Option<&Value>) -> bool {
    let ready = node.condition("Ready") == Some("True");
    let cordoned = node.at("/spec/unschedulable").and_then(Value::as_bool) == Some(true);
    let spec = |pointer: &str| template.and_then(|template| template.pointer(pointer));
    let selector = spec("/spec/nodeSelector").and_then(Value::as_object);
    let selected = selector
        .into_iter()
        .flatten()
        .all(|(key, value)| node.label(key).is_some_and(|label| value.as_str() == Some(label)));
    let tolerations =
        spec("/spec/tolerations").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let tolerated = node
        .list("/spec/taints")
        .iter()
        .filter(|taint| taint.get("effect").and_then(Value::as_str) != Some("PreferNoSchedule"))
        .all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, taint)));
    ready && !cordoned && selected && tolerated
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let exists = text(toleration, "operator") == "Exists";
    let key = text(toleration, "key");
    let effect = text(toleration, "effect");
    (effect.is_empty() || effect == text(taint, "effect"))
        && ((key.is_empty() && exists) || key == text(taint, "key"))
        && (exists || text(toleration, "value") == text(taint, "value"))
}
