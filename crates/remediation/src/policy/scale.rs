//! How many replicas there are, and how large claims become.

use kubewise_core::plan::FieldChange;
use kubewise_core::{Kind, ObjectRef, quantity};
use serde_json::Value;

use super::{Case, Finding, never};
use crate::facts::last_non_zero;

pub(super) const REPLICAS: &str = "/spec/replicas";
/// Of an autoscaler.
pub(crate) const MAX_REPLICAS: &str = "/spec/maxReplicas";
/// How many times as many replicas, or as much storage.
const MOST_AT_ONCE: u32 = 2;

pub(super) fn never_to_zero(case: &Case<'_>) -> Finding {
    let zero = |value: &Option<Value>| value.as_ref().and_then(Value::as_i64).is_some_and(|count| count <= 0);
    if case.changes().any(|change| change.path == REPLICAS && zero(&change.after)) {
        return never(format!("{} would have no replica", case.object));
    }
    if let Some((object, _)) = bounds(case).find(|(_, change)| zero(&change.after)) {
        return never(format!("{object} could leave no replica"));
    }
    Ok("nothing is scaled to zero".into())
}

/// The bounds of autoscalers that are changed.
fn bounds<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a ObjectRef, &'a FieldChange)> {
    case.writes().filter(|(object, _)| object.kind == Kind::HorizontalPodAutoscaler)
}

pub(super) fn no_stateful_set_scale_down(case: &Case<'_>) -> Finding {
    let before = replicas(&case.workload.0);
    let bounded = bounds(case).filter(|(_, change)| change.path == MAX_REPLICAS);
    let bounded = bounded.map(|(_, change)| count(change.after.as_ref()));
    let after = bounded.chain([replicas(&case.after())]).min().unwrap_or(before);
    if case.object.kind == Kind::StatefulSet && after < before {
        return never(format!("{} would go from {before} to {after} replicas", case.object));
    }
    Ok("no StatefulSet is scaled down".into())
}

/// Whoever needs more at once is looked at by a person.
pub(super) fn at_most_twice(case: &Case<'_>) -> Finding {
    let restored = u32::try_from(last_non_zero(case.evidence)).unwrap_or(0);
    for (object, change) in case.writes().filter(|(_, change)| change.path == REPLICAS) {
        // From zero it is what there was before that counts.
        let (before, after) = (count(change.before.as_ref()).max(1), count(change.after.as_ref()));
        if after > before.max(restored).saturating_mul(MOST_AT_ONCE) {
            return never(format!("{object} would go from {before} to {after} replicas at once"));
        }
    }
    for (object, change) in bounds(case) {
        let (before, after) = (count(change.before.as_ref()), count(change.after.as_ref()));
        if after > before.saturating_mul(MOST_AT_ONCE) {
            return never(format!("{object} would go from {before} to {after} replicas at once"));
        }
    }
    for (object, change) in case.writes().filter(|(object, _)| object.kind == Kind::PersistentVolumeClaim) {
        let size = |value: &Option<Value>| value.as_ref()?.as_str().and_then(quantity::parse);
        let (before, after) = (size(&change.before), size(&change.after));
        if before.is_none_or(|before| after.is_none_or(|after| after > before * f64::from(MOST_AT_ONCE))) {
            return never(format!("{object} would grow to more than {MOST_AT_ONCE} times its size at once"));
        }
    }
    Ok(format!(
        "no workload, no autoscaler's bound and no claim becomes more than {MOST_AT_ONCE} times as large"
    ))
}

/// The most replicas that a changed bound lets an autoscaler make.
pub(super) fn most_replicas(case: &Case<'_>) -> u32 {
    bounds(case).map(|(_, change)| count(change.after.as_ref())).max().unwrap_or(0)
}

fn count(value: Option<&Value>) -> u32 {
    value.and_then(Value::as_u64).map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX))
}

pub(crate) fn replicas(workload: &Value) -> u32 {
    let daemon = workload.pointer("/status/desiredNumberScheduled").and_then(Value::as_u64);
    workload.pointer(REPLICAS).and_then(Value::as_u64).or(daemon).unwrap_or(1) as u32
}
