//! Leave the trouble to a person. Every plan that hands over has this one step, whoever decided so.

use kubewise_core::ObjectRef;
use kubewise_core::plan::{Action, HAND_OVER, Operation, PlanStep};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Lower, Premise, Risk, Unmet, notify};

/// Change nothing, and leave it to a person. It ends its playbook: candidates after it are not tried. A repair that another
/// playbook knows comes first, and one that is allowed only later is waited for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HandOver {
    /// Why, in words for that person.
    reason: String,
}

impl Lower for HandOver {
    const NAME: &'static str = HAND_OVER;
    const RISK: Risk = Risk::None;
    const WORDS: &'static [&'static str] = &["reason"];

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        Ok(vec![step(premise.object, &notify::readable(&self.reason)?)])
    }
}

/// The step that hands an object over.
pub(crate) fn step(object: &ObjectRef, reason: &str) -> PlanStep {
    let reason = reason.trim_end_matches('.');
    PlanStep {
        action: Action {
            name: HAND_OVER.into(),
            target: object.clone(),
            parameters: json!({ "reason": reason }),
        },
        description: format!("hand over to a person: {reason}"),
        operation: Operation::Notify { message: reason.into() },
        reversible: false,
        disruption: 0,
    }
}
