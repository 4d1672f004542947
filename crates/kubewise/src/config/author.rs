//! What can be configured of the plans' author: one section for people, split here among those that it concerns.

use std::path::PathBuf;

use kubewise_core::Period;
use kubewise_core::author::{Caps, Prices};
use kubewise_runtime::AuthorOptions;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuthorSettings {
    /// Who serves the model; with `none` the playbooks write the plans alone.
    pub(crate) provider: kubewise_llm::Provider,
    /// As the provider names it. Only Gemini has a default.
    pub(crate) model: Option<String>,
    /// Base URL, for a proxy or a server of one's own.
    pub(crate) endpoint: Option<String>,
    #[schemars(with = "Option<String>")]
    pub(crate) api_key: Option<SecretString>,
    /// A file that holds the key, instead of `api_key`.
    pub(crate) api_key_file: Option<PathBuf>,
    /// How much the model thinks before it answers.
    pub(crate) effort: Option<kubewise_llm::Effort>,
    /// Certificates of the authorities that are trusted instead of those of the machine.
    pub(crate) ca_file: Option<PathBuf>,
    /// How long a plan waits for the model; then the playbooks decide alone.
    pub(crate) deadline: Period,
    /// Questions on their way at one time.
    pub(crate) concurrency: usize,
    /// The longest question.
    pub(crate) prompt_tokens: u32,
    /// The longest answer, thinking included.
    pub(crate) answer_tokens: u32,
    /// What a million tokens cost.
    pub(crate) prices: Prices,
    /// The most that may be spent.
    pub(crate) caps: Caps,
}

impl Default for AuthorSettings {
    fn default() -> Self {
        let AuthorOptions { deadline, concurrency, prompt, prices, caps } = AuthorOptions::default();
        AuthorSettings {
            provider: kubewise_llm::Provider::None,
            model: None,
            endpoint: None,
            api_key: None,
            api_key_file: None,
            effort: None,
            ca_file: None,
            deadline,
            concurrency,
            prompt_tokens: prompt.prompt_tokens,
            answer_tokens: prompt.answer_tokens,
            prices,
            caps,
        }
    }
}

impl AuthorSettings {
    /// For the runtime.
    pub(crate) fn asking(&self) -> AuthorOptions {
        AuthorOptions {
            deadline: self.deadline,
            concurrency: self.concurrency,
            prompt: kubewise_remediation::author::Options {
                prompt_tokens: self.prompt_tokens,
                answer_tokens: self.answer_tokens,
            },
            prices: self.prices,
            caps: self.caps,
        }
    }

    /// For the adapter. A call that nobody waits for any more is of no use, so the deadline is its time limit.
    pub(crate) fn model_options(&self) -> kubewise_llm::Options {
        kubewise_llm::Options {
            provider: self.provider,
            model: self.model.clone(),
            endpoint: self.endpoint.clone(),
            api_key: self.api_key.clone(),
            api_key_file: self.api_key_file.clone(),
            effort: self.effort,
            timeout: self.deadline,
            ca_file: self.ca_file.clone(),
        }
    }
}
