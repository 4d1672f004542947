//! The crate at its face, against a provider on loopback: what is sent, what is read from an answer, and what is told
//! when none comes.

mod answers;
mod failures;
mod options;
mod protocols;
mod real;
mod requests;
mod schemas;
mod tls;

use kubewise_core::author::{Answer, Prompt};
use kubewise_core::port::PlanAuthor as _;
use kubewise_core::{Failure, Period};
use kubewise_llm::{Error, LanguageModel, Options, Provider};
use kubewise_testbed::{ModelReply, ModelServer};
use serde_json::json;

const KEY: &str = "s3cr3t-key";
const PROVIDERS: [Provider; 4] =
    [Provider::Gemini, Provider::OpenAi, Provider::OpenAiCompatible, Provider::Anthropic];

/// A model as a process would make it.
fn model(options: &Options) -> Result<Option<LanguageModel>, Error> {
    // The second test of the process finds the first one's provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    LanguageModel::new(options)
}

/// Options that reach `server`.
fn at(provider: Provider, server: &ModelServer) -> Options {
    Options {
        provider,
        model: Some("a-model".into()),
        endpoint: Some(server.url()),
        api_key: Some(KEY.into()),
        timeout: Period::from_secs(10),
        ..Options::default()
    }
}

async fn ask(options: &Options, prompt: &Prompt) -> Result<Answer, Failure> {
    model(options).expect("usable").expect("a model").answer(prompt).await
}

/// What comes of one reply.
async fn told(provider: Provider, reply: ModelReply) -> Result<Answer, Failure> {
    let server = ModelServer::scripted([reply]).expect("a server");
    let told = ask(&at(provider, &server), &prompt()).await;
    assert_eq!(server.requests().len(), 1, "a prompt is sent once");
    told
}

fn prompt() -> Prompt {
    Prompt {
        instructions: "Choose a repair.".into(),
        case: "The pod crashes.".into(),
        schema: Some(json!({
            "type": "object",
            "properties": { "reasoning": { "type": "string" }, "action": { "type": "string" } },
            "required": ["reasoning", "action"],
        })),
        refused: None,
        max_answer_tokens: 2000,
    }
}
