//! What is sent, and where to.

use kubewise_core::author::{Prompt, RefusedAnswer};
use kubewise_llm::{Effort, Options, Provider};
use kubewise_testbed::{ModelReply, ModelRequest, ModelServer};
use serde_json::{Value, json};

use crate::{KEY, PROVIDERS, ask, at, prompt};

/// What arrives at `path` when `prompt` is sent with these options.
async fn sent(options: Options, path: &str, prompt: &Prompt) -> ModelRequest {
    let server = ModelServer::scripted([ModelReply::text("{}")]).expect("a server");
    let endpoint = options.endpoint.as_deref().unwrap_or_default();
    let options = Options { endpoint: Some(server.url() + endpoint), ..options };
    ask(&options, prompt).await.expect("an answer");
    let request = server.requests().pop().expect("a request");
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", path));
    assert_eq!(request.headers["content-type"], "application/json");
    request
}

fn of(provider: Provider) -> Options {
    Options { provider, model: Some("a-model".into()), api_key: Some(KEY.into()), ..Options::default() }
}

fn second() -> Prompt {
    let refused = RefusedAnswer { answer: "{\"a\":1}".into(), objection: "`a` is unknown".into() };
    Prompt { refused: Some(refused), ..prompt() }
}

#[tokio::test]
async fn gemini_is_asked_in_its_words() {
    let options = Options { model: None, ..of(Provider::Gemini) };
    let request = sent(options, "/v1beta/models/gemini-3.8-flash:generateContent", &second()).await;
    assert_eq!(request.headers["x-goog-api-key"], KEY);
    assert!(!request.headers.contains_key("authorization"));
    let text = |role: &str, text: &str| json!({ "role": role, "parts": [{ "text": text }] });
    let expect = json!({
        "systemInstruction": { "parts": [{ "text": "Choose a repair." }] },
        "contents": [
            text("user", "The pod crashes."),
            text("model", "{\"a\":1}"),
            text("user", "`a` is unknown"),
        ],
        "generationConfig": {
            "maxOutputTokens": 2000,
            "responseMimeType": "application/json",
            "responseJsonSchema": closed_schema(),
            "thinkingConfig": { "thinkingLevel": "LOW" },
        },
    });
    assert_eq!(request.body, expect);
}

#[tokio::test]
async fn openai_is_asked_in_its_words() {
    let request = sent(of(Provider::OpenAi), "/v1/chat/completions", &second()).await;
    assert_eq!(request.headers["authorization"], format!("Bearer {KEY}"));
    let expect = json!({
        "model": "a-model",
        "messages": [
            { "role": "system", "content": "Choose a repair." },
            { "role": "user", "content": "The pod crashes." },
            { "role": "assistant", "content": "{\"a\":1}" },
            { "role": "user", "content": "`a` is unknown" },
        ],
        "max_completion_tokens": 2000,
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": { "name": "answer", "strict": true, "schema": closed_schema() },
        },
    });
    assert_eq!(request.body, expect);
}

#[tokio::test]
async fn other_servers_are_asked_in_the_words_that_all_know() {
    let request = sent(of(Provider::OpenAiCompatible), "/v1/chat/completions", &prompt()).await;
    assert_eq!(request.body["max_tokens"], 2000);
    for word in ["max_completion_tokens", "reasoning_effort"] {
        assert_eq!(request.body[word], Value::Null, "{word}");
    }
    assert_eq!(request.body["response_format"]["json_schema"]["schema"], closed_schema());
}

#[tokio::test]
async fn anthropic_is_asked_in_its_words() {
    let request = sent(of(Provider::Anthropic), "/v1/messages", &second()).await;
    assert_eq!(request.headers["x-api-key"], KEY);
    assert_eq!(request.headers["anthropic-version"], "2023-06-01");
    let expect = json!({
        "model": "a-model",
        "max_tokens": 2000,
        "system": "Choose a repair.",
        "messages": [
            { "role": "user", "content": "The pod crashes." },
            { "role": "assistant", "content": "{\"a\":1}" },
            { "role": "user", "content": "`a` is unknown" },
        ],
        "output_config": { "format": { "type": "json_schema", "schema": closed_schema() } },
    });
    assert_eq!(request.body, expect);
}

