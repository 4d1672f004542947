//! Which model is asked, and what can be wrong with that.

use std::fmt;
use std::path::PathBuf;

use kubewise_core::Period;
use reqwest::Url;
use reqwest::header::HeaderValue;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::protocol::Protocol;

/// Which model is asked. The file that holds the key is read at each call, so that a rotated one is followed;
/// certificates are read once.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub provider: Provider,
    /// The model, as the provider names it. Only Gemini has a default: `gemini-3.8-flash`.
    pub model: Option<String>,
    /// Where the provider's API is served, for a proxy or a server of one's own: `http://ollama:11434/v1`. Without a
    /// path the provider's usual one is taken. `openai-compatible` needs it, the others have their own.
    pub endpoint: Option<String>,
    /// Needed unless `endpoint` is set: there a proxy may know the key, and a server of one's own may want none.
    #[schemars(with = "Option<String>")]
    pub api_key: Option<SecretString>,
    pub api_key_file: Option<PathBuf>,
    /// How much the model thinks before it answers; the thoughts count as answer tokens and are paid for. Absent, Gemini
    /// and OpenAI are asked for little, since by themselves they may spend the whole answer on it, and the others
    /// are asked for nothing.
    pub effort: Option<Effort>,
    /// The time limit of one call, from connecting to the last byte of the answer.
    pub timeout: Period,
    /// Certificates (PEM) of the authorities that are trusted instead of those of the machine.
    pub ca_file: Option<PathBuf>,
}

/// Who serves the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// No model is asked: playbooks write the plans.
    #[default]
    None,
    Gemini,
    #[serde(rename = "openai")]
    OpenAi,
    /// What speaks OpenAI's chat completions: vLLM, Ollama, LM Studio and many others.
    #[serde(rename = "openai-compatible")]
    OpenAiCompatible,
    Anthropic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    Low,
    Medium,
    High,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            provider: Provider::None,
            model: None,
            endpoint: None,
            api_key: None,
            api_key_file: None,
            effort: None,
            timeout: Period::from_secs(30),
            ca_file: None,
        }
    }
}

/// Why no model can be asked. Names the key, never a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// All of them at once.
    #[error("{}", Lines(.0))]
    Options(Vec<Fault>),
    #[error("no rustls crypto provider is installed; install one at the start of the process")]
    NoCryptoProvider,
    #[error("the HTTP client cannot be set up")]
    Client {
        #[from]
        source: reqwest::Error,
    },
}

/// One thing that is wrong with the options, which stand in the section `author` of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("author: the time limit of a call must be more than zero")]
    NoTime,
    #[error("author.{key} is missing: {why}")]
    Missing { key: &'static str, why: &'static str },
    #[error("author.{first} and author.{second} exclude each other; set only one")]
    Exclusive { first: &'static str, second: &'static str },
    #[error("author.{key} cannot be used: {problem}")]
    Unusable { key: &'static str, problem: String },
    #[error("author.{key}: `{}` cannot be used: {problem}", path.display())]
    File { key: &'static str, path: PathBuf, problem: String },
}

struct Lines<'a>(&'a [Fault]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl Options {
    /// Every fault that shows without reading a file.
    pub fn validate(&self) -> Result<(), Error> {
        let Some(protocol) = Protocol::of(self.provider) else { return Ok(()) };
        let mut faults = Vec::new();
        if self.timeout == Period::ZERO {
            faults.push(Fault::NoTime);
        }
        match self.model.as_deref().or(protocol.default_model()) {
            None => faults.push(Fault::Missing { key: "model", why: "only Gemini has a default" }),
            Some(model) if model.is_empty() || model.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                faults.push(unusable("model", "it is empty or holds spaces"));
            }
            Some(_) => {}
        }
        match self.base(protocol) {
            Err(fault) => faults.push(fault),
            Ok(base) if self.ca_file.is_some() && base.scheme() != "https" => {
                faults.push(unusable("ca_file", "author.endpoint is not https"));
            }
            Ok(_) => {}
        }
        match (&self.api_key, &self.api_key_file) {
            (Some(_), Some(_)) => {
                faults.push(Fault::Exclusive { first: "api_key", second: "api_key_file" });
            }
            (Some(key), None) => faults.extend(header_fault(key).map(|problem| unusable("api_key", problem))),
            (None, None) if self.endpoint.is_none() => {
                faults.push(Fault::Missing { key: "api_key", why: "set it, or author.api_key_file" });
            }
            (None, _) => {}
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Options(faults)) }
    }

    /// The address under which the paths of the API lie. Its path ends without a slash.
    pub(crate) fn base(&self, protocol: Protocol) -> Result<Url, Fault> {
        let (usual, usual_path) = protocol.usual_endpoint();
        let Some(text) = self.endpoint.as_deref().or(usual) else {
            return Err(Fault::Missing {
                key: "endpoint",
                why: "openai-compatible needs it, such as `http://ollama:11434/v1`",
            });
        };
        let wrong = |problem: String| {
            unusable("endpoint", format!("it {problem}; write it like `http://ollama:11434/v1`"))
        };
        // The text may hold a password as long as it was not understood.
        let shown = if text.contains('@') { String::new() } else { format!(" `{text}`") };
        let mut url = Url::parse(text).map_err(|error| wrong(format!("is no URL{shown} ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong(format!("does not begin with http:// or https://{shown}")));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("holds credentials, which belong in author.api_key".into()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has something after its path (`?` or `#`)".into()));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(if path.is_empty() { usual_path } else { &path });
        Ok(url)
    }
}

/// What keeps a key from being sent.
pub(crate) fn header_fault(key: &SecretString) -> Option<&'static str> {
    match key.expose_secret() {
        "" => Some("it is empty; leave it out if there is none"),
        text if HeaderValue::from_str(text).is_err() => {
            Some("it holds characters that no HTTP header may hold")
        }
        _ => None,
    }
}

pub(crate) fn unusable(key: &'static str, problem: impl Into<String>) -> Fault {
    Fault::Unusable { key, problem: problem.into() }
}
