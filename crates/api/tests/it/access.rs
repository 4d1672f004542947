//! Who may do what, from where.

use std::fs;

use kubewise_api::Options;
use kubewise_core::failure::chain;

use crate::face::{TOKEN, World, plan};

const PROBES: [&str; 3] = ["/livez", "/readyz", "/health"];
const READS: [&str; 6] = [
    "/metrics",
    "/openapi.json",
    "/api/v1/incidents",
    "/api/v1/plans/p-1",
    "/api/v1/config",
    "/api/v1/status",
];
const WRITES: [&str; 2] = ["/api/v1/plans/p-1/approve", "/api/v1/plans/p-2/reject"];

/// Status of probes, reads and writes, when listening there, with that token set, and that header sent.
#[tokio::test]
async fn the_token_guards_changes_always_and_reads_beyond_loopback() {
    let right = format!("Bearer {TOKEN}");
    let lower = format!("bearer  {TOKEN}");
    let longer = format!("Bearer {TOKEN}x");
    let basic = format!("Basic {TOKEN}");
    let shorter = &right[..right.len() - 1];
    for (listen, token, header, expect) in [
        ("127.0.0.1:1", None, "", [200, 200, 403]),
        ("127.0.0.1:1", None, &right, [200, 200, 403]),
        ("127.0.0.1:1", Some(TOKEN), "", [200, 200, 401]),
        ("127.0.0.1:1", Some(TOKEN), &right, [200, 200, 200]),
        ("[::1]:1", Some(TOKEN), "", [200, 200, 401]),
        ("[::ffff:127.0.0.1]:1", Some(TOKEN), "", [200, 200, 401]),
        ("0.0.0.0:1", None, "", [200, 403, 403]),
        ("0.0.0.0:1", Some(TOKEN), "", [200, 401, 401]),
        ("0.0.0.0:1", Some(TOKEN), &right, [200, 200, 200]),
        ("0.0.0.0:1", Some(TOKEN), &lower, [200, 200, 200]),
        ("0.0.0.0:1", Some(TOKEN), shorter, [200, 401, 401]),
        ("0.0.0.0:1", Some(TOKEN), &longer, [200, 401, 401]),
        ("0.0.0.0:1", Some(TOKEN), &basic, [200, 401, 401]),
        ("[::]:1", Some(TOKEN), "", [200, 401, 401]),
        ("10.0.0.1:1", Some(TOKEN), "Bearer ", [200, 401, 401]),
    ] {
        let face = World::with([plan("p-1", "Proposed"), plan("p-2", "Proposed")]).listening(listen, token);
        for (method, paths, expect) in [
            ("GET", &PROBES[..], expect[0]),
            ("GET", &READS[..], expect[1]),
            ("POST", &WRITES[..], expect[2]),
        ] {
            for path in paths {
                let headers = [("authorization", header), ("content-type", "application/json")];
                let body = if path.ends_with("reject") { r#"{"reason":"no"}"# } else { "{}" };
                let answer = face.send(method, path, &headers, body).await;
                let case = format!("{listen} token {token:?} header {header:?}: {method} {path}");
                assert_eq!(answer.status, expect, "{case}: {}", answer.text);
                match expect {
                    401 => assert!(answer.header("www-authenticate").starts_with("Bearer"), "{case}"),
                    403 => assert!(answer.problem(403).contains("KUBEWISE_TOKEN"), "{case}"),
                    _ => {}
                }
            }
        }
    }
}

#[tokio::test]
async fn a_refused_change_changes_nothing() {
    let face = World::with([plan("p-1", "Proposed")]).local(Some(TOKEN));
    face.send("POST", WRITES[0], &[("authorization", "Bearer wrong")], "").await.problem(401);
    assert_eq!(face.get("/api/v1/plans/p-1").await.json()["status"], "Proposed");
}

#[test]
fn the_token_comes_from_one_place_and_is_worth_the_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let empty = directory.path().join("empty");
    fs::write(&empty, "\n").unwrap();
    let missing = directory.path().join("missing");
    for (token, token_file, expect) in [
        (None, None, ""),
        (Some(TOKEN), None, ""),
        (None, Some(&file), ""),
        (Some(TOKEN), Some(&file), "keep one"),
        (None, Some(&missing), "missing` cannot be read: No such file"),
        (None, Some(&empty), "fewer than 16 characters"),
        (Some("short"), None, "fewer than 16 characters"),
        (Some("with spaces in it, and long"), None, "without spaces"),
    ] {
        let options =
            Options { token: token.map(Into::into), token_file: token_file.cloned(), ..Options::default() };
        let outcome = options.access().map_or_else(|error| chain(&error), |_| String::new());
        assert!(outcome.contains(expect) && outcome.is_empty() == expect.is_empty(), "{outcome}");
    }
}

#[test]
fn options_bind_to_loopback_and_never_show_the_token() {
    assert!(Options::default().listen.ip().is_loopback());
    let options: Options =
        serde_json::from_str(&format!(r#"{{"listen":"0.0.0.0:80","token":"{TOKEN}"}}"#)).unwrap();
    assert!(!format!("{options:?}{}", serde_json::to_string(&options).unwrap()).contains(TOKEN));
    serde_json::from_str::<Options>(r#"{"listn":"0.0.0.0:80"}"#).unwrap_err();
}
