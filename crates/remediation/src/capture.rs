//! What is saved before a step that takes pods down, and in which shape.

use std::borrow::Cow;
use std::cmp::Reverse;

use kubewise_core::document::Document;
use kubewise_core::mask::mask;
use kubewise_core::plan::{Operation, PlanStep};
use serde_json::Value;

use crate::author::redact;
use crate::revision::is_ready;

/// Of the pods that a rollout replaces, so many are saved: a workload's pods fail alike.
const MAX_PODS: usize = 3;
/// Characters of a log: the end of it is where the cause stands.
const MAX_LOG: usize = 16 * 1024;

/// The pods that a step takes down and that are worth saving, of all that are known: the evicted one, or those of the
/// workload whose trouble tells most.
pub fn pods(step: &PlanStep, mut known: Vec<Document>) -> Vec<Document> {
    if let Operation::Evict { uid, .. } = &step.operation {
        known.retain(|pod| pod.uid().is_ok_and(|own| own == *uid));
    }
    known.sort_by_cached_key(|pod| {
        (is_ready(pod), Reverse(restarts(pod)), pod.text("/metadata/name").map(ToOwned::to_owned))
    });
    known.truncate(MAX_PODS);
    known
}

/// The logs of a pod that can be had: container, and whether of its previous run.
pub fn logs(pod: &Document) -> Vec<(String, bool)> {
    let statuses =
        pod.list("/status/initContainerStatuses").iter().chain(pod.list("/status/containerStatuses"));
    let named = statuses.filter_map(|status| Some((status.get("name")?.as_str()?.to_owned(), status)));
    named
        .flat_map(|(name, status)| {
            let restarted = status.get("restartCount").and_then(Value::as_u64).unwrap_or(0) > 0;
            let began = status.pointer("/state/waiting").is_none();
            let previous = restarted.then(|| (name.clone(), true));
            previous.into_iter().chain(began.then_some((name, false)))
        })
        .collect()
}

/// A pod without what may be secret, and without what only machines read.
pub fn redacted(pod: &Document) -> Value {
    let mut pod = pod.0.clone();
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    redact_texts(&mut pod);
    mask(&mut pod);
    pod
}

/// Takes known secrets out of every text.
fn redact_texts(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(_, inner)| redact_texts(inner)),
        Value::Array(items) => items.iter_mut().for_each(redact_texts),
        Value::String(text) => {
            if let Cow::Owned(without) = redact(text) {
                *text = without;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The end of a log without its secrets, and whether something was cut.
pub fn tail(log: &str) -> (String, bool) {
    let log = redact(log);
    let length = log.chars().count();
    (log.chars().skip(length.saturating_sub(MAX_LOG)).collect(), length > MAX_LOG)
}

fn restarts(pod: &Document) -> u64 {
    let statuses = pod.list("/status/containerStatuses").iter();
    statuses.filter_map(|status| status.get("restartCount")?.as_u64()).sum()
}
