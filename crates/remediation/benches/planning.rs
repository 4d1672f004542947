//! KubeWise's own time from an open incident to its first write, and for a thousand incidents at once.
//!
//! A workload of 100 pods, in a cluster of 200 nodes and 10,000 pods, crashes after a new revision, or is killed at its
//! memory limit. What is outside answers at once: what is left is gathering evidence into its place, choosing, holding
//! every rule against it, and the saga with its second look, up to the patch.
#![expect(clippy::panic, reason = "a bench that cannot go on should stop there")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::document::Document;
use kubewise_core::guard::Guards;
use kubewise_core::incident::Incident;
use kubewise_core::journal::Epoch;
use kubewise_core::plan::{Mode, Operation, RemediationPlan};
use kubewise_core::request::Performed;
use kubewise_core::{Kind, ObjectRef, Timestamp};
use kubewise_remediation::evidence::{AllPods, Evidence};
use kubewise_remediation::planner::{self, Decision};
use kubewise_remediation::playbook::Playbooks;
use kubewise_remediation::policy::{Options, Surroundings};
use kubewise_remediation::saga::{Effect, Input, Saga};
use serde_json::{Value, json};

const PODS: usize = 100;
const NODES: usize = 200;
const ALL_PODS: usize = 10_000;
const INCIDENTS: usize = 1_000;
/// More effects than lie before the first write.
const MANY: usize = 50;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("a timestamp")
}

/// What is listed for one incident.
struct Case {
    incident: Incident,
    anomaly: AnomalyRecord,
    workload: Document,
    documents: Vec<Document>,
}

impl Case {
    /// Every pod of the workload fails for `reason`.
    fn new(name: &str, pods: usize, reason: &str) -> Self {
        let object = ObjectRef::namespaced(Kind::Deployment, "shop", name);
        let crashed = reason == "CrashLoopBackOff";
        let (exit, ended) = if crashed { (1, "Error") } else { (137, "OOMKilled") };
        let (good, bad) = (template(name, "1"), template(name, if crashed { "2" } else { "1" }));
        let mut documents = vec![replica_set(name, "good", 1, "2026-02-01T08:00:00Z", &good)];
        if crashed {
            documents.push(replica_set(name, "bad", 2, "2026-03-01T11:50:00Z", &bad));
        }
        let set = if crashed { "bad" } else { "good" };
        documents.extend((0..pods).map(|number| pod(name, set, number, &bad, exit, ended)));
        let workload = Document(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": metadata(name, "2026-02-01T08:00:00Z", &Value::Null, &json!({ "deployment.kubernetes.io/revision": "2" })),
            "spec": {
                "replicas": pods, "template": bad, "selector": { "matchLabels": { "app": name } },
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            },
            "status": { "observedGeneration": 2, "updatedReplicas": pods, "readyReplicas": 0, "availableReplicas": 0 },
        }));
        let incident = json!({
            "id": format!("i-{name}"), "workload": object, "reason": reason, "severity": "Critical", "status": "Open",
            "summary": "", "openedAt": "2026-03-01T11:55:00Z", "updatedAt": now(), "anomalies": [],
        });
        let anomaly = json!({
            "id": format!("a-{name}"), "workload": object, "object": object, "container": "app", "reason": reason,
            "detector": "Rule", "severity": "Critical", "score": 1.0, "threshold": 0.5, "features": [],
            "explanation": "", "status": "Firing", "time": "2026-03-01T11:55:00Z", "updatedAt": now(),
            "remediationStatus": "None",
        });
        Case {
            incident: serde_json::from_value(incident).expect("an incident"),
            anomaly: serde_json::from_value(anomaly).expect("an anomaly"),
            workload,
            documents,
        }
    }

    /// Sorted into its place, beside the nodes and pods of everybody.
    fn evidence(&self, nodes: &Arc<[Document]>, all_pods: AllPods) -> Evidence {
        let mut evidence = Evidence::assemble(
            self.incident.clone(),
            vec![self.anomaly.clone()],
            Some(self.workload.clone()),
            self.documents.clone(),
            now(),
        );
        evidence.nodes = nodes.clone();
        evidence.healthy = serde_json::from_value(json!([{
            "workload": self.incident.workload, "template": "good", "seenAt": "2026-03-01T10:00:00Z",
        }]))
        .expect("a healthy revision");
        evidence.all_pods = Some(all_pods);
        evidence
    }
}

