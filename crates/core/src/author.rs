//! What is asked of a plan's author, and what it answers. Both are text: what a model writes is a proposal, which is
//! read, checked and held to policy like everything else.

mod call;
mod inquiry;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use call::{AuthorCall, CallOutcome, Purpose};
pub use inquiry::{Cap, Caps, Explanation, IncidentSpent, Prices, Question, Spending, Spent, Trial};

/// All that an author gets to see. It is what leaves the process: nothing is added on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prompt {
    /// What the author is to do. Ours alone: nothing from the cluster stands here.
    pub instructions: String,
    /// The case. Text from the cluster is fenced and marked as data.
    pub case: String,
    /// JSON Schema of the answer; without one the answer is free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// The answer that was refused, if this is the second try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedAnswer>,
    /// The longest answer that is paid for.
    pub max_answer_tokens: u32,
}

impl Prompt {
    /// About the most that it may be charged with, before anybody has counted: three bytes a token is less than
    /// tokenizers make of English and JSON.
    pub fn estimate(&self) -> Usage {
        const BYTES_A_TOKEN: u64 = 3;
        let schema = self.schema.as_ref().map_or(0, |schema| schema.to_string().len());
        let refused = self.refused.as_ref().map_or(0, |one| one.answer.len() + one.objection.len());
        let bytes = (self.instructions.len() + self.case.len() + schema + refused) as u64;
        Usage {
            input_tokens: bytes.div_ceil(BYTES_A_TOKEN),
            output_tokens: u64::from(self.max_answer_tokens),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedAnswer {
    pub answer: String,
    /// What was wrong with it.
    pub objection: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    pub text: String,
    pub ending: Ending,
    /// As the provider counted; `None` if it did not say.
    pub usage: Option<Usage>,
    /// The model that answered, as the provider names it.
    pub model: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Ending {
    Complete,
    /// It ran into `max_answer_tokens`.
    Truncated,
    /// The provider withheld it (safety, recitation, refusal).
    Withheld,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    pub input_tokens: u64,
    /// Thinking included.
    pub output_tokens: u64,
}

impl Usage {
    pub fn tokens(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}
