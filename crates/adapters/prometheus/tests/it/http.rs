//! What is sent, and what is told when no answer comes.

use std::time::Duration;

use kubewise_core::port::MetricSource as _;
use kubewise_core::{Failure, Period, Rejection, Timestamp};
use kubewise_prometheus::Options;
use wiremock::matchers::{basic_auth, bearer_token, body_string_contains, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::server::{Then, raw};
use crate::{at, query, source, told};

const EMPTY: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
const JSON: &str = "application/json";

async fn ask(options: Options) -> Result<Vec<String>, Failure> {
    let source = source(options).expect("usable");
    source.sample(&query("up", "count"), Timestamp::now()).await.map(|answer| answer.warnings)
}

async fn answering(reply: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(reply).mount(&server).await;
    server
}

/// Asks a server that gives this reply, and returns the failure.
async fn refused(reply: ResponseTemplate) -> Failure {
    ask(at(answering(reply).await.uri())).await.expect_err("no answer")
}

fn invalid(message: &str) -> Failure {
    Failure::Rejected { reason: Rejection::Invalid, message: message.into() }
}

fn unavailable(message: &str) -> Failure {
    Failure::Unavailable { message: message.into() }
}

#[tokio::test]
async fn the_query_is_posted_with_its_limits() {
    let server = MockServer::start().await;
    let series = r#"{"metric":{"namespace":"shop","pod":"a"},"value":[1767323045,"7"]}"#;
    Mock::given(method("POST"))
        .and(path("/monitoring/api/v1/query"))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .and(body_string_contains("query=max%28up%29+%3E+0"))
        .and(body_string_contains("time=2026-01-02T03%3A04%3A05Z"))
        .and(body_string_contains("timeout=10"))
        .and(body_string_contains("lookback_delta=300"))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("date", "Fri, 02 Jan 2026 03:04:05 GMT")
                .set_body_raw(EMPTY.replace("[]", &format!("[{series}]")), JSON),
        )
        .expect(1)
        .mount(&server)
        .await;
    let source = source(at(format!("{}/monitoring/", server.uri()))).expect("usable");
    let now = "2026-01-02T03:04:05Z".parse().expect("a time");
    let answer = source.sample(&query("max(up) > 0", "count"), now).await.expect("an answer");
    assert_eq!(told(&answer), ["Pod shop/a = 7"]);
    assert_eq!(answer.warnings, [""; 0]);
}

#[tokio::test]
async fn credentials_are_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    std::fs::write(&file, "from-file\n").expect("written");
    let server = MockServer::start().await;
    let reply = || ResponseTemplate::new(200).set_body_raw(EMPTY, JSON);
    Mock::given(bearer_token("given")).respond_with(reply()).mount(&server).await;
    Mock::given(bearer_token("from-file")).respond_with(reply()).mount(&server).await;
    Mock::given(bearer_token("rotated")).respond_with(reply()).mount(&server).await;
    Mock::given(basic_auth("me", "word")).respond_with(reply()).mount(&server).await;

    ask(Options { bearer_token: Some("given".into()), ..at(server.uri()) }).await.expect("token");
    let basic = Options { username: Some("me".into()), password: Some("word".into()), ..at(server.uri()) };
    ask(basic).await.expect("basic");

    let source =
        source(Options { bearer_token_file: Some(file.clone()), ..at(server.uri()) }).expect("usable");
    let up = query("up", "count");
    let ask = || source.sample(&up, Timestamp::now());
    ask().await.expect("token of a file");
    std::fs::write(&file, "rotated").expect("written");
    ask().await.expect("another token");
    std::fs::remove_file(&file).expect("removed");
    let failure = ask().await.expect_err("no token");
    assert!(matches!(failure, Failure::Unavailable { .. }), "{failure:?}");
    assert!(failure.message().contains("prometheus.bearer_token_file"), "{failure}");
}

