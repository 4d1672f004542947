//! Records as they are served. A plan that puts a pod template back holds all of it, and with it what people write into
//! variables, arguments and annotations; whoever may read plans need not know that.

use kubewise_core::record::Record;
use serde::Serialize;
use serde_json::Value;

use crate::problem::Problem;

/// Instead of a value.
const MASKED: &str = "********";

pub(crate) fn record(record: &Record) -> Result<Value, Problem> {
    let document = record.to_document();
    let document = document.map_err(|error| Problem::internal(format!("{}: {error}", record.index().id)))?;
    Ok(match record {
        Record::Plan(_) | Record::Action(_) => masked(document),
        Record::Event(_)
        | Record::Anomaly(_)
        | Record::Incident(_)
        | Record::Capture(_)
        | Record::Revision(_)
        | Record::Service(_)
        | Record::Feedback(_)
        | Record::Pause(_)
        | Record::Call(_) => document,
    })
}

pub(crate) fn plan<T: Serialize>(plan: &T) -> Result<Value, Problem> {
    let document = serde_json::to_value(plan);
    document.map(masked).map_err(|error| Problem::internal(format!("a plan cannot be told: {error}")))
}

fn masked(mut document: Value) -> Value {
    mask(&mut document);
    document
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                match key.as_str() {
                    "env" => inner.as_array_mut().into_iter().flatten().for_each(|variable| {
                        if let Some(value) = variable.get_mut("value") {
                            hide(value);
                        }
                    }),
                    "args" | "command" | "annotations" => hide(inner),
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
