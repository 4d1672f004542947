//! Gemini's `generateContent`.

use kubewise_core::author::{Answer, Ending, Usage};
use serde::{Deserialize, Serialize};

use super::{Question, Speaker, Unreadable, parse};
use crate::options::Effort;
use crate::schema::Schema;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request<'a> {
    system_instruction: Content<'a>,
    contents: Vec<Content<'a>>,
    generation_config: GenerationConfig,
}

#[derive(Debug, Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: [Part<'a>; 1],
}

#[derive(Debug, Serialize)]
struct Part<'a> {
    text: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig {
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<Schema>,
    thinking_config: ThinkingConfig,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    thinking_level: &'static str,
}

pub(crate) fn request<'a>(question: &Question<'a>) -> Request<'a> {
    let content = |role, text| Content { role, parts: [Part { text }] };
    let turns = question.turns().into_iter().map(|(speaker, text)| {
        content(
            Some(match speaker {
                Speaker::Us => "user",
                Speaker::Model => "model",
            }),
            text,
        )
    });
    let schema = question.prompt.schema.as_ref().map(Schema::of);
    Request {
        contents: turns.collect(),
        system_instruction: content(None, &question.prompt.instructions),
        generation_config: GenerationConfig {
            max_output_tokens: question.prompt.max_answer_tokens,
            response_mime_type: schema.as_ref().map(|_| "application/json"),
            response_json_schema: schema,
            thinking_config: ThinkingConfig {
                thinking_level: match question.effort {
                    None | Some(Effort::Low) => "LOW",
                    Some(Effort::Medium) => "MEDIUM",
                    Some(Effort::High) => "HIGH",
                },
            },
        },
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    #[serde(default)]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<PromptFeedback>,
    usage_metadata: Option<UsageMetadata>,
    model_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    parts: Vec<SaidPart>,
}

#[derive(Deserialize)]
struct SaidPart {
    text: Option<String>,
    /// A summary of what was thought, not of the answer.
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback {
    block_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the names are the provider's")]
struct UsageMetadata {
    prompt_token_count: u64,
    candidates_token_count: u64,
    thoughts_token_count: u64,
}

pub(crate) fn read(body: &[u8], model: &str) -> Result<Answer, Unreadable> {
    let reply: Reply = parse(body)?;
    let blocked = reply.prompt_feedback.and_then(|feedback| feedback.block_reason).is_some();
    let (text, ending) = match reply.candidates.into_iter().next() {
        None if blocked => (String::new(), Ending::Withheld),
        None => return Err(Unreadable::Empty("no candidates")),
        Some(candidate) => {
            let parts = candidate.content.map(|content| content.parts).unwrap_or_default();
            let text = parts.into_iter().filter(|part| !part.thought).filter_map(|part| part.text).collect();
            (text, ending(candidate.finish_reason)?)
        }
    };
    Ok(Answer {
        text,
        ending,
        usage: reply.usage_metadata.map(|usage| Usage {
            input_tokens: usage.prompt_token_count,
            output_tokens: usage.candidates_token_count.saturating_add(usage.thoughts_token_count),
        }),
        model: reply.model_version.unwrap_or_else(|| model.to_owned()),
    })
}

fn ending(reason: Option<String>) -> Result<Ending, Unreadable> {
    match reason.as_deref() {
        Some("STOP") => Ok(Ending::Complete),
        Some("MAX_TOKENS") => Ok(Ending::Truncated),
        Some(
            "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
            | "MODEL_ARMOR" | "OTHER",
        ) => Ok(Ending::Withheld),
        _ => Err(Unreadable::Ending(reason.unwrap_or_else(|| "nothing".to_owned()))),
    }
}
