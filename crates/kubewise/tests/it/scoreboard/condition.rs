//! What can be asked of the state of the cluster.

use anyhow::{Context as _, Result};
use cel::Program;
use serde::Deserialize;
use serde_json::Value;

use super::view::View;

/// Holds or does not, now.
#[derive(Debug)]
pub(super) enum Condition {
    /// Something that can be got of the cluster, as `kubectl get` names it, is as a CEL expression over `it` says. `it`
    /// is null where the object is not there; a list has `items`.
    State { get: String, that: Program, source: String },
    /// The value of a query of Prometheus is as a CEL expression over `it` says.
    Measured { query: String, that: Program, source: String },
    /// KubeWise told people so: an Event of its own about an object, such as `deployment/web`.
    Told { reason: String, about: String },
}

impl Condition {
    pub(super) fn holds(&self, view: &View<'_>, namespace: &str) -> Result<bool> {
        match self {
            Self::State { get, that, .. } => evaluate(that, &view.get(namespace, get)?),
            Self::Measured { query, that, .. } => evaluate(that, &view.measure(query)?),
            Self::Told { reason, about } => {
                Ok(view.told(namespace, about)?.iter().any(|told| told == reason))
            }
        }
    }

    /// Why it does not hold, for people: what is there instead.
    pub(super) fn instead(&self, view: &View<'_>, namespace: &str) -> String {
        let found = match self {
            Self::State { get, .. } => view.get(namespace, get).map(|it| brief(&it)),
            Self::Measured { query, .. } => view.measure(query).map(|it| it.to_string()),
            Self::Told { about, .. } => view.told(namespace, about).map(|told| format!("told {told:?}")),
        };
        format!("{self}: {}", found.unwrap_or_else(|error| format!("{error:#}")))
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::State { get: of, source, .. } | Self::Measured { query: of, source, .. } => {
                write!(f, "{of}: {source}")
            }
            Self::Told { reason, about } => write!(f, "{about}: told {reason}"),
        }
    }
}

/// What is not there yet cannot be evaluated, and does not hold.
fn evaluate(that: &Program, it: &Value) -> Result<bool> {
    let mut context = cel::Context::default();
    context.add_variable_from_value("it", cel::to_value(it).context("not a value of CEL")?);
    Ok(matches!(that.execute(&context), Ok(cel::Value::Bool(true))))
}

/// Spec and status without what nobody asked about.
fn brief(it: &Value) -> String {
    const READABLE: usize = 1500;
    let object = |it: &Value| {
        format!("generation {} {} status {}", it["metadata"]["generation"], it["spec"], it["status"])
    };
    let text = match it["items"].as_array() {
        Some(items) => items.iter().map(object).collect::<Vec<_>>().join("; "),
        None if it.is_null() => "not there".into(),
        None => object(it),
    };
    text.chars().take(READABLE).collect()
}

/// As it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    get: Option<String>,
    query: Option<String>,
    that: Option<String>,
    told: Option<String>,
    about: Option<String>,
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let Written { get, query, that, told, about } = Written::deserialize(deserializer)?;
        match (get, query, that, told, about) {
            (Some(get), None, Some(source), None, None) => {
                Ok(Self::State { get, that: compiled(&source).map_err(D::Error::custom)?, source })
            }
            (None, Some(query), Some(source), None, None) => {
                Ok(Self::Measured { query, that: compiled(&source).map_err(D::Error::custom)?, source })
            }
            (None, None, None, Some(reason), Some(about)) => Ok(Self::Told { reason, about }),
            _ => Err(D::Error::custom(
                "a condition has `get` and `that`, `query` and `that`, or `told` and `about`",
            )),
        }
    }
}

fn compiled(source: &str) -> Result<Program, String> {
    Program::compile(source).map_err(|error| format!("`{source}` is not CEL: {error}"))
}
