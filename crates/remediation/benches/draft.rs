//! How long a prompt takes: an incident of 100 pods with 500 Events and three long logs.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use kubewise_core::anomaly::{AnomalyRecord, Reason};
use kubewise_core::document::Document;
use kubewise_core::event::EventRecord;
use kubewise_core::incident::Incident;
use kubewise_core::{Kind, ObjectRef, Timestamp};
use kubewise_remediation::author::{self, Options};
use kubewise_remediation::evidence::{Evidence, LogExcerpt};
use kubewise_remediation::playbook::Playbooks;
use kubewise_remediation::policy::{self, Surroundings};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const PODS: usize = 100;
const EVENTS: usize = 500;
const NOON: &str = "2026-03-01T12:00:00Z";
const EARLIER: &str = "2026-03-01T11:50:00Z";

fn metadata(name: &str, owner: Option<(&str, &str)>) -> Value {
    let owners =
        owner.map(|(kind, name)| json!([{ "kind": kind, "name": name, "uid": name, "controller": true }]));
    json!({ "name": name, "namespace": "shop", "uid": name, "creationTimestamp": EARLIER, "generation": 2,
        "ownerReferences": owners.unwrap_or_else(|| json!([])),
        "labels": { "app": "cart", "pod-template-hash": name.trim_start_matches("cart-") },
        "annotations": { "deployment.kubernetes.io/revision": if name.ends_with("good") { "1" } else { "2" } } })
}

fn template(image: &str) -> Value {
    let variables: Vec<_> = (0..20)
        .map(|number| json!({ "name": format!("SETTING_{number}"), "value": format!("{image}-{number}") }))
        .collect();
    json!({ "metadata": { "labels": { "app": "cart" } }, "spec": { "containers": [{
        "name": "app", "image": image, "env": variables, "args": ["--level=info"],
        "resources": { "limits": { "memory": "128Mi" }, "requests": { "memory": "128Mi", "cpu": "100m" } },
    }] } })
}

fn set(name: &str, image: &str, available: u32) -> Document {
    Document(json!({ "kind": "ReplicaSet", "metadata": metadata(name, Some(("Deployment", "cart"))),
        "spec": { "template": template(image) }, "status": { "availableReplicas": available } }))
}

fn pod(number: usize) -> Document {
    let mut metadata = metadata(&format!("cart-bad-{number}"), Some(("ReplicaSet", "cart-bad")));
    metadata["labels"]["pod-template-hash"] = json!("bad");
    let terminated =
        json!({ "reason": "Error", "exitCode": 1, "finishedAt": NOON, "message": "no such flag" });
    let waiting =
        json!({ "reason": "CrashLoopBackOff", "message": "back-off 1m20s restarting failed container" });
    Document(json!({ "kind": "Pod", "metadata": metadata, "spec": template("cart:2")["spec"], "status": {
        "phase": "Running", "conditions": [{ "type": "Ready", "status": "False" }],
        "containerStatuses": [{ "name": "app", "ready": false, "restartCount": number,
            "state": { "waiting": waiting }, "lastState": { "terminated": terminated } }] } }))
}

fn record<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn event(number: usize) -> EventRecord {
    let message = format!("Back-off restarting failed container: {}", "it said so and so again ".repeat(40));
    record(json!({ "uid": format!("event-{number}"), "count": 3, "objectUid": "u", "type": "Warning",
        "object": { "kind": "Pod", "namespace": "shop", "name": format!("cart-bad-{}", number % PODS) },
        "reason": (["BackOff", "Unhealthy", "FailedMount", "Failed"][number % 4]), "message": message,
        "firstSeen": EARLIER, "lastSeen": NOON, "source": "kubelet" }))
}

fn evidence() -> Evidence {
    let cart = ObjectRef::namespaced(Kind::Deployment, "shop", "cart");
    let incident: Incident = record(json!({ "id": "i-1", "workload": cart, "reason": "CrashLoopBackOff",
        "severity": "Critical", "status": "Open", "summary": "cart crashes", "openedAt": EARLIER, "updatedAt": NOON,
        "anomalies": [] }));
    let anomaly: AnomalyRecord = record(
        json!({ "id": "a-1", "workload": cart, "object": cart, "container": "app",
        "reason": Reason::CrashLoopBackOff, "detector": "Rule", "severity": "Critical", "score": 1.0, "threshold": 0.5,
        "features": [], "explanation": "container app crashes", "status": "Firing", "time": EARLIER, "updatedAt": NOON,
        "remediationStatus": "None" }),
    );
    let workload = json!({ "kind": "Deployment", "metadata": metadata("cart", None),
        "spec": { "replicas": PODS, "template": template("cart:2") }, "status": { "observedGeneration": 2 } });
    let documents =
        (0..PODS).map(pod).chain([set("cart-good", "cart:1", 9), set("cart-bad", "cart:2", 0)]).collect();
    let mut evidence = Evidence::assemble(
        incident,
        vec![anomaly],
        Some(Document(workload)),
        documents,
        NOON.parse().unwrap(),
    );
    evidence.all_pods = Some(evidence.pods.clone().into());
    evidence.events = (0..EVENTS).map(event).collect();
    evidence.logs = (0..3)
        .map(|number| LogExcerpt {
            pod: ObjectRef::namespaced(Kind::Pod, "shop", format!("cart-bad-{number}")),
            container: "app".into(),
            previous: true,
            text:
                "2026-03-01T11:59:58Z ERROR cart.Server request 4bf92f3577b34da6 failed: password=swordfish\n"
                    .repeat(600),
        })
        .collect();
    evidence
}

fn prompt(criterion: &mut Criterion) {
    let (evidence, playbooks, options) = (evidence(), Playbooks::builtin(), Options::default());
    let (policy, surroundings) =
        (policy::Options::default(), Surroundings { workloads: 20, ..Surroundings::default() });
    let now: Timestamp = NOON.parse().unwrap();
    let draft = || author::draft(&evidence, &playbooks, &policy, &surroundings, &options, now);
    assert!(
        draft().is_some_and(|draft| draft.prompt.case.contains("RolloutUndo")),
        "there is an offer to tell"
    );
    criterion
        .bench_function("a prompt of 100 pods and 500 Events", |bencher| bencher.iter(|| black_box(draft())));
}

criterion_group!(benches, prompt);
criterion_main!(benches);
