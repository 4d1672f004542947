//! OpenAI's chat completions, which many other servers speak.

use kubewise_core::author::{Answer, Ending, Usage};
use serde::{Deserialize, Serialize};

use super::{Question, Speaker, Unreadable, parse};
use crate::options::Effort;
use crate::schema::Schema;

/// Who is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// OpenAI, whose models that think refuse the older word for the length of an answer.
    Own,
    /// Others, most of which know only that word, and whose models need not think.
    Common,
}

#[derive(Debug, Serialize)]
pub(crate) struct Request<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat>,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Debug, Serialize)]
struct ResponseFormat {
    r#type: &'static str,
    json_schema: NamedSchema,
}

#[derive(Debug, Serialize)]
struct NamedSchema {
    name: &'static str,
    /// Whether the answer is held to the schema; refused for a schema that leaves anything open.
    strict: bool,
    schema: Schema,
}

pub(crate) fn request<'a>(question: &Question<'a>, dialect: Dialect) -> Request<'a> {
    let turns = question.turns().into_iter().map(|(speaker, content)| match speaker {
        Speaker::Us => Message { role: "user", content },
        Speaker::Model => Message { role: "assistant", content },
    });
    let instructions = Message { role: "system", content: &question.prompt.instructions };
    let length = Some(question.prompt.max_answer_tokens);
    let (max_completion_tokens, max_tokens, effort) = match dialect {
        Dialect::Own => (length, None, Some(question.effort.unwrap_or(Effort::Low))),
        Dialect::Common => (None, length, question.effort),
    };
    Request {
        model: question.model,
        messages: std::iter::once(instructions).chain(turns).collect(),
        max_completion_tokens,
        max_tokens,
        reasoning_effort: effort,
        response_format: question.prompt.schema.as_ref().map(|schema| {
            let schema = Schema::of(schema);
            let strict = schema.is_closed();
            ResponseFormat {
                r#type: "json_schema",
                json_schema: NamedSchema { name: "answer", strict, schema },
            }
        }),
    }
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Counted>,
    model: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    prompt_tokens: u64,
    /// Thinking included.
    #[serde(default)]
    completion_tokens: u64,
}

pub(crate) fn read(body: &[u8], model: &str) -> Result<Answer, Unreadable> {
    let reply: Reply = parse(body)?;
    let choice = reply.choices.into_iter().next().ok_or(Unreadable::Empty("no choices"))?;
    let (text, ending) = match choice.message.refusal {
        Some(refusal) => (refusal, Ending::Withheld),
        None => (choice.message.content.unwrap_or_default(), ending(choice.finish_reason)?),
    };
    Ok(Answer {
        text,
        ending,
        usage: reply
            .usage
            .map(|usage| Usage { input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens }),
        model: reply.model.unwrap_or_else(|| model.to_owned()),
    })
}

fn ending(reason: Option<String>) -> Result<Ending, Unreadable> {
    match reason.as_deref() {
        Some("stop") => Ok(Ending::Complete),
        Some("length") => Ok(Ending::Truncated),
        Some("content_filter") => Ok(Ending::Withheld),
        _ => Err(Unreadable::Ending(reason.unwrap_or_else(|| "nothing".to_owned()))),
    }
}
