//! What is read from an answer.

use kubewise_core::Rejection;
use kubewise_core::author::{Answer, Ending, Usage};
use kubewise_llm::Provider;
use kubewise_testbed::{ModelEnding, ModelReply, ModelText};
use serde_json::json;

use crate::{PROVIDERS, told};

async fn read(provider: Provider, body: serde_json::Value) -> Answer {
    told(provider, ModelReply::raw(body.to_string())).await.expect("an answer")
}

#[tokio::test]
async fn an_answer_has_its_text_its_ending_its_cost_and_its_model() {
    let endings = [
        (ModelEnding::Complete, Ending::Complete),
        (ModelEnding::Truncated, Ending::Truncated),
        (ModelEnding::Withheld, Ending::Withheld),
    ];
    for provider in PROVIDERS {
        for (said, expect) in endings {
            let text = ModelText::new("{\"reasoning\": \"…\"}").ending(said).usage(1234, 56);
            let answer = told(provider, text.into()).await.expect("an answer");
            assert_eq!(answer.ending, expect, "{provider:?}");
            assert_eq!(answer.usage, Some(Usage { input_tokens: 1234, output_tokens: 56 }), "{provider:?}");
            assert_eq!(answer.model, "a-model");
            if expect != Ending::Withheld {
                assert_eq!(answer.text, "{\"reasoning\": \"…\"}", "{provider:?}");
            }
        }
    }
}

#[tokio::test]
async fn half_a_json_at_the_length_asked_for_is_a_truncated_answer() {
    for provider in PROVIDERS {
        let text = ModelText::new("{\"reasoning\": \"the im").ending(ModelEnding::Truncated);
        let answer = told(provider, text.into()).await.expect("an answer");
        assert_eq!((answer.ending, answer.text.as_str()), (Ending::Truncated, "{\"reasoning\": \"the im"));
    }
}

#[tokio::test]
async fn thoughts_are_no_text_but_are_paid_for() {
    let gemini = json!({
        "candidates": [{
            "content": { "parts": [{ "text": "hm", "thought": true }, { "text": "a" }, { "text": "b" }] },
            "finishReason": "STOP",
        }],
        "usageMetadata": { "promptTokenCount": 1, "candidatesTokenCount": 2, "thoughtsTokenCount": 30 },
        "modelVersion": "gemini-3.8-flash-001",
    });
    let answer = read(Provider::Gemini, gemini).await;
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("ab", "gemini-3.8-flash-001"));
    assert_eq!(answer.usage, Some(Usage { input_tokens: 1, output_tokens: 32 }));

    let anthropic = json!({
        "content": [{ "type": "thinking", "thinking": "hm", "signature": "" }, { "type": "text", "text": "a" }],
        "stop_reason": "end_turn",
        "usage": { "input_tokens": 1, "cache_read_input_tokens": 10, "output_tokens": 2 },
    });
    let answer = read(Provider::Anthropic, anthropic).await;
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("a", "a-model"));
    assert_eq!(answer.usage, Some(Usage { input_tokens: 11, output_tokens: 2 }));
}

#[tokio::test]
async fn what_a_provider_keeps_back_is_withheld() {
    let candidate = |reason: &str| json!({ "candidates": [{ "finishReason": reason }] });
    for reason in ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "OTHER"] {
        assert_eq!(read(Provider::Gemini, candidate(reason)).await.ending, Ending::Withheld, "{reason}");
    }
    let blocked = json!({ "promptFeedback": { "blockReason": "SAFETY" }, "usageMetadata": {} });
    assert_eq!(read(Provider::Gemini, blocked).await.ending, Ending::Withheld);
    let refusal = json!({ "role": "assistant", "content": null, "refusal": "I cannot help with that." });
    let refused = json!({ "choices": [{ "message": refusal, "finish_reason": "stop" }] });
    let answer = read(Provider::OpenAi, refused).await;
    assert_eq!((answer.ending, answer.text.as_str()), (Ending::Withheld, "I cannot help with that."));
    let filtered =
        json!({ "choices": [{ "message": { "content": "ha" }, "finish_reason": "content_filter" }] });
    assert_eq!(read(Provider::OpenAiCompatible, filtered).await.ending, Ending::Withheld);
}

#[tokio::test]
async fn a_server_that_counts_nothing_is_believed_nothing() {
    let bare = json!({ "choices": [{ "message": { "content": "a" }, "finish_reason": "stop" }] });
    assert_eq!(read(Provider::OpenAiCompatible, bare).await.usage, None);
    let mad = json!({
        "candidates": [{ "content": { "parts": [{ "text": "a" }] }, "finishReason": "STOP" }],
        "usageMetadata": { "candidatesTokenCount": u64::MAX, "thoughtsTokenCount": u64::MAX },
    });
    assert_eq!(read(Provider::Gemini, mad).await.usage.map(|usage| usage.output_tokens), Some(u64::MAX));
}

#[tokio::test]
async fn no_answer_in_an_answer_is_told() {
    let check = async |provider, body: serde_json::Value, expect: &str| {
        let failure = told(provider, ModelReply::raw(body.to_string())).await.expect_err("no answer");
        assert!(failure.is(Rejection::Invalid), "{failure:?}");
        assert!(failure.message().contains(expect), "{failure}");
    };
    check(Provider::Gemini, json!({ "usageMetadata": {} }), "holds no candidates").await;
    check(Provider::OpenAi, json!({ "choices": [] }), "holds no choices").await;
    let silent = json!({ "candidates": [{ "content": { "role": "model" }, "finishReason": "STOP" }] });
    check(Provider::Gemini, silent, "holds no text").await;
    let silent = json!({ "content": [], "stop_reason": "end_turn" });
    check(Provider::Anthropic, silent, "holds no text").await;
    let called = json!({ "choices": [{ "message": { "content": null }, "finish_reason": "tool_calls" }] });
    check(Provider::OpenAi, called, "ended with `tool_calls`").await;
    let unknown = json!({ "candidates": [{ "finishReason": "MALFORMED_FUNCTION_CALL" }] });
    check(Provider::Gemini, unknown, "ended with `MALFORMED_FUNCTION_CALL`").await;
    check(Provider::Anthropic, json!({ "content": [] }), "ended with `nothing`").await;
    check(Provider::OpenAi, json!({ "error": { "message": "no such thing" } }), "error: no such thing").await;
    check(Provider::OpenAiCompatible, json!({ "error": "model not loaded" }), "error: model not loaded")
        .await;
    check(Provider::Anthropic, json!({ "ok": true }), "does not keep the provider's protocol").await;
    check(Provider::Gemini, json!([1]), "is author.endpoint right?").await;
}
