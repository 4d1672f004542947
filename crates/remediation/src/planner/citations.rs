//! What a plan's words cite as evidence, such as `[e3]`.

use kubewise_core::plan::RemediationPlan;

/// The first piece of evidence that the plan cites and does not have.
pub(super) fn unknown(plan: &RemediationPlan) -> Option<&str> {
    let cited = [&plan.reasoning, &plan.root_cause].into_iter().flat_map(|text| cited(text));
    cited.into_iter().find(|id| plan.evidence.iter().all(|item| item.id != *id))
}

fn cited(text: &str) -> impl Iterator<Item = &str> {
    let brackets = text.split('[').skip(1).filter_map(|rest| Some(rest.split_once(']')?.0));
    brackets.flat_map(|inner| inner.split(',')).map(str::trim).filter(|id| is_id(id))
}

/// `e3`, `patch-1`; other words in brackets are no citation.
fn is_id(text: &str) -> bool {
    let number = text.strip_prefix("patch-").or_else(|| text.strip_prefix('e'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}