#[tokio::test]
async fn effort_is_asked_for_where_it_is_set() {
    let check = async |provider, path: &str, place: &str| {
        let options = Options { effort: Some(Effort::High), ..of(provider) };
        let request = sent(options, path, &prompt()).await;
        let asked = request.body.pointer(place).and_then(Value::as_str).unwrap_or_default();
        assert!(asked.eq_ignore_ascii_case("high"), "{}", request.text);
    };
    let gemini = "/generationConfig/thinkingConfig/thinkingLevel";
    check(Provider::Gemini, "/v1beta/models/a-model:generateContent", gemini).await;
    check(Provider::OpenAi, "/v1/chat/completions", "/reasoning_effort").await;
    check(Provider::OpenAiCompatible, "/v1/chat/completions", "/reasoning_effort").await;
    check(Provider::Anthropic, "/v1/messages", "/output_config/effort").await;
}

#[tokio::test]
async fn a_path_of_the_endpoint_is_kept() {
    let options =
        |endpoint: &str| Options { endpoint: Some(endpoint.into()), ..of(Provider::OpenAiCompatible) };
    sent(options("/"), "/v1/chat/completions", &prompt()).await;
    sent(options("/v1"), "/v1/chat/completions", &prompt()).await;
    sent(options("/gateway/openai/v1/"), "/gateway/openai/v1/chat/completions", &prompt()).await;
    let strange = Options { model: Some("org/model?x".into()), ..of(Provider::Gemini) };
    sent(strange, "/v1beta/models/org%2Fmodel%3Fx:generateContent", &prompt()).await;
}

#[tokio::test]
async fn free_text_is_asked_for_without_a_schema() {
    for provider in PROVIDERS {
        let server = ModelServer::scripted([ModelReply::text("It crashed.")]).expect("a server");
        let answer = ask(&at(provider, &server), &Prompt { schema: None, ..prompt() }).await;
        assert_eq!(answer.expect("an answer").text, "It crashed.");
        let text = &server.requests()[0].text;
        assert!(!text.contains("schema") && !text.contains("application/json"), "{text}");
    }
}

#[tokio::test]
async fn a_refused_answer_without_a_text_is_not_repeated() {
    let refused = Some(RefusedAnswer { answer: " \n".into(), objection: "it is empty".into() });
    let prompt = Prompt { refused, ..prompt() };
    let request = sent(of(Provider::Anthropic), "/v1/messages", &prompt).await;
    let roles: Vec<_> =
        request.body["messages"].as_array().expect("messages").iter().map(|one| &one["role"]).collect();
    assert_eq!(roles, ["user", "user"]);
}

#[tokio::test]
async fn a_rotated_key_is_followed_and_none_is_sent_where_there_is_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("key");
    std::fs::write(&file, "first\n").expect("written");
    let server = ModelServer::answering(|_| ModelReply::text("{}")).expect("a server");
    let options =
        Options { api_key: None, api_key_file: Some(file.clone()), ..at(Provider::Anthropic, &server) };
    let model = crate::model(&options).expect("usable").expect("a model");
    let ask = async || kubewise_core::port::PlanAuthor::answer(&model, &prompt()).await;
    ask().await.expect("an answer");
    std::fs::write(&file, "second").expect("written");
    ask().await.expect("an answer");
    std::fs::remove_file(&file).expect("removed");
    let failure = ask().await.expect_err("no key");
    assert!(failure.is_transient() && failure.message().contains("author.api_key_file"), "{failure}");
    let keys: Vec<_> = server.requests().iter().map(|one| one.headers["x-api-key"].clone()).collect();
    assert_eq!(keys, ["first", "second"]);

    let options = Options { api_key: None, ..at(Provider::OpenAiCompatible, &server) };
    crate::ask(&options, &prompt()).await.expect("an answer");
    assert!(!server.requests()[2].headers.contains_key("authorization"));
}

fn closed_schema() -> Value {
    let mut schema = prompt().schema.expect("a schema");
    schema["additionalProperties"] = false.into();
    schema
}
