//! What a plan may look like at all.

use kubewise_core::plan::MAX_STEPS;

use super::{Case, Finding, never};

pub(super) fn plan_size(case: &Case<'_>) -> Finding {
    let steps = case.steps.len();
    if steps > MAX_STEPS {
        return never(format!("{steps} steps are more than the {MAX_STEPS} that a person can read"));
    }
    Ok(format!("{steps} of at most {MAX_STEPS} steps"))
}

/// A step that cannot be undone leaves nothing to unwind after it. Telling people is no such step.
pub(super) fn irreversible_last(case: &Case<'_>) -> Finding {
    let acts = || case.steps.iter().filter(|step| step.operation.writes().is_some());
    let before_last = acts().count().saturating_sub(1);
    if let Some(step) = acts().take(before_last).find(|step| !step.reversible) {
        return never(format!(
            "\u{201c}{}\u{201d} cannot be undone, and is not the last step",
            step.description
        ));
    }
    Ok("what cannot be undone comes last, and at most once".into())
}
