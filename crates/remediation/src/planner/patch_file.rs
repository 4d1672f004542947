//! A change that KubeWise must not make, written down for whoever may.

use kubewise_core::plan::{FieldChange, Operation, PlanStep};
use serde_json::{Value, json};

/// A JSON 6902 patch of the fields that the steps would write, as kustomize and `kubectl patch --type=json` read it.
/// `None` if they write none.
pub(super) fn patch_file(steps: &[PlanStep]) -> Option<String> {
    let files: Vec<String> = steps
        .iter()
        .filter_map(|step| match &step.operation {
            Operation::Write { object, changes, .. } => {
                let operations: Vec<Value> = changes.iter().filter_map(operation).collect();
                let patch = serde_json::to_string_pretty(&operations).ok()?;
                Some(format!("# JSON 6902 patch for {object}: {}\n{patch}\n", step.description))
            }
            Operation::Evict { .. } | Operation::Create { .. } | Operation::Notify { .. } => None,
        })
        .collect();
    (!files.is_empty()).then(|| files.concat())
}

fn operation(change: &FieldChange) -> Option<Value> {
    let path = &change.path;
    match (&change.before, &change.after) {
        (before, after) if before == after => None,
        (None, Some(value)) => Some(json!({ "op": "add", "path": path, "value": value })),
        (Some(_), Some(value)) => Some(json!({ "op": "replace", "path": path, "value": value })),
        (_, None) => Some(json!({ "op": "remove", "path": path })),
    }
}
