//! Fields of a document by JSON pointer, and who manages them.

use kubewise_core::document::Document;
use serde_json::{Map, Value};

/// Sets or removes one field. Missing parents are made as objects; a path through anything else changes nothing.
pub(crate) fn set(document: &mut Value, path: &str, after: Option<Value>) {
    let Some((parent, key)) = path.rsplit_once('/') else { return };
    let key = unescape(key);
    if document.pointer(parent).is_none() {
        if after.is_none() {
            return;
        }
        set(document, parent, Some(Value::Object(Map::new())));
    }
    match (document.pointer_mut(parent), after) {
        (Some(Value::Object(fields)), Some(value)) => {
            fields.insert(key, value);
        }
        (Some(Value::Object(fields)), None) => {
            fields.remove(&key);
        }
        (Some(Value::Array(values)), Some(value)) => {
            if let Some(slot) = key.parse::<usize>().ok().and_then(|index| values.get_mut(index)) {
                *slot = value;
            }
        }
        _ => {}
    }
}

/// The entries of `managedFields` that hold a field or anything below it.
pub(crate) fn managers<'a>(document: &'a Document, path: &str) -> impl Iterator<Item = &'a Value> {
    document
        .list("/metadata/managedFields")
        .iter()
        .filter(move |entry| entry.get("fieldsV1").is_some_and(|fields| holds(fields, &document.0, path)))
}

/// The tokens of a JSON pointer, unescaped.
fn tokens(path: &str) -> impl Iterator<Item = String> {
    path.split('/').skip(1).map(unescape)
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// Whether a `fieldsV1` tree holds a path or anything below it.
fn holds(fields: &Value, document: &Value, path: &str) -> bool {
    let mut node = fields;
    let mut place = String::new();
    for token in tokens(path) {
        let list = document.pointer(&place).filter(|value| value.is_array());
        place.push('/');
        place.push_str(&token.replace('~', "~0").replace('/', "~1"));
        let next = match list {
            Some(_) => match document.pointer(&place).map(|item| keyed(node, item)) {
                Some(Keyed::Atomic) => return true, // owned as a whole
                Some(Keyed::Owned(next)) => Some(next),
                Some(Keyed::Not) | None => None,
            },
            None => node.get(format!("f:{token}")),
        };
        let Some(next) = next else { return false };
        node = next;
    }
    true
}

enum Keyed<'a> {
    Owned(&'a Value),
    Not,
    Atomic,
}

/// An item of a list within a `fieldsV1` tree. Containers are keyed by name, ports by number and protocol: whatever keys
/// stand there, they are fields of the item.
fn keyed<'a>(node: &'a Value, item: &Value) -> Keyed<'a> {
    let entries = || node.as_object().into_iter().flatten();
    let keys = entries().filter_map(|(key, next)| {
        let key: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
        Some((key, next))
    });
    let keys: Vec<(Value, &Value)> = keys.collect();
    if keys.is_empty() {
        return Keyed::Atomic;
    }
    let is_item = |key: &Value| {
        key.as_object().is_some_and(|key| key.iter().all(|(field, value)| item.get(field) == Some(value)))
    };
    keys.into_iter().find(|(key, _)| is_item(key)).map_or(Keyed::Not, |(_, next)| Keyed::Owned(next))
}
