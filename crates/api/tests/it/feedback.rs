//! A person's word on an incident.

use kubewise_core::{Kind, ObjectRef};
use serde_json::json;

use crate::face::{TOKEN, World, at, incident};

fn face() -> crate::face::Face {
    let cart = ObjectRef::namespaced(Kind::Deployment, "shop", "cart");
    World::with([incident("i-1", 0, &cart, "Open")]).local(Some(TOKEN))
}

#[tokio::test]
async fn a_word_is_kept_with_who_and_why() {
    let face = face();
    let plain = face.post("/api/v1/incidents/i-1/feedback", &json!({ "label": "False" })).await.json();
    assert_eq!((&plain["label"], &plain["by"]), (&json!("False"), &json!("api")));

    let word = json!({ "label": "Expected", "by": "ada", "reason": " a drill ", "until": at(20_000) });
    let expected = face.post("/api/v1/incidents/i-1/feedback", &word).await.json();
    assert_eq!((&expected["reason"], &expected["until"]), (&json!("a drill"), &json!(at(20_000))));
}

#[tokio::test]
async fn a_suppression_has_a_reason_an_owner_and_an_end() {
    let face = face();
    let far = at(10_000 + 91 * 86_400);
    for (id, word, status, hint) in [
        ("i-1", json!({}), 422, "missing field `label`"),
        ("i-1", json!({ "label": "Maybe" }), 422, "unknown variant"),
        ("i-1", json!({ "label": "Expected" }), 422, "needs `by`, `reason`, `until`"),
        ("i-1", json!({ "label": "Expected", "by": "ada", "reason": "x" }), 422, "needs `until`"),
        ("i-1", json!({ "label": "Expected", "by": "ada", "reason": "x", "until": at(0) }), 422, "is over"),
        (
            "i-1",
            json!({ "label": "Expected", "by": "ada", "reason": "x", "until": far }),
            422,
            "at most 90 days",
        ),
        ("i-1", json!({ "label": "True", "until": at(20_000) }), 422, "only for Expected"),
        ("i-none", json!({ "label": "True" }), 404, "no such incident"),
    ] {
        let detail = face.post(&format!("/api/v1/incidents/{id}/feedback"), &word).await.problem(status);
        assert!(detail.contains(hint), "{word}: {detail}");
    }
    face.post("/api/v1/feedback/f-none/end", &json!({})).await.problem(404);
}

#[tokio::test]
async fn what_is_stuck_is_released_with_who_and_why() {
    let cart = ObjectRef::namespaced(Kind::Deployment, "shop", "cart");
    let face = World::with([incident("i-1", 0, &cart, "Open"), incident("i-2", 0, &cart, "Stuck")]);
    let face = face.local(Some(TOKEN));
    let word = json!({ "by": "ada", "reason": " put back " });
    let released = face.post("/api/v1/incidents/i-2/release", &word).await.json();
    assert_eq!(released["summary"], "released by ada: put back");
    for (id, word, status, hint) in [
        ("i-2", json!({}), 422, "missing field `reason`"),
        ("i-2", json!({ "reason": " " }), 422, "reason"),
        ("i-1", json!({ "reason": "x" }), 409, "not stuck"),
        ("i-none", json!({ "reason": "x" }), 404, "no such incident"),
    ] {
        let detail = face.post(&format!("/api/v1/incidents/{id}/release"), &word).await.problem(status);
        assert!(detail.contains(hint), "{word}: {detail}");
    }
}
