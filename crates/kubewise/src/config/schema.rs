//! Holds a tree against the JSON Schema of the settings, so that every fault is found in one go.

use kubewise_core::Period;
use serde_json::Value;

use super::fault::{Fault, Origin};
use super::tree::{Node, Tree};

/// How alike two names must be for one to be offered for the other.
const ALIKE: f64 = 0.72;

#[derive(Debug)]
pub(crate) struct Schema(Value);

impl Schema {
    pub(crate) fn of<T: schemars::JsonSchema>() -> Self {
        Schema(schemars::schema_for!(T).to_value())
    }

    /// All faults of a tree.
    pub(crate) fn check(&self, root: &Node) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.node(root, &root.origin, &self.0, "", &mut faults);
        faults
    }

    /// A text from the environment or a flag as the value that the key at `path` wants.
    pub(crate) fn read(&self, path: &[&str], text: &str) -> Value {
        let mut schema = &self.0;
        for key in path {
            let next = self.variants(schema).into_iter().find_map(|one| {
                one.get("properties")
                    .and_then(|known| known.get(key))
                    .or_else(|| one.get("additionalProperties"))
            });
            let Some(next) = next else { return text.into() };
            schema = next;
        }
        let variants = self.variants(schema);
        let wants = |kind: &str| variants.iter().any(|one| has_type(one, kind));
        let parsed = serde_json::from_str::<Value>(text).ok();
        match parsed {
            Some(value @ Value::Bool(_)) if wants("boolean") => value,
            Some(value @ Value::Number(_)) if wants("integer") || wants("number") => value,
            Some(value @ Value::Array(_)) if wants("array") => value,
            Some(value @ Value::Object(_)) if wants("object") => value,
            _ if wants("array") => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
            _ => text.into(),
        }
    }

    fn node(&self, node: &Node, key_origin: &Origin, schema: &Value, path: &str, faults: &mut Vec<Fault>) {
        let variants = self.variants(schema);
        let of_type =
            |kind: &str| variants.iter().copied().filter(|one| has_type(one, kind)).collect::<Vec<_>>();
        match &node.tree {
            Tree::Map(entries) => {
                let objects = of_type("object");
                if objects.is_empty() {
                    faults.push(fault(
                        &node.origin,
                        path,
                        format!("is a table, but {}", expected(&variants)),
                    ));
                    return;
                }
                for (key, origin, value) in entries {
                    self.entry(key, origin, value, &objects, path, faults);
                }
                missing(entries, &objects, key_origin, path, faults);
            }
            Tree::List(items) => {
                let Some(list) = of_type("array").first().copied() else {
                    faults.push(fault(&node.origin, path, format!("is a list, but {}", expected(&variants))));
                    return;
                };
                if let Some(schema) = list.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.node(item, &item.origin, schema, &format!("{path}[{index}]"), faults);
                    }
                }
            }
            Tree::Scalar(value) => {
                if let Some(message) = scalar(value, &variants) {
                    faults.push(fault(&node.origin, path, message));
                }
            }
        }
    }

    fn entry(
        &self,
        key: &str,
        origin: &Origin,
        value: &Node,
        objects: &[&Value],
        path: &str,
        faults: &mut Vec<Fault>,
    ) {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let known = objects.iter().filter_map(|object| object.get("properties")).find_map(|all| all.get(key));
        let further = || {
            objects.iter().filter_map(|object| object.get("additionalProperties")).find(|one| one.is_object())
        };
        if let Some(schema) = known.or_else(further) {
            self.node(value, origin, schema, &path, faults);
            return;
        }
        let names = objects.iter().filter_map(|object| object.get("properties")?.as_object()).flatten();
        let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
        faults.push(fault(origin, &path, format!("unknown key; {}", nearest(key, &names))));
    }

    /// The schema with references followed and alternatives spread.
    fn variants<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|link| link.strip_prefix('#'))
        {
            return self.0.pointer(name).map(|target| self.variants(target)).unwrap_or_default();
        }
        for alternatives in ["anyOf", "oneOf", "allOf"] {
            if let Some(list) = schema.get(alternatives).and_then(Value::as_array) {
                return list.iter().flat_map(|one| self.variants(one)).collect();
            }
        }
        vec![schema]
    }
}

