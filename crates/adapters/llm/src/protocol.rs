//! What the three protocols have in common: one request, one answer, one way to say no.

mod anthropic;
mod gemini;
mod openai;

use std::time::Duration;

use kubewise_core::author::{Answer, Ending, Prompt};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::options::{Effort, Provider};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Gemini,
    OpenAi,
    /// OpenAI's in the words that other servers know.
    OpenAiCompatible,
    Anthropic,
}

/// All that goes into a request's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) model: &'a str,
    pub(crate) effort: Option<Effort>,
    pub(crate) prompt: &'a Prompt,
}

/// Why a reply with the status of a success is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the answer breaks off in the middle")]
    Incomplete,
    #[error("the answer does not keep the provider's protocol")]
    Foreign { source: serde_json::Error },
    #[error("the answer holds {0}")]
    Empty(&'static str),
    #[error("the answer ended with `{0}`, which is no end of a plain text")]
    Ending(String),
    #[error("the provider answered with an error: {0}")]
    Refused(String),
}

/// How a provider says no. The three agree on an `error` with a `message`.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    /// Gemini says so with the status of a malformed request.
    pub(crate) bad_key: bool,
    /// Gemini names the time to wait here, and not in a header.
    pub(crate) retry_after: Option<Duration>,
}

/// Whose turn it was to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    Us,
    Model,
}

impl Protocol {
    pub(crate) fn of(provider: Provider) -> Option<Self> {
        match provider {
            Provider::None => None,
            Provider::Gemini => Some(Protocol::Gemini),
            Provider::OpenAi => Some(Protocol::OpenAi),
            Provider::OpenAiCompatible => Some(Protocol::OpenAiCompatible),
            Provider::Anthropic => Some(Protocol::Anthropic),
        }
    }

    /// The provider, as the configuration names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Protocol::Gemini => "gemini",
            Protocol::OpenAi => "openai",
            Protocol::OpenAiCompatible => "openai-compatible",
            Protocol::Anthropic => "anthropic",
        }
    }

    /// A small model of the present generation. Other providers retire names as fast, and are not the default.
    pub(crate) fn default_model(self) -> Option<&'static str> {
        match self {
            Protocol::Gemini => Some("gemini-3.8-flash"),
            Protocol::OpenAi | Protocol::OpenAiCompatible | Protocol::Anthropic => None,
        }
    }

    /// Where the provider itself serves, if it is one, and the path that its version has anywhere.
    pub(crate) fn usual_endpoint(self) -> (Option<&'static str>, &'static str) {
        match self {
            Protocol::Gemini => (Some("https://generativelanguage.googleapis.com"), "/v1beta"),
            Protocol::OpenAi => (Some("https://api.openai.com"), "/v1"),
            Protocol::OpenAiCompatible => (None, "/v1"),
            Protocol::Anthropic => (Some("https://api.anthropic.com"), "/v1"),
        }
    }

    /// The segments of the path below the endpoint.
    pub(crate) fn path(self, model: &str) -> Vec<String> {
        match self {
            Protocol::Gemini => vec!["models".into(), format!("{model}:generateContent")],
            Protocol::OpenAi | Protocol::OpenAiCompatible => vec!["chat".into(), "completions".into()],
            Protocol::Anthropic => vec!["messages".into()],
        }
    }

    /// The headers of a request. A key that fits in none is left out; the options were checked for that.
    pub(crate) fn headers(self, key: Option<&SecretString>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let (name, prefix) = match self {
            Protocol::Gemini => ("x-goog-api-key", ""),
            Protocol::OpenAi | Protocol::OpenAiCompatible => ("authorization", "Bearer "),
            Protocol::Anthropic => {
                headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
                ("x-api-key", "")
            }
        };
        let value =
            key.and_then(|key| HeaderValue::from_str(&format!("{prefix}{}", key.expose_secret())).ok());
        if let Some(mut value) = value {
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        headers
    }

    pub(crate) fn request(self, question: &Question<'_>) -> serde_json::Result<Vec<u8>> {
        match self {
            Protocol::Gemini => serde_json::to_vec(&gemini::request(question)),
            Protocol::OpenAi => serde_json::to_vec(&openai::request(question, openai::Dialect::Own)),
            Protocol::OpenAiCompatible => {
                serde_json::to_vec(&openai::request(question, openai::Dialect::Common))
            }
            Protocol::Anthropic => serde_json::to_vec(&anthropic::request(question)),
        }
    }

    /// Reads the body of a success. `model` stands in for a server that does not say which one answered.
    pub(crate) fn read(self, body: &[u8], model: &str) -> Result<Answer, Unreadable> {
        if let Some(refusal) = Refusal::of(body) {
            return Err(Unreadable::Refused(refusal.message));
        }
        let answer = match self {
            Protocol::Gemini => gemini::read(body, model)?,
            Protocol::OpenAi | Protocol::OpenAiCompatible => openai::read(body, model)?,
            Protocol::Anthropic => anthropic::read(body, model)?,
        };
        if answer.ending == Ending::Complete && answer.text.trim().is_empty() {
            return Err(Unreadable::Empty("no text"));
        }
        Ok(answer)
    }
}

impl Refusal {
    pub(crate) fn of(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            error: Option<Error>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Error {
            Told {
                message: String,
                details: Option<Vec<Value>>,
            },
            /// As some servers of one's own say it.
            Text(String),
        }
        Some(match serde_json::from_slice::<Body>(body).ok()?.error? {
            Error::Text(message) => Refusal { message, bad_key: false, retry_after: None },
            Error::Told { message, details } => {
                let details = details.unwrap_or_default();
                Refusal {
                    message,
                    bad_key: details.iter().any(|one| one["reason"] == "API_KEY_INVALID"),
                    retry_after: details.iter().find_map(|one| seconds(one["retryDelay"].as_str()?)),
                }
            }
        })
    }
}

impl<'a> Question<'a> {
    /// What was said after the instructions, in turns.
    fn turns(&self) -> Vec<(Speaker, &'a str)> {
        let mut turns = vec![(Speaker::Us, self.prompt.case.as_str())];
        if let Some(refused) = &self.prompt.refused {
            // A turn without a text is refused by all.
            if !refused.answer.trim().is_empty() {
                turns.push((Speaker::Model, &refused.answer));
            }
            turns.push((Speaker::Us, &refused.objection));
        }
        turns
    }
}

fn parse<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(body).map_err(|source| {
        if source.is_eof() { Unreadable::Incomplete } else { Unreadable::Foreign { source } }
    })
}

/// A duration as protocol buffers write it in JSON: `37s`, `1.5s`.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}
