//! What a plan may look like at all.

use kubewise_core::plan::{MAX_EVICTIONS, MAX_STEPS, PlanStep};

use super::{Case, Finding, never};

pub(super) fn plan_size(case: &Case<'_>) -> Finding {
    // The evictions of one action are read as one: "17 pods of node n1".
    let evictions = case.steps.len() - before_evictions(case.steps).len();
    let steps = case.steps.len() - evictions + evictions.min(1);
    if steps > MAX_STEPS {
        return never(format!("{steps} steps are more than the {MAX_STEPS} that a person can read"));
    }
    if evictions > MAX_EVICTIONS {
        return never(format!("{evictions} pods are more than the {MAX_EVICTIONS} that a node holds"));
    }
    Ok(format!("{steps} of at most {MAX_STEPS} steps"))
}

/// A step that cannot be undone leaves nothing to unwind after it. Telling people is no such step.
pub(super) fn irreversible_last(case: &Case<'_>) -> Finding {
    let first = before_evictions(case.steps);
    let acts = || first.iter().filter(|step| step.operation.writes().is_some());
    let before_last =
        if first.len() < case.steps.len() { acts().count() } else { acts().count().saturating_sub(1) };
    if let Some(step) = acts().take(before_last).find(|step| !step.reversible) {
        return never(format!(
            "\u{201c}{}\u{201d} cannot be undone, and is not the last step",
            step.description
        ));
    }
    Ok("what cannot be undone comes last, and at most once".into())
}

/// The steps without the evictions at the end that one action makes, one after the other.
fn before_evictions(steps: &[PlanStep]) -> &[PlanStep] {
    let Some(last) = steps.last().filter(|last| last.operation.is_eviction()) else { return steps };
    let of_it = |step: &PlanStep| step.operation.is_eviction() && step.action == last.action;
    let evictions = steps.iter().rev().take_while(|step| of_it(step)).count();
    &steps[..steps.len() - evictions]
}
