//! The configuration: a documented default file, the user's file, `.env`, the environment, flags; later ones win.
//!
//! Each layer is parsed with the places of its values and held against the schema before anything is merged, so
//! that all faults are told at once, with file, line, key and what would be right.

mod author;
mod fault;
mod schema;
mod tree;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kubewise_core::Period;
use kubewise_core::metric::MetricQuery;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use author::AuthorSettings;
pub(crate) use fault::{Fault, Faults, Origin};
use schema::Schema;
use tree::{Node, Tree, merge};

/// The documented defaults; the lowest layer.
pub(crate) const DEFAULT: &str = include_str!("../../../config/kubewise.toml");
/// What `DEFAULT` is called in messages.
const DEFAULT_NAME: &str = "config/kubewise.toml (built in)";
const DOTENV: &str = ".env";
/// Read if no file is named and one of these exists.
const USUAL_FILES: &[&str] = &["/etc/kubewise/kubewise.toml", "/etc/kubewise/kubewise.yaml"];
/// Short names beside `KUBEWISE_SECTION__KEY`. Every other `KUBEWISE_…` is ignored: a Service named kubewise makes
/// Kubernetes inject some.
const SHORT_NAMES: &[(&str, &[&str])] = &[
    ("KUBEWISE_PROMETHEUS_URL", &["prometheus", "url"]),
    ("KUBEWISE_STORE", &["store", "url"]),
    ("KUBEWISE_MODE", &["policy", "mode"]),
    ("KUBEWISE_LISTEN", &["api", "listen"]),
    ("KUBEWISE_TOKEN", &["api", "token"]),
    ("KUBEWISE_LOG", &["log", "level"]),
];

