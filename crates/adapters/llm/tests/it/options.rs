//! Options that cannot be used are refused, all at once, with their keys.

use std::fs;

use kubewise_core::Period;
use kubewise_core::failure::chain;
use kubewise_core::port::PlanAuthor as _;
use kubewise_llm::{Options, Provider};

use crate::{KEY, model};

fn of(provider: Provider) -> Options {
    Options { provider, model: Some("a-model".into()), api_key: Some(KEY.into()), ..Options::default() }
}

#[test]
fn no_model_is_asked_unless_one_is_chosen() {
    assert!(model(&Options::default()).expect("usable").is_none());
    let options: Options = toml::from_str("").expect("valid");
    assert_eq!((options.provider, options.timeout), (Provider::None, Period::from_secs(30)));
    // What is left of another choice does not matter.
    let left = Options { endpoint: Some("nonsense".into()), timeout: Period::ZERO, ..of(Provider::None) };
    assert!(model(&left).expect("usable").is_none());
}

#[test]
fn an_author_is_named_by_provider_and_model() {
    let name = |options: &Options| model(options).expect("usable").expect("a model").name().to_owned();
    assert_eq!(name(&of(Provider::OpenAi)), "openai/a-model");
    assert_eq!(name(&of(Provider::Anthropic)), "anthropic/a-model");
    assert_eq!(name(&Options { model: None, ..of(Provider::Gemini) }), "gemini/gemini-3.8-flash");
}

#[test]
fn every_provider_can_be_written() {
    for (text, expect) in [
        ("none", Provider::None),
        ("gemini", Provider::Gemini),
        ("openai", Provider::OpenAi),
        ("openai-compatible", Provider::OpenAiCompatible),
        ("anthropic", Provider::Anthropic),
    ] {
        let options: Options = toml::from_str(&format!("provider = \"{text}\"")).expect("valid");
        assert_eq!(options.provider, expect);
    }
    let error = toml::from_str::<Options>("modle = \"x\"").expect_err("refused").to_string();
    assert!(error.contains("modle"), "{error}");
}

#[test]
fn faults_name_the_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("written");
        Some(path)
    };
    let (empty, words) = (file("empty", " \n"), file("words", "not PEM"));
    let large = file("large", &"x".repeat(2 << 20));
    let missing = Some(directory.path().join("missing"));
    let gemini = || of(Provider::Gemini);
    let endpoint = |text: &str| Options { endpoint: Some(text.into()), ..of(Provider::OpenAiCompatible) };
    let keyless = || Options { api_key: None, ..gemini() };

    let check = |options: Options, expect: &[&str]| {
        let error = chain(&model(&options).expect_err("refused"));
        assert!(expect.iter().all(|part| error.contains(part)), "{error:?} lacks one of {expect:?}");
        assert!(!error.contains(KEY), "{error}");
    };
    check(Options { timeout: Period::ZERO, ..gemini() }, &["author: the time limit", "more than zero"]);
    check(Options { model: None, ..of(Provider::OpenAi) }, &["author.model is missing"]);
    check(Options { model: Some(" ".into()), ..gemini() }, &["author.model cannot be used"]);
    check(of(Provider::OpenAiCompatible), &["author.endpoint is missing", "http://ollama:11434/v1"]);
    check(endpoint("ollama"), &["author.endpoint", "no URL `ollama`"]);
    check(endpoint("ollama:11434"), &["author.endpoint", "does not begin with http"]);
    check(
        endpoint(&format!("http://me:{KEY}@ollama")),
        &["author.endpoint", "holds credentials", "author.api_key"],
    );
    check(endpoint(&format!("http:// me:{KEY}@ollama")), &["author.endpoint"]);
    check(endpoint("http://ollama/v1?x=1"), &["author.endpoint", "after its path"]);
    check(keyless(), &["author.api_key is missing", "author.api_key_file"]);
    check(Options { api_key: Some("".into()), ..gemini() }, &["author.api_key", "empty"]);
    check(Options { api_key: Some("s3cr3t-key\u{7}".into()), ..gemini() }, &["author.api_key", "header"]);
    check(
        Options { api_key_file: words.clone(), ..gemini() },
        &["author.api_key and author.api_key_file exclude"],
    );
    check(
        Options { api_key_file: missing.clone(), ..keyless() },
        &["author.api_key_file", "missing", "No such"],
    );
    check(Options { api_key_file: empty, ..keyless() }, &["author.api_key_file", "it is empty"]);
    check(Options { api_key_file: large, ..keyless() }, &["author.api_key_file", "larger than 1 MiB"]);
    check(Options { ca_file: missing, ..gemini() }, &["author.ca_file", "No such file"]);
    check(Options { ca_file: words.clone(), ..gemini() }, &["author.ca_file", "no certificate in PEM form"]);
    check(Options { ca_file: words, ..endpoint("http://ollama") }, &["author.ca_file", "not https"]);
    let wrong = Options {
        timeout: Period::ZERO,
        model: None,
        endpoint: None,
        api_key: Some("".into()),
        ..of(Provider::OpenAiCompatible)
    };
    check(wrong, &["time limit", "author.model", "author.endpoint", "author.api_key"]);
}

#[test]
fn a_key_is_not_printed() {
    let options = of(Provider::Gemini);
    let model = model(&options).expect("usable");
    assert!(!format!("{options:?} {model:?}").contains(KEY));
}
