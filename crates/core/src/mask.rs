//! What people write into objects and may be secret, without knowing which of it is: values of variables and headers,
//! arguments, commands, annotations and labels. Names stay.

use serde_json::Value;

/// Instead of a value.
pub const MASKED: &str = "********";

/// Masks these values wherever they stand in a document.
pub fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                match key.as_str() {
                    "env" | "httpHeaders" => inner.as_array_mut().into_iter().flatten().for_each(|named| {
                        if let Some(value) = named.get_mut("value") {
                            hide(value);
                        }
                    }),
                    "args" | "command" | "annotations" | "labels" => hide(inner),
                    _ => mask(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Hides every text below.
fn hide(value: &mut Value) {
    match value {
        Value::String(text) => MASKED.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, inner)| hide(inner)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
