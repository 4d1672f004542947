//! Which objects a selector selects.

use kubewise_core::document::Document;
use serde_json::Value;

/// A label selector; an empty one selects all.
pub(crate) fn selects(selector: &Value, object: &Document) -> bool {
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    labels.into_iter().flatten().all(|(key, value)| object.label(key) == value.as_str())
        && list(selector, "matchExpressions").all(|expression| holds(expression, |key| object.label(key)))
}

/// A selector of nodes: any of its terms, and all of a term; an empty term selects none.
pub(crate) fn selects_node(selector: &Value, node: &Document) -> bool {
    let field = |key: &str| if key == "metadata.name" { node.text("/metadata/name") } else { None };
    list(selector, "nodeSelectorTerms").any(|term| {
        let (labels, fields) = (list(term, "matchExpressions"), list(term, "matchFields"));
        labels.clone().chain(fields.clone()).next().is_some()
            && labels.clone().all(|expression| holds(expression, |key| node.label(key)))
            && fields.clone().all(|expression| holds(expression, field))
    })
}

fn list<'a>(of: &'a Value, key: &str) -> std::slice::Iter<'a, Value> {
    of.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice).iter()
}

fn holds<'a>(expression: &Value, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
    let value = expression.get("key").and_then(Value::as_str).and_then(value_of);
    let values = || list(expression, "values").filter_map(Value::as_str);
    let is_listed = || value.is_some_and(|value| values().any(|listed| listed == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let compared = || Some(value.and_then(number)?.cmp(&values().next().and_then(number)?));
    match expression.get("operator").and_then(Value::as_str) {
        Some("In") => is_listed(),
        Some("NotIn") => !is_listed(),
        Some("Exists") => value.is_some(),
        Some("DoesNotExist") => value.is_none(),
        Some("Gt") => compared().is_some_and(std::cmp::Ordering::is_gt),
        Some("Lt") => compared().is_some_and(std::cmp::Ordering::is_lt),
        _ => false,
    }
}