/// Keys that have no default.
fn missing(
    entries: &[(String, Origin, Node)],
    objects: &[&Value],
    origin: &Origin,
    path: &str,
    faults: &mut Vec<Fault>,
) {
    let [object] = objects else { return };
    let required = object.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !entries.iter().any(|(key, ..)| key == name) {
            faults.push(fault(origin, path, format!("needs the key `{name}`")));
        }
    }
}

/// "did you mean …", or all the names there are.
pub(crate) fn nearest(wrong: &str, names: &[&str]) -> String {
    let likeness = |name: &str| {
        strsim::jaro_winkler(wrong, name).max(strsim::normalized_damerau_levenshtein(wrong, name))
    };
    let best = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best {
        Some(best) if likeness(best) >= ALIKE => format!("did you mean `{best}`?"),
        _ if names.is_empty() => "none is known here".into(),
        _ => format!("known here are {}", names.join(", ")),
    }
}

fn fault(origin: &Origin, key: &str, message: String) -> Fault {
    Fault { origin: origin.clone(), key: key.into(), message }
}

fn has_type(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(some)) => some.iter().any(|one| one == kind),
        _ => false,
    }
}

/// What is wrong with a scalar, if anything.
fn scalar(value: &Value, variants: &[&Value]) -> Option<String> {
    let allowed = names(variants);
    if !allowed.is_empty() && value.is_string() {
        let text = value.as_str().unwrap_or_default();
        let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
        return (!allowed.contains(&text))
            .then(|| format!("`{text}` is not valid; {}", nearest(text, &allowed)));
    }
    let fits = variants.iter().any(|schema| match value {
        Value::Null => has_type(schema, "null"),
        Value::Bool(_) => has_type(schema, "boolean"),
        Value::String(_) => has_type(schema, "string") || schema.as_bool() == Some(true),
        Value::Number(number) => {
            let bounded = |bound: &str, holds: fn(f64, f64) -> bool| {
                let limit = schema.get(bound).and_then(Value::as_f64);
                limit.is_none_or(|limit| number.as_f64().is_some_and(|number| holds(number, limit)))
            };
            let whole = number.is_i64() || number.is_u64();
            let kind = has_type(schema, "number") || (whole && has_type(schema, "integer"));
            kind && bounded("minimum", |number, limit| number >= limit)
                && bounded("maximum", |number, limit| number <= limit)
        }
        Value::Array(_) | Value::Object(_) => false,
    });
    if !fits {
        return Some(format!("{value} is not valid: {}", expected(variants)));
    }
    let is_duration = variants.iter().any(|one| one.get("format").is_some_and(|format| format == "duration"));
    match value.as_str() {
        Some(text) if is_duration => text.parse::<Period>().err().map(|error| error.to_string()),
        _ => None,
    }
}

/// The names an enumeration allows.
fn names(variants: &[&Value]) -> Vec<String> {
    let listed = variants.iter().filter_map(|one| one.get("enum")?.as_array()).flatten();
    let single = variants.iter().filter_map(|one| one.get("const"));
    listed.chain(single).filter_map(|name| name.as_str().map(Into::into)).collect()
}

fn expected(variants: &[&Value]) -> String {
    let describe = |schema: &&Value| -> Option<String> {
        let kind = schema.get("type")?;
        let kinds: Vec<&str> = match kind {
            Value::String(one) => vec![one],
            Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
        };
        let minimum =
            schema.get("minimum").and_then(Value::as_f64).map(|least| format!(" of at least {least}"));
        let kinds: Vec<&str> = kinds
            .into_iter()
            .filter(|kind| *kind != "null")
            .map(|kind| match kind {
                "string" if schema.get("format").is_some_and(|format| format == "duration") => {
                    "a duration such as `15s`"
                }
                "string" => "a text",
                "integer" => "a whole number",
                "number" => "a number",
                "boolean" => "true or false",
                "array" => "a list",
                _ => "a table",
            })
            .collect();
        (!kinds.is_empty()).then(|| kinds.join(" or ") + &minimum.unwrap_or_default())
    };
    let all: Vec<String> = variants.iter().filter_map(describe).collect();
    format!("{} is expected", all.join(" or "))
}
