//! What people are told when they ask about plans and their author.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Prompt;
use crate::id::IncidentId;
use crate::money::Money;
use crate::plan::{RemediationPlan, SafetyConstraint};

/// What was sent to the author, or would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    pub incident: IncidentId,
    /// Provider and model; absent if none is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Absent if it was not sent: then it is what would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    pub prompt: Prompt,
}

/// An incident, told to a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub incident: IncidentId,
    pub text: String,
    /// The model that wrote it; absent if it is from the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why it is from the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What would be planned now. Nothing is kept of it and nothing comes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    pub incident: IncidentId,
    /// The plan; absent if none would be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<RemediationPlan>>,
    /// Why there would be no plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it would be looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
    /// What would not be done, and the rule that forbids it.
    pub refused: Vec<SafetyConstraint>,
    /// What the author has to do with it.
    pub author: String,
}

/// What the author has cost so far, and what it may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spending {
    /// Provider and model; absent if none is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The last 24 hours.
    pub day: Spent,
    /// The last 30 days.
    pub month: Spent,
    pub caps: Caps,
    /// The cap that keeps it from being asked now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capped: Option<String>,
    /// Of the last 30 days, the dearest first; at most a hundred.
    pub incidents: Vec<IncidentSpent>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentSpent {
    pub incident: IncidentId,
    pub spent: Spent,
}

/// Calls on their way count with their estimates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    pub calls: u64,
    pub tokens: u64,
    pub cost: Money,
}

/// The most that may be spent. A call is only made if its estimate still fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    /// For one incident.
    pub incident: Cap,
    /// In 24 hours.
    pub day: Cap,
    /// In 30 days.
    pub month: Cap,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cap {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// In the currency of the prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
}

impl Cap {
    pub const fn of_tokens(tokens: u64) -> Self {
        Cap { tokens: Some(tokens), cost: None }
    }
}

impl Default for Caps {
    /// Five calls for an incident, a hundred a day, a thousand a month, each as large as may be.
    fn default() -> Self {
        Caps {
            incident: Cap::of_tokens(50_000),
            day: Cap::of_tokens(1_000_000),
            month: Cap::of_tokens(10_000_000),
        }
    }
}

/// What a million tokens cost; nothing with a model of one's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    pub input: Money,
    /// Thinking included.
    pub output: Money,
}
