//! Questions about plans and their author.

use serde_json::json;

use crate::face::{TOKEN, World, at, incident};

#[tokio::test]
async fn what_asks_the_author_needs_the_token_and_what_does_not_needs_none() {
    let face = World::default().local(Some(TOKEN));
    let path = "/api/v1/incidents/i-1/explanation";
    let told = face.get(path).await.json();
    assert_eq!((&told["text"], &told["note"]), (&json!("The cart crashes."), &json!("not asked")));
    face.send("POST", path, &[], "").await.problem(401);
    assert_eq!(face.post(path, &json!({})).await.json()["author"], "fake/one");
}

#[tokio::test]
async fn questions_are_answered_as_the_runtime_answers_them() {
    let workload = kubewise_core::ObjectRef::namespaced(kubewise_core::Kind::Deployment, "shop", "cart");
    let face = World::with([incident("i-1", 0, &workload, "Open")]).local(None);
    let prompt = face.get("/api/v1/plans/p-1/prompt").await.json();
    assert_eq!((&prompt["incident"], &prompt["sentAt"]), (&json!("p-1"), &json!(null)));
    assert_eq!(prompt["prompt"]["case"], "The cart crashes.");
    assert_eq!(face.get("/api/v1/incidents/i-1/plan").await.json()["reason"], "nothing fires any more");
    face.get("/api/v1/incidents/i-2/plan").await.problem(404);
    let spending = face.get("/api/v1/spending").await.json();
    assert_eq!(
        (&spending["month"]["tokens"], &spending["caps"]["day"]["tokens"]),
        (&json!(900), &json!(1_000_000))
    );
}

#[tokio::test]
async fn every_call_can_be_looked_up_with_what_was_sent() {
    let call = crate::face::record(
        kubewise_core::record::RecordKind::Call,
        &json!({
            "id": "c-1", "incident": "i-1", "workload": { "kind": "Deployment", "namespace": "shop", "name": "cart" },
            "purpose": "Proposal", "round": 1, "fingerprint": "crash", "attempt": 1, "author": "fake/one",
            "prompt": { "instructions": "Help.", "case": "The cart crashes.", "maxAnswerTokens": 100 },
            "outcome": "Accepted", "usage": { "inputTokens": 10, "outputTokens": 5 }, "estimated": false,
            "cost": 0.25, "askedAt": at(0), "endedAt": at(2),
        }),
    );
    let face = World::with([call]).local(None);
    let listed = face.get("/api/v1/calls?status=accepted&incident=i-1").await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let call = face.get("/api/v1/calls/c-1").await.json();
    assert_eq!((&call["prompt"]["case"], &call["cost"]), (&json!("The cart crashes."), &json!(0.25)));
}