/// Everything that can be configured.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default)]
    pub(crate) log: LogOptions,
    #[serde(default)]
    pub(crate) api: kubewise_api::Options,
    #[serde(default)]
    pub(crate) kubernetes: kubewise_kubernetes::Options,
    #[serde(default)]
    pub(crate) prometheus: kubewise_prometheus::Options,
    #[serde(default)]
    pub(crate) catalogue: CatalogueOptions,
    #[serde(default)]
    pub(crate) store: StoreOptions,
    #[serde(default)]
    pub(crate) detector: kubewise_detector::Options,
    #[serde(default)]
    pub(crate) policy: kubewise_remediation::policy::Options,
    #[serde(default)]
    pub(crate) playbooks: PlaybookOptions,
    #[serde(default)]
    pub(crate) author: AuthorSettings,
    #[serde(default)]
    pub(crate) runtime: kubewise_runtime::Options,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogOptions {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,kubewise_runtime=debug`.
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions { level: "info".into(), format: LogFormat::Text }
    }
}

/// What is asked of Prometheus.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CatalogueOptions {
    /// Whether the built-in catalogue is asked.
    pub(crate) defaults: bool,
    /// Further queries; one with the name of a built-in query replaces it.
    pub(crate) queries: Vec<MetricQuery>,
}

impl Default for CatalogueOptions {
    fn default() -> Self {
        CatalogueOptions { defaults: true, queries: Vec::new() }
    }
}

impl CatalogueOptions {
    pub(crate) fn queries(&self) -> Vec<MetricQuery> {
        let mut queries = if self.defaults { kubewise_prometheus::default_catalogue() } else { Vec::new() };
        queries.retain(|query| self.queries.iter().all(|own| own.name != query.name));
        queries.extend(self.queries.iter().cloned());
        queries
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreOptions {
    /// `sqlite:PATH`.
    pub(crate) url: String,
    /// How long closed records are kept.
    pub(crate) retention: Period,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { url: "sqlite:kubewise.db".into(), retention: Period::from_mins(30 * 24 * 60) }
    }
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PlaybookOptions {
    /// A directory of further playbooks (`*.yaml`); one with the name of a built-in playbook replaces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) directory: Option<PathBuf>,
}

/// What the layers are read from; the process environment comes in as a value, so that tests need none.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The file named by `--config` or `KUBEWISE_CONFIG`.
    pub(crate) file: Option<PathBuf>,
    /// The text of `.env`, if it is there, or why it cannot be read.
    pub(crate) dotenv: Option<Result<String, String>>,
    pub(crate) environment: BTreeMap<String, OsString>,
    /// Flag, key path and text of each flag that was given.
    pub(crate) flags: Vec<(&'static str, &'static [&'static str], String)>,
}

impl Sources {
    /// Those of this process.
    pub(crate) fn of_process(
        file: Option<PathBuf>,
        flags: Vec<(&'static str, &'static [&'static str], String)>,
    ) -> Self {
        // A name that is not UTF-8 is none of ours.
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        let environment: BTreeMap<String, OsString> = std::env::vars_os().filter_map(text).collect();
        let named = environment.get("KUBEWISE_CONFIG").filter(|name| !name.is_empty()).map(PathBuf::from);
        let usual = || USUAL_FILES.iter().map(PathBuf::from).find(|path| path.exists());
        let file = file.or(named).or_else(usual);
        let dotenv = match std::fs::read_to_string(DOTENV) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            read => Some(read.map_err(|error| error.to_string())),
        };
        Sources { file, dotenv, environment, flags }
    }
}

/// A configuration without faults.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    /// Every key with its value, secrets masked.
    pub(crate) effective: Value,
    /// Where values that are not the default came from, by dotted key.
    pub(crate) origins: BTreeMap<String, Origin>,
}

/// Reads, checks and merges all layers.
pub(crate) fn load(sources: &Sources) -> Result<Loaded, Faults> {
    let schema = Schema::of::<Settings>();
    let mut faults = Vec::new();
    let mut layers = Vec::new();
    let mut take = |layer: Result<Node, Vec<Fault>>| match layer {
        Ok(node) => {
            faults.extend(schema.check(&node));
            layers.push(node);
        }
        Err(wrong) => faults.extend(wrong),
    };
    take(tree::from_toml(DEFAULT_NAME, DEFAULT));
    if let Some(path) = &sources.file {
        take(from_file(path));
    }
    for node in variables(sources, &schema) {
        take(node);
    }
    for (flag, path, text) in &sources.flags {
        let value = schema.read(path, text);
        take(Ok(Node::nested(path, value, &Origin::Flag((*flag).into()))));
    }
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    let mut effective = Value::Null;
    let mut origins = BTreeMap::new();
    for (index, layer) in layers.iter().enumerate() {
        merge(&mut effective, layer.to_value());
        if index > 0 {
            remember(layer, "", &mut origins);
        }
    }
    let settings = serde_json::from_value(effective.clone()).map_err(|error| {
        let origin = sources.file.as_ref().map_or(DEFAULT_NAME.into(), |path| path.display().to_string());
        let origin = Origin::File { file: origin, line: 1, column: 1 };
        Faults(vec![Fault { origin, key: String::new(), message: error.to_string() }])
    })?;
    mask(&mut effective);
    Ok(Loaded { settings, effective, origins })
}

fn from_file(path: &Path) -> Result<Node, Vec<Fault>> {
    let name = path.display().to_string();
    let at_start = |message: String| {
        let origin = Origin::File { file: name.clone(), line: 1, column: 1 };
        vec![Fault { origin, key: String::new(), message }]
    };
    let text = std::fs::read_to_string(path).map_err(|error| at_start(format!("cannot be read: {error}")))?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => tree::from_toml(&name, &text),
        Some("yaml" | "yml") => tree::from_yaml(&name, &text),
        _ => Err(at_start("is neither .toml nor .yaml".into())),
    }
}

/// One layer for each variable, those of `.env` before those of the environment.
fn variables(sources: &Sources, schema: &Schema) -> Vec<Result<Node, Vec<Fault>>> {
    let mut layers = Vec::new();
    let mut add = |name: &str, text: &str| {
        if text.is_empty() {
            return;
        }
        let short = SHORT_NAMES.iter().find(|(short, _)| *short == name).map(|(_, path)| path.to_vec());
        let long: Option<Vec<String>> = name
            .strip_prefix("KUBEWISE_")
            .filter(|rest| rest.contains("__"))
            .map(|rest| rest.split("__").map(str::to_lowercase).collect());
        let path = short.or_else(|| long.as_ref().map(|parts| parts.iter().map(String::as_str).collect()));
        if let Some(path) = path {
            let value = schema.read(&path, text);
            layers.push(Ok(Node::nested(&path, value, &Origin::Variable(name.into()))));
        }
    };
    let mut wrong = Vec::new();
    let dotenv = match &sources.dotenv {
        Some(Ok(text)) => text.as_str(),
        Some(Err(error)) => {
            wrong.push(in_dotenv(1, format!("cannot be read: {error}")));
            ""
        }
        None => "",
    };
    for line in dotenvy::from_read_iter(dotenv.as_bytes()) {
        match line {
            Ok((name, text)) => add(&name, &text),
            Err(error) => wrong.push(not_a_variable(dotenv, &error)),
        }
    }
    for (name, value) in &sources.environment {
        match value.to_str() {
            Some(text) => add(name, text),
            None if name.starts_with("KUBEWISE_") => {
                let origin = Origin::Variable(name.as_str().into());
                wrong.push(Fault { origin, key: String::new(), message: "is not UTF-8".into() });
            }
            None => {}
        }
    }
    if !wrong.is_empty() {
        layers.push(Err(wrong));
    }
    layers
}

/// Where a line of `.env` is wrong. Not what stands there: it may be a secret.
fn not_a_variable(dotenv: &str, error: &dotenvy::Error) -> Fault {
    let wrong = if let dotenvy::Error::LineParse(text, _) = error { text.lines().next() } else { None };
    let line =
        wrong.and_then(|wrong| dotenv.lines().position(|line| line.trim_end().ends_with(wrong.trim())));
    let message = "is not NAME=VALUE; a value with spaces, quotes or # stands in single quotes";
    in_dotenv(line.map_or(1, |before| before + 1), message.into())
}

fn in_dotenv(line: usize, message: String) -> Fault {
    Fault { origin: Origin::File { file: DOTENV.into(), line, column: 1 }, key: String::new(), message }
}

fn remember(node: &Node, path: &str, origins: &mut BTreeMap<String, Origin>) {
    match &node.tree {
        Tree::Map(entries) if !entries.is_empty() => {
            for (key, _, value) in entries {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                remember(value, &path, origins);
            }
        }
        Tree::Map(_) | Tree::List(_) | Tree::Scalar(_) => {
            origins.insert(path.into(), node.origin.clone());
        }
    }
}

/// Hides what must not be shown: keys that hold secrets, and passwords in URLs.
fn mask(value: &mut Value) {
    const MASKED: &str = "********";
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let secret =
                    ["token", "password", "secret", "api_key"].iter().any(|name| key.ends_with(name));
                if secret && value.is_string() {
                    *value = MASKED.into();
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::String(text) => {
            let parts =
                text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?)));
            if let Some((scheme, (_, host))) = parts {
                *text = format!("{scheme}://{MASKED}@{host}");
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests;
