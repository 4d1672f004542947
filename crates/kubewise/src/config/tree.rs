//! A configuration file as a tree in which every value knows its line.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::fault::{Fault, Origin};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) tree: Tree,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Scalar(Value),
    List(Vec<Node>),
    /// Keys with their own places, in the order of the file.
    Map(Vec<(String, Origin, Node)>),
}

impl Node {
    pub(crate) fn to_value(&self) -> Value {
        match &self.tree {
            Tree::Scalar(value) => value.clone(),
            Tree::List(nodes) => nodes.iter().map(Node::to_value).collect(),
            Tree::Map(entries) => {
                Value::Object(entries.iter().map(|(key, _, node)| (key.clone(), node.to_value())).collect())
            }
        }
    }

    fn from_value(value: Value, origin: &Origin) -> Node {
        let tree = match value {
            Value::Array(items) => {
                Tree::List(items.into_iter().map(|item| Node::from_value(item, origin)).collect())
            }
            Value::Object(entries) => Tree::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (key, origin.clone(), Node::from_value(value, origin)))
                    .collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Tree::Scalar(value),
        };
        Node { origin: origin.clone(), tree }
    }

    /// `value` at `path` from its root, all of it from one place.
    pub(crate) fn nested(path: &[&str], value: Value, origin: &Origin) -> Node {
        let leaf = Node::from_value(value, origin);
        path.iter().rev().fold(leaf, |inner, key| Node {
            origin: origin.clone(),
            tree: Tree::Map(vec![((*key).to_owned(), origin.clone(), inner)]),
        })
    }
}

/// Reads TOML. Every syntax error is told, not the first only.
pub(crate) fn from_toml(file: &str, text: &str) -> Result<Node, Vec<Fault>> {
    let place = |offset: usize| {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.split('\n').count();
        let column = before.rsplit('\n').next().map_or(1, |last| last.chars().count() + 1);
        Origin::File { file: file.into(), line, column }
    };
    let (table, errors) = toml::de::DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let fault = |error: toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            Fault { origin: place(offset), key: String::new(), message: error.message().to_owned() }
        };
        return Err(errors.into_iter().map(fault).collect());
    }
    let root = place(table.span().start);
    Ok(Node { origin: root, tree: toml_table(table.get_ref(), &place) })
}

fn toml_table(table: &toml::de::DeTable<'_>, place: &dyn Fn(usize) -> Origin) -> Tree {
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<_>)| {
        let key_text: &std::borrow::Cow<'_, str> = key.get_ref();
        (key_text.clone().into_owned(), place(key.span().start), toml_value(value, place))
    };
    Tree::Map(table.iter().map(entry).collect())
}

fn toml_value(value: &toml::Spanned<toml::de::DeValue<'_>>, place: &dyn Fn(usize) -> Origin) -> Node {
    use toml::de::DeValue;
    let tree = match value.get_ref() {
        DeValue::String(text) => Tree::Scalar(Value::String(text.clone().into_owned())),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Tree::Scalar(parsed.map_or_else(|_| Value::String(number.as_str().into()), Value::from))
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            Tree::Scalar(parsed.map_or_else(|| Value::String(number.as_str().into()), Value::Number))
        }
        DeValue::Boolean(flag) => Tree::Scalar(Value::Bool(*flag)),
        DeValue::Datetime(time) => Tree::Scalar(Value::String(time.to_string())),
        DeValue::Array(items) => Tree::List(items.iter().map(|item| toml_value(item, place)).collect()),
        DeValue::Table(table) => toml_table(table, place),
    };
    Node { origin: place(value.span().start), tree }
}

/// Reads YAML.
pub(crate) fn from_yaml(file: &str, text: &str) -> Result<Node, Vec<Fault>> {
    if text.trim().is_empty() {
        let origin = Origin::File { file: file.into(), line: 1, column: 1 };
        return Ok(Node { origin, tree: Tree::Map(Vec::new()) });
    }
    match serde_saphyr::from_str::<serde_saphyr::Spanned<Yaml>>(text) {
        Ok(root) => Ok(yaml_node(file, root)),
        Err(error) => {
            let place = error.location();
            let origin = Origin::File {
                file: file.into(),
                line: place.map_or(1, |place| place.line() as usize),
                column: place.map_or(1, |place| place.column() as usize),
            };
            let message = error.to_string();
            let message = message.lines().next().unwrap_or_default().to_owned();
            Err(vec![Fault { origin, key: String::new(), message }])
        }
    }
}

enum Yaml {
    Scalar(Value),
    List(Vec<serde_saphyr::Spanned<Yaml>>),
    Map(Vec<(serde_saphyr::Spanned<String>, serde_saphyr::Spanned<Yaml>)>),
}

fn yaml_node(file: &str, spanned: serde_saphyr::Spanned<Yaml>) -> Node {
    let place = |at: &serde_saphyr::Location| Origin::File {
        file: file.into(),
        line: at.line() as usize,
        column: at.column() as usize,
    };
    let origin = place(&spanned.referenced);
    let tree = match spanned.value {
        Yaml::Scalar(value) => Tree::Scalar(value),
        Yaml::List(items) => Tree::List(items.into_iter().map(|item| yaml_node(file, item)).collect()),
        Yaml::Map(entries) => {
            let entry = |(key, value): (serde_saphyr::Spanned<String>, _)| {
                (key.value, place(&key.referenced), yaml_node(file, value))
            };
            Tree::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { origin, tree }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(flag.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(text.into()))
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Yaml::Map(map))
    }
}

/// Lays `over` on `base`: maps merge, everything else replaces.
pub(crate) fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Object(Map::new())), value);
            }
        }
        (base, over) => *base = over,
    }
}
