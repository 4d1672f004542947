//! Secrets do not leave; what a diagnosis needs does.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kubewise_core::document::Document;
use kubewise_core::{Kind, ObjectRef};
use kubewise_remediation::author::{self, Options};
use kubewise_remediation::evidence::Evidence;
use serde_json::{Value, json};

use super::{PLAYBOOKS, complete, draft_within, event, log, planned, sent};
use crate::fixture::{World, crash_loop};
use crate::hostile::Dice;

/// Places in which a secret is planted, and so secrets in each world.
const PLACES: usize = 23;
const WORLDS: usize = 50;
/// Nothing is left out for want of room: what is not there was taken out.
const ROOMY: Options = Options { prompt_tokens: 1_000_000, answer_tokens: 2_000 };
/// So many characters of a secret in a row are already too many.
const TOO_MANY: usize = 12;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &str = "0123456789abcdef";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const MIXED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A secret, and how it looks in free text.
pub(super) struct Canary {
    pub(super) secret: String,
    pub(super) text: String,
}

fn random(dice: &mut Dice, alphabet: &str, length: usize) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    (0..length).map(|_| dice.one(&alphabet)).collect()
}

fn bytes(dice: &mut Dice, length: usize) -> Vec<u8> {
    (0..length).map(|_| dice.roll() as u8).collect()
}

pub(super) fn canary(dice: &mut Dice, number: usize) -> Canary {
    let alone = |secret: String| Canary { text: secret.clone(), secret };
    let within = |secret: String, before: &str, after: &str| Canary {
        text: format!("{before}{secret}{after}"),
        secret,
    };
    match number % 20 {
        0 => alone(format!("AKIA{}", random(dice, UPPER, 16))),
        1 => alone(format!("ghp_{}", random(dice, MIXED, 36))),
        2 => alone(format!("xoxb-{}-{}", random(dice, "123456789", 12), random(dice, MIXED, 24))),
        3 => alone(format!("sk_live_{}", random(dice, MIXED, 24))),
        4 => alone(format!("AIza{}", random(dice, MIXED, 35))),
        5 => alone(format!("glpat-{}", random(dice, MIXED, 20))),
        6 => {
            let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
            let body =
                URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{}","admin":true}}"#, random(dice, LOWER, 9)));
            let sign = bytes(dice, 32);
            within(format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(sign)), "token ", " has expired")
        }
        7 => within(random(dice, LOWER, 14), "cannot reach postgres://app:", "@db.shop.svc:5432/cart"),
        8 => within(random(dice, LOWER, 10), "login with DB_PASSWORD=", " failed"),
        9 => within(random(dice, LOWER, 13), "config {\"clientSecret\": \"", "\", \"port\": 80}"),
        10 => within(random(dice, MIXED, 18), "> Authorization: Bearer ", ""),
        11 => alone(random(dice, HEX, 40)),
        12 => alone(random(dice, HEX, 64)),
        13 => alone(STANDARD.encode(bytes(dice, 32))),
        14 => alone(URL_SAFE_NO_PAD.encode(bytes(dice, 33))),
        15 => alone(random(dice, MIXED, 32)),
        16 => alone(STANDARD.encode(format!("password=swordfish{}", random(dice, LOWER, 5)))),
        17 => {
            let secret = STANDARD.encode(bytes(dice, 48));
            let pem = format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----");
            Canary { secret, text: pem }
        }
        18 => within(
            format!("{}==", random(dice, MIXED, 42)),
            "AccountName=shop;AccountKey=",
            ";EndpointSuffix=x",
        ),
        _ => within(random(dice, LOWER, 11), "running: migrate --password ", " --verbose"),
    }
}

