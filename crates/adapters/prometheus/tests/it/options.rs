//! Options that cannot be used are refused with their key.

use std::fs;

use kubewise_core::failure::chain;
use kubewise_prometheus::Options;
use secrecy::SecretString;

use crate::{at, source};

const TOKEN: &str = "s3cr3t";

#[test]
fn faults_name_the_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("written");
        Some(path)
    };
    let certificate = rcgen::generate_simple_self_signed(["x".to_owned()]).expect("a certificate");
    let (empty, words) = (file("empty", " \n"), file("words", "not PEM"));
    let pem = file("certificate", &certificate.cert.pem());
    let missing = Some(directory.path().join("missing"));
    let large = file("large", &"x".repeat(2 << 20));
    let https = || at("https://prometheus:9090");
    let default = Options::default;
    let secret = |text: &str| Some(SecretString::from(text));
    let zero = kubewise_core::Period::ZERO;

    let check = |options: Options, expect: &[&str]| {
        let error = chain(&source(options).expect_err("refused"));
        assert!(expect.iter().all(|part| error.contains(part)), "{error:?} lacks one of {expect:?}");
        assert!(!error.contains(TOKEN), "{error}");
    };
    check(at(""), &["prometheus.url", "http://prometheus.monitoring:9090"]);
    check(at("prometheus"), &["prometheus.url is no URL `prometheus`"]);
    check(at("prometheus:9090"), &["prometheus.url does not begin with http"]);
    check(at("file:///etc"), &["prometheus.url does not begin with http"]);
    check(
        at(format!("http://me:{TOKEN}@prometheus")),
        &["prometheus.url holds credentials", "prometheus.username"],
    );
    check(at(format!("http:// me:{TOKEN}@prometheus")), &["prometheus.url"]);
    check(at("http://prometheus/graph?g0.expr=up"), &["prometheus.url has something after its path"]);
    check(Options { timeout: zero, ..default() }, &["prometheus.timeout must be more than zero"]);
    check(Options { staleness: zero, ..default() }, &["prometheus.staleness must"]);
    check(Options { max_samples: 0, ..default() }, &["prometheus.max_samples must"]);
    check(Options { max_answer_bytes: 0, ..default() }, &["prometheus.max_answer_bytes must"]);
    check(
        Options { bearer_token: secret(TOKEN), bearer_token_file: words.clone(), ..default() },
        &["prometheus.bearer_token and prometheus.bearer_token_file exclude each other"],
    );
    check(
        Options { bearer_token: secret(TOKEN), username: Some("me".into()), ..default() },
        &["prometheus.bearer_token and prometheus.username exclude each other"],
    );
    check(
        Options { bearer_token: secret(TOKEN), password: secret(TOKEN), ..default() },
        &["prometheus.bearer_token and prometheus.password exclude each other"],
    );
    check(Options { bearer_token: secret(""), ..default() }, &["prometheus.bearer_token", "empty"]);
    check(
        Options { bearer_token: secret("s3cr3t\u{7}"), ..default() },
        &["prometheus.bearer_token", "header"],
    );
    check(
        Options { bearer_token_file: missing.clone(), ..default() },
        &["bearer_token_file", "missing", "No such"],
    );
    check(
        Options { bearer_token_file: empty.clone(), ..default() },
        &["bearer_token_file", "holds no secret"],
    );
    check(Options { bearer_token_file: large, ..default() }, &["bearer_token_file", "larger than 1 MiB"]);
    check(
        Options { username: Some("me".into()), ..default() },
        &["prometheus.username needs prometheus.password"],
    );
    check(
        Options { password: secret(TOKEN), ..default() },
        &["prometheus.password needs prometheus.username"],
    );
    check(
        Options { username: Some("a:b".into()), password: secret(TOKEN), ..default() },
        &["prometheus.username", "colon"],
    );
    check(
        Options { username: Some("me".into()), password_file: missing.clone(), ..default() },
        &["prometheus.password_file", "missing"],
    );
    check(
        Options { ca_file: missing.clone(), ..https() },
        &["prometheus.ca_file", "missing", "No such file"],
    );
    check(
        Options { ca_file: words.clone(), ..https() },
        &["prometheus.ca_file", "no certificate in PEM form"],
    );
    check(Options { ca_file: pem.clone(), ..default() }, &["prometheus.ca_file", "not https"]);
    check(
        Options { ca_file: pem.clone(), insecure_skip_verify: true, ..https() },
        &["prometheus.ca_file and prometheus.insecure_skip_verify exclude each other"],
    );
    check(Options { client_certificate_file: pem.clone(), ..https() }, &["needs prometheus.client_key_file"]);
    check(Options { client_key_file: pem.clone(), ..https() }, &["needs prometheus.client_certificate_file"]);
    check(
        Options { client_certificate_file: pem, client_key_file: words, ..https() },
        &["prometheus.client_certificate_file", "client_key_file"],
    );
}

#[test]
fn secrets_are_not_printed() {
    let options = Options { username: Some("me".into()), password: Some(TOKEN.into()), ..Options::default() };
    let source = source(options.clone()).expect("usable");
    assert!(!format!("{options:?} {source:?}").contains(TOKEN));
}

#[test]
fn unknown_keys_are_refused() {
    let error = toml::from_str::<Options>("timeuot = \"5s\"").expect_err("refused").to_string();
    assert!(error.contains("timeuot"), "{error}");
    let options: Options =
        toml::from_str("url = \"http://p\"\ntimeout = \"5s\"\nbearer_token = \"x\"").expect("valid");
    assert_eq!(options.timeout.to_string(), "5s");
}
