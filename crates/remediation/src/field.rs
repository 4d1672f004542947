//! Fields of a document by JSON pointer.

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

/// The tokens of a JSON pointer, unescaped.
pub(crate) fn tokens(path: &str) -> impl Iterator<Item = String> {
    path.split('/').skip(1).map(unescape)
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}
