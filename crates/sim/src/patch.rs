//! JSON Patch as the API server speaks it, and who owns a field after it.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, RemoveOperation, ReplaceOperation};
use kubewise_core::document::Document;
use kubewise_core::request::PatchOperation;
use kubewise_core::{Failure, Rejection, Timestamp};
use serde_json::{Value, json};

use crate::store::{invalid, stamp};

/// Applies all operations or none. A failed `test` is `Rejected(Superseded)`, a path that is not there
/// `Rejected(Invalid)`.
pub(crate) fn apply(document: &mut Value, operations: &[PatchOperation]) -> Result<(), Failure> {
    let mut patched = document.clone();
    for operation in operations {
        let operation = match operation {
            PatchOperation::Test { path, value } => {
                test(&patched, path, value)?;
                continue;
            }
            PatchOperation::Add { path, value } => {
                json_patch::PatchOperation::Add(AddOperation { path: pointer(path)?, value: value.clone() })
            }
            PatchOperation::Replace { path, value } => {
                json_patch::PatchOperation::Replace(ReplaceOperation {
                    path: pointer(path)?,
                    value: value.clone(),
                })
            }
            PatchOperation::Remove { path } => {
                json_patch::PatchOperation::Remove(RemoveOperation { path: pointer(path)? })
            }
        };
        json_patch::patch_unsafe(&mut patched, &[operation]).map_err(|error| invalid(error.to_string()))?;
    }
    *document = patched;
    Ok(())
}

fn pointer(path: &str) -> Result<PointerBuf, Failure> {
    PointerBuf::parse(path).map_err(|error| invalid(format!("`{path}` is not a JSON pointer: {error}")))
}

/// An absent path equals null, as long as its parent is there.
fn test(document: &Value, path: &str, expected: &Value) -> Result<(), Failure> {
    let parent = path.rsplit_once('/').and_then(|(parent, _)| document.pointer(parent));
    let found = match document.pointer(path) {
        Some(found) => Some(found),
        None => parent.filter(|parent| parent.is_object()).map(|_| &Value::Null),
    };
    if found == Some(expected) {
        return Ok(());
    }
    let message = match found {
        Some(found) => format!("testing value {path} failed: it is {found}, not {expected}"),
        None => format!("testing value {path} failed: there is no such path"),
    };
    Err(Failure::Rejected { reason: Rejection::Superseded, message })
}

/// Notes that `manager` wrote what the operations changed, and takes it from whoever had it before.
pub(crate) fn claim(document: &mut Value, operations: &[PatchOperation], manager: &str, now: Timestamp) {
    let claimed: Vec<(Vec<String>, bool)> = operations
        .iter()
        .filter_map(|operation| match operation {
            PatchOperation::Test { .. } => None,
            PatchOperation::Add { path, .. } | PatchOperation::Replace { path, .. } => {
                Some((keys(document, path), true))
            }
            PatchOperation::Remove { path } => Some((keys(document, path), false)),
        })
        .collect();
    let api_version = document.get("apiVersion").cloned().unwrap_or_default();
    let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let entries = metadata.entry("managedFields").or_insert_with(|| json!([]));
    let Some(entries) = entries.as_array_mut() else { return };
    for entry in entries.iter_mut() {
        for (keys, _) in &claimed {
            drop_field(&mut entry["fieldsV1"], keys);
        }
    }
    let is_ours = |entry: &Value| entry["manager"] == manager && entry.get("subresource").is_none();
    if !entries.iter().any(is_ours) {
        entries.push(json!({
            "manager": manager, "operation": "Update", "apiVersion": api_version, "fieldsType": "FieldsV1",
            "fieldsV1": {},
        }));
    }
    for entry in entries.iter_mut().filter(|entry| is_ours(entry)) {
        entry["time"] = json!(stamp(now));
        for (keys, _) in claimed.iter().filter(|(_, kept)| *kept) {
            let mut node = &mut entry["fieldsV1"];
            for key in keys {
                node = &mut node[key.as_str()];
                if !node.is_object() {
                    *node = json!({});
                }
            }
        }
    }
}

/// `/spec/containers/0/image` as `f:spec`, `f:containers`, `k:{"name":"app"}`, `f:image`.
fn keys(document: &Value, path: &str) -> Vec<String> {
    let mut place = String::new();
    let tokens = path.split('/').skip(1);
    tokens
        .map(|token| {
            let in_list = document.pointer(&place).is_some_and(Value::is_array);
            place.push('/');
            place.push_str(token);
            match document.pointer(&format!("{place}/name")).filter(|_| in_list) {
                Some(name) => format!("k:{}", json!({ "name": name })),
                None => format!("f:{}", token.replace("~1", "/").replace("~0", "~")),
            }
        })
        .collect()
}

fn drop_field(fields: &mut Value, keys: &[String]) {
    let Some(((last, way), fields)) = keys.split_last().zip(fields.as_object_mut()) else { return };
    let mut node = fields;
    for key in way {
        match node.get_mut(key).and_then(Value::as_object_mut) {
            Some(next) => node = next,
            None => return,
        }
    }
    node.remove(last);
}

/// What the server checks before it keeps an object.
pub(crate) fn validate(before: &Document, after: &Document) -> Result<(), Failure> {
    let selector = (before.text("/kind") != Some("Service")).then_some("/spec/selector");
    for fixed in
        ["/kind", "/metadata/name", "/metadata/namespace", "/metadata/uid"].into_iter().chain(selector)
    {
        if before.0.pointer(fixed) != after.0.pointer(fixed) {
            return Err(invalid(format!("{fixed}: field is immutable")));
        }
    }
    validate_new(after)
}

/// What the server checks of any object.
pub(crate) fn validate_new(after: &Document) -> Result<(), Failure> {
    if let Some(replicas) = after.0.pointer("/spec/replicas")
        && replicas.as_u64().is_none()
    {
        return Err(invalid(format!("spec.replicas: {replicas} must be an integer of at least 0")));
    }
    let of_template = after.list("/spec/template/spec/containers");
    let of_pod = after.list("/spec/containers");
    of_template.iter().chain(of_pod).try_for_each(container)
}

fn container(container: &Value) -> Result<(), Failure> {
    let text = |pointer: &str| container.pointer(pointer).and_then(Value::as_str);
    let name = text("/name").ok_or_else(|| invalid("a container has no name"))?;
    if text("/image").is_none_or(str::is_empty) {
        return Err(invalid(format!("container {name} has no image")));
    }
    for resource in ["cpu", "memory"] {
        let amount = |section: &str| -> Result<Option<f64>, Failure> {
            match container.pointer(&format!("/resources/{section}/{resource}")) {
                None => Ok(None),
                Some(value) => crate::read::quantity(Some(value))
                    .filter(|amount| *amount >= 0.0)
                    .map(Some)
                    .ok_or_else(|| {
                        invalid(format!(
                            "container {name}: resources.{section}.{resource}: {value} is no quantity"
                        ))
                    }),
            }
        };
        if let (Some(request), Some(limit)) = (amount("requests")?, amount("limits")?)
            && request > limit
        {
            return Err(invalid(format!(
                "container {name}: the {resource} request must be less than or equal to the {resource} limit"
            )));
        }
    }
    Ok(())
}
