//! The scheduler: a node with room for what a pod requests, that the pod may run on.

use std::collections::BTreeMap;
use std::sync::Arc;

use kubewise_core::document::Document;
use kubewise_core::event::EventType;
use kubewise_core::{Kind, ObjectRef, Period};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::read::quantity;

/// A pod that fits nowhere is tried again, besides at each change that makes room.
const RETRY: Period = Period::from_secs(60);

impl Cluster {
    /// Gives an unscheduled pod to the node with the most free memory that takes it.
    pub(crate) fn schedule(&mut self, object: &ObjectRef) {
        let Some(pod) = self.pods.get(object).filter(|pod| pod.node.is_none() && pod.deleted.is_none())
        else {
            return;
        };
        let Some(document) = self.store.get(object) else { return };
        let requests = pod.requests();
        let used = self.used();
        let mut refusals: BTreeMap<&str, u32> = BTreeMap::new();
        let mut best: Option<(f64, Arc<str>)> = None;
        let mut total = 0;
        for (node, state) in self.store.list(&Kind::Node, None) {
            total += 1;
            match room(state, document, requests, used.get(&node.name).copied().unwrap_or_default()) {
                Ok(left) if best.as_ref().is_none_or(|(most, _)| left > *most) => {
                    best = Some((left, node.name.clone()));
                }
                Ok(_) => {}
                Err(reason) => *refusals.entry(reason).or_default() += 1,
            }
        }
        if let Some((_, node)) = best {
            let place = format!("{}/{}", object.namespace_or_empty(), object.name);
            let message = format!("Successfully assigned {place} to {node}");
            self.tell(object, EventType::Normal, "Scheduled", message, "default-scheduler");
            self.bind(object, &node);
            return;
        }
        let reasons: Vec<String> =
            refusals.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let message = format!("0/{total} nodes are available: {}.", reasons.join(", "));
        self.tell(object, EventType::Warning, "FailedScheduling", message.clone(), "default-scheduler");
        if let Some(pod) = self.pods.get_mut(object) {
            pod.unschedulable = Some(message);
        }
        self.write_pod(object);
        self.retry_after(RETRY, object);
    }

    /// CPU, memory and pods in use on each node.
    fn used(&self) -> BTreeMap<Arc<str>, [f64; 3]> {
        let mut used: BTreeMap<Arc<str>, [f64; 3]> = BTreeMap::new();
        for pod in self.pods.values().filter(|pod| !pod.is_over()) {
            if let Some(node) = &pod.node {
                let [cpu, memory] = pod.requests();
                let entry = used.entry(node.clone()).or_default();
                *entry = [entry[0] + cpu, entry[1] + memory, entry[2] + 1.0];
            }
        }
        used
    }
}

/// Memory left after the pod, or why the node does not take it.
fn room(node: &Document, pod: &Document, requests: [f64; 2], used: [f64; 3]) -> Result<f64, &'static str> {
    if node.0.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        return Err("node(s) were unschedulable");
    }
    let tolerations = pod.list("/spec/tolerations");
    let repels = |taint: &&Value| {
        taint["effect"] != "PreferNoSchedule"
            && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
    };
    if node.list("/spec/taints").iter().any(|taint| repels(&taint)) {
        return Err("node(s) had untolerated taint(s)");
    }
    let selector = pod.0.pointer("/spec/nodeSelector").and_then(Value::as_object);
    let labels = node.0.pointer("/metadata/labels");
    if !selector
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    {
        return Err("node(s) didn't match Pod's node affinity/selector");
    }
    let capacity =
        |resource: &str| quantity(node.0.pointer("/status/allocatable").and_then(|a| a.get(resource)));
    let left = |resource: &str, used: f64, wanted: f64| capacity(resource).unwrap_or(0.0) - used - wanted;
    if left("cpu", used[0], requests[0]) < 0.0 {
        return Err("Insufficient cpu");
    }
    if left("pods", used[2], 1.0) < 0.0 {
        return Err("Too many pods");
    }
    let memory = left("memory", used[1], requests[1]);
    if memory < 0.0 { Err("Insufficient memory") } else { Ok(memory) }
}

pub(crate) fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let exists = text(toleration, "operator") == "Exists";
    let (key, effect) = (text(toleration, "key"), text(toleration, "effect"));
    (effect.is_empty() || effect == text(taint, "effect"))
        && ((key.is_empty() && exists) || key == text(taint, "key"))
        && (exists || text(toleration, "value") == text(taint, "value"))
}
