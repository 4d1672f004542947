//! The OpenAPI document: complete, resolvable, and the one that is served.

use std::collections::BTreeSet;

use kubewise_api::openapi;
use serde_json::Value;

use crate::face::{TOKEN, World};

fn visit<'a>(value: &'a Value, each: &mut impl FnMut(&'a str, &'a Value)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                each(key, value);
                visit(value, each);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn what_is_served_is_what_is_exported() {
    assert_eq!(World::default().local(None).get("/openapi.json").await.json(), openapi());
}

/// The promised paths, each answered by a handler: neither "no such endpoint" nor "method not allowed".
#[tokio::test]
async fn every_documented_operation_is_routed_and_every_promised_one_documented() {
    let document = openapi();
    let face = World::default().local(Some(TOKEN));
    let mut documented = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            documented.insert(format!("{method} {path}"));
            let answer = face.send(&method.to_uppercase(), &path.replace("{id}", "x"), &[], "").await;
            assert_ne!(answer.status, 405, "{method} {path}");
            assert!(!answer.text.contains("no-such-endpoint"), "{method} {path}");
            let statuses = &operations[method]["responses"];
            assert!(!statuses[answer.status.as_str()].is_null(), "{method} {path} gave {}", answer.status);
        }
    }
    let mut promised: BTreeSet<String> =
        ["/health", "/livez", "/readyz", "/metrics", "/openapi.json", "/api/v1/config", "/api/v1/status"]
            .map(|path| format!("get {path}"))
            .into();
    promised.insert("get /api/v1/autonomy".into());
    for collection in
        ["anomalies", "incidents", "plans", "actions", "captures", "events", "feedback", "calls"]
    {
        promised.insert(format!("get /api/v1/{collection}"));
        promised.insert(format!("get /api/v1/{collection}/{{id}}"));
    }
    promised.extend(["approve", "reject"].map(|verb| format!("post /api/v1/plans/{{id}}/{verb}")));
    let words = ["incidents/{id}/feedback", "incidents/{id}/release", "feedback/{id}/end"];
    promised.extend(words.map(|path| format!("post /api/v1/{path}")));
    promised.extend(
        ["plans/{id}/prompt", "incidents/{id}/explanation", "incidents/{id}/plan", "spending"]
            .map(|path| format!("get /api/v1/{path}")),
    );
    promised.insert("post /api/v1/incidents/{id}/explanation".into());
    promised.extend(["pause", "resume"].map(|word| format!("post /api/v1/{word}")));
    assert_eq!(documented, promised);
}

#[test]
fn every_reference_resolves_and_every_type_is_used() {
    let document = openapi();
    let mut used = BTreeSet::new();
    visit(&document, &mut |key, value| {
        if key == "$ref" {
            let target = value.as_str().unwrap();
            assert!(document.pointer(&target[1..]).is_some(), "{target}");
            used.insert(target.rsplit('/').next().unwrap());
        }
        assert!(!matches!(key, "$defs" | "$schema"), "{key} has no place in this document");
    });
    let defined: BTreeSet<_> =
        document["components"]["schemas"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(used, defined);
}

#[test]
fn what_changes_state_is_marked_with_the_token() {
    for (path, operations) in openapi()["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let only_token = operation["security"] == serde_json::json!([{ "token": [] }]);
            assert_eq!(only_token, method != "get", "{method} {path}");
        }
    }
}

#[test]
fn operation_ids_are_unique() {
    let document = openapi();
    let mut ids = Vec::new();
    visit(&document, &mut |key, value| {
        if key == "operationId" {
            ids.push(value.as_str().unwrap());
        }
    });
    let unique: BTreeSet<_> = ids.iter().collect();
    assert!(!ids.is_empty() && unique.len() == ids.len(), "{ids:?}");
}