/// A crash loop with a secret in every place from which a prompt could take one. Of each, `place` says where.
fn planted(dice: &mut Dice, first: usize) -> (World, Vec<(&'static str, Canary)>) {
    let mut world = crash_loop();
    let mut planted: Vec<(&'static str, Canary)> = Vec::new();
    let mut plant = |place: &'static str| {
        let canary = canary(dice, first + planted.len() * 7);
        let (text, secret) = (canary.text.clone(), canary.secret.clone());
        planted.push((place, canary));
        (text, secret)
    };
    // What has a place: neither the secret alone nor with words around it may leave.
    let secret = json!({ "kind": "Secret", "metadata": { "name": "cart-db", "namespace": "shop", "uid": "u-1" },
        "data": { "password": plant("Secret").1 }, "stringData": { "note": plant("Secret").0 } });
    let settings = json!({ "kind": "ConfigMap", "metadata": { "name": "cart", "namespace": "shop", "uid": "u-2" },
        "data": { "app.yaml": plant("ConfigMap").0 } });
    let claim = json!({ "kind": "PersistentVolumeClaim", "metadata": { "name": "data", "namespace": "shop",
        "uid": "u-3", "annotations": { "note": plant("list answer").0 } }, "status": { "phase": "Bound" } });
    let quota = json!({ "kind": "ResourceQuota", "metadata": { "name": "quota", "namespace": "shop",
        "labels": { "owner": plant("list answer").1 } }, "status": { "hard": { "pods": "9" } } });
    let mut documents = vec![Document(secret), Document(settings), Document(claim), Document(quota)];
    let container = json!({
        "env": [{ "name": "DB_PASSWORD", "value": plant("env").1 }, { "name": "DSN", "value": plant("env").0 }],
        "args": ["--verbose", format!("--token={}", plant("args").1), "--key", plant("args").1, plant("args").0],
        "command": ["/app", format!("-p{}", plant("command").1)],
        "probe": { "exec": { "command": ["check", plant("exec probe").1] } },
    });
    let annotation = (plant("annotation").1, plant("annotation").0);
    let label = plant("label").1;
    let dress = |template: &mut Value| {
        let first = &mut template["spec"]["containers"][0];
        first["env"] = container["env"].clone();
        first["args"] = container["args"].clone();
        first["command"] = container["command"].clone();
        first["livenessProbe"] = container["probe"].clone();
        template["metadata"]["annotations"] = json!({ "token": annotation.0, "note": annotation.1 });
        template["metadata"]["labels"]["key"] = json!(label);
    };
    world.annotate("example.com/token", &annotation.0);
    dress(&mut world.evidence.workload.as_mut().unwrap().0["spec"]["template"]);
    // Only the current revision has them, so that all of it is a change.
    dress(&mut world.evidence.revisions[1].0["spec"]["template"]);
    for pod in &mut world.evidence.pods {
        dress(&mut pod.0);
    }
    // Free text.
    let marked = |place: &str, text: &str| format!("{place}-mark {text}");
    let status = world.pod("cart-bad-1");
    status["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"] =
        json!(marked("termination", &plant("termination").0));
    status["status"]["containerStatuses"][0]["state"]["waiting"]["message"] =
        json!(marked("wait", &plant("wait").0));
    status["status"]["conditions"][0]["message"] = json!(marked("condition", &plant("condition").0));
    world.evidence.logs.push(log(format!("starting\nlog-mark {}\ndone", plant("log").0)));
    world.evidence.events.push(event(
        "BackOff",
        "cart-bad-1",
        &marked("event", &plant("event").0),
        "11:58:00",
    ));
    world.evidence.anomalies[0].explanation = marked("anomaly", &plant("anomaly").0);
    world.did("Notify", "11:00:00", json!({}), Vec::new());
    world.evidence.history[0].detail = marked("history", &plant("history").0);
    let mut precedent = world.evidence.history[0].clone();
    precedent.workload = ObjectRef::namespaced(Kind::Deployment, "shop", "search");
    precedent.cause = Some("crash-loop-after-revision".into());
    precedent.detail = marked("precedent", &plant("precedent").0);
    world.evidence.precedents.push(precedent);
    assert_eq!(planted.len(), PLACES);
    let Evidence { incident, anomalies, workload, revisions, pods, .. } = world.evidence.clone();
    documents.extend(revisions.into_iter().chain(pods));
    let assembled = Evidence::assemble(incident, anomalies, workload, documents, world.evidence.taken_at);
    let Evidence { nodes, all_pods, events, history, precedents, logs, .. } = world.evidence;
    world.evidence = Evidence { nodes, all_pods, events, history, precedents, logs, ..assembled };
    (world, planted)
}

/// Whether so much of a secret is in a text that it helps to guess the rest.
pub(super) fn leaks(text: &str, secret: &str) -> bool {
    let most = secret.len().min(TOO_MANY);
    (0..=secret.len() - most).any(|at| secret.get(at..at + most).is_some_and(|part| text.contains(part)))
}

#[test]
fn of_more_than_a_thousand_secrets_none_leaves() {
    let mut dice = Dice(20_261_125);
    let mut planted_in_all = 0;
    for number in 0..WORLDS {
        let (world, secrets) = planted(&mut dice, number);
        let drafted = draft_within(&world, ROOMY).unwrap();
        let plan = planned(world.decide_with(&PLAYBOOKS));
        let objection = drafted.read(&complete("no")).unwrap_err();
        let texts = [
            sent(&drafted.prompt),
            sent(&drafted.second(&complete("no"), &objection)),
            sent(&author::explanation(&world.evidence, Some(&plan), &ROOMY)),
            // What a plan keeps of it, for people and exports.
            serde_json::to_string(&plan.evidence).unwrap(),
        ];
        for text in &texts {
            for (place, canary) in &secrets {
                assert!(
                    !leaks(text, &canary.secret),
                    "world {number}: {} of {place} is in\n{text}",
                    canary.text
                );
            }
        }
        for place in ["termination", "wait", "condition", "log", "event", "anomaly", "history", "precedent"] {
            assert!(texts[0].contains(&format!("{place}-mark")), "{place} is not told at all");
        }
        assert!(texts[0].contains("DB_PASSWORD"), "names of variables are told");
        planted_in_all += secrets.len();
    }
    assert_eq!(planted_in_all, 1_150);
}

/// The lines of a log that was told, as the model sees them.
fn told(lines: &[&str]) -> String {
    let mut world = crash_loop();
    world.evidence.logs.push(log(lines.join("\n")));
    sent(&draft_within(&world, ROOMY).unwrap().prompt)
}

#[test]
fn what_a_diagnosis_needs_is_told_as_it_is() {
    let lines = [
        "2026-11-25T22:06:41.123456789Z INFO  server listening on 0.0.0.0:8080 pid=1 workers=16",
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x7f3c2a1b4c5d]",
        "goroutine 1 [running]: main.(*Server).ListenAndServe(0xc0000a6000, {0x0, 0x0}) /app/cmd/server/main.go:142 +0x1d4",
        "Exception in thread \"main\" java.lang.IllegalStateException: BeanCreationNotAllowedException",
        "  at org.springframework.beans.factory.support.AbstractAutowireCapableBeanFactory.createBean(AbstractAutowireCapableBeanFactory.java:541)",
        "  at com.fasterxml.jackson.databind.deser.BeanDeserializerFactory$InnerClass.buildBeanDeserializer",
        "Traceback (most recent call last): File \"/usr/local/lib/python3.11/site-packages/sqlalchemy/engine/base.py\", line 1900",
        "Failed to pull image \"registry.example.com/shop/cart:2.14.0-rc1\": manifest unknown",
        "image ghcr.io/shop/cart@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 is present",
        "Back-off restarting failed container app in pod cart-7d9f8b6c4d-x2x9p_shop(3b1f4e9a-4d7c-4a43-9a53-2f1b7f0d1c55)",
        "Created pod: prometheus-kube-prometheus-stack-operator-5d8f9c7b6d-q4w8z",
        "0/3 nodes are available: 1 Insufficient memory, 2 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }",
        "Error: secret \"cart-db\" not found",
        "couldn't find key DB_URL in ConfigMap shop/cart-settings",
        "MountVolume.SetUp failed for volume \"kube-api-access-x7x2k\" : configmap \"kube-root-ca.crt\" not registered",
        "GET /api/v1/carts/42/items?limit=100&offset=200 500 Internal Server Error 12.4ms trace=4bf92f3577b34da6",
        "dial tcp 10.96.0.17:6379: connect: connection refused (redis.shop.svc.cluster.local)",
        "HorizontalPodAutoscaler/cart: unable to get metrics for resource cpu: no metrics returned",
        "error: ER_ACCESS_DENIED_NO_PASSWORD_ERROR ECONNREFUSED ENAMETOOLONG CERT_HAS_EXPIRED",
        "git commit 3f2a1b4c9d on branch feature/checkout-2026-improvements",
        "OOMKilled: container exceeded 134217728 bytes, exit code 137",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io is forbidden for system:serviceaccount:shop:cart",
        "ip-10-0-12-34.eu-central-1.compute.internal NotReady KubeletHasInsufficientMemory",
        "Konfigurationsdatei nicht gefunden: /etc/cart/Einstellungen.yaml (Datei oder Verzeichnis nicht gefunden)",
    ];
    let told = told(&lines);
    for line in lines {
        assert!(told.contains(line), "not told: {line}\nin\n{told}");
    }
}

