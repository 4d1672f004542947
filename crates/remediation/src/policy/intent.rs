//! A step does what its action says, and nothing else. So whatever wrote a plan or kept it, only what the modules of the
//! registry make of an action and its parameters here and now is ever done.

use kubewise_core::document::Document;
use kubewise_core::plan::{FieldChange, Operation};

use super::{Case, Finding, never};
use crate::action::{ActionType, Premise};

pub(super) fn lowering(case: &Case<'_>) -> Finding {
    let Ok(uid) = case.workload.uid() else { return never(format!("{} has no uid", case.object)) };
    let premise = Premise {
        evidence: case.evidence,
        workload: case.workload,
        object: case.object,
        uid: &uid,
        revisions: case.revisions,
        plan: case.plan,
    };
    for step in case.steps {
        if let Operation::Write { object, changes, .. } = &step.operation
            && case.evidence.document(object).is_some_and(|document| is_done(changes, document))
        {
            continue; // what is left to do is to recognise it
        }
        let name = &step.action.name;
        let Some(action) = ActionType::named(name) else {
            return never(format!("this version of KubeWise knows no action {name}"));
        };
        let lowered = match (action.lower)(&premise, &step.action.parameters) {
            Ok(lowered) => lowered,
            Err(unmet) => return never(format!("{name} makes no sense now: {unmet}")),
        };
        let meant = lowered.iter().find(|meant| meant.operation == step.operation);
        if meant.is_none_or(|meant| meant.reversible != step.reversible || meant.disruption > step.disruption)
        {
            return never(format!("the step is not what {name} with these parameters means now"));
        }
    }
    Ok("each step is what its action means".into())
}

/// Whether the fields hold what a step would write, as after a crash just after the act.
pub(crate) fn is_done(changes: &[FieldChange], document: &Document) -> bool {
    changes.iter().all(|change| document.0.pointer(&change.path) == change.after.as_ref())
}
