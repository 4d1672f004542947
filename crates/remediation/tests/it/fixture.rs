//! A small cluster in JSON: Deployment `shop/cart`, whose revision 2 (`bad`) is being rolled out over revision 1
//! (`good`), and what the planner makes of it.

use std::sync::Arc;

use kubewise_core::action::{ActionStatus, Direction, ExecutedActionRecord};
use kubewise_core::anomaly::{
    AnomalyRecord, AnomalyStatus, DetectorKind, Reason, RemediationStatus, Severity,
};
use kubewise_core::document::Document;
use kubewise_core::incident::{Incident, IncidentStatus};
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::plan::{Action, FieldChange, Mode, RemediationPlan};
use kubewise_core::record::{Extra, HealthyRevision, SchemaVersion};
use kubewise_core::unit::Unit;
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use kubewise_remediation::evidence::{AllPods, Evidence};
use kubewise_remediation::planner::{self, Decision};
use kubewise_remediation::playbook::Playbooks;
use kubewise_remediation::policy::{Options, Surroundings};
use serde_json::{Value, json};

pub(crate) const MEBI: f64 = 1_048_576.0;

pub(crate) fn at(text: &str) -> Timestamp {
    format!("2026-03-01T{text}Z").parse().unwrap()
}

pub(crate) fn now() -> Timestamp {
    at("12:00:00")
}

pub(crate) fn cart() -> ObjectRef {
    ObjectRef::namespaced(Kind::Deployment, "shop", "cart")
}

/// What the planner is given.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) evidence: Evidence,
    pub(crate) options: Options,
    pub(crate) surroundings: Surroundings,
}

pub(crate) fn template(image: &str, limit: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": "cart" } },
        "spec": { "containers": [{
            "name": "app",
            "image": image,
            "resources": { "limits": { "memory": limit }, "requests": { "memory": limit, "cpu": "100m" } },
        }] },
    })
}

fn metadata(name: &str, created: &str, owner: Option<(&str, &str)>) -> Value {
    let owners = owner.map(|(kind, name)| {
        json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true }])
    });
    json!({
        "name": name, "namespace": "shop", "uid": format!("uid-{name}"),
        "creationTimestamp": at(created), "generation": 2,
        "ownerReferences": owners.unwrap_or_else(|| json!([])),
    })
}

fn replica_set(hash: &str, number: u32, created: &str, available: u32, template: &Value) -> Document {
    let mut template = template.clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    let mut set = json!({
        "kind": "ReplicaSet",
        "metadata": metadata(&format!("cart-{hash}"), created, Some(("Deployment", "cart"))),
        "spec": { "replicas": available, "template": template },
        "status": { "availableReplicas": available },
    });
    set["metadata"]["labels"] = json!({ "pod-template-hash": hash });
    set["metadata"]["annotations"] = json!({ "deployment.kubernetes.io/revision": number.to_string() });
    Document(set)
}

pub(crate) fn pod(name: &str, hash: &str, node: &str, template: &Value, container: &Value) -> Document {
    let ready = if container["ready"] == json!(true) { "True" } else { "False" };
    let mut pod = json!({
        "kind": "Pod",
        "metadata": metadata(name, "11:50:00", Some(("ReplicaSet", &format!("cart-{hash}")))),
        "spec": template["spec"],
        "status": {
            "phase": "Running",
            "conditions": [{ "type": "Ready", "status": ready }],
            "containerStatuses": [container],
        },
    });
    pod["spec"]["nodeName"] = json!(node);
    pod["metadata"]["labels"] = json!({ "app": "cart", "pod-template-hash": hash });
    Document(pod)
}

pub(crate) fn running() -> Value {
    json!({ "name": "app", "ready": true, "restartCount": 0, "state": { "running": {} } })
}

pub(crate) fn waiting(reason: &str) -> Value {
    json!({ "name": "app", "ready": false, "restartCount": 0, "state": { "waiting": { "reason": reason } } })
}