fn template(name: &str, tag: &str) -> Value {
    let container = |name: &str, image: &str| {
        json!({
            "name": name, "image": format!("{image}:{tag}"),
            "env": [{ "name": "MODE", "value": "production" }, { "name": "NEEDS", "value": "prices:80" }],
            "resources": {
                "limits": { "memory": "128Mi", "cpu": "500m" }, "requests": { "memory": "64Mi", "cpu": "100m" },
            },
            "readinessProbe": { "httpGet": { "path": "/ready", "port": 8080 }, "periodSeconds": 10 },
        })
    };
    json!({
        "metadata": { "labels": { "app": name } },
        "spec": { "containers": [container("app", name), container("proxy", "envoy")] },
    })
}

fn metadata(name: &str, created: &str, owners: &Value, annotations: &Value) -> Value {
    json!({
        "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "creationTimestamp": created,
        "generation": 2, "ownerReferences": owners.as_array().cloned().unwrap_or_default(), "annotations": annotations,
        "managedFields": [{ "manager": "kubectl-client-side-apply", "operation": "Update", "time": created,
            "fieldsV1": { "f:spec": { "f:template": { "f:spec": { "f:containers": {} } } } } }],
    })
}

fn owner(kind: &str, name: &str) -> Value {
    json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true }])
}

fn replica_set(name: &str, hash: &str, revision: u32, created: &str, template: &Value) -> Document {
    let revision = json!({ "deployment.kubernetes.io/revision": revision.to_string() });
    let mut set = json!({
        "kind": "ReplicaSet",
        "metadata": metadata(&format!("{name}-{hash}"), created, &owner("Deployment", name), &revision),
        "spec": { "replicas": 1, "template": template },
        "status": { "availableReplicas": 0 },
    });
    set["metadata"]["labels"] = json!({ "app": name, "pod-template-hash": hash });
    set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    Document(set)
}

fn pod(name: &str, hash: &str, number: usize, template: &Value, exit: i64, ended: &str) -> Document {
    let failing = json!({
        "name": "app", "ready": false, "restartCount": 4,
        "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 1m20s restarting failed container=app" } },
        "lastState": { "terminated": {
            "reason": ended, "exitCode": exit, "startedAt": "2026-03-01T11:58:30Z", "finishedAt": "2026-03-01T11:58:50Z",
        } },
    });
    let proxy = json!({ "name": "proxy", "ready": true, "restartCount": 0, "state": { "running": {} } });
    let owners = owner("ReplicaSet", &format!("{name}-{hash}"));
    let mut pod = json!({
        "kind": "Pod",
        "metadata": metadata(&format!("{name}-{hash}-{number}"), "2026-03-01T11:50:00Z", &owners, &json!({})),
        "spec": template["spec"],
        "status": {
            "phase": "Running", "conditions": [{ "type": "Ready", "status": "False" }],
            "containerStatuses": [failing, proxy],
        },
    });
    pod["metadata"]["labels"] = json!({ "app": name, "pod-template-hash": hash });
    pod["spec"]["nodeName"] = json!(format!("node-{}", number % NODES));
    Document(pod)
}

