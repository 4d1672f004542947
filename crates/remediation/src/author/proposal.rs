//! What a model may answer: the one type of which the JSON Schema is made.

use std::fmt;

use kubewise_core::anomaly::Severity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to do about an incident, in an author's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proposal {
    /// How the evidence leads to this decision, for a person who is woken at night.
    pub reasoning: String,
    pub root_cause: RootCause,
    /// True if none of the offers is right; `actions` is empty then.
    pub hand_over: bool,
    /// Offers, in the order in which to do them; what cannot be undone last.
    pub actions: Vec<ProposedAction>,
    /// How urgent it is.
    pub priority: Severity,
    /// What must become true if this helps, in words.
    pub verification: Vec<String>,
    /// From 0 (a guess) to 1 (certain).
    pub confidence: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RootCause {
    /// One sentence.
    pub text: String,
    /// Ids of the evidence that shows it, such as `event:BackOff`; at least one.
    pub evidence: Vec<String>,
}

/// One offer, as it was offered but for its amounts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProposedAction {
    /// The name of the action.
    pub action: String,
    /// The object, as the offer names it.
    pub target: String,
    /// Every parameter of the offer. Only an amount may differ, within the range that the offer names.
    pub parameters: Vec<Parameter>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameter {
    pub name: String,
    pub value: String,
}

/// What is wrong with an answer, in words for the model and the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// PascalCase name of the rule.
    pub rule: String,
    pub finding: String,
}

impl Objection {
    pub(crate) fn new(rule: impl fmt::Display, finding: impl Into<String>) -> Self {
        Objection { rule: rule.to_string(), finding: finding.into() }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.finding)
    }
}
