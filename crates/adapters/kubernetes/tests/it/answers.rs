//! What each answer, or none, says about the effect; and that each request is sent once.

use std::time::Duration;

use kubewise_core::port::{ClusterActor as _, ClusterReader as _};
use kubewise_core::request::{ClusterRequest, PatchOperation};
use kubewise_core::{Failure, Kind, ObjectRef};
use kubewise_kubernetes::Kubernetes;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::fake::{Fake, Reply, at, impatient, status};

const UNAPPLICABLE: &str = "the server rejected our request due to an error in our request";

#[tokio::test]
async fn each_answer_says_what_became_of_the_effect() {
    let html = |code, read, write| (Reply::html(code), read, write);
    let told = |code, reason, message| Reply::status(code, reason, message);
    let mut limited = status(429, "TooManyRequests", "budget");
    limited["details"] = json!({"retryAfterSeconds": 10});
    let mut headers = vec![("content-type", "text/plain"), ("retry-after", "7")];
    let plain = |headers: &[_]| Reply::Answer {
        code: 429,
        headers: headers.into(),
        body: "too many requests".into(),
    };
    let header = plain(&headers);
    headers.pop();
    let cases = [
        (told(404, "NotFound", "no such thing"), "none", "NotFound"),
        (told(409, "Conflict", "another was faster"), "Conflict", "Conflict"),
        (told(422, "Invalid", UNAPPLICABLE), "Superseded", "Superseded"),
        (told(422, "Invalid", "Deployment \"web\" is invalid: spec.replicas"), "Invalid", "Invalid"),
        (told(400, "BadRequest", "unknown field"), "Invalid", "Invalid"),
        (told(401, "Unauthorized", "who are you"), "Forbidden", "Forbidden"),
        (told(403, "Forbidden", "cannot patch"), "Forbidden", "Forbidden"),
        (told(410, "Expired", "too old"), "unavailable", "NotFound"),
        (told(500, "InternalError", "etcdserver: request timed out"), "unavailable", "unknown"),
        (told(503, "ServiceUnavailable", "shutting down"), "unavailable", "unknown"),
        (told(504, "Timeout", "did not complete"), "unavailable", "unknown"),
        (Reply::json(429, &limited), "limited 10", "limited 10"),
        (header, "limited 7", "limited 7"),
        (plain(&headers), "limited", "limited"),
        html(404, "unavailable", "unavailable"),
        html(200, "unavailable", "unknown"),
        html(302, "unavailable", "unknown"),
        html(502, "unavailable", "unknown"),
        html(503, "unavailable", "unknown"),
        (Reply::Half, "unavailable", "unknown"),
        (Reply::Silence, "unavailable", "unknown"),
        (Reply::json(200, &json!({"kind": "Deployment"})), "found", "patched"),
    ];
    for (reply, read, write) in cases {
        let script = reply.clone();
        let fake = Fake::start(move |_, _| script.clone()).await;
        let kubernetes = fake.kubernetes(impatient()).await;
        assert_eq!(
            (read_as(&kubernetes).await.as_str(), write_as(&kubernetes).await.as_str()),
            (read, write),
            "{reply:?}"
        );
        let methods: Vec<String> = fake.seen().into_iter().map(|seen| seen.method).collect();
        assert_eq!(methods, ["GET", "PATCH"], "{reply:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_after_sending_leaves_the_effect_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        drop(stream);
        listener // kept open: a second send would connect
    });
    let kubernetes = at(&format!("http://{address}"), impatient()).await;
    assert_eq!(write_as(&kubernetes).await, "unknown");
    let listener = server.await.unwrap();
    let again = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(again.is_err(), "the patch was sent again");
}

#[tokio::test]
async fn a_server_that_refuses_the_connection_has_seen_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for scheme in ["http", "https"] {
        let kubernetes = at(&format!("{scheme}://{address}"), impatient()).await;
        assert_eq!(read_as(&kubernetes).await, "unavailable");
        assert_eq!(write_as(&kubernetes).await, "unavailable");
    }
}

fn web() -> ObjectRef {
    ObjectRef::namespaced(Kind::Deployment, "shop", "web")
}

async fn read_as(kubernetes: &Kubernetes) -> String {
    match kubernetes.get(&web()).await {
        Ok(Some(_)) => "found".into(),
        Ok(None) => "none".into(),
        Err(failure) => named(&failure),
    }
}

async fn write_as(kubernetes: &Kubernetes) -> String {
    let operations = vec![PatchOperation::Replace { path: "/spec/replicas".into(), value: Value::from(2) }];
    let request = ClusterRequest::Patch { object: web(), subresource: None, operations };
    match kubernetes.perform(&request, false).await {
        Ok(_) => "patched".into(),
        Err(failure) => named(&failure),
    }
}

fn named(failure: &Failure) -> String {
    assert!(failure.message().contains("Deployment shop/web"), "{failure}");
    match failure {
        Failure::Rejected { reason, .. } => format!("{reason:?}"),
        Failure::Unknown { .. } => "unknown".into(),
        Failure::RateLimited { retry_after: None, .. } => "limited".into(),
        Failure::RateLimited { retry_after: Some(wait), .. } => format!("limited {}", wait.as_secs()),
        Failure::Unavailable { .. } => "unavailable".into(),
    }
}
