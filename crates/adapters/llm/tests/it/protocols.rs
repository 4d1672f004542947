//! The providers' own published types accept what is sent, and their own clients read what the tests' server answers, so
//! that neither is right by our word alone.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use kubewise_core::author::{Prompt, RefusedAnswer};
use kubewise_llm::{Effort, Options, Provider};
use kubewise_testbed::{ModelEnding, ModelReply, ModelServer, ModelText};
use serde_json::{Value, json};

use crate::{PROVIDERS, ask, at, prompt};

/// The Python that has the providers' packages.
fn python() -> Result<Option<PathBuf>> {
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../scripts/setup");
    let output = Command::new(&setup).arg("python").output().with_context(|| setup.display().to_string())?;
    let python = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    if python.is_file() {
        return Ok(Some(python));
    }
    ensure!(std::env::var_os("CI").is_none(), "the providers' packages are missing; run scripts/setup");
    writeln!(std::io::stderr(), "skipped: the providers' packages are missing; scripts/setup installs them")?;
    Ok(None)
}

/// What the script prints.
fn script(python: &Path, arguments: &[&str], input: &Value) -> Result<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocols.py");
    let mut child = Command::new(python)
        .arg(script)
        .args(arguments)
        // The server is on loopback, whatever proxy this machine has.
        .envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("a pipe")?.write_all(input.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Every shape that a prompt has.
fn prompts() -> Vec<Prompt> {
    let rich = json!({
        "type": "object",
        "properties": {
            "reasoning": { "type": "string", "maxLength": 4000 },
            "cause": { "type": ["string", "null"] },
            "actions": { "type": "array", "maxItems": 5, "items": { "oneOf": [
                {
                    "type": "object",
                    "properties": {
                        "action": { "type": "string", "const": "RestartPods" },
                        "pods": { "type": "integer", "format": "uint32", "minimum": 1 },
                    },
                    "required": ["action"],
                },
                { "type": "object", "properties": { "action": { "type": "string", "enum": ["HandOver", "Wait"] } } },
            ] } },
            "confidence": { "type": "number", "minimum": 0.0, "maximum": 1.0 },
        },
        "required": ["reasoning", "actions"],
    });
    let open = json!({
        "type": "object",
        "properties": { "parameters": { "type": "object", "additionalProperties": { "type": "string" } } },
        "required": ["parameters"],
    });
    let refused = RefusedAnswer { answer: "{\"a\":1}".into(), objection: "`a` is unknown".into() };
    vec![
        prompt(),
        Prompt { schema: None, ..prompt() },
        Prompt { schema: Some(rich), refused: Some(refused), ..prompt() },
        Prompt { schema: Some(open), case: "\u{1b}[31m \"quoted\" \u{1f980}".into(), ..prompt() },
    ]
}

#[tokio::test]
async fn the_providers_own_types_accept_every_request() -> Result<()> {
    let Some(python) = python()? else { return Ok(()) };
    let mut requests = Vec::new();
    for provider in PROVIDERS {
        let name = match provider {
            Provider::None => continue,
            Provider::Gemini => "gemini",
            Provider::OpenAi => "openai",
            Provider::OpenAiCompatible => "openai-compatible",
            Provider::Anthropic => "anthropic",
        };
        let server = ModelServer::answering(|_| ModelReply::text("{}"))?;
        for effort in [None, Some(Effort::Low), Some(Effort::Medium), Some(Effort::High)] {
            for prompt in prompts() {
                ask(&Options { effort, ..at(provider, &server) }, &prompt).await?;
            }
        }
        let sent = server.requests().into_iter();
        requests.extend(sent.map(|request| json!({ "provider": name, "body": request.body })));
    }
    // The same with something to object to, so that silence means something.
    let places = ["/body/generationConfig", "/body/response_format/json_schema", "/body/messages/0", "/body"];
    let mut wrong = requests.clone();
    for request in &mut wrong {
        let place = places.into_iter().find(|place| request.pointer(place).is_some()).context("a place")?;
        request.pointer_mut(place).context("a place")?["unheardOf"] = 1.into();
    }
    let right = requests.len();
    requests.extend(wrong);
    let objections = script(&python, &["requests"], &requests.clone().into())?;
    let objections = objections.as_array().context("a list")?;
    assert_eq!((right, objections.len()), (4 * 4 * 4, 2 * right), "one for each provider, effort and prompt");
    for (index, (request, objection)) in requests.iter().zip(objections).enumerate() {
        assert_eq!(objection.is_string(), index >= right, "{objection} to {request}");
    }
    Ok(())
}

#[tokio::test]
async fn the_providers_own_clients_read_what_the_server_says() -> Result<()> {
    let Some(python) = python()? else { return Ok(()) };
    let server = ModelServer::answering(|request| {
        let text = ModelText::new("a text").usage(1234, 56);
        let ending = match request.text.as_str() {
            asked if asked.contains("Truncated") => ModelEnding::Truncated,
            asked if asked.contains("Withheld") => ModelEnding::Withheld,
            _ => ModelEnding::Complete,
        };
        text.ending(ending).into()
    })?;
    let read = script(&python, &["replies", &server.url()], &Value::Null)?;
    let expect = json!([
        ["gemini", "a text", "STOP", 1234, 56],
        ["gemini", "a text", "MAX_TOKENS", 1234, 56],
        ["gemini", null, "SAFETY", 1234, 56],
        ["openai", "a text", "stop", 1234, 56],
        ["openai", "a text", "length", 1234, 56],
        ["openai", null, "refusal", 1234, 56],
        ["anthropic", "a text", "end_turn", 1234, 56],
        ["anthropic", "a text", "max_tokens", 1234, 56],
        ["anthropic", null, "refusal", 1234, 56],
    ]);
    assert_eq!(read, expect);
    Ok(())
}
