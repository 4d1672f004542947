//! Tell people, and change nothing.

use kubewise_core::plan::{Operation, PlanStep};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Lower, Premise, Risk, Unmet};

/// Characters that a person still reads on a telephone.
const MAX_MESSAGE: usize = 1000;

/// Tell people, and change nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Notify {
    message: String,
}

impl Lower for Notify {
    const NAME: &'static str = "Notify";
    const RISK: Risk = Risk::None;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        let message: String = self.message.chars().take(MAX_MESSAGE).collect();
        if message.trim().is_empty() {
            return Err(Unmet("there is nothing to tell".into()));
        }
        Ok(vec![PlanStep {
            action: premise.action(Self::NAME, json!({ "message": message })),
            description: format!("tell people: {message}"),
            operation: Operation::Notify { message },
            reversible: false,
            disruption: 0,
        }])
    }
}
