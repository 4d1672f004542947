//! ResourceQuotas: what a namespace may hold, and what it does.

use std::collections::BTreeMap;

use kubewise_core::{Failure, Kind, ObjectRef, Rejection, quantity};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kubelet::PodRun;
use crate::read;

/// What pods take, by the quota's names.
fn takes(pod: &PodRun) -> [(&'static str, f64); 7] {
    let ([cpu, memory], [cpu_limit, memory_limit]) = (pod.requests(), pod.limits());
    [
        ("pods", 1.0),
        ("cpu", cpu),
        ("memory", memory),
        ("requests.cpu", cpu),
        ("requests.memory", memory),
        ("limits.cpu", cpu_limit),
        ("limits.memory", memory_limit),
    ]
}

fn written(resource: &str, amount: f64) -> String {
    match resource {
        "pods" => format!("{amount}"),
        _ if resource.ends_with("memory") => quantity::mebibytes(amount),
        _ => quantity::millicores(amount),
    }
}

impl Cluster {
    pub(crate) fn quota(&mut self, object: &ObjectRef) {
        let Some(document) = self.store.get(object).cloned() else { return };
        let hard = document.0.pointer("/spec/hard").cloned().unwrap_or_else(|| json!({}));
        let used = self.in_namespace(object.namespace_or_empty());
        let used: Value = hard
            .as_object()
            .into_iter()
            .flatten()
            .map(|(resource, _)| {
                let amount = used.get(resource.as_str()).copied().unwrap_or(0.0);
                (resource.clone(), json!(written(resource, amount)))
            })
            .collect();
        self.store.set_status(object, json!({ "hard": hard, "used": used }));
    }

    fn in_namespace(&self, namespace: &str) -> BTreeMap<&'static str, f64> {
        let mut used = BTreeMap::new();
        let there = self
            .pods
            .iter()
            .filter(|(object, pod)| object.namespace_or_empty() == namespace && !pod.is_over());
        for (resource, amount) in there.flat_map(|(_, pod)| takes(pod)) {
            *used.entry(resource).or_insert(0.0) += amount;
        }
        used
    }

    /// Admission of a new pod.
    pub(crate) fn admit(&self, namespace: &str, pod: &PodRun) -> Result<(), Failure> {
        let mut used = None;
        for (quota, document) in self.store.list(&Kind::ResourceQuota, Some(namespace)) {
            let used = used.get_or_insert_with(|| self.in_namespace(namespace));
            for (resource, wanted) in takes(pod) {
                let hard = document.0.pointer("/spec/hard").and_then(|hard| hard.get(resource));
                let Some(hard) = read::quantity(hard) else { continue };
                let there = used.get(resource).copied().unwrap_or(0.0);
                if there + wanted > hard {
                    let message = format!(
                        "exceeded quota: {}, requested: {resource}={}, used: {resource}={}, limited: {resource}={}",
                        quota.name,
                        written(resource, wanted),
                        written(resource, there),
                        written(resource, hard)
                    );
                    return Err(Failure::Rejected { reason: Rejection::Forbidden, message });
                }
            }
        }
        Ok(())
    }
}
