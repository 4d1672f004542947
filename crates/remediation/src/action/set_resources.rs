//! Set requests and limits of one container in the pod template.

use std::fmt::Write as _;

use kubewise_core::plan::{FieldChange, PlanStep};
use kubewise_core::quantity;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Lower, Premise, Risk, TEMPLATE, Unmet};

/// Beyond this (a pebibyte, a million cores) a number is a mistake.
const MAX_AMOUNT: f64 = 1.2e15;

/// Set requests and limits of one container. What is left out stays as it is, but a request that equals its limit follows it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SetResources {
    pub(super) container: String,
    #[serde(default)]
    pub(super) memory_limit: Option<Amount>,
    #[serde(default)]
    pub(super) memory_request: Option<Amount>,
    #[serde(default)]
    pub(super) cpu_limit: Option<Amount>,
    #[serde(default)]
    pub(super) cpu_request: Option<Amount>,
}

/// Bytes or cores as a number, or a quantity such as `256Mi`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Amount {
    Number(f64),
    Quantity(String),
}

impl Amount {
    pub(super) fn written(&self, resource: &str) -> Result<String, Unmet> {
        let value = match self {
            Amount::Number(value) => Some(*value),
            Amount::Quantity(text) => quantity::parse(text),
        };
        let value = value
            .filter(|value| *value > 0.0 && *value <= MAX_AMOUNT)
            .ok_or_else(|| Unmet(format!("{self} is not an amount of {resource}")))?;
        Ok(if resource == "cpu" { quantity::millicores(value) } else { quantity::mebibytes(value) })
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Amount::Number(value) => write!(f, "{value}"),
            Amount::Quantity(text) => f.write_str(text),
        }
    }
}

impl Lower for SetResources {
    const NAME: &'static str = "SetResources";
    const RISK: Risk = Risk::Medium;
    const AMOUNTS: &'static [&'static str] = &["memoryLimit", "memoryRequest", "cpuLimit", "cpuRequest"];

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        let template = premise.template()?;
        let containers = template.pointer("/spec/containers").and_then(Value::as_array);
        let (index, container) = containers
            .into_iter()
            .flatten()
            .enumerate()
            .find(|(_, container)| container.get("name").and_then(Value::as_str) == Some(&self.container))
            .ok_or_else(|| Unmet(format!("{} has no container {}", premise.object, self.container)))?;
        let old = container.get("resources");
        let wanted = self.wanted(old)?;
        if wanted.is_empty() {
            return Err(Unmet(format!("container {} has these resources already", self.container)));
        }
        let base = format!("{TEMPLATE}/spec/containers/{index}");
        // The index alone could mean another container by the time of the write.
        let name = json!(self.container);
        let guard =
            FieldChange { path: format!("{base}/name"), before: Some(name.clone()), after: Some(name) };
        let changes = [guard].into_iter().chain(changes(&base, old, &wanted)).collect();
        let (told, parameters) = told(&self.container, old, &wanted);
        Ok(vec![premise.write(
            premise.action(Self::NAME, Value::Object(parameters)),
            changes,
            format!("set {told} for container {} of {}", self.container, premise.object),
            premise.rollout_disruption(),
        )])
    }
}

/// Section, resource and value of what shall change.
pub(super) type Wanted = Vec<(&'static str, &'static str, String)>;

/// What changes in words, and as parameters that say it exactly.
pub(super) fn told(container: &str, old: Option<&Value>, wanted: &Wanted) -> (String, Map<String, Value>) {
    let mut parameters = Map::from_iter([("container".to_owned(), json!(container))]);
    let mut told = String::new();
    for (section, resource, value) in wanted {
        let before = old.and_then(|old| old.pointer(&format!("/{section}/{resource}")));
        let before = before.and_then(Value::as_str).unwrap_or("none");
        let singular = section.trim_end_matches('s');
        let separator = if told.is_empty() { "" } else { " and " };
        // Writing to a String cannot fail.
        let _ = write!(told, "{separator}the {resource} {singular} from {before} to {value}");
        let key = if singular == "limit" { format!("{resource}Limit") } else { format!("{resource}Request") };
        parameters.insert(key, json!(value));
    }
    (told, parameters)
}

impl SetResources {
    pub(super) fn wanted(&self, old: Option<&Value>) -> Result<Wanted, Unmet> {
        let mut wanted = Wanted::new();
        for (resource, limit, request) in [
            ("memory", &self.memory_limit, &self.memory_request),
            ("cpu", &self.cpu_limit, &self.cpu_request),
        ] {
            let old = |section: &str| {
                let value = old.and_then(|old| old.pointer(&format!("/{section}/{resource}")));
                value.and_then(Value::as_str).and_then(quantity::parse)
            };
            let limit = limit.as_ref().map(|limit| limit.written(resource)).transpose()?;
            let mut request = request.as_ref().map(|request| request.written(resource)).transpose()?;
            if request.is_none() && old("requests").is_some() && old("requests") == old("limits") {
                request.clone_from(&limit);
            }
            for (section, value) in [("limits", limit), ("requests", request)] {
                if let Some(value) = value.filter(|value| old(section) != quantity::parse(value)) {
                    wanted.push((section, resource, value));
                }
            }
        }
        Ok(wanted)
    }
}

/// Leaf values where their parent exists; where it does not, the nearest missing parent as a whole.
pub(super) fn changes(base: &str, old: Option<&Value>, wanted: &Wanted) -> Vec<FieldChange> {
    let section_of = |name: &str| -> Value {
        let values = wanted.iter().filter(|(section, ..)| *section == name);
        values
            .map(|(_, resource, value)| ((*resource).to_owned(), json!(value)))
            .collect::<Map<_, _>>()
            .into()
    };
    let added = |path: String, after: Value| FieldChange { path, before: None, after: Some(after) };
    let mut sections: Vec<&str> = wanted.iter().map(|(section, ..)| *section).collect();
    sections.sort_unstable();
    sections.dedup();
    let Some(old) = old else {
        let whole: Map<_, _> = sections.iter().map(|name| ((*name).to_owned(), section_of(name))).collect();
        return vec![added(format!("{base}/resources"), whole.into())];
    };
    sections
        .into_iter()
        .flat_map(|section| match old.get(section).and_then(Value::as_object) {
            None => vec![added(format!("{base}/resources/{section}"), section_of(section))],
            Some(values) => wanted
                .iter()
                .filter(|(of, ..)| *of == section)
                .map(|(_, resource, value)| FieldChange {
                    path: format!("{base}/resources/{section}/{resource}"),
                    before: values.get(*resource).cloned(),
                    after: Some(json!(value)),
                })
                .collect(),
        })
        .collect()
}
