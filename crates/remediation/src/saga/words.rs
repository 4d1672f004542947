//! What steps do, in words for people.

use kubewise_core::document::Document;
use kubewise_core::plan::{FieldChange, Operation};
use kubewise_core::request::FIELD_MANAGER;
use serde_json::Value;

/// A value longer than this is not read in a sentence.
const READABLE: usize = 60;

/// `set /spec/replicas from 0 to 3 on Deployment shop/cart`.
pub(super) fn deed(operation: &Operation, fields: &[FieldChange]) -> String {
    match operation {
        Operation::Write { object, .. } => format!("set {} on {object}", changes(fields)),
        Operation::Evict { pod, .. } => format!("evict {pod}"),
        Operation::Create { object, .. } => format!("make {object}"),
        Operation::Notify { message } => format!("tell people: {message}"),
    }
}

/// `put back /spec/replicas from 3 to 0 on Deployment shop/cart`.
pub(super) fn undoing(operation: &Operation, fields: &[FieldChange]) -> String {
    let back: Vec<FieldChange> = fields.iter().map(reversed).collect();
    match operation {
        Operation::Write { object, .. } => format!("put back {} on {object}", changes(&back)),
        Operation::Evict { .. } | Operation::Create { .. } | Operation::Notify { .. } => {
            format!("undo: {}", deed(operation, fields))
        }
    }
}

pub(super) fn reversed(field: &FieldChange) -> FieldChange {
    FieldChange { path: field.path.clone(), before: field.after.clone(), after: field.before.clone() }
}

pub(super) fn paths<'a>(fields: impl IntoIterator<Item = &'a FieldChange>) -> String {
    fields.into_iter().map(|field| field.path.as_str()).collect::<Vec<_>>().join(", ")
}

pub(super) fn value(value: Option<&Value>) -> String {
    match value {
        None => "unset".into(),
        Some(Value::String(text)) if text.len() <= READABLE => text.clone(),
        Some(other) => {
            let text = other.to_string();
            if text.len() <= READABLE { text } else { "another value".into() }
        }
    }
}

/// Who wrote an object last, besides KubeWise and those who only report its status.
pub(super) fn latest_writer(document: &Document) -> Option<&str> {
    let text = |entry: &'_ Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    document
        .list("/metadata/managedFields")
        .iter()
        .filter(|entry| text(entry, "subresource").is_none_or(|part| part.is_empty()))
        .filter(|entry| text(entry, "manager").is_some_and(|manager| manager != FIELD_MANAGER))
        .max_by_key(|entry| text(entry, "time"))
        .and_then(|entry| entry.get("manager")?.as_str())
}

fn changes(fields: &[FieldChange]) -> String {
    let changed = fields.iter().filter(|field| field.before != field.after);
    let each = changed.map(|field| {
        let (before, after) = (value(field.before.as_ref()), value(field.after.as_ref()));
        if before == after {
            field.path.clone() // both too long to read
        } else {
            format!("{} from {before} to {after}", field.path)
        }
    });
    each.collect::<Vec<_>>().join(", ")
}
