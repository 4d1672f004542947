//! The schema of an answer, as it is sent.

use kubewise_core::author::Prompt;
use kubewise_llm::Provider;
use kubewise_testbed::{ModelReply, ModelRequest, ModelServer};
use serde_json::{Value, json};

use crate::{ask, at, prompt};

async fn sent(provider: Provider, schema: &Value) -> ModelRequest {
    let server = ModelServer::scripted([ModelReply::text("{}")]).expect("a server");
    let prompt = Prompt { schema: Some(schema.clone()), ..prompt() };
    ask(&at(provider, &server), &prompt).await.expect("an answer");
    server.requests().remove(0)
}

async fn check(schema: Value, expect: Value) {
    let request = sent(Provider::Gemini, &schema).await;
    assert_eq!(request.body["generationConfig"]["responseJsonSchema"], expect);
}

#[tokio::test]
async fn bounds_patterns_and_formats_stay_at_home() {
    check(
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Answer",
            "type": "object",
            "properties": {
                "count": { "type": "integer", "format": "uint32", "minimum": 1, "maximum": 10, "default": 3 },
                "names": { "type": "array", "items": { "type": "string", "pattern": "^a" }, "maxItems": 3 },
            },
            "required": ["count", "names"],
        }),
        json!({
            "type": "object",
            "properties": {
                "count": { "type": "integer" },
                "names": { "type": "array", "items": { "type": "string" } },
            },
            "required": ["count", "names"],
            "additionalProperties": false,
        }),
    )
    .await;
}

#[tokio::test]
async fn alternatives_are_written_as_all_know_them() {
    check(
        json!({
            "type": "object",
            "properties": {
                "kind": { "oneOf": [
                    { "type": "string", "const": "a", "description": "The first." },
                    { "type": "string", "enum": ["b", "c"] },
                ] },
                "note": { "type": ["string", "null"], "description": "If any.", "maxLength": 9 },
                "list": { "type": ["array", "null"], "items": { "type": "integer" } },
            },
            "required": ["kind"],
        }),
        json!({
            "type": "object",
            "properties": {
                "kind": { "anyOf": [
                    { "type": "string", "enum": ["a"], "description": "The first." },
                    { "type": "string", "enum": ["b", "c"] },
                ] },
                "list": { "anyOf": [{ "type": "array", "items": { "type": "integer" } }, { "type": "null" }] },
                "note": { "anyOf": [{ "type": "string" }, { "type": "null" }], "description": "If any." },
            },
            "required": ["kind", "list", "note"],
            "additionalProperties": false,
        }),
    )
    .await;
}

#[tokio::test]
async fn definitions_are_kept_and_a_reference_stands_alone() {
    let node = json!({ "type": "object", "properties": { "next": { "$ref": "#/$defs/Node" } } });
    check(
        json!({
            "type": "object",
            "properties": { "first": { "$ref": "#/$defs/Node", "description": "Where it begins." } },
            "$defs": { "Node": node },
        }),
        json!({
            "type": "object",
            "properties": { "first": { "$ref": "#/$defs/Node" } },
            "required": ["first"],
            "additionalProperties": false,
            "$defs": { "Node": {
                "type": "object",
                "properties": { "next": { "$ref": "#/$defs/Node" } },
                "required": ["next"],
                "additionalProperties": false,
            } },
        }),
    )
    .await;
}

#[tokio::test]
async fn what_is_required_first_is_written_first() {
    let schema = json!({
        "type": "object",
        "properties": { "action": { "type": "string" }, "zeal": { "type": "string" }, "reasoning": { "type": "string" } },
        "required": ["reasoning", "zeal"],
    });
    for provider in crate::PROVIDERS {
        let text = sent(provider, &schema).await.text;
        let places =
            ["\"reasoning\":{", "\"zeal\":{", "\"action\":{"].map(|name| text.find(name).expect(name));
        assert!(places.is_sorted(), "{text}");
        assert!(text.contains(r#""required":["reasoning","zeal","action"]"#), "{text}");
    }
}

#[tokio::test]
async fn what_leaves_something_open_is_asked_for_as_far_as_each_takes_it() {
    let string = json!({ "type": "string" });
    for open in [
        json!({ "type": "object", "additionalProperties": string }),
        json!({ "type": "object" }),
        json!({ "type": "array" }),
        json!({ "description": "anything" }),
        json!(true),
    ] {
        let schema = json!({ "type": "object", "properties": { "free": open }, "required": ["free"] });
        let format = sent(Provider::OpenAi, &schema).await.body["response_format"]["json_schema"].clone();
        assert_eq!(format["strict"], false, "{open}");
        assert_eq!(format["schema"]["required"], json!(["free"]));
        assert_eq!(sent(Provider::Anthropic, &schema).await.body["output_config"], Value::Null, "{open}");
    }
}
