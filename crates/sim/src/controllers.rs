//! The controllers, each a function from what is to what should be.

mod autoscaler;
mod budget;
mod daemon_set;
mod deployment;
mod job;
mod node;
mod quota;
mod replica_set;
mod rollout;
mod stateful_set;

use kubewise_core::document::Document;
use kubewise_core::event::EventType;
use kubewise_core::{ObjectRef, Period};
use serde_json::{Value, json};

use crate::cluster::{Cluster, hash};
use crate::store::stamp;

/// After a pod was refused, the controller tries again.
const CREATE_RETRY: Period = Period::from_secs(15);

impl Cluster {
    /// Creates a pod for a controller and tells about it, also when admission refuses; then it is tried again later.
    fn create_for(
        &mut self,
        owner: &ObjectRef,
        name: &str,
        template: &Value,
        labels: &[(&str, &str)],
        source: &'static str,
    ) -> Result<(), String> {
        match self.create_pod(name, owner, template, labels, "kube-controller-manager") {
            Ok(_) => {
                self.tell(
                    owner,
                    EventType::Normal,
                    "SuccessfulCreate",
                    format!("Created pod: {name}"),
                    source,
                );
                Ok(())
            }
            Err(failure) => {
                let message = format!("Error creating: {failure}");
                self.tell(owner, EventType::Warning, "FailedCreate", message.clone(), source);
                self.retry_after(CREATE_RETRY, owner);
                Err(message)
            }
        }
    }

    fn delete_for(&mut self, owner: &ObjectRef, pod: &ObjectRef, source: &'static str) {
        self.tell(owner, EventType::Normal, "SuccessfulDelete", format!("Deleted pod: {}", pod.name), source);
        self.delete_pod(pod);
    }
}

/// An owner reference to a controller.
fn controlled_by(owner: &ObjectRef, document: &Document) -> Value {
    json!([{
        "apiVersion": document.0.get("apiVersion"), "kind": owner.kind, "name": owner.name,
        "uid": document.0.pointer("/metadata/uid"), "controller": true, "blockOwnerDeletion": true,
    }])
}

/// A pod template without the labels that controllers add.
fn bare_template(document: &Document) -> Value {
    let mut template = document.0.pointer("/spec/template").cloned().unwrap_or_default();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove("pod-template-hash");
    }
    template
}

fn template_hash(template: &Value) -> String {
    hash(&template.to_string())
}

fn min_ready(document: &Document) -> Period {
    Period::from_secs(document.number("/spec/minReadySeconds").unwrap_or(0))
}

/// A condition whose transition time only moves with its status. Gives whether anything of it changed.
fn set_condition(
    conditions: &mut Vec<Value>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: &str,
) {
    let old = conditions.iter().find(|condition| condition["type"] == kind);
    let since =
        old.filter(|old| old["status"] == status).map_or(json!(now), |old| old["lastTransitionTime"].clone());
    let same = old.is_some_and(|old| old["status"] == status && old["reason"] == reason);
    let updated =
        old.filter(|_| same).and_then(|old| old.get("lastUpdateTime")).cloned().unwrap_or(json!(now));
    let condition = json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since, "lastUpdateTime": updated,
    });
    match conditions.iter_mut().find(|condition| condition["type"] == kind) {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

fn now_of(cluster: &Cluster) -> String {
    stamp(cluster.now)
}