fn nodes() -> Arc<[Document]> {
    let node = |number: usize| {
        Document(json!({
            "kind": "Node",
            "metadata": { "name": format!("node-{number}"), "uid": format!("uid-node-{number}"), "labels": { "zone": "a" } },
            "spec": {},
            "status": {
                "allocatable": { "memory": "64Gi", "cpu": "32", "pods": "110" },
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        }))
    };
    (0..NODES).map(node).collect()
}

fn all_pods() -> Vec<Document> {
    let template = template("other", "1");
    (0..ALL_PODS).map(|number| pod("other", "good", number, &template, 1, "Error")).collect()
}

fn auto() -> (Options, Surroundings) {
    let options = Options { mode: Mode::Auto, ..Options::default() };
    (options, Surroundings { workloads: 5_000, workloads_with_incident: 1, ..Surroundings::default() })
}

fn decided(
    evidence: &Evidence,
    playbooks: &Playbooks,
    options: &Options,
    around: &Surroundings,
) -> RemediationPlan {
    match planner::plan(evidence, playbooks, options, around, now()) {
        Decision::Plan { plan, .. } if !plan.hands_over() => *plan,
        other @ (Decision::Plan { .. } | Decision::Wait { .. } | Decision::Nothing { .. }) => {
            panic!("it is not acted upon: {other:?}")
        }
    }
}

/// The saga of a plan up to its first write; everything that it asks for is answered at once.
fn first_write(plan: RemediationPlan, fresh: &Evidence, options: &Options, around: &Surroundings) -> Effect {
    let mut saga = Saga::open(plan, Guards::default(), Epoch(1), now());
    for _ in 0..MANY {
        let effect = saga.poll_effect().expect("it goes on");
        let input = match &effect {
            Effect::Append(_) => Input::Appended(Ok(())),
            Effect::Check { step } => {
                let checked = planner::recheck(saga.plan(), *step, fresh, options, around, now());
                Input::Checked(checked.map_err(Into::into))
            }
            Effect::Capture { .. } => Input::Captured(Ok(())),
            Effect::Read { .. } => Input::Read(Ok(fresh.workload.clone())),
            Effect::Perform { dry_run: true, .. } => {
                Input::Performed(Ok(Performed::Patched(judged(saga.plan(), fresh))))
            }
            Effect::Perform { dry_run: false, .. } => return effect,
            Effect::Wait { .. } | Effect::Measure | Effect::Notify { .. } | Effect::CheckUndo { .. } => {
                panic!("{effect:?} before the first write")
            }
        };
        saga.handle(input, now());
    }
    panic!("no write after {MANY} effects");
}

/// The workload as the server would keep it.
fn judged(plan: &RemediationPlan, fresh: &Evidence) -> Document {
    let mut workload = fresh.workload.clone().expect("it is there");
    if let Operation::Write { changes, .. } = &plan.actions[0].operation {
        for change in changes {
            if let (Some(place), Some(after)) = (workload.0.pointer_mut(&change.path), &change.after) {
                *place = after.clone();
            }
        }
    }
    workload
}

fn first_writes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("incident to first write");
    group.sample_size(20);
    let (playbooks, (options, around)) = (Playbooks::builtin(), auto());
    let (nodes, all_pods) = (nodes(), all_pods());
    for reason in ["CrashLoopBackOff", "OOMKilled"] {
        let case = Case::new("cart", PODS, reason);
        group.bench_function(format!("{reason}, {PODS} of {ALL_PODS} pods"), |bencher| {
            // Twice as in life: for the plan, and fresh for the check before the act.
            let listed = || [all_pods.clone().into(), all_pods.clone().into()];
            let first_write = |[before, fresh]: [AllPods; 2]| {
                let evidence = case.evidence(&nodes, before);
                let plan = decided(&evidence, &playbooks, &options, &around);
                let fresh = case.evidence(&nodes, fresh);
                let effect = first_write(plan, &fresh, &options, &around);
                (effect, evidence, fresh) // given back, so that no list is freed before the write
            };
            bencher.iter_batched(listed, first_write, BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn thousand(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open incidents");
    group.sample_size(10);
    let (playbooks, (options, around)) = (Playbooks::builtin(), auto());
    let nodes = nodes();
    let reasons = ["CrashLoopBackOff", "OOMKilled"];
    let cases: Vec<Case> = (0..INCIDENTS)
        .map(|number| Case::new(&format!("service-{number}"), 10, reasons[number % reasons.len()]))
        .collect();
    let all_pods = all_pods();
    group.bench_function(format!("{INCIDENTS} planned, of {ALL_PODS} pods"), |bencher| {
        // They are planned within seconds of each other, so one list of pods and one of nodes serves all.
        let listed = || AllPods::from(all_pods.clone());
        let planned = |listed: AllPods| {
            for case in &cases {
                let evidence = case.evidence(&nodes, listed.clone());
                black_box(decided(&evidence, &playbooks, &options, &around));
            }
        };
        bencher.iter_batched(listed, planned, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(planning, first_writes, thousand);
criterion_main!(planning);
