//! Approving and rejecting, pausing and resuming.

use serde_json::json;

use crate::face::{TOKEN, World, plan};

#[tokio::test]
async fn a_decision_is_kept_with_who_and_why() {
    let face = World::with([plan("p-1", "Proposed"), plan("p-2", "Proposed"), plan("p-3", "Proposed")])
        .local(Some(TOKEN));
    let approved = face.post("/api/v1/plans/p-1/approve", &json!({ "by": "ada" })).await.json();
    assert_eq!((&approved["status"], &approved["decidedBy"]), (&json!("Approved"), &json!("ada")));

    let refusal = json!({ "reason": " not on a Friday ", "by": "ada" });
    let rejected = face.post("/api/v1/plans/p-2/reject", &refusal).await.json();
    assert_eq!((&rejected["status"], &rejected["decision"]), (&json!("Rejected"), &json!("not on a Friday")));

    let bearer = format!("Bearer {TOKEN}");
    let bare = face.send("POST", "/api/v1/plans/p-3/approve", &[("authorization", &bearer)], "").await;
    assert_eq!(bare.json()["decidedBy"], "api", "an approval needs no body");
}

#[tokio::test]
async fn a_decision_that_cannot_be_taken_says_why() {
    let face = World::with([plan("p-1", "Proposed"), plan("p-old", "Succeeded")]).local(Some(TOKEN));
    for (path, body, status, hint) in [
        ("p-none/approve", json!({}), 404, "no such plan"),
        ("p-old/approve", json!({}), 409, "no longer waits"),
        ("p-old/reject", json!({ "reason": "late" }), 409, "no longer waits"),
        ("p-1/reject", json!({}), 422, "missing field `reason`"),
        ("p-1/reject", json!({ "reason": " " }), 422, "`reason` is empty"),
        ("p-1/reject", json!({ "reason": "x".repeat(3_000) }), 422, "at most 2000"),
        ("p-1/reject", json!({ "reason": 7 }), 422, "expected a string"),
        ("p-1/approve", json!({ "by": "" }), 422, "`by` is empty"),
        ("p-1/approve", json!({ "force": true }), 422, "unknown field `force`"),
        ("p-1/approve", json!({ "by": "x".repeat(70_000) }), 413, "length limit"),
    ] {
        let detail = face.post(&format!("/api/v1/plans/{path}"), &body).await.problem(status);
        assert!(detail.contains(hint), "{path}: {detail}");
    }
    let bearer = format!("Bearer {TOKEN}");
    for (content_type, body, status) in
        [("text/plain", r#"{"reason":"x"}"#, 415), ("application/json", "{", 400)]
    {
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type)];
        face.send("POST", "/api/v1/plans/p-1/reject", &headers, body).await.problem(status);
    }
    assert_eq!(face.get("/api/v1/plans/p-1").await.json()["status"], "Proposed");
}

#[tokio::test]
async fn a_pause_is_kept_with_who_and_why_until_it_is_taken_back() {
    let face = World::default().local(Some(TOKEN));
    let pausing = json!({ "reason": " the provider moves house ", "by": "ada" });
    let paused = face.post("/api/v1/pause", &pausing).await.json();
    assert_eq!((&paused["by"], &paused["reason"]), (&json!("ada"), &json!("the provider moves house")));
    assert_eq!(face.get("/api/v1/status").await.json()["paused"]["by"], "ada");
    assert!(face.post("/api/v1/pause", &pausing).await.problem(409).contains("already"));

    let bearer = format!("Bearer {TOKEN}");
    let resumed = face.send("POST", "/api/v1/resume", &[("authorization", &bearer)], "").await;
    assert_eq!(resumed.json()["endedBy"], "api", "resuming needs no body");
    assert_eq!(face.get("/api/v1/status").await.json().get("paused"), None);
    assert!(face.post("/api/v1/resume", &json!({})).await.problem(409).contains("not paused"));

    assert!(face.post("/api/v1/pause", &json!({})).await.problem(422).contains("reason"));
    face.send("POST", "/api/v1/pause", &[("content-type", "application/json")], r#"{"reason":"x"}"#)
        .await
        .problem(401);
}
