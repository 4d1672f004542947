//! What a rollout may do.

use kubewise_core::Period;
use kubewise_core::action::{ActionStatus, Direction, ExecutedActionRecord};
use serde_json::Value;

use super::{Case, Finding, never};
use crate::action::TEMPLATE;
use crate::evidence::Evidence;
use crate::revision::{Revisions, is_ready};

/// From an act to the revision that its controller makes of it.
const REVISION_FOLLOWS_WITHIN: Period = Period::from_mins(2);

/// The action of KubeWise that made the current revision, if one did: its fields still hold what it wrote, and
/// nobody rolled out anything since.
pub(crate) fn made_by_us<'a>(
    evidence: &'a Evidence,
    revisions: &Revisions,
) -> Option<&'a ExecutedActionRecord> {
    let workload = evidence.workload.as_ref()?;
    let current = revisions.current()?;
    evidence.history.iter().find(|done| {
        let ours = done.direction == Direction::Act
            && matches!(done.status, ActionStatus::Succeeded | ActionStatus::Started)
            && done.changes.iter().any(|change| change.path.starts_with(TEMPLATE));
        let holds = |path: &str, after: &Option<Value>| workload.0.pointer(path) == after.as_ref();
        let whole_template = done.changes.iter().any(|change| change.path == TEMPLATE);
        let limit = REVISION_FOLLOWS_WITHIN.after(done.finished_at.unwrap_or(done.started_at));
        let nothing_since = whole_template || current.began.is_none_or(|began| began <= limit);
        ours && nothing_since && done.changes.iter().all(|change| holds(&change.path, &change.after))
    })
}

pub(super) fn own_revision(case: &Case<'_>) -> Finding {
    let undoes = case.steps.iter().any(|step| step.action.name == "RolloutUndo");
    match made_by_us(case.evidence, case.revisions).filter(|done| undoes && done.plan != *case.plan) {
        Some(done) => never(format!(
            "KubeWise made the current revision itself ({} at {:.0}); it is not undone as if a person had",
            done.action.name, done.started_at
        )),
        None if undoes => Ok("the current revision is not of KubeWise's making".into()),
        None => Ok("no rollout is undone".into()),
    }
}

pub(super) fn revision_still_there(case: &Case<'_>) -> Finding {
    let mut told = "no rollout is undone".to_owned();
    for step in case.steps.iter().filter(|step| step.action.name == "RolloutUndo") {
        let name = step.action.parameters.get("revision").and_then(Value::as_str).unwrap_or_default();
        let Some(revision) = case.revisions.named(name) else {
            return never(format!("revision {name} is no longer there"));
        };
        if !revision.is_healthy() {
            return never(format!("revision {} is not known to have been healthy", revision.title()));
        }
        if !case.changes().any(|change| change.after.as_ref() == Some(&revision.template)) {
            return never(format!("revision {} is no longer what the plan would write", revision.title()));
        }
        told = format!("revision {} is there, {}", revision.title(), revision.proof());
    }
    Ok(told)
}

/// Whoever holds a rollout wants to see it as it is, and what is changed meanwhile does nothing until it goes on.
pub(super) fn paused_rollout(case: &Case<'_>) -> Finding {
    if !case.changes_template() {
        return Ok("no pod template is changed".into());
    }
    let holds = |workload: &Value| workload.pointer("/spec/paused") == Some(&Value::Bool(true));
    if holds(&case.workload.0) || holds(&case.after()) {
        return never(format!("the rollout of {} is paused", case.object));
    }
    Ok("the rollout is not paused".into())
}

pub(super) fn recreate_strategy(case: &Case<'_>) -> Finding {
    if !case.changes_template() {
        return Ok("no pod template is changed".into());
    }
    if case.workload.text("/spec/strategy/type") != Some("Recreate") {
        return Ok("pods are replaced step by step".into());
    }
    let ready = case.evidence.pods.iter().filter(|pod| is_ready(pod)).count();
    if ready > 0 {
        return never(format!("strategy Recreate would take down {ready} ready pods"));
    }
    Ok("strategy Recreate, and no pod is ready".into())
}
