//! What is told when no answer comes, and when the call ends.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use kubewise_core::{Failure, Period, Rejection};
use kubewise_llm::{Options, Provider};
use kubewise_testbed::{ModelReply, ModelServer, ModelText};
use serde_json::json;

use crate::{KEY, PROVIDERS, ask, at, prompt, told};

fn error(message: &str) -> String {
    json!({ "error": { "message": message } }).to_string()
}

async fn failure(reply: ModelReply) -> Failure {
    told(Provider::Gemini, reply).await.expect_err("no answer")
}

#[tokio::test]
async fn a_refusal_is_classed_by_its_status() {
    for provider in PROVIDERS {
        for (status, expect) in [
            (400, Rejection::Invalid),
            (401, Rejection::Forbidden),
            (402, Rejection::Forbidden),
            (403, Rejection::Forbidden),
            (404, Rejection::NotFound),
            (413, Rejection::Invalid),
            (422, Rejection::Invalid),
        ] {
            let reply = ModelReply::raw(error("what is wrong")).status(status);
            let failure = told(provider, reply).await.expect_err("refused");
            assert!(failure.is(expect), "{status}: {failure:?}");
            assert!(failure.message().contains("what is wrong"), "{failure}");
        }
        for status in [408, 500, 502, 503, 504, 529] {
            let reply = ModelReply::raw(error("later")).status(status);
            let failure = told(provider, reply).await.expect_err("unavailable");
            assert!(matches!(failure, Failure::Unavailable { .. }), "{status}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn gemini_refuses_a_bad_key_with_the_status_of_a_bad_request() {
    let details =
        json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID" }]);
    let body = json!({ "error": { "code": 400, "message": "API key not valid.", "details": details } });
    let failure = failure(ModelReply::raw(body.to_string()).status(400)).await;
    assert!(failure.is(Rejection::Forbidden), "{failure:?}");
    assert!(failure.message().contains("check author.api_key"), "{failure}");
}

#[tokio::test]
async fn a_busy_provider_says_when_to_come_again() {
    let check = async |reply: ModelReply, expect: Option<u64>| {
        let Failure::RateLimited { retry_after, .. } = failure(reply).await else {
            panic!("not rate limited")
        };
        assert_eq!(retry_after, expect.map(Duration::from_secs));
    };
    let busy = |status| ModelReply::raw(error("slow down")).status(status);
    for status in [429, 503] {
        check(busy(status).header("Retry-After", "7"), Some(7)).await;
        let date = "Fri, 02 Jan 2026 03:04:05 GMT";
        let dated = |text: &str| busy(status).header("Date", date).header("Retry-After", text);
        check(dated("Fri, 02 Jan 2026 03:05:05 GMT"), Some(60)).await;
        check(dated("Fri, 02 Jan 2026 03:00:00 GMT"), Some(0)).await;
    }
    check(busy(429), None).await;
    check(busy(429).header("Retry-After", "soon"), None).await;
    let details = json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s" }]);
    let body = json!({ "error": { "code": 429, "message": "quota", "details": details } }).to_string();
    check(ModelReply::raw(body).status(429), Some(37)).await;
    // Without the server's own date the clock here counts.
    let Failure::RateLimited { retry_after, .. } =
        failure(busy(429).header("Retry-After", "Fri, 31 Dec 2100 00:00:00 GMT")).await
    else {
        panic!("not rate limited")
    };
    assert!(retry_after > Some(Duration::from_hours(24)), "{retry_after:?}");
}

#[tokio::test]
async fn a_stranger_is_recognised() {
    let page = || ModelReply::raw("<html><title>Log in</title>").content_type("text/html; charset=utf-8");
    let login = failure(page()).await;
    assert!(login.is(Rejection::Invalid), "{login:?}");
    let expect = "answered 200 OK with text/html; charset=utf-8, not as a provider does; is author.endpoint right? \
                  It begins: <html><title>Log in</title>";
    assert_eq!(login.message(), expect);
    assert!(matches!(failure(page().status(502)).await, Failure::Unavailable { .. }));
    assert!(failure(page().status(404)).await.is(Rejection::NotFound));

    let mistyped = told(Provider::OpenAi, ModelReply::text("{}").content_type("text/plain")).await;
    let failure = mistyped.expect_err("a wrong type");
    assert!(failure.is(Rejection::Invalid) && failure.message().contains("text/plain"), "{failure}");
}

#[tokio::test]
async fn nothing_follows_a_redirect() {
    let elsewhere = ModelServer::scripted([ModelReply::text("{}")]).expect("a server");
    for status in [302, 307, 308] {
        let place = elsewhere.url() + "/v1/messages?ticket=1";
        let reply = ModelReply::raw("").status(status).header("Location", &place);
        let failure = told(Provider::Anthropic, reply).await.expect_err("a redirect");
        assert!(failure.is(Rejection::Invalid), "{failure:?}");
        assert!(failure.message().contains("sends to") && !failure.message().contains("ticket"), "{failure}");
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn half_a_json_is_no_answer() {
    let whole = json!({ "candidates": [{ "finishReason": "STOP" }] }).to_string();
    let failure = failure(ModelReply::raw(&whole[..20])).await;
    assert!(failure.is(Rejection::Invalid), "{failure:?}");
    assert_eq!(failure.message(), "the answer breaks off in the middle, after 20 bytes");
}

#[tokio::test]
async fn what_was_sent_and_not_answered_may_have_been_charged() {
    for provider in PROVIDERS {
        let failure = told(provider, ModelReply::text("{}").cut(10)).await.expect_err("cut");
        assert!(matches!(failure, Failure::Unknown { .. }), "{failure:?}");
        assert!(failure.message().contains("broke off after 10 bytes"), "{failure}");
    }
}

#[tokio::test]
async fn who_is_not_there_charges_nothing() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let endpoint = Some(format!("http://127.0.0.1:{port}"));
    let options = Options { endpoint, ..at(Provider::OpenAi, &ModelServer::scripted([]).expect("a server")) };
    let failure = ask(&options, &prompt()).await.expect_err("nobody");
    assert!(matches!(failure, Failure::Unavailable { .. }), "{failure:?}");
    assert!(failure.message().contains("refused"), "{failure}");
}

/// Asks with a short time limit, and returns the failure and how long it took.
async fn in_a_hurry(reply: ModelReply) -> (Failure, Duration) {
    let server = ModelServer::scripted([reply]).expect("a server");
    let options = Options { timeout: Period::from_millis(300), ..at(Provider::Gemini, &server) };
    let started = Instant::now();
    (ask(&options, &prompt()).await.expect_err("no answer"), started.elapsed())
}

#[tokio::test]
async fn a_call_ends_at_its_time_limit() {
    // The second never says nothing for longer than the limit; only the whole takes too long.
    for reply in [ModelReply::hang(), ModelReply::text("{}").drip(Duration::from_millis(100))] {
        let (failure, took) = in_a_hurry(reply).await;
        assert!(matches!(failure, Failure::Unknown { .. }), "{failure:?}");
        assert!(failure.message().starts_with("no answer within 300ms"), "{failure}");
        assert!((Duration::from_millis(300)..Duration::from_secs(5)).contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn an_answer_is_read_to_a_bound() {
    let endless = ModelReply::raw("x".repeat(64 * 1024)).endless();
    for reply in [endless.clone(), endless.clone().status(500), ModelReply::text("x".repeat(10 << 20))] {
        // It would end at the time limit if it were read on.
        let failure = told(Provider::OpenAi, reply).await.expect_err("too much");
        assert!(!matches!(failure, Failure::Unknown { .. }), "{failure:?}");
        assert!(failure.message().len() < 1000, "{failure}");
    }
    let failure = failure(endless).await;
    assert!(failure.is(Rejection::Invalid), "{failure:?}");
    assert_eq!(failure.message(), "the answer has more than 1048576 bytes");
    let fits = ModelText::new("x".repeat(1_000_000));
    assert_eq!(told(Provider::OpenAi, fits.into()).await.expect("it fits").text.len(), 1_000_000);
}

#[tokio::test]
async fn a_key_that_is_said_back_is_not_repeated() {
    let body = error(&format!("the key {KEY} is unknown\u{1b}[31m {}", "x".repeat(5000)));
    for status in [400, 401, 429, 500] {
        let failure = failure(ModelReply::raw(body.clone()).status(status)).await;
        assert!(!format!("{failure:?}").contains(KEY), "{failure:?}");
        assert!(failure.message().contains("the key ******** is unknown"), "{failure}");
        assert!(!failure.message().contains('\u{1b}') && failure.message().len() < 500, "{failure}");
    }
    let page = ModelReply::raw(format!("<html>{KEY}")).content_type("text/html");
    assert!(!failure(page).await.message().contains(KEY));
    assert!(!failure(ModelReply::raw(error(KEY))).await.message().contains(KEY));
}
