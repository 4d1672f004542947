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
    pub(super) message: String,
}

impl Lower for Notify {
    const NAME: &'static str = "Notify";
    const RISK: Risk = Risk::None;
    const WORDS: &'static [&'static str] = &["message"];

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        let message = readable(&self.message)?;
        Ok(vec![PlanStep {
            action: premise.action(Self::NAME, json!({ "message": message })),
            description: format!("tell people: {message}"),
            operation: Operation::Notify { message },
            reversible: false,
            disruption: 0,
        }])
    }
}

/// What is told, as long as it is read.
pub(super) fn readable(message: &str) -> Result<String, Unmet> {
    let message: String = message.trim().chars().take(MAX_MESSAGE).collect();
    if message.is_empty() { Err(Unmet("there is nothing to tell".into())) } else { Ok(message) }
}
