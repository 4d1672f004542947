//! An answer in the words of each provider.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::ModelRequest;

/// An answer, whoever is asked.
#[derive(Clone, Debug)]
pub struct ModelText {
    text: String,
    ending: ModelEnding,
    input_tokens: u64,
    output_tokens: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelEnding {
    Complete,
    /// The length that was asked for is used up.
    Truncated,
    /// The provider kept it back.
    Withheld,
}

impl ModelText {
    pub fn new(text: impl Into<String>) -> Self {
        ModelText { text: text.into(), ending: ModelEnding::Complete, input_tokens: 100, output_tokens: 20 }
    }

    #[must_use]
    pub fn ending(self, ending: ModelEnding) -> Self {
        Self { ending, ..self }
    }

    #[must_use]
    pub fn usage(self, input_tokens: u64, output_tokens: u64) -> Self {
        Self { input_tokens, output_tokens, ..self }
    }
}

/// The body of the reply that whoever is asked would give.
pub(super) fn body(request: &ModelRequest, text: &ModelText) -> Result<String> {
    let asked = |default: &str| request.body["model"].as_str().unwrap_or(default).to_owned();
    let path = request.path.split('?').next().unwrap_or_default();
    let body = if let Some((_, rest)) = path.split_once("/models/") {
        let Some((model, "generateContent")) = rest.rsplit_once(':') else {
            bail!("{path} is no call of Gemini")
        };
        gemini(text, model)
    } else if path.ends_with("/chat/completions") {
        openai(text, &asked("a-model"))
    } else if path.ends_with("/messages") {
        anthropic(text, &asked("a-model"))
    } else {
        bail!("nobody serves {path}");
    };
    Ok(body.to_string())
}

fn gemini(answer: &ModelText, model: &str) -> Value {
    let reason = match answer.ending {
        ModelEnding::Complete => "STOP",
        ModelEnding::Truncated => "MAX_TOKENS",
        ModelEnding::Withheld => "SAFETY",
    };
    let mut candidate = json!({ "finishReason": reason, "index": 0 });
    if answer.ending != ModelEnding::Withheld {
        // Real replies carry a signature of the thoughts beside the text.
        candidate["content"] = json!({ "role": "model", "parts": [{ "text": answer.text, "thoughtSignature": "c2lnbmF0dXJl" }] });
    }
    let thoughts = answer.output_tokens / 4;
    json!({
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": answer.input_tokens,
            "candidatesTokenCount": answer.output_tokens - thoughts,
            "thoughtsTokenCount": thoughts,
            "totalTokenCount": answer.input_tokens + answer.output_tokens,
        },
        "modelVersion": model,
        "responseId": "response-1",
    })
}

fn openai(answer: &ModelText, model: &str) -> Value {
    let withheld = answer.ending == ModelEnding::Withheld;
    let reason = if answer.ending == ModelEnding::Truncated { "length" } else { "stop" };
    let (content, refusal) = if withheld { (None, Some(&answer.text)) } else { (Some(&answer.text), None) };
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_764_000_000,
        "model": model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content, "refusal": refusal },
            "logprobs": null,
            "finish_reason": reason,
        }],
        "usage": {
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
    })
}

fn anthropic(answer: &ModelText, model: &str) -> Value {
    let (reason, content) = match answer.ending {
        ModelEnding::Complete => ("end_turn", json!([{ "type": "text", "text": answer.text }])),
        ModelEnding::Truncated => ("max_tokens", json!([{ "type": "text", "text": answer.text }])),
        ModelEnding::Withheld => ("refusal", json!([])),
    };
    json!({
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": null,
        "usage": { "input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens },
    })
}
