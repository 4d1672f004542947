//! Anthropic's messages.

use kubewise_core::author::{Answer, Ending, Usage};
use serde::{Deserialize, Serialize};

use super::{Question, Speaker, Unreadable, parse};
use crate::options::Effort;
use crate::schema::Schema;

#[derive(Debug, Serialize)]
pub(crate) struct Request<'a> {
    model: &'a str,
    max_tokens: u32,
    system: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig>,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Debug, Serialize)]
struct OutputConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
}

#[derive(Debug, Serialize)]
struct Format {
    r#type: &'static str,
    schema: Schema,
}

pub(crate) fn request<'a>(question: &Question<'a>) -> Request<'a> {
    let turns = question.turns().into_iter().map(|(speaker, content)| match speaker {
        Speaker::Us => Message { role: "user", content },
        Speaker::Model => Message { role: "assistant", content },
    });
    // A schema that leaves anything open is refused; without one the answer is free text, and judged all the same.
    let schema = question.prompt.schema.as_ref().map(Schema::of).filter(Schema::is_closed);
    let format = schema.map(|schema| Format { r#type: "json_schema", schema });
    let config = OutputConfig { effort: question.effort, format };
    Request {
        model: question.model,
        max_tokens: question.prompt.max_answer_tokens,
        system: &question.prompt.instructions,
        messages: turns.collect(),
        output_config: (config.effort.is_some() || config.format.is_some()).then_some(config),
    }
}

#[derive(Deserialize)]
struct Reply {
    content: Vec<Block>,
    stop_reason: Option<String>,
    usage: Option<Counted>,
    model: Option<String>,
}

/// Text, thoughts, or what came after this was written: only text has one.
#[derive(Deserialize)]
struct Block {
    r#type: String,
    text: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names are the provider's")]
struct Counted {
    input_tokens: u64,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    /// Thinking included.
    output_tokens: u64,
}

pub(crate) fn read(body: &[u8], model: &str) -> Result<Answer, Unreadable> {
    let reply: Reply = parse(body)?;
    let ending = ending(reply.stop_reason)?;
    let texts = reply.content.into_iter().filter(|block| block.r#type == "text");
    Ok(Answer {
        text: texts.filter_map(|block| block.text).collect(),
        ending,
        usage: reply.usage.map(|usage| Usage {
            input_tokens: [usage.cache_creation_input_tokens, usage.cache_read_input_tokens]
                .into_iter()
                .flatten()
                .fold(usage.input_tokens, u64::saturating_add),
            output_tokens: usage.output_tokens,
        }),
        model: reply.model.unwrap_or_else(|| model.to_owned()),
    })
}

fn ending(reason: Option<String>) -> Result<Ending, Unreadable> {
    match reason.as_deref() {
        Some("end_turn" | "stop_sequence") => Ok(Ending::Complete),
        Some("max_tokens" | "model_context_window_exceeded") => Ok(Ending::Truncated),
        Some("refusal") => Ok(Ending::Withheld),
        _ => Err(Unreadable::Ending(reason.unwrap_or_else(|| "nothing".to_owned()))),
    }
}
