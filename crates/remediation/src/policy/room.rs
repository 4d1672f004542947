//! Is there a node for every pod, also while both revisions run? The replacement is played through on paper.
//!
//! Spreading and affinity between pods are not played: where they stand in the way, pods stay pending, and the
//! verification shows it.

use std::collections::{BTreeMap, BTreeSet};

use kubewise_core::document::Document;
use kubewise_core::{Kind, quantity};
use serde_json::Value;

use super::limits::Growth;
use super::{Case, Finding, never};
use crate::action::TEMPLATE;
use crate::evidence::Evidence;
use crate::evidence::all_pods::{add, is_alive};
use crate::evidence::amounts::{Amounts, Room, amount, amounts, others, set_aside};
use crate::selector::selects_node;

/// The kubelet's default, where a node does not tell.
const DEFAULT_MAX_PODS: f64 = 110.0;

/// Of a cluster with more pods than one list takes, the room is asked for on so many nodes: room for a large rollout, in no
/// more than a second of lists. Room on others is not counted on.
const MOST_NODES: usize = 50;

/// The nodes to look at where not all pods of the cluster can be listed: the workload's own, and then those that could take
/// more of its pods.
pub fn nodes_to_look_at(evidence: &Evidence) -> BTreeSet<String> {
    let template = evidence.workload.as_ref().and_then(|workload| workload.0.pointer(TEMPLATE));
    let own = evidence.pods.iter().filter_map(|pod| pod.text("/spec/nodeName"));
    // Without a template no more pods are made.
    let others = evidence.nodes.iter().filter(|node| template.is_some() && admits(node, template));
    let mut names = BTreeSet::new();
    for name in own.chain(others.filter_map(|node| node.text("/metadata/name"))) {
        if names.len() == MOST_NODES {
            break;
        }
        names.insert(name.to_owned());
    }
    names
}

pub(super) fn room(case: &Case<'_>, growth: &Growth) -> Finding {
    let evidence = case.evidence;
    let whole = evidence.all_pods.is_some();
    if !whole && evidence.looked_at.is_empty() {
        return never("the room on the nodes is not known: not all pods could be listed");
    }
    if case.object.kind == Kind::DaemonSet {
        return on_their_nodes(case, growth);
    }
    let template = case.workload.0.pointer(TEMPLATE);
    let mut nodes: BTreeMap<&str, Room> = BTreeMap::new();
    for node in evidence.nodes.iter().filter(|node| admits(node, template)) {
        nodes.extend(free_on(evidence, node));
    }
    bound_by_others(evidence, growth, &mut nodes)?;
    let which = if whole { "" } else { " of those that were looked at" };
    let weight_after = weight(growth.after.requests);
    let total = growth.replicas_after;
    let mut placed = 0;
    let full = || {
        never(format!(
            "no node{which} has room for {} of memory and {} of CPU more",
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
        for pod in evidence.pods.iter().filter(|pod| is_alive(pod)) {
            if let Some(free) = nodes.get_mut(pod.text("/spec/nodeName").unwrap_or_default()) {
                add(free, set_aside(pod));
            }
            if placed < total && !place(&mut nodes, weight_after) {
                return full();
            }
            placed += 1;
        }
    } else {
        placed = growth.replicas_before;
    }
    while placed < total {
        if !place(&mut nodes, weight_after) {
            return full();
        }
        placed += 1;
    }
    Ok(format!("{} nodes{which} have room for every pod, surge included", nodes.len()))
}

/// A DaemonSet's pods stay on their nodes, also on those that take no other pods. A pod whose node is gone goes with it.
fn on_their_nodes(case: &Case<'_>, growth: &Growth) -> Finding {
    let surge = case.workload.0.pointer("/spec/updateStrategy/rollingUpdate/maxSurge");
    let surges =
        surge.is_some_and(|surge| !matches!(surge.as_str(), Some("0%")) && surge.as_u64() != Some(0));
    for pod in case.evidence.pods.iter().filter(|pod| is_alive(pod)) {
        let name = pod.text("/spec/nodeName").unwrap_or_default();
        let left = if surges { Room::default() } else { set_aside(pod) };
        if case.evidence.nodes.iter().any(|node| node.text("/metadata/name") == Some(name)) {
            stays(case, name, left, growth)?;
        }
    }
    Ok("each pod has room where it is".into())
}

/// Whether the node that a pod runs on has room for what it would ask for more.
pub(super) fn in_place(case: &Case<'_>, name: &str, growth: &Growth) -> Finding {
    stays(case, name, weight(growth.before.requests), growth)
}

/// Whether there is room on a node once what is there of a pod has left.
fn stays(case: &Case<'_>, name: &str, left: Room, growth: &Growth) -> Finding {
    let node = case.evidence.nodes.iter().find(|node| node.text("/metadata/name") == Some(name));
    let Some((_, mut free)) = node.and_then(|node| free_on(case.evidence, node)) else {
        return never(format!("the room on node {name} is not known"));
    };
    add(&mut free, left);
    if !fits(&free, weight(growth.after.requests)) {
        return never(format!("node {name} has no room for what the pod would ask for more"));
    }
    Ok(format!("node {name} has room for it"))
}

/// What a node has left; `None` if that is not known.
fn free_on<'a>(evidence: &Evidence, node: &'a Document) -> Option<(&'a str, Room)> {
    let (name, mut free) = capacity(node)?;
    take(&mut free, evidence.taken(name)?);
    Some((name, free))
}

/// A node takes no more pods than it has left of what each asks for besides.
fn bound_by_others(evidence: &Evidence, growth: &Growth, nodes: &mut BTreeMap<&str, Room>) -> Finding {
    for (resource, each) in growth.after.others.iter().filter(|(_, each)| *each > 0.0) {
        if evidence.all_pods.is_none() {
            return never(format!("the room for {resource} is not known: not all pods could be listed"));
        }
        let mut left: BTreeMap<&str, f64> = BTreeMap::new();
        for node in evidence.nodes.iter() {
            let allocatable = node.at("/status/allocatable").and_then(|all| amount(all, resource));
            left.extend(node.text("/metadata/name").map(|name| (name, allocatable.unwrap_or(0.0))));
        }
        for pod in evidence.every_pod().filter(|pod| is_alive(pod)) {
            if let Some(left) = pod.text("/spec/nodeName").and_then(|node| left.get_mut(node)) {
                *left -= others(&pod.0).get(&**resource).unwrap_or(&0.0);
            }
        }
        for (name, [_, _, pods]) in nodes.iter_mut() {
            *pods = pods.min((left.get(name).unwrap_or(&0.0) / each).floor());
        }
    }
    Ok(String::new())
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
    let allocatable = node.at("/status/allocatable")?;
    let [memory, cpu] = amounts(allocatable);
    let pods = amount(allocatable, "pods").unwrap_or(DEFAULT_MAX_PODS);
    Some((node.text("/metadata/name")?, [memory?, cpu?, pods]))
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
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let drawn = spec(required).is_none_or(|required| selects_node(required, node));
    let tolerations =
        spec("/spec/tolerations").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let tolerated = node
        .list("/spec/taints")
        .iter()
        .filter(|taint| taint.get("effect").and_then(Value::as_str) != Some("PreferNoSchedule"))
        .all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, taint)));
    ready && !cordoned && selected && drawn && tolerated
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
