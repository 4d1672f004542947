//! What playbooks would do, for people who write them.

use kubewise_core::anomaly::Reason;
use kubewise_core::plan::Mode;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use super::{Playbooks, Scope};
use crate::action::REGISTRY;
use crate::facts::Facts;

/// One playbook in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub name: String,
    pub description: String,
    pub reasons: Vec<Reason>,
    pub max_mode: Mode,
    /// Names of its actions in order of preference.
    pub actions: Vec<&'static str>,
}

/// One action type in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionExplanation {
    pub name: &'static str,
    pub description: String,
    pub risk: String,
    /// The JSON schema of its parameters.
    pub parameters: Value,
}

/// What conditions and parameters may speak of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VariableExplanation {
    /// Such as `crash`.
    pub name: String,
    pub description: String,
    /// Name, type and meaning of each field.
    pub fields: Vec<(String, String, String)>,
}

/// A playbook that would be tried, and what it would yield.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    pub playbook: String,
    /// Action and computed parameters, or what is wrong with these.
    pub candidates: Vec<(&'static str, Result<Value, String>)>,
}

impl Playbooks {
    /// Every playbook in the order in which it is tried.
    pub fn explain(&self) -> Vec<Explanation> {
        self.playbooks
            .iter()
            .map(|playbook| Explanation {
                name: playbook.name.clone(),
                description: playbook.description.clone(),
                reasons: playbook.reasons.clone(),
                max_mode: playbook.max_mode,
                actions: playbook.candidates.iter().map(|candidate| candidate.action.name).collect(),
            })
            .collect()
    }

    /// What would be tried for an example of trouble: a Deployment of three whose second revision is to blame, with an
    /// earlier healthy one, a steady demand for memory and an autoscaler.
    pub fn trial(&self, reason: Reason) -> Vec<Trial> {
        let scope = Scope::of(&Facts::example(reason));
        self.matching(&[reason], &scope)
            .map(|playbook| Trial {
                playbook: playbook.name.clone(),
                candidates: playbook
                    .candidates(&scope)
                    .map(|candidate| (candidate.action.name, candidate.parameters(&scope)))
                    .collect(),
            })
            .collect()
    }
}

/// Every action type that a playbook may name.
pub fn actions() -> Vec<ActionExplanation> {
    REGISTRY
        .iter()
        .map(|action| {
            let schema = (action.schema)().to_value();
            ActionExplanation {
                name: action.name,
                description: description(&schema),
                risk: action.risk.told().into(),
                parameters: schema.get("properties").cloned().unwrap_or_default(),
            }
        })
        .collect()
}

/// Every variable of a playbook.
pub fn variables() -> Vec<VariableExplanation> {
    let inline = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
    let schema = inline.into_generator().into_root_schema_for::<Facts>().to_value();
    properties(&schema)
        .map(|(name, of)| VariableExplanation {
            name: name.clone(),
            description: description(of),
            fields: properties(of)
                .map(|(field, of)| (field.clone(), kind(of).to_owned(), description(of)))
                .collect(),
        })
        .collect()
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn description(schema: &Value) -> String {
    let told = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    told.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As CEL calls it.
fn kind(schema: &Value) -> &'static str {
    match schema.get("type").and_then(Value::as_str) {
        Some("integer") => "int",
        Some("number") => "double",
        Some("boolean") => "bool",
        Some("array") => "list",
        _ => "string",
    }
}
