//! The schema of an answer as every provider takes it.
//!
//! Each provider knows another part of JSON Schema, and refuses the request for a word that it does not know or for a
//! bound that it cannot keep. What is sent is what all of them know: types, properties, lists, alternatives, fixed
//! values and descriptions. Bounds, patterns and formats stay at home, so whoever asked holds the answer against the
//! whole schema.
//!
//! Objects are closed and all their properties required, as OpenAI and Anthropic want it; what such a schema admits, the
//! original does too. Models write properties in the order of the schema, so `required` decides it: thoughts that come
//! first are thought first.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};

/// A schema in the words that every provider knows.
#[derive(Debug)]
pub(crate) struct Schema {
    tree: Tree,
    closed: bool,
}

#[derive(Debug)]
enum Tree {
    Value(Value),
    List(Vec<Tree>),
    /// In the order in which it is written.
    Map(Vec<(String, Tree)>),
}

impl Schema {
    pub(crate) fn of(schema: &Value) -> Self {
        let mut closed = true;
        let tree = tree(schema, &mut closed);
        Schema { tree, closed }
    }

    /// Whether it says of every value what it is. What cannot be said so (a map with free keys, a value of any kind)
    /// OpenAI takes only if it need not keep it, and Anthropic not at all.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.tree.serialize(serializer)
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tree::Value(value) => value.serialize(serializer),
            Tree::List(items) => serializer.collect_seq(items),
            Tree::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

fn tree(schema: &Value, closed: &mut bool) -> Tree {
    let Some(words) = schema.as_object() else {
        *closed = false;
        return Tree::Map(Vec::new()); // `true`: anything
    };
    let mut entries = Vec::new();
    let mut keep = |word: &str, value: Option<&Value>| {
        entries.extend(value.map(|value| (word.to_owned(), Tree::Value(value.clone()))));
    };
    if words.contains_key("$ref") {
        keep("$ref", words.get("$ref"));
    } else {
        keep("description", words.get("description"));
        keep("type", words.get("type").filter(|kind| kind.is_string()));
        keep("enum", words.get("enum"));
        keep("enum", words.get("const").map(|value| Value::from(vec![value.clone()])).as_ref());
    }
    if let Some(Value::Array(kinds)) = words.get("type").filter(|_| !words.contains_key("enum")) {
        let alternatives = kinds.iter().map(|kind| tree(&of_kind(words, kind), closed)).collect();
        entries.push(("anyOf".to_owned(), Tree::List(alternatives)));
        return Tree::Map(entries);
    }
    for (word, sent) in [("anyOf", "anyOf"), ("oneOf", "anyOf")] {
        if let Some(Value::Array(alternatives)) = words.get(word) {
            let alternatives = alternatives.iter().map(|one| tree(one, closed)).collect();
            entries.push((sent.to_owned(), Tree::List(alternatives)));
        }
    }
    if entries.iter().all(|(word, _)| word == "description") {
        *closed = false;
    }
    if let Some(items) = words.get("items") {
        entries.push(("items".to_owned(), tree(items, closed)));
    } else if words.get("type").is_some_and(|kind| kind == "array") {
        *closed = false;
    }
    if let Some(Value::Object(definitions)) = words.get("$defs") {
        let definitions = definitions.iter().map(|(name, one)| (name.clone(), tree(one, closed))).collect();
        entries.push(("$defs".to_owned(), Tree::Map(definitions)));
    }
    if let Some(Value::Object(properties)) = words.get("properties") {
        entries.extend(object(properties, words, closed));
    } else if words.get("type").is_some_and(|kind| kind == "object") {
        *closed = false;
        if let Some(values) = words.get("additionalProperties").filter(|values| values.is_object()) {
            entries.push(("additionalProperties".to_owned(), tree(values, closed)));
        }
    }
    Tree::Map(entries)
}

fn object(
    properties: &Map<String, Value>,
    words: &Map<String, Value>,
    closed: &mut bool,
) -> [(String, Tree); 3] {
    let required = words.get("required").and_then(Value::as_array).into_iter().flatten();
    let mut order: Vec<&String> = Vec::new();
    for name in required.filter_map(Value::as_str) {
        order.extend(properties.keys().find(|known| *known == name));
    }
    let rest: Vec<&String> = properties.keys().filter(|name| !order.contains(name)).collect();
    order.extend(rest);
    let names: Vec<Value> = order.iter().map(|name| Value::from(name.as_str())).collect();
    let properties = order.into_iter().map(|name| (name.clone(), tree(&properties[name], closed))).collect();
    [
        ("properties".to_owned(), Tree::Map(properties)),
        ("required".to_owned(), Tree::Value(names.into())),
        ("additionalProperties".to_owned(), Tree::Value(false.into())),
    ]
}

/// One of several types that a value may have, with what is said of that type alone.
fn of_kind(words: &Map<String, Value>, kind: &Value) -> Value {
    let about: &[&str] = match kind.as_str() {
        Some("object") => &["properties", "required", "additionalProperties"],
        Some("array") => &["items"],
        _ => &[],
    };
    let mut one = Map::new();
    one.insert("type".to_owned(), kind.clone());
    for word in about {
        one.extend(words.get(*word).map(|value| ((*word).to_owned(), value.clone())));
    }
    one.into()
}
