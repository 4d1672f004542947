//! The record of a call to an author: what was sent, what came back, what it cost. Durable before it is sent, so that
//! no call goes missing from the account.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answer, Prompt, Usage};
use crate::id::{CallId, IncidentId, PlanId};
use crate::money::Money;
use crate::object::ObjectRef;
use crate::record::{Extra, SchemaVersion};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorCall {
    #[serde(default)]
    pub version: SchemaVersion,
    pub id: CallId,
    pub incident: IncidentId,
    pub workload: ObjectRef,
    /// Which plan of its incident it is for, counted as a plan's attempt.
    pub round: u32,
    /// The plan that was made of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
    pub purpose: Purpose,
    /// The same for the same trouble; of a plan's proposal only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// 2 if the first answer was refused.
    pub attempt: u32,
    /// Provider and model, as configured.
    pub author: String,
    /// Exactly what was sent.
    pub prompt: Prompt,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    pub outcome: CallOutcome,
    /// Why nothing came of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What it is charged with.
    pub usage: Usage,
    /// Whether the usage is our estimate, since the provider gave no count.
    pub estimated: bool,
    pub cost: Money,
    pub asked_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    #[serde(flatten)]
    pub extra: Extra,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Purpose {
    /// A proposal for a plan.
    Proposal,
    /// A summary for a person.
    Explanation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum CallOutcome {
    /// Sent, or about to be; no answer yet.
    Asked,
    /// The answer was of use.
    Accepted,
    /// The answer was refused.
    Refused,
    /// Surely not charged: refused, rate-limited or not reached.
    Failed,
    /// No answer came, and it may have been charged: the estimate counts.
    Unknown,
}

impl CallOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            CallOutcome::Asked => "Asked",
            CallOutcome::Accepted => "Accepted",
            CallOutcome::Refused => "Refused",
            CallOutcome::Failed => "Failed",
            CallOutcome::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for CallOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
