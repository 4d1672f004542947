//! Lists with filters and pages, and single records.

use kubewise_core::record::RecordKind;
use kubewise_core::{Failure, Kind, ObjectRef};
use serde_json::{Value, json};

use crate::face::{Face, TOKEN, World, at, incident, plan, record};

fn face() -> Face {
    let deployment = |namespace: &str, name: &str| ObjectRef::namespaced(Kind::Deployment, namespace, name);
    World::with([
        incident("i-1", 1_000, &deployment("shop", "cart"), "Open"),
        incident("i-2", 2_000, &deployment("shop", "web"), "Repaired"),
        incident("i-3", 3_000, &deployment("bank", "cart"), "HandedOver"),
        incident("i-4", 4_000, &ObjectRef::cluster_scoped(Kind::Node, "n1"), "Open"),
        plan("p-1", "Proposed"),
    ])
    .local(None)
}

fn ids(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn filters_narrow_a_list() {
    let face = face();
    let since = at(3_000);
    for (query, expect) in [
        ("", "i-4 i-3 i-2 i-1"),
        ("namespace=shop", "i-2 i-1"),
        ("status=open", "i-4 i-1"),
        ("status=HandedOver", "i-3"),
        ("incident=i-2", "i-2"),
        ("workload=Deployment/shop/cart", "i-1"),
        ("workload=deploy/cart&namespace=bank", "i-3"),
        ("workload=deployments/bank/cart", "i-3"),
        ("workload=no/n1", "i-4"),
        (&format!("since={since}"), "i-4 i-3"),
        ("since=7000s", "i-4 i-3"),
        ("since=-7000s", "i-4 i-3"),
        ("since=3h&until=2h%2010m", "i-2 i-1"),
        ("status=Open&namespace=shop&since=1d", "i-1"),
        ("namespace=nowhere", ""),
    ] {
        let answer = face.get(&format!("/api/v1/incidents?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        assert_eq!(ids(&answer.json()).join(" "), expect, "{query}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_to_the_end() {
    let face = face();
    let mut seen = Vec::new();
    let mut path = "/api/v1/incidents?limit=3".to_owned();
    loop {
        let page = face.get(&path).await.json();
        seen.push(ids(&page).join(" "));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/incidents?limit=3&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["i-4 i-3 i-2", "i-1"]);
}

#[tokio::test]
async fn a_record_is_given_whole() {
    let newer = record(
        RecordKind::Incident,
        &json!({
            "version": "1.9", "id": "i-9", "workload": { "kind": "Node", "name": "n1" },
            "reason": "NodeNotReady", "severity": "Critical", "status": "Open", "summary": "n1 is gone",
            "openedAt": at(0), "updatedAt": at(0), "anomalies": [], "ofTheFuture": { "kept": true },
        }),
    );
    let face = World::with([newer]).local(None);
    let answer = face.get("/api/v1/incidents/i-9").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json()["summary"], "n1 is gone");
    assert_eq!(answer.json()["ofTheFuture"], json!({ "kept": true }));
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_missing() {
    let detail = face().get("/api/v1/plans/i-1").await.problem(404);
    assert!(detail.contains("plan `i-1`"), "an incident's id is no plan's: {detail}");
}

#[tokio::test]
async fn a_store_that_fails_is_not_an_empty_list() {
    for (failure, status) in [
        (Failure::Unavailable { message: "disk I/O error".into() }, 503),
        (Failure::Unknown { message: "disk I/O error".into() }, 503),
        (
            Failure::Rejected {
                reason: kubewise_core::Rejection::Invalid,
                message: "not readable: disk I/O error".into(),
            },
            500,
        ),
    ] {
        let face = face();
        *face.world.store_failure.lock().unwrap() = Some(failure);
        for path in ["/api/v1/incidents", "/api/v1/incidents/i-1"] {
            assert!(face.get(path).await.problem(status).contains("disk I/O error"), "{path}");
        }
    }
}

#[tokio::test]
async fn what_people_write_into_variables_arguments_and_annotations_is_not_served_with_a_plan() {
    let template = json!({
        "metadata": { "annotations": { "note": "hunter2-a" }, "labels": { "app": "cart" } },
        "spec": { "containers": [{
            "name": "app", "image": "shop/cart:1", "args": ["--password=hunter2-b"], "command": ["run", "hunter2-c"],
            "env": [{ "name": "TOKEN", "value": "hunter2-d" }],
            "livenessProbe": { "exec": { "command": ["check", "hunter2-e"] } },
        }] },
    });
    let workload = ObjectRef::namespaced(Kind::Deployment, "shop", "cart");
    let mut document = plan("p-1", "Proposed").to_document().unwrap();
    document["actions"] = json!([{
        "action": { "name": "RolloutUndo", "target": workload },
        "operation": {
            "verb": "write", "object": workload, "uid": "u-1",
            "changes": [{ "path": "/spec/template", "before": template, "after": template }],
        },
        "description": "undo", "reversible": true, "disruption": 1,
    }]);
    let face = World::with([record(RecordKind::Plan, &document)]).local(Some(TOKEN));
    for text in [
        face.get("/api/v1/plans/p-1").await.text,
        face.get("/api/v1/plans").await.text,
        face.post("/api/v1/plans/p-1/approve", &json!({})).await.text,
    ] {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("shop/cart:1") && text.contains("TOKEN"), "{text}");
    }
}
