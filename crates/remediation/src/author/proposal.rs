//! What a model may answer: the one type of which the JSON Schema is made.

use std::fmt;

use kubewise_core::anomaly::Severity;
use kubewise_core::author::{Answer, Ending};
use kubewise_core::guard::{Guard, Guards};
use kubewise_core::plan::{HAND_OVER, MAX_STEPS};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::egress::plain;
use super::offer::{self, Offer};

/// Bytes of an answer that is read at all: many times what the longest proposal needs.
const MAX_ANSWER: usize = 64 * 1024;
/// Characters that a person still reads at night.
const MAX_REASONING: usize = 4_000;
const MAX_SENTENCE: usize = 600;
/// More than these support nothing better.
const MAX_CITED: usize = 16;
const MAX_CHECKS: usize = 8;
/// Bytes of an objection; it may hold words of the answer.
pub(super) const MAX_FINDING: usize = 400;
/// What providers' validators of schemas do not know, or refuse: bounds are checked here.
const NOT_FOR_PROVIDERS: [&str; 6] = ["$schema", "title", "format", "minimum", "maximum", "default"];

/// What to do about an incident, in an author's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proposal {
    /// How the evidence leads to this decision, for a person who is woken at night.
    pub reasoning: String,
    pub root_cause: RootCause,
    /// Offers, in the order in which to do them; what cannot be undone last. `HandOver` stands alone.
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

/// One offer, as it was offered but for its amounts and words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProposedAction {
    /// The name of the action.
    pub action: String,
    /// The object, as the offer names it.
    pub target: String,
    /// Every parameter of the offer. Only an amount may differ, within the range that the offer names, and where the
    /// offer shows … stand your own words.
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

/// The JSON Schema of a proposal, in the part of the language that every provider takes.
pub(super) fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Proposal>().to_value();
    simplify(&mut schema);
    schema
}

fn simplify(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            // A property may have the name of a keyword.
            if fields.contains_key("type") {
                fields.retain(|key, _| !NOT_FOR_PROVIDERS.contains(&key.as_str()));
            }
            if let Some(Value::String(description)) = fields.get_mut("description") {
                *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            fields.values_mut().for_each(simplify);
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(simplify),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Proposal {
    /// What an answer says, if it is a proposal at all.
    pub(super) fn parse(answer: &Answer) -> Result<Self, Objection> {
        let wrong = |finding: String| Err(Objection::new("Answer", finding));
        match answer.ending {
            Ending::Complete => {}
            Ending::Truncated => return wrong("the answer was cut off at its longest: say less".into()),
            Ending::Withheld => return wrong("the provider withheld the answer".into()),
        }
        if answer.text.len() > MAX_ANSWER {
            return wrong(format!(
                "the answer has {} bytes, more than the {MAX_ANSWER} that are read",
                answer.text.len()
            ));
        }
        let proposal: Proposal = match serde_json::from_str(unfenced(&answer.text)) {
            Ok(proposal) => proposal,
            Err(error) => {
                return wrong(format!("the answer is not the JSON object that was asked for: {error}"));
            }
        };
        let named = |one: Parameter| Parameter { value: line(&one.value), ..one };
        let actions = proposal.actions.into_iter().map(|proposed| ProposedAction {
            parameters: proposed.parameters.into_iter().map(named).collect(),
            ..proposed
        });
        Ok(Proposal {
            actions: actions.collect(),
            reasoning: plain(&proposal.reasoning),
            root_cause: RootCause { text: line(&proposal.root_cause.text), ..proposal.root_cause },
            verification: proposal.verification.iter().map(|check| line(check)).collect(),
            ..proposal
        })
    }

    /// Whether it would change nothing.
    pub(crate) fn hands_over(&self) -> bool {
        self.actions.iter().any(|proposed| proposed.action == HAND_OVER)
    }

    /// Whether it keeps to what was shown and offered: the evidence with these ids, and these offers.
    pub(crate) fn holds(&self, offers: &[Offer], ids: &[String], guards: Guards) -> Result<(), Objection> {
        self.is_readable()?;
        let cited = &self.root_cause.evidence;
        if guards.stands(Guard::CitedEvidence) {
            if cited.is_empty() {
                return Err(Objection::new(Guard::CitedEvidence, "the root cause cites no evidence"));
            }
            if let Some(unknown) = cited.iter().find(|id| !ids.contains(id)) {
                let finding = format!("there is no evidence with the id {unknown}");
                return Err(Objection::new(Guard::CitedEvidence, finding));
            }
        }
        if self.actions.is_empty() || (self.hands_over() && self.actions.len() > 1) {
            let finding = format!("actions names repairs, or {HAND_OVER} alone");
            return Err(Objection::new("Proposal", finding));
        }
        let mut chosen: Vec<&Offer> = Vec::new();
        for proposed in &self.actions {
            let (offer, _) = offer::find(offers, proposed, guards)?;
            // The second would find other values than it was made for, and the plan would stop half-way.
            if let Some(field) = chosen.iter().find_map(|earlier| earlier.meets(offer)) {
                return Err(Objection::new(
                    "Proposal",
                    format!("two of the actions change {field}: choose one"),
                ));
            }
            chosen.push(offer);
        }
        Ok(())
    }

    fn is_readable(&self) -> Result<(), Objection> {
        let checks = &self.verification;
        let bounds = [
            ("reasoning", "characters", self.reasoning.chars().count(), MAX_REASONING),
            ("rootCause.text", "characters", self.root_cause.text.chars().count(), MAX_SENTENCE),
            ("rootCause.evidence", "ids", self.root_cause.evidence.len(), MAX_CITED),
            ("actions", "steps", self.actions.len(), MAX_STEPS),
            ("verification", "checks", checks.len(), MAX_CHECKS),
            (
                "verification",
                "characters",
                checks.iter().map(|check| check.chars().count()).sum(),
                MAX_REASONING,
            ),
        ];
        if let Some((field, what, count, most)) = bounds.into_iter().find(|(_, _, count, most)| count > most)
        {
            return Err(Objection::new(
                "Proposal",
                format!("{field} has {count} {what}; at most {most} are read"),
            ));
        }
        if self.reasoning.trim().is_empty() || self.root_cause.text.trim().is_empty() {
            return Err(Objection::new("Proposal", "reasoning and rootCause.text must say something"));
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            return Err(Objection::new(
                "Proposal",
                format!("confidence is {}, not from 0 to 1", self.confidence),
            ));
        }
        Ok(())
    }
}

/// Without the code fence that some models put around JSON.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    inner.and_then(|inner| inner.strip_suffix("```")).unwrap_or(text)
}

fn line(text: &str) -> String {
    plain(text).replace('\n', " ")
}

impl Objection {
    pub(crate) fn new(rule: impl fmt::Display, finding: impl AsRef<str>) -> Self {
        let mut finding = line(finding.as_ref());
        finding.truncate(finding.floor_char_boundary(MAX_FINDING));
        Objection { rule: rule.to_string(), finding }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.finding)
    }
}