/// A container that ended for `reason` after `life` seconds, four times by now.
pub(crate) fn crashing(reason: &str, exit_code: i64, life: u64) -> Value {
    let ended = at("11:59:00");
    json!({
        "name": "app", "ready": false, "restartCount": 4,
        "state": { "waiting": {
            "reason": "CrashLoopBackOff",
            "message": "back-off 1m20s restarting failed container=app pod=cart-bad-1",
        } },
        "lastState": { "terminated": {
            "reason": reason, "exitCode": exit_code,
            "startedAt": Period::from_secs(life).before(ended), "finishedAt": ended,
        } },
    })
}

pub(crate) fn node(name: &str, memory: &str) -> Document {
    Document(json!({
        "kind": "Node",
        "metadata": { "name": name, "uid": format!("uid-{name}"), "labels": { "zone": "a" } },
        "spec": {},
        "status": {
            "allocatable": { "memory": memory, "cpu": "4", "pods": "20" },
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    }))
}

pub(crate) fn anomaly(reason: Reason, since: &str) -> AnomalyRecord {
    AnomalyRecord {
        version: SchemaVersion::CURRENT,
        id: format!("a-{reason}").as_str().into(),
        workload: cart(),
        object: cart(),
        container: Some("app".into()),
        reason,
        detector: DetectorKind::Rule,
        severity: Severity::Critical,
        metric_type: None,
        score: 1.0,
        threshold: 0.5,
        features: Vec::new(),
        explanation: format!("container app shows {reason}"),
        status: AnomalyStatus::Firing,
        time: at(since),
        updated_at: now(),
        resolved_at: None,
        incident: Some("i-1".into()),
        remediation_status: RemediationStatus::None,
        plan: None,
        results: Vec::new(),
        events: Vec::new(),
        actions: Vec::new(),
        extra: Extra::new(),
    }
}

/// The rollout of revision 2 is in trouble: two good pods still run, one bad pod does not.
pub(crate) fn world(reason: Reason, container: &Value) -> World {
    let (good, bad) = (template("cart:1", "128Mi"), template("cart:2", "128Mi"));
    let mut deployment = json!({
        "kind": "Deployment",
        "metadata": metadata("cart", "08:00:00", None),
        "spec": {
            "replicas": 2, "template": bad, "selector": { "matchLabels": { "app": "cart" } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
        },
        "status": { "observedGeneration": 2, "updatedReplicas": 1, "readyReplicas": 2, "availableReplicas": 2 },
    });
    deployment["metadata"]["annotations"] = json!({ "deployment.kubernetes.io/revision": "2" });
    let documents = vec![
        replica_set("good", 1, "08:00:00", 2, &good),
        replica_set("bad", 2, "11:50:00", 0, &bad),
        pod("cart-good-1", "good", "n1", &good, &running()),
        pod("cart-good-2", "good", "n2", &good, &running()),
        pod("cart-bad-1", "bad", "n1", &bad, container),
    ];
    let incident = Incident {
        version: SchemaVersion::CURRENT,
        id: "i-1".into(),
        workload: cart(),
        reason,
        severity: Severity::Critical,
        status: IncidentStatus::Open,
        summary: format!("cart: {reason}"),
        opened_at: at("11:55:00"),
        updated_at: now(),
        closed_at: None,
        dependants: Vec::new(),
        anomalies: Vec::new(),
        events: Vec::new(),
        plans: Vec::new(),
        actions: Vec::new(),
        attempts: 0,
        story: Vec::new(),
        extra: Extra::new(),
    };
    let mut evidence = Evidence::assemble(
        incident,
        vec![anomaly(reason, "11:55:00")],
        Some(Document(deployment)),
        documents,
        now(),
    );
    evidence.nodes = ["n1", "n2"].map(|name| node(name, "1Gi")).into();
    evidence.all_pods = Some(evidence.pods.clone().into());
    World {
        evidence,
        options: Options { mode: Mode::Auto, ..Options::default() },
        surroundings: Surroundings { workloads: 20, workloads_with_incident: 1, ..Surroundings::default() },
    }
}

/// The bad pod of a new revision crashes.
pub(crate) fn crash_loop() -> World {
    world(Reason::CrashLoopBackOff, &crashing("Error", 1, 5))
}

/// One revision since the morning; both pods are killed at the limit of 128 MiB, soon after each start.
pub(crate) fn out_of_memory() -> World {
    let mut world = world(Reason::OomKilled, &crashing("OOMKilled", 137, 20));
    world.evidence.revisions.remove(1);
    world.evidence.pods.retain(|pod| pod.text("/metadata/name") != Some("cart-bad-1"));
    world.set("/spec/template", template("cart:1", "128Mi"));
    for pod in &mut world.evidence.pods {
        pod.0["status"]["containerStatuses"] = json!([crashing("OOMKilled", 137, 20)]);
        pod.0["status"]["conditions"] = json!([{ "type": "Ready", "status": "False" }]);
    }
    world.evidence.all_pods = Some(world.evidence.pods.clone().into());
    world
}

/// Changes the pods of every namespace.
pub(crate) fn change_all_pods(world: &mut World, change: impl FnOnce(&mut Vec<Document>)) {
    let mut pods = world.evidence.all_pods.as_deref().unwrap_or_default().to_vec();
    change(&mut pods);
    world.evidence.all_pods = Some(pods.into());
}

pub(crate) fn scaled_to_zero() -> World {
    let mut world = out_of_memory();
    world.evidence.anomalies = vec![anomaly(Reason::ScaledToZero, "11:55:00")];
    world.evidence.incident.reason = Reason::ScaledToZero;
    world.evidence.pods.clear();
    world.evidence.all_pods = Some(AllPods::default());
    world.set("/spec/replicas", json!(0));
    world.samples(&MetricType::ReplicasDesired, &[3.0, 3.0, 0.0]);
    world
}

/// A StatefulSet whose ordinal 1 is stuck in a new revision.
pub(crate) fn stateful_set() -> World {
    let mut world = crash_loop();
    let controller = |number: u32, name: &str, template: &Value| {
        let mut data = template.clone();
        data["$patch"] = json!("replace");
        let created = if number == 1 { "08:00:00" } else { "11:50:00" };
        let mut revision = json!({
            "kind": "ControllerRevision",
            "metadata": metadata(name, created, Some(("StatefulSet", "cart"))),
            "revision": number,
            "data": { "spec": { "template": data } },
        });
        revision["metadata"]["labels"] = json!({ "controller-revision-hash": name });
        Document(revision)
    };
    let (good, bad) = (template("cart:1", "128Mi"), template("cart:2", "128Mi"));
    let object = ObjectRef { kind: Kind::StatefulSet, ..cart() };
    let evidence = &mut world.evidence;
    evidence.incident.workload = object;
    evidence.revisions = vec![controller(1, "cart-good", &good), controller(2, "cart-bad", &bad)];
    let ordinal = |name: &str, revision: &str, template: &Value, container: &Value| {
        let mut pod = pod(name, revision, "n1", template, container);
        pod.0["metadata"]["labels"] = json!({ "controller-revision-hash": revision });
        pod.0["metadata"]["ownerReferences"][0]["kind"] = json!("StatefulSet");
        pod
    };
    evidence.pods = vec![
        ordinal("cart-0", "cart-good", &good, &running()),
        ordinal("cart-1", "cart-bad", &bad, &crashing("Error", 1, 5)),
    ];
    let workload = evidence.workload.as_mut().unwrap();
    workload.0["kind"] = json!("StatefulSet");
    workload.0["spec"].as_object_mut().unwrap().remove("strategy");
    workload.0["status"]["updateRevision"] = json!("cart-bad");
    world
}

impl World {
    /// Sets a field of the workload.
    pub(crate) fn set(&mut self, pointer: &str, value: Value) {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.evidence.workload.as_mut().unwrap().0.pointer_mut(parent).unwrap()[key.replace("~1", "/")] =
            value;
    }

    pub(crate) fn nodes(&mut self) -> &mut [Document] {
        Arc::make_mut(&mut self.evidence.nodes)
    }

    /// A pod of the evidence.
    pub(crate) fn pod(&mut self, name: &str) -> &mut Value {
        let pod = self.evidence.pods.iter_mut().find(|pod| pod.text("/metadata/name") == Some(name));
        &mut pod.unwrap().0
    }

    pub(crate) fn annotate(&mut self, key: &str, value: &str) {
        self.evidence.workload.as_mut().unwrap().0["metadata"]["annotations"][key] = json!(value);
    }

    /// Adds samples of the first pod's container (or the workload), one each half minute, the last one now.
    pub(crate) fn samples(&mut self, metric_type: &MetricType, values: &[f64]) {
        let of_workload = *metric_type == MetricType::ReplicasDesired;
        for (index, value) in values.iter().enumerate() {
            let ago = Period::from_secs(30 * (values.len() - 1 - index) as u64);
            self.evidence.samples.push(NormalizedMetric {
                version: SchemaVersion::CURRENT,
                object: if of_workload {
                    cart()
                } else {
                    ObjectRef::namespaced(Kind::Pod, "shop", "cart-good-1")
                },
                container: (!of_workload).then(|| "app".into()),
                detail: None,
                metric_type: metric_type.clone(),
                unit: Unit::Count,
                value: *value,
                time: ago.before(now()),
            });
        }
    }

    /// Records that KubeWise did something.
    pub(crate) fn did(&mut self, name: &str, when: &str, parameters: Value, changes: Vec<FieldChange>) {
        let number = self.evidence.history.len();
        self.evidence.history.insert(
            0,
            ExecutedActionRecord {
                version: SchemaVersion::CURRENT,
                id: format!("x-{number}").as_str().into(),
                saga: format!("s-{number}").as_str().into(),
                plan: format!("p-{number}").as_str().into(),
                incident: "i-0".into(),
                anomalies: Vec::new(),
                workload: cart(),
                step: 0,
                direction: Direction::Act,
                cause: None,
                action: Action { name: name.into(), target: cart(), parameters },
                changes,
                status: ActionStatus::Succeeded,
                detail: "done".into(),
                verdict: None,
                outcome: None,
                started_at: at(when),
                finished_at: Some(at(when)),
                extra: Extra::new(),
            },
        );
    }

    pub(crate) fn seen_healthy(&mut self, template: &str) {
        self.evidence.healthy.push(HealthyRevision {
            version: SchemaVersion::CURRENT,
            workload: self.evidence.incident.workload.clone(),
            template: template.into(),
            seen_at: at("10:00:00"),
            extra: Extra::new(),
        });
    }

    pub(crate) fn decide(&self) -> Decision {
        self.decide_with(&Playbooks::builtin())
    }

    pub(crate) fn decide_with(&self, playbooks: &Playbooks) -> Decision {
        planner::plan(&self.evidence, playbooks, &self.options, &self.surroundings, now())
    }

    pub(crate) fn plan(&self) -> RemediationPlan {
        match self.decide() {
            Decision::Plan { plan, .. } => *plan,
            other @ (Decision::Wait { .. } | Decision::Nothing { .. }) => panic!("no plan: {other:?}"),
        }
    }
}

/// A decision in one line: `act RolloutUndo, EvictPod as Approved`, `hand over by NAME for RULE`, `wait for RULE`.
pub(crate) fn line(decision: &Decision) -> String {
    let rules = |refused: &[kubewise_remediation::policy::Refusal]| {
        let rules: Vec<_> = refused.iter().map(|refusal| refusal.rule.as_str()).collect();
        if rules.is_empty() { String::new() } else { format!(" for {}", rules.join(", ")) }
    };
    match decision {
        Decision::Plan { plan, .. } if !plan.hands_over() => {
            let names: Vec<_> = plan.actions.iter().map(|step| step.action.name.as_str()).collect();
            format!("act {} as {}", names.join(", "), plan.status)
        }
        Decision::Plan { plan, refused } => format!("hand over by {}{}", plan.author, rules(refused)),
        Decision::Wait { refused, .. } => format!("wait{}", rules(refused)),
        Decision::Nothing { reason } => format!("nothing: {reason}"),
    }
}
