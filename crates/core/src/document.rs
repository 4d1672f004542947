//! A Kubernetes object as the API server gives it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::object::{Kind, ObjectRef, Uid};
use crate::state::{ObjectState, Owner};

/// A whole object as JSON, with readers for what every object has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(pub Value);

/// A document without kind, name or uid: not an object of the API server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Kubernetes object: {missing} is missing or not a string")]
pub struct NotAnObject {
    pub missing: &'static str,
}

/// As [`Value::pointer`], which makes a copy of each part of the pointer: reading states is most of what planning does.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    if pointer.contains('~') {
        return value.pointer(pointer);
    }
    pointer.split('/').skip(1).try_fold(value, |value, part| match value.as_array() {
        Some(items) => items.get(part.parse::<usize>().ok()?),
        None => value.get(part),
    })
}

impl Document {
    /// What is at a JSON pointer.
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        at(&self.0, pointer)
    }

    /// The text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.at(pointer)?.as_str()
    }

    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.at(pointer)?.as_u64()
    }

    pub fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub fn time(&self, pointer: &str) -> Option<Timestamp> {
        self.text(pointer)?.parse().ok()
    }

    pub fn object(&self) -> Result<ObjectRef, NotAnObject> {
        let need = |pointer, missing| self.text(pointer).ok_or(NotAnObject { missing });
        Ok(ObjectRef {
            kind: Kind::from(need("/kind", "kind")?),
            namespace: self.text("/metadata/namespace").map(Into::into),
            name: need("/metadata/name", "metadata.name")?.into(),
        })
    }

    pub fn uid(&self) -> Result<Uid, NotAnObject> {
        self.text("/metadata/uid").map(Uid::from).ok_or(NotAnObject { missing: "metadata.uid" })
    }

    /// When the contents of a ConfigMap or Secret last changed: the newest writer of data that its managed fields name, else
    /// when it was made. Who only labels it changes nothing that a pod reads.
    pub fn contents_changed_at(&self) -> Option<Timestamp> {
        let writers = self.list("/metadata/managedFields").iter();
        let of_data = writers.filter(|writer| {
            ["/fieldsV1/f:data", "/fieldsV1/f:binaryData"].iter().any(|field| writer.pointer(field).is_some())
        });
        let newest = of_data.filter_map(|writer| writer.get("time")?.as_str()?.parse().ok()).max();
        newest.or_else(|| self.time("/metadata/creationTimestamp"))
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.at("/metadata/annotations")?.get(key)?.as_str()
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.at("/metadata/labels")?.get(key)?.as_str()
    }

    /// The status of a condition: `True`, `False`, `Unknown`.
    pub fn condition(&self, of: &str) -> Option<&str> {
        let named = |condition: &&Value| condition.get("type").and_then(Value::as_str) == Some(of);
        self.list("/status/conditions").iter().find(named)?.get("status")?.as_str()
    }

    /// All owner references, the controller first.
    pub fn owners(&self) -> Vec<Owner> {
        let mut owners: Vec<Owner> = self
            .list("/metadata/ownerReferences")
            .iter()
            .filter_map(|reference| Owner::from_reference(reference, self.text("/metadata/namespace")))
            .collect();
        owners.sort_by_key(|owner| !owner.controller);
        owners
    }

    /// What still holds an object that is being deleted: its finalizers, and of a namespace what its controller says is
    /// left in it.
    pub fn held_by(&self) -> Vec<String> {
        let finalizers = self.list("/metadata/finalizers").iter().filter_map(Value::as_str);
        let finalizers = finalizers.map(|name| format!("finalizer {name}"));
        let is_namespace = self.text("/kind") == Some(Kind::Namespace.as_str());
        let conditions = self.list("/status/conditions").iter().filter(|_| is_namespace);
        let told = conditions.filter(|one| one.get("status").and_then(Value::as_str) == Some("True"));
        let told = told.filter_map(|one| one.get("message")?.as_str()).map(Into::into);
        finalizers.chain(told).collect()
    }

    /// What the watchers and detectors need of it.
    pub fn state(&self) -> Result<ObjectState, NotAnObject> {
        ObjectState::from_document(self)
    }
}