#[tokio::test]
async fn the_message_of_prometheus_is_kept() {
    let error = |error_type: &str| {
        format!(r#"{{"status":"error","errorType":"{error_type}","error":"what is wrong"}}"#)
    };
    let said = |error_type: &str| format!("{error_type}: what is wrong");
    let rejected: fn(&str) -> Failure = invalid;
    for (status, error_type, expect) in [
        (400, "bad_data", rejected),
        (422, "execution", rejected),
        (200, "execution", rejected),
        (499, "canceled", unavailable),
        (500, "internal", unavailable),
        (503, "timeout", unavailable),
    ] {
        let failure = refused(ResponseTemplate::new(status).set_body_raw(error(error_type), JSON)).await;
        assert_eq!(failure, expect(&said(error_type)), "{status}");
    }
}

#[tokio::test]
async fn a_stranger_is_recognised() {
    let html =
        |status| ResponseTemplate::new(status).set_body_raw("<html><title>Log in</title>", "text/html");
    let check =
        async |reply: ResponseTemplate, expect: &str| assert_eq!(refused(reply).await, unavailable(expect));
    check(
        html(200),
        "answered HTML (text/html), not a Prometheus API response; is the URL right? \
         It begins: <html><title>Log in</title>",
    )
    .await;
    check(
        html(503),
        "answered 503 Service Unavailable, HTML (text/html), not a Prometheus API response; is the URL right? \
         It begins: <html><title>Log in</title>",
    )
    .await;
    check(
        ResponseTemplate::new(404).set_body_raw("404 page not found\n", "text/plain"),
        "answered 404 Not Found, something (text/plain), not a Prometheus API response; is the URL right? \
         It begins: 404 page not found",
    )
    .await;
    check(
        ResponseTemplate::new(200),
        "answered nothing (no content type), not a Prometheus API response; is the URL right?",
    )
    .await;
    check(
        ResponseTemplate::new(200).set_body_raw(r#"{"ok":true}"#, JSON),
        "answered something (application/json), not a Prometheus API response; is the URL right? \
         `status` is neither `success` nor `error`: It begins: {\"ok\":true}",
    )
    .await;
    check(
        ResponseTemplate::new(302).insert_header("location", "https://login.example/start?ticket=1"),
        "answered 302 Found, nothing (no content type), not a Prometheus API response, and sends to \
         https://login.example/start; is the URL right?",
    )
    .await;
}

#[tokio::test]
async fn the_door_is_shut() {
    for status in [401, 403] {
        let failure = refused(ResponseTemplate::new(status).set_body_raw("Unauthorized", "text/plain")).await;
        assert!(failure.is(Rejection::Forbidden), "{failure:?}");
        assert!(failure.message().contains("check the credentials in prometheus.*"), "{failure}");
    }
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_again() {
    let check = async |value: Option<&str>, expect: Option<Duration>| {
        let reply = ResponseTemplate::new(429);
        let reply = value.into_iter().fold(reply, |reply, value| reply.insert_header("retry-after", value));
        let failure = refused(reply).await;
        let Failure::RateLimited { retry_after, .. } = failure else { unreachable!("{failure:?}") };
        assert_eq!(retry_after, expect, "{value:?}");
    };
    check(None, None).await;
    check(Some("7"), Some(Duration::from_secs(7))).await;
    check(Some("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO)).await;
    check(Some("soon"), None).await;
}

#[tokio::test]
async fn secrets_and_control_characters_are_not_repeated() {
    let echo = "you said Basic bWU6czNjcjN0 or s3cr3t \u{1b}[31m\r\n  again";
    let server = answering(
        ResponseTemplate::new(400).set_body_raw(format!("{echo}{}", "x".repeat(1000)), "text/plain"),
    )
    .await;
    let options =
        Options { username: Some("me".into()), password: Some("s3cr3t".into()), ..at(server.uri()) };
    let failure = ask(options).await.expect_err("no answer");
    let expect = "It begins: you said Basic ******** or ******** [31m again";
    assert!(failure.message().contains(expect), "{failure}");
    assert!(failure.message().len() < 400, "{failure}");
}

#[tokio::test]
async fn half_an_answer_is_no_answer() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let half = &EMPTY[..30];
    let check = async |reply: String, then, expect: &str| {
        let timeout = Period::from_millis(300);
        let failure = ask(Options { timeout, ..at(raw(reply, then)) }).await.expect_err("no answer");
        assert!(matches!(failure, Failure::Unavailable { .. }), "{failure:?}");
        assert!(failure.message().starts_with(expect), "{failure}");
    };
    check(
        format!("{head}Content-Length: 64\r\n\r\n{half}"),
        Then::Close,
        "the answer broke off after 30 bytes",
    )
    .await;
    check(format!("{head}\r\n{half}"), Then::Close, "the answer breaks off in the middle, after 30 bytes")
        .await;
    check(format!("{head}Content-Length: 64\r\n\r\n{half}"), Then::Stall, "no answer within 300ms").await;
    check("HTTP/1.1 200 OK\r\n".into(), Then::Stall, "no answer within 300ms").await;
    check(String::new(), Then::Stall, "no answer within 300ms").await;
    check(String::new(), Then::Close, "error sending request").await;
    check("SSH-2.0-OpenSSH_9.2\r\n".into(), Then::Close, "error sending request").await;
}

#[tokio::test]
async fn nobody_listens() {
    let failure = ask(at("http://127.0.0.1:1")).await.expect_err("nobody");
    assert!(matches!(failure, Failure::Unavailable { .. }), "{failure:?}");
    assert!(failure.message().contains("127.0.0.1:1"), "{failure}");
    assert!(failure.message().contains("Connection refused"), "{failure}");
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let server = answering(ResponseTemplate::new(200).set_body_raw(EMPTY, JSON)).await;
    let limited = |max_answer_bytes| Options { max_answer_bytes, ..at(server.uri()) };
    ask(limited(EMPTY.len())).await.expect("just small enough");
    let failure = ask(limited(EMPTY.len() - 1)).await.expect_err("too large");
    assert!(failure.is(Rejection::Invalid) && failure.message().contains("max_answer_bytes"), "{failure}");
}

#[tokio::test]
async fn clocks_that_differ_are_told() {
    let reply = ResponseTemplate::new(200).set_body_raw(EMPTY, JSON);
    let server = answering(reply.insert_header("date", "Fri, 02 Jan 2026 03:04:05 GMT")).await;
    let source = source(at(server.uri())).expect("usable");
    let check = async |now: &str, expect: Option<&str>| {
        let answer =
            source.sample(&query("up", "count"), now.parse().expect("a time")).await.expect("an answer");
        assert!(answer.warnings.len() == usize::from(expect.is_some()), "{:?}", answer.warnings);
        assert!(
            answer.warnings.iter().zip(expect).all(|(warning, part)| warning.contains(part)),
            "{:?}",
            answer.warnings
        );
    };
    check("2026-01-02T03:04:00Z", None).await;
    check("2026-01-02T02:04:00Z", Some("the clock here is 1h")).await;
    check("2026-01-02T02:04:00Z", Some("behind the server's")).await;
    check("2026-01-03T03:04:05Z", Some("ahead of the server's")).await;
}
