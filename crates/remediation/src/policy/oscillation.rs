//! A tug-of-war: KubeWise sets a field, and somebody puts it back. It stops, and names the other.

use std::collections::BTreeSet;

use kubewise_core::action::{ActionStatus, Direction};
use kubewise_core::document::Document;
use kubewise_core::plan::FieldChange;
use kubewise_core::request::FIELD_MANAGER;
use serde_json::Value;

use super::{Case, Finding, never};
use crate::field::managers;

/// Once may be chance or haste; who puts it back twice means it.
const PUT_BACK: usize = 2;

pub(super) fn oscillation(case: &Case<'_>) -> Finding {
    for (object, change) in case.writes() {
        let sets = set_before(case, change);
        if sets >= PUT_BACK {
            let document = case.evidence.document(object);
            let who = document.and_then(|document| actor(document, &change.path)).unwrap_or("somebody");
            return never(format!(
                "{who} put {} of {object} back {sets} times after KubeWise set it",
                change.path
            ));
        }
    }
    Ok("nobody keeps putting these fields back".into())
}

/// How often KubeWise gave the field this value before, and did not take it back itself. As it is about to do so again,
/// somebody else took it back each time.
fn set_before(case: &Case<'_>, change: &FieldChange) -> usize {
    let history = || case.evidence.history.iter().filter(|done| done.plan != *case.plan);
    let undone: BTreeSet<_> = history()
        .filter(|done| done.direction == Direction::Undo && done.status == ActionStatus::Succeeded)
        .map(|done| (&done.saga, done.step))
        .collect();
    let set = history().filter(|done| {
        done.direction == Direction::Act
            && done.status == ActionStatus::Succeeded
            && done.changes.iter().any(|earlier| repeats(change, earlier))
            && !undone.contains(&(&done.saga, done.step))
    });
    set.map(|done| &done.saga).collect::<BTreeSet<_>>().len()
}

/// Whether a change gives a field, or a part of it, the value that an earlier one gave it: a template that is put back
/// holds the limit that was once set in it.
fn repeats(change: &FieldChange, earlier: &FieldChange) -> bool {
    let part =
        |whole: &Option<Value>, rest: &str| whole.as_ref().and_then(|value| value.pointer(rest)).cloned();
    if let Some(rest) = below(&earlier.path, &change.path) {
        part(&change.after, rest) == earlier.after && part(&change.before, rest) != earlier.after
    } else if let Some(rest) = below(&change.path, &earlier.path) {
        part(&earlier.after, rest) == change.after
    } else {
        false
    }
}

/// The rest of a path that leads on from another, or is the same.
fn below<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    path.strip_prefix(above).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The newest manager of a field besides ourselves.
fn actor<'a>(document: &'a Document, path: &str) -> Option<&'a str> {
    let text = |entry: &'a Value, key: &str| entry.get(key).and_then(Value::as_str);
    managers(document, path)
        .filter(|entry| text(entry, "manager").is_some_and(|manager| manager != FIELD_MANAGER))
        .max_by_key(|entry| text(entry, "time"))
        .and_then(|entry| text(entry, "manager"))
}
