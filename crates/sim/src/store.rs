//! The objects of the cluster, as the API server keeps them.

use std::collections::{BTreeMap, BTreeSet};

use kubewise_core::document::Document;
use kubewise_core::{Failure, Kind, ObjectRef, Rejection, Timestamp, Uid};
use serde_json::{Value, json};

/// One change of one object, for controllers and watches.
#[derive(Clone, Debug)]
pub(crate) struct ObjectChange {
    pub(crate) object: ObjectRef,
    pub(crate) uid: Uid,
    /// What went, or `None` if the object is there (new or changed).
    pub(crate) removed: Option<Document>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: BTreeMap<ObjectRef, Document>,
    /// Controlled objects by the uid of their controller.
    children: BTreeMap<Uid, BTreeSet<ObjectRef>>,
    version: u64,
    uids: u64,
    changes: Vec<ObjectChange>,
}

/// A time as Kubernetes writes it: whole seconds.
pub(crate) fn stamp(time: Timestamp) -> String {
    format!("{time:.0}")
}

pub(crate) fn not_found(object: &ObjectRef) -> Failure {
    Failure::Rejected { reason: Rejection::NotFound, message: format!("{object} not found") }
}

pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    Failure::Rejected { reason: Rejection::Invalid, message: message.into() }
}

impl Store {
    pub(crate) fn get(&self, object: &ObjectRef) -> Option<&Document> {
        self.objects.get(object)
    }

    /// All objects of a kind by namespace and name.
    pub(crate) fn list<'a>(
        &'a self,
        kind: &'a Kind,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a ObjectRef, &'a Document)> {
        let start = ObjectRef { kind: kind.clone(), namespace: namespace.map(Into::into), name: "".into() };
        self.objects.range(start..).take_while(move |(object, _)| {
            object.kind == *kind && namespace.is_none_or(|wanted| object.namespace.as_deref() == Some(wanted))
        })
    }

    pub(crate) fn names(&self, kind: &Kind, namespace: Option<&str>) -> Vec<ObjectRef> {
        self.list(kind, namespace).map(|(object, _)| object.clone()).collect()
    }

    /// Objects of a kind that the object of this uid controls.
    pub(crate) fn children(&self, uid: &Uid, kind: &Kind) -> Vec<ObjectRef> {
        let all = self.children.get(uid).into_iter().flatten();
        all.filter(|object| object.kind == *kind).cloned().collect()
    }

    /// Takes in a new object and fills in what the server gives it.
    pub(crate) fn create(
        &mut self,
        mut document: Value,
        manager: &str,
        now: Timestamp,
    ) -> Result<ObjectRef, Failure> {
        let object = Document(document.clone()).object().map_err(|error| invalid(error.to_string()))?;
        if self.objects.contains_key(&object) {
            let message = format!("{object} already exists");
            return Err(Failure::Rejected { reason: Rejection::Conflict, message });
        }
        self.uids += 1;
        let uid = format!("00000000-0000-4000-8000-{:012x}", self.uids);
        let api_version = object.kind.api().map_or_else(|| "v1".to_owned(), |api| api.api_version());
        let owned: serde_json::Map<String, Value> = ["spec", "data"]
            .into_iter()
            .filter_map(|field| Some((format!("f:{field}"), fields_of(Some(document.get(field)?)))))
            .collect();
        if let Some(fields) = document.as_object_mut() {
            fields.entry("apiVersion").or_insert_with(|| json!(api_version));
        }
        if let Some(metadata) = document.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            metadata.insert("uid".into(), json!(uid));
            metadata.insert("generation".into(), json!(1));
            metadata.insert("creationTimestamp".into(), json!(stamp(now)));
            metadata.insert(
                "managedFields".into(),
                json!([{
                    "manager": manager, "operation": "Update", "apiVersion": api_version, "time": stamp(now),
                    "fieldsType": "FieldsV1", "fieldsV1": owned,
                }]),
            );
        }
        let document = Document(document);
        for owner in document.owners().into_iter().filter(|owner| owner.controller) {
            self.children.entry(owner.uid).or_default().insert(object.clone());
        }
        self.objects.insert(object.clone(), document);
        self.touch(&object);
        Ok(object)
    }

    /// Changes an object. Nothing is told if nothing changed; the generation rises with the spec.
    pub(crate) fn update(&mut self, object: &ObjectRef, change: impl FnOnce(&mut Value)) -> bool {
        let Some(before) = self.objects.get(object) else { return false };
        let mut after = before.clone();
        change(&mut after.0);
        self.replace(object, after)
    }

    /// Puts a changed object in the place of the old one.
    pub(crate) fn replace(&mut self, object: &ObjectRef, mut after: Document) -> bool {
        let Some(before) = self.objects.get(object) else { return false };
        if *before == after {
            return false;
        }
        if before.0.get("spec") != after.0.get("spec") {
            let generation = before.number("/metadata/generation").unwrap_or(0) + 1;
            after.0["metadata"]["generation"] = json!(generation);
        }
        self.objects.insert(object.clone(), after);
        self.touch(object);
        true
    }

    /// Sets the whole status.
    pub(crate) fn set_status(&mut self, object: &ObjectRef, status: Value) -> bool {
        match self.objects.get(object) {
            Some(document) if document.0.get("status") == Some(&status) => false,
            Some(_) => self.update(object, |document| document["status"] = status),
            None => false,
        }
    }

    pub(crate) fn remove(&mut self, object: &ObjectRef) {
        let Some(document) = self.objects.remove(object) else { return };
        let Ok(uid) = document.uid() else { return };
        for owner in document.owners().into_iter().filter(|owner| owner.controller) {
            if let Some(siblings) = self.children.get_mut(&owner.uid) {
                siblings.remove(object);
            }
        }
        self.version += 1;
        self.changes.push(ObjectChange { object: object.clone(), uid, removed: Some(document) });
    }

    pub(crate) fn take_changes(&mut self) -> Vec<ObjectChange> {
        std::mem::take(&mut self.changes)
    }

    fn touch(&mut self, object: &ObjectRef) {
        self.version += 1;
        let Some(document) = self.objects.get_mut(object) else { return };
        document.0["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if let Ok(uid) = document.uid() {
            self.changes.push(ObjectChange { object: object.clone(), uid, removed: None });
        }
    }
}

/// The `fieldsV1` tree of a value: maps by key, lists of named things by name, everything else as a whole.
pub(crate) fn fields_of(value: Option<&Value>) -> Value {
    match value {
        Some(Value::Object(fields)) => {
            fields.iter().map(|(key, value)| (format!("f:{key}"), fields_of(Some(value)))).collect()
        }
        Some(Value::Array(items)) if items.iter().all(|item| item.get("name").is_some()) => items
            .iter()
            .map(|item| (format!("k:{}", json!({ "name": item["name"] })), fields_of(Some(item))))
            .collect(),
        Some(_) | None => json!({}),
    }
}
