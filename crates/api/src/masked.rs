//! Records as they are served. A plan that puts a pod template back holds all of it, and with it what people write into
//! variables, arguments, annotations and labels; whoever may read plans need not know that.

use kubewise_core::mask::mask;
use kubewise_core::record::Record;
use serde::Serialize;
use serde_json::Value;

use crate::problem::Problem;

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