#[test]
fn every_way_to_write_a_secret_down_is_known() {
    let secret = "k3xq9zt2mv";
    for around in [
        "password=#",
        "PASSWORD: #",
        "db.password = '#'",
        "\"passwd\":\"#\"",
        "{\\\"password\\\":\\\"#\\\"}",
        "DB_PASS=#",
        "api_key=#",
        "apiKey: \"#\"",
        "x-api-key: #",
        "secret => #",
        "client_secret:=#",
        "--password #",
        "--db-password=#",
        "Authorization: Basic #",
        "Cookie: session=#",
        "Set-Cookie: sid=#; Secure",
        "https://user:#@host/path",
        "https://#@github.com/shop/cart",
        "amqp://guest:#@mq:5672//",
        "postgres://u:p/#@db/x",
        "Server=db;User Id=sa;Password=#;Encrypt=true",
        "https://h/p?sig=#&x=1",
        "https://h/p?access_token=#",
        "jdbc:postgresql://db/x?user=a&password=#",
        "redis auth=#",
        "pass\u{200b}word=#",
        "\u{1b}[31mpassword\u{1b}[0m=#",
        "p\u{ad}assword=#",
        "connectionString=\"Host=db;Key #\"",
    ] {
        let line = around.replace('#', secret);
        assert!(!told(&[&line]).contains(secret), "told: {line}");
    }
    let pem =
        ["-----BEGIN RSA PRIVATE KEY-----", secret, secret, "-----END RSA PRIVATE KEY-----", "after the key"];
    let text = told(&pem);
    assert!(!text.contains(secret) && text.contains("after the key"));
    assert!(!told(&pem[..3]).contains(secret), "also if its end was cut off");
}

#[test]
fn a_secret_that_the_limits_cut_is_not_told_in_part() {
    let secret = "Zq8Xw2Rv6Tn4Ym0Kb5Hc9Jd3Fg7Ls1Pt";
    for length in (300..2_100).step_by(9) {
        let mut world = crash_loop();
        let message = format!("{} {secret}", "word ".repeat(length / 5));
        world.evidence.events.push(event("BackOff", "cart-bad-1", &message, "11:58:00"));
        world
            .evidence
            .logs
            .push(log(format!("{secret}{}", "\nline of a log".repeat(8 * 1024 / 14 - length / 100))));
        let text = sent(&draft_within(&world, ROOMY).unwrap().prompt);
        assert!(!text.contains(&secret[..6]) && !text.contains(&secret[20..]), "{length}: {text}");
    }
}
