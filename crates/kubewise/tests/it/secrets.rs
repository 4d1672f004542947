//! No secret that somebody planted in a cluster leaves KubeWise, and no key of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use kubewise_core::Period;
use kubewise_core::port::Introspection as _;
use kubewise_core::record::RecordKind;
use kubewise_sim::Workload;
use kubewise_testbed::{ModelRequest, ModelServer, ModelText};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::author::{KEY, Stage, incident, records, sound};

/// Everything that a person could have put a secret into, and what could come out of it: what is sent, what is kept, what
/// is served, measured and logged.
#[test]
fn no_planted_secret_leaves_the_program() -> Result<()> {
    let secrets = secrets();
    let mut workload = Workload::deployment("shop", "cart");
    for (name, value) in &secrets.variables {
        workload = workload.env(name, value);
    }
    for (key, value) in &secrets.annotations {
        workload = workload.annotation(key, value);
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
    let writer = log.clone();
    let subscriber = subscriber.with_writer(move || Written(writer.clone())).finish();
    // Of the whole process: what other tests log meanwhile holds no secret either.
    tracing::subscriber::set_global_default(subscriber)?;
    let script = |request: &ModelRequest| {
        let asks_for_plan = request.text.contains("rootCause");
        if asks_for_plan { sound(request) } else { ModelText::new("The new cart crashes.").into() }
    };
    let mut stage = Stage::new(ModelServer::answering(script)?, workload)?;
    stage.crash_and_repair()?;
    let told = served(&stage)?;
    let sent: Vec<String> = stage.provider.requests().into_iter().map(|request| request.text).collect();
    stage.live(Period::from_secs(10), None, |_| false);
    let kept: Vec<String> = RecordKind::ALL
        .into_iter()
        .flat_map(|kind| records(&stage.store, kind))
        .map(|record| record.to_document().map(|document| without_changes(document).to_string()))
        .collect::<Result<_, _>>()?;
    let logged = String::from_utf8(log.lock().map(|log| log.clone()).unwrap_or_default())?;
    ensure!(sent.len() == 2 && logged.contains("incident opened"), "{} requests: {logged}", sent.len());
    let places = [
        ("the requests", sent.join("\n")),
        ("the API", told),
        ("the log", logged),
        ("the metrics", stage.handle.metrics()),
    ];
    for secret in secrets.all.iter().map(String::as_str).chain([KEY]) {
        for (place, text) in &places {
            ensure!(!text.contains(secret), "{secret} is in {place}");
        }
        let found = kept.iter().find(|document| document.contains(secret));
        ensure!(found.is_none(), "{secret} is kept: {found:?}");
    }
    Ok(())
}

/// What is to be written is kept as it is, or nothing could be put back; everything else must do without secrets.
fn without_changes(mut document: Value) -> Value {
    if let Some(fields) = document.as_object_mut() {
        fields.remove("changes");
        let steps = fields.get_mut("actions").and_then(Value::as_array_mut).into_iter().flatten();
        for operation in steps.filter_map(|step| step.get_mut("operation")?.as_object_mut()) {
            operation.remove("changes");
        }
    }
    document
}

struct Secrets {
    variables: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    all: Vec<String>,
}

/// Of many kinds, always the same.
fn secrets() -> Secrets {
    let digits = |seed: u64, length: usize| -> String {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut digit = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(
                b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[(state % 62) as usize],
            )
        };
        (0..length).map(|_| digit()).collect()
    };
    let (mut variables, mut annotations, mut said, mut all) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for number in 0..40_u64 {
        let secret = digits(number + 1, 32);
        let (name, value) = match number % 4 {
            0 => (format!("API_KEY_{number}"), secret.clone()),
            1 => (format!("DATABASE_URL_{number}"), format!("postgres://app:{secret}@db:5432/shop")),
            2 => (format!("PASSWORD_{number}"), secret.clone()),
            _ => (format!("SETTING_{number}"), format!("ghp_{secret}")),
        };
        variables.push((name, value));
        all.push(secret);
        let noted = digits(number + 1_000, 40);
        annotations.push((format!("example.com/note-{number}"), format!("token={noted}")));
        all.push(noted);
        let written = digits(number + 2_000, 24);
        said.push(match number % 3 {
            0 => format!("connecting to amqp://shop:{written}@queue:5672"),
            1 => format!("password={written}"),
            _ => format!("Authorization: Bearer {written}"),
        });
        all.push(written);
    }
    variables.push(("SAYS".into(), said.join("; ")));
    Secrets { variables, annotations, all }
}

/// Everything that the API serves.
fn served(stage: &Stage) -> Result<String> {
    let token = "a-token-for-the-tests";
    let options = kubewise_api::Options { token: Some(token.into()), ..kubewise_api::Options::default() };
    let handle = Arc::new(stage.handle.clone());
    let router = kubewise_api::router(kubewise_api::Api {
        store: Arc::new(stage.store.clone()),
        control: handle.clone(),
        inquiry: handle.clone(),
        introspection: handle,
        access: options.access()?,
    });
    let listener = stage.executor.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    stage.executor.spawn(kubewise_api::serve(listener, router, stop.clone()));
    let ask = |method: &str, path: &str| -> Result<String> {
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.0 200"), "{method} {path}: {answer}");
        Ok(answer)
    };
    let id = incident(&stage.store).context("no incident")?.id;
    let mut told = String::new();
    for collection in ["anomalies", "incidents", "plans", "actions", "events", "feedback", "calls"] {
        told += &ask("GET", &format!("/api/v1/{collection}"))?;
    }
    for path in ["prompt", "plan", "explanation"] {
        let collection = if path == "prompt" { "plans" } else { "incidents" };
        told += &ask("GET", &format!("/api/v1/{collection}/{id}/{path}"))?;
    }
    told += &ask("POST", &format!("/api/v1/incidents/{id}/explanation"))?;
    told += &ask("GET", "/api/v1/spending")?;
    told += &ask("GET", "/api/v1/status")?;
    stop.cancel();
    Ok(told)
}

/// A log in memory.
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Ok(mut log) = self.0.lock() {
            log.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
