//! No secret that somebody planted in a cluster leaves KubeWise, and no key of its own.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubewise_core::Period;
use kubewise_core::port::Introspection as _;
use kubewise_core::record::RecordKind;
use kubewise_core::request::PatchOperation;
use kubewise_sim::{Change, Workload, World};
use kubewise_testbed::{ModelRequest, ModelServer, ModelText};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::author::{KEY, Stage, cart, incident, records, sound};

/// So many characters of a secret in a row are already too many.
const TOO_MANY: usize = 12;

/// Everything that a person could have put a secret into, and what could come out of it: what is sent, what is kept, what
/// is served, measured, logged and told in the cluster.
#[test]
fn of_a_thousand_planted_secrets_none_leaves_the_program() -> Result<()> {
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
    let mut stage = Stage::new(ModelServer::answering(script)?, Workload::deployment("shop", "cart"))?;
    let secrets = plant(&stage.world)?;
    stage.live(Period::from_mins(10), None, |_| false);
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
    let notices: Vec<String> = stage.world.notices().into_iter().map(|notice| notice.message).collect();
    for mark in ["log-mark", "event-mark"] {
        ensure!(sent[0].contains(mark), "what it stands beside was not sent: {mark} in {}", sent[0]);
    }
    let places = [
        ("the requests", sent.join("\n")),
        ("the records", kept.join("\n")),
        ("the API", told),
        ("the log", logged),
        ("the metrics", stage.handle.metrics()),
        ("the Events in the cluster", notices.join("\n")),
    ];
    let parts: HashMap<&[u8], &(&str, String)> = secrets
        .iter()
        .flat_map(|planted| planted.1.as_bytes().windows(TOO_MANY).map(move |part| (part, planted)))
        .collect();
    for (place, text) in &places {
        let found = text.as_bytes().windows(TOO_MANY).find_map(|part| parts.get(part));
        ensure!(found.is_none(), "{found:?} is in {place}: {text}");
        ensure!(!text.contains(KEY), "the key is in {place}");
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

/// A thousand secrets, and where each is; always the same.
fn plant(world: &World) -> Result<Vec<(&'static str, String)>> {
    let mut garden = Garden { dice: 20_261_126, planted: Vec::new() };
    let namespaced =
        |kind: &str, name: String| json!({ "kind": kind, "metadata": { "namespace": "shop", "name": name } });
    for number in 0..10 {
        let mut secret = namespaced("Secret", format!("cart-{number}"));
        secret["data"] = garden.fields("a Secret", 10, |found| STANDARD.encode(found.alone));
        world.create(secret)?;
        let mut settings = namespaced("ConfigMap", format!("cart-{number}"));
        settings["data"] = garden.fields("a ConfigMap", 5, |found| found.text);
        // As `kubectl apply` leaves it.
        settings["metadata"]["annotations"] =
            garden.fields("an annotation of a ConfigMap", 5, |found| found.text);
        world.create(settings)?;
        let mut claim = namespaced("PersistentVolumeClaim", format!("cart-{number}"));
        claim["metadata"]["annotations"] = garden.fields("an answer to a list", 5, |found| found.text);
        claim["metadata"]["labels"] = garden.fields("an answer to a list", 5, |found| found.alone);
        world.create(claim)?;
    }
    let mut variables = garden.list("a variable", 200, |number, found| {
        let name = ["API_KEY", "DATABASE_URL", "PASSWORD", "SETTING"][number % 4];
        json!({ "name": format!("{name}_{number}"), "value": if number % 2 == 0 { found.alone } else { found.text } })
    });
    let said = garden.list("a log", 100, |_, found| json!(format!("log-mark {}", found.text)));
    let said: Vec<&str> = said.iter().filter_map(Value::as_str).collect();
    variables.push(json!({ "name": "SAYS", "value": said.join("\n") }));
    let arguments = garden.list("an argument", 100, |number, found| match number % 3 {
        0 => json!(format!("--token={}", found.alone)),
        1 => json!(found.alone),
        _ => json!(found.text),
    });
    let mut probe = garden.list("a probe", 50, |_, found| json!(found.alone));
    probe.insert(0, json!("check"));
    let mut labels = garden.fields("a label", 50, |found| found.alone);
    labels["app"] = json!("cart");
    let container = "/spec/template/spec/containers/0";
    let mut operations = vec![
        add(&format!("{container}/env"), json!(variables)),
        add(&format!("{container}/args"), json!(arguments)),
        add(&format!("{container}/livenessProbe"), json!({ "exec": { "command": probe } })),
        add("/spec/template/metadata/labels", labels),
        add("/spec/template/metadata/annotations", garden.fields("an annotation", 50, |found| found.text)),
    ];
    for number in 0..50 {
        let noted = garden.seed("an annotation").text;
        operations.push(add(&format!("/metadata/annotations/note-{number}"), json!(noted)));
    }
    world.change(Change::Edit { object: cart(), manager: "kubectl-edit".into(), operations })?;
    for number in 0..20 {
        let said: Vec<String> = (0..5).map(|_| garden.seed("an Event").text).collect();
        let reason = ["BackOff", "FailedCreate", "FailedMount", "Unhealthy"][number % 4].to_owned();
        let message = format!("event-mark {number}: {}", said.join(", "));
        world.change(Change::Warning { object: cart(), reason, message })?;
    }
    ensure!(garden.planted.len() == 1_000, "{} secrets", garden.planted.len());
    let encoded = garden.planted.clone().into_iter().filter(|(place, _)| *place == "a Secret");
    let encoded = encoded.map(|(place, secret)| (place, STANDARD.encode(secret)));
    Ok(encoded.chain(garden.planted).collect())
}

fn add(path: &str, value: Value) -> PatchOperation {
    PatchOperation::Add { path: path.into(), value }
}

/// Where secrets are made and remembered.
struct Garden {
    dice: u64,
    planted: Vec<(&'static str, String)>,
}

/// A secret alone, and as it stands in a text.
struct Found {
    alone: String,
    text: String,
}

impl Garden {
    fn random(&mut self, alphabet: &str, length: usize) -> String {
        let mut roll = || {
            self.dice ^= self.dice << 13;
            self.dice ^= self.dice >> 7;
            self.dice ^= self.dice << 17;
            alphabet.as_bytes()[(self.dice % alphabet.len() as u64) as usize]
        };
        (0..length).map(|_| char::from(roll())).collect()
    }

    /// One secret, of a kind after the other.
    fn seed(&mut self, place: &'static str) -> Found {
        const LOWER: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
        const MIXED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let (before, alphabet, length, after) = match self.planted.len() % 11 {
            0 => ("ghp_", MIXED, 36, ""),
            1 => ("amqp://shop:", LOWER, 14, "@queue:5672"),
            2 => ("password=", LOWER, 12, ""),
            3 => ("Authorization: Bearer ", MIXED, 24, ""),
            4 => ("AKIA", UPPER, 16, ""),
            5 => ("digest ", "0123456789abcdef", 40, " is wrong"),
            6 => ("sk_live_", MIXED, 24, ""),
            7 => ("migrate --password ", LOWER, 13, " --verbose"),
            8 => ("{\"clientSecret\": \"", MIXED, 16, "\"}"),
            9 => ("key ", MIXED, 32, ""),
            _ => ("", "", 0, ""),
        };
        let alone = match length {
            0 => STANDARD.encode(format!("{}:{}", self.random(LOWER, 9), self.random(LOWER, 12))),
            _ => self.random(alphabet, length),
        };
        self.planted.push((place, alone.clone()));
        Found { text: format!("{before}{alone}{after}"), alone }
    }

    fn list(
        &mut self,
        place: &'static str,
        number: usize,
        told: impl Fn(usize, Found) -> Value,
    ) -> Vec<Value> {
        (0..number).map(|number| told(number, self.seed(place))).collect()
    }

    fn fields(&mut self, place: &'static str, number: usize, told: impl Fn(Found) -> String) -> Value {
        (0..number).map(|number| (format!("key-{number}"), json!(told(self.seed(place))))).collect()
    }
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
        told += &ask("GET", &format!("/api/v1/{collection}?limit=500"))?;
    }
    for path in ["prompt", "plan", "explanation"] {
        let collection = if path == "prompt" { "plans" } else { "incidents" };
        told += &ask("GET", &format!("/api/v1/{collection}/{id}/{path}"))?;
    }
    told += &ask("POST", &format!("/api/v1/incidents/{id}/explanation"))?;
    for path in ["spending", "status", "config", "autonomy"] {
        told += &ask("GET", &format!("/api/v1/{path}"))?;
    }
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
