//! Each action type: where it makes sense, what it writes, and where policy forbids it.

use std::sync::Arc;

use kubewise_core::document::Document;
use kubewise_core::plan::{Operation, RemediationPlan};
use kubewise_core::{Kind, ObjectRef};
use kubewise_remediation::action::REGISTRY;
use kubewise_remediation::planner::Decision;
use kubewise_remediation::playbook::{Playbooks, actions};
use serde_json::{Value, json};

use crate::fixture::{World, crash_loop, line, node};

fn doing(action: &str, parameters: &Value) -> Playbooks {
    let text = format!(
        "name: test\ndescription: d\nreasons: [CrashLoopBackOff]\nrootCause: r\nreasoning: r\n\
         candidates:\n  - action: {action}\n    parameters: {parameters}\n"
    );
    Playbooks::load(&[("test.yaml", text)]).unwrap()
}

fn plan(world: &World, action: &str, parameters: &Value) -> RemediationPlan {
    match world.decide_with(&doing(action, parameters)) {
        Decision::Plan { plan, .. } => *plan,
        other @ (Decision::Wait { .. } | Decision::Nothing { .. }) => panic!("{other:?}"),
    }
}

/// What an action comes to: its writes as `PATH: BEFORE -> AFTER`, or the rule that forbids it.
fn check(world: &World, action: &str, parameters: &Value, expect: &str) {
    let decision = world.decide_with(&doing(action, parameters));
    let got = match &decision {
        Decision::Plan { plan, refused } if refused.is_empty() => match &plan.actions[0].operation {
            Operation::Write { object, changes, .. } => {
                let changed = changes.iter().filter(|change| change.before != change.after);
                let shown = |value: &Option<Value>| value.as_ref().map_or("unset".into(), Value::to_string);
                let changed = changed.map(|change| {
                    format!("{}: {} -> {}", change.path, shown(&change.before), shown(&change.after))
                });
                format!("{object} {}", changed.collect::<Vec<_>>().join(", "))
            }
            Operation::Create { object, .. } => format!("make {object}"),
            other @ (Operation::Evict { .. } | Operation::Notify { .. }) => format!("{other:?}"),
        },
        other @ (Decision::Plan { .. } | Decision::Wait { .. } | Decision::Nothing { .. }) => line(other),
    };
    let expect = expect.replace("for ", "hand over by playbook test for ");
    assert_eq!(got, expect, "{action} {parameters}: {decision:?}");
}

/// The field is set, and these alone manage it.
fn set_by(world: &mut World, field: &str, managers: &[&str]) {
    world.set(&format!("/spec/{field}"), json!(true));
    let entries: Vec<Value> = managers
        .iter()
        .map(|manager| {
            let fields = json!({ "f:spec": { format!("f:{field}"): {} } });
            json!({ "manager": manager, "operation": "Update", "fieldsV1": fields })
        })
        .collect();
    world.set("/metadata/managedFields", json!(entries));
}

#[test]
fn a_rollout_is_held_and_let_go_only_by_whoever_held_it() {
    let none = json!({});
    let mut world = crash_loop();
    check(&world, "PauseRollout", &none, "Deployment shop/cart /spec/paused: unset -> true");
    check(&world, "ResumeRollout", &none, "for Premise");
    world.set("/spec/paused", json!(true));
    check(&world, "PauseRollout", &none, "for Premise");
    check(&world, "ResumeRollout", &none, "for Premise"); // nobody knows who
    set_by(&mut world, "paused", &["kubewise"]);
    check(&world, "ResumeRollout", &none, "Deployment shop/cart /spec/paused: true -> unset");
    // KubeWise held it once; since then a person let it go, and held it again.
    world.did("PauseRollout", "08:30:00", none.clone(), Vec::new());
    set_by(&mut world, "paused", &["kubectl-rollout"]);
    check(&world, "ResumeRollout", &none, "for Premise");
    set_by(&mut world, "paused", &["kubewise", "kubectl"]);
    check(&world, "ResumeRollout", &none, "for Premise"); // a person means it, too
}

/// The workload is another object than the cart.
fn of(document: Document, object: ObjectRef) -> World {
    let mut world = crash_loop();
    world.evidence.incident.workload = object;
    world.evidence.workload = Some(document);
    world.evidence.pods.clear();
    world
}

#[test]
fn a_node_is_cordoned_and_only_ours_is_uncordoned() {
    let none = json!({});
    check(&crash_loop(), "CordonNode", &none, "for Premise");
    let mut world = of(node("n1", "1Gi"), ObjectRef::cluster_scoped(Kind::Node, "n1"));
    check(&world, "CordonNode", &none, "Node n1 /spec/unschedulable: unset -> true");
    set_by(&mut world, "unschedulable", &["kubectl-cordon"]);
    check(&world, "CordonNode", &none, "for Premise");
    check(&world, "UncordonNode", &none, "for Premise"); // for maintenance
    set_by(&mut world, "unschedulable", &["kubewise"]);
    check(&world, "UncordonNode", &none, "Node n1 /spec/unschedulable: true -> unset");
}

#[test]
fn a_cron_job_is_suspended_and_only_ours_is_resumed() {
    let none = json!({});
    check(&crash_loop(), "SuspendCronJob", &none, "for Premise");
    let object = ObjectRef::namespaced(Kind::CronJob, "shop", "report");
    let document = Document(json!({
        "kind": "CronJob", "metadata": { "name": "report", "namespace": "shop", "uid": "uid-report" },
        "spec": { "schedule": "* * * * *", "suspend": false },
    }));
    let mut world = of(document, object);
    check(&world, "SuspendCronJob", &none, "CronJob shop/report /spec/suspend: false -> true");
    set_by(&mut world, "suspend", &["kubectl-patch"]);
    check(&world, "ResumeCronJob", &none, "for Premise");
    set_by(&mut world, "suspend", &["kubewise"]);
    check(&world, "ResumeCronJob", &none, "CronJob shop/report /spec/suspend: true -> unset");
}

#[test]
fn a_probe_gets_more_patience_and_never_less() {
    let mut world = crash_loop();
    let patience = |key: &str, value: u32| json!({ "container": "app", "probe": "liveness", key: value });
    check(&world, "PatchProbe", &patience("timeoutSeconds", 5), "for Premise"); // there is none
    world.set("/spec/template/spec/containers/0/livenessProbe", json!({ "timeoutSeconds": 2 }));
    let base = "/spec/template/spec/containers/0/livenessProbe";
    let expect = format!("Deployment shop/cart {base}/timeoutSeconds: 2 -> 5");
    check(&world, "PatchProbe", &patience("timeoutSeconds", 5), &expect);
    let expect = format!("Deployment shop/cart {base}/failureThreshold: unset -> 6");
    check(&world, "PatchProbe", &patience("failureThreshold", 6), &expect);
    for (key, value) in [
        ("timeoutSeconds", 1),
        ("timeoutSeconds", 2),
        ("failureThreshold", 2),
        ("periodSeconds", 3_601),
        ("initialDelaySeconds", 0),
    ] {
        check(&world, "PatchProbe", &patience(key, value), "for Premise");
    }
}

fn autoscaler(name: &str, target: &str) -> Document {
    Document(json!({
        "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}") },
        "spec": { "minReplicas": 2, "maxReplicas": 5, "scaleTargetRef": { "kind": "Deployment", "name": target } },
    }))
}

#[test]
fn only_the_bounds_of_the_workloads_own_autoscaler_are_changed_and_within_bounds() {
    let mut world = crash_loop();
    world.evidence.autoscalers = vec![autoscaler("cart", "cart"), autoscaler("other", "other")];
    let max = |name: &str, replicas: u32| json!({ "autoscaler": name, "maxReplicas": replicas });
    let min = |replicas: u32| json!({ "autoscaler": "cart", "minReplicas": replicas });
    let own = "HorizontalPodAutoscaler shop/cart /spec/";
    check(&world, "ChangeAutoscaler", &max("cart", 8), &format!("{own}maxReplicas: 5 -> 8"));
    check(&world, "ChangeAutoscaler", &min(3), &format!("{own}minReplicas: 2 -> 3"));
    check(&world, "ChangeAutoscaler", &max("cart", 5), "for Premise");
    check(&world, "ChangeAutoscaler", &max("cart", 1), "for Premise"); // below the least
    check(&world, "ChangeAutoscaler", &max("none", 8), "for Premise");
    check(&world, "ChangeAutoscaler", &max("other", 8), "for OwnHierarchy");
    check(&world, "ChangeAutoscaler", &max("cart", 11), "for AtMostTwice");
    check(&world, "ChangeAutoscaler", &min(0), "for NeverToZero");
    world.evidence.nodes = Arc::default();
    check(&world, "ChangeAutoscaler", &max("cart", 8), "for LimitBounds"); // no room
    let mut world = crash_loop();
    let mut managed = autoscaler("cart", "cart");
    managed.0["metadata"]["annotations"] = json!({ "argocd.argoproj.io/tracking-id": "x" });
    world.evidence.autoscalers = vec![managed];
    check(&world, "ChangeAutoscaler", &max("cart", 8), "for FieldOwnership");
}

#[test]
fn a_claim_grows_within_bounds_if_the_workload_mounts_it() {
    let claim = |name: &str| {
        Document(json!({
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}") },
            "spec": { "resources": { "requests": { "storage": "10Gi" } } },
            "status": { "phase": "Bound" },
        }))
    };
    let mut world = crash_loop();
    world.evidence.claims = vec![claim("data"), claim("other")];
    world.pod("cart-good-1")["spec"]["volumes"] =
        json!([{ "persistentVolumeClaim": { "claimName": "data" } }]);
    let grow = |name: &str, size: &str| json!({ "claim": name, "size": size });
    let expect = "PersistentVolumeClaim shop/data /spec/resources/requests/storage: \"10Gi\" -> \"15Gi\"";
    check(&world, "ExpandClaim", &grow("data", "15Gi"), expect);
    assert!(!plan(&world, "ExpandClaim", &grow("data", "15Gi")).actions[0].reversible);
    check(&world, "ExpandClaim", &grow("data", "10Gi"), "for Premise");
    check(&world, "ExpandClaim", &grow("data", "9Gi"), "for Premise");
    check(&world, "ExpandClaim", &grow("data", "much"), "for Premise");
    check(&world, "ExpandClaim", &grow("data", "21Gi"), "for AtMostTwice");
    check(&world, "ExpandClaim", &grow("other", "15Gi"), "for OwnHierarchy");

    world.evidence.claims[0].0["spec"]["storageClassName"] = json!("fast");
    let mut bounded = |key: &str, hard: &str, used: &str, expect: &str| {
        world.evidence.quotas = vec![Document(json!({
            "kind": "ResourceQuota",
            "metadata": { "name": "storage" },
            "status": { "hard": { key: hard }, "used": { key: used } },
        }))];
        check(&world, "ExpandClaim", &grow("data", "15Gi"), expect);
    };
    bounded("requests.storage", "25Gi", "20Gi", expect);
    bounded("requests.storage", "25Gi", "21Gi", "for LimitBounds");
    bounded("fast.storageclass.storage.k8s.io/requests.storage", "12Gi", "10Gi", "for LimitBounds");
    bounded("slow.storageclass.storage.k8s.io/requests.storage", "12Gi", "10Gi", expect);
    world.evidence.quotas.clear();
    for (most, expect) in [("15Gi", expect), ("14Gi", "for LimitBounds")] {
        let item = json!({ "type": "PersistentVolumeClaim", "max": { "storage": most } });
        world.evidence.limit_ranges = vec![Document(json!({
            "kind": "LimitRange", "metadata": { "name": "range" }, "spec": { "limits": [item] },
        }))];
        check(&world, "ExpandClaim", &grow("data", "15Gi"), expect);
    }
}

#[test]
fn what_belongs_to_another_is_handed_over_as_a_patch_file() {
    let mut world = crash_loop();
    world.annotate("argocd.argoproj.io/tracking-id", "shop:apps/Deployment:shop/cart");
    let plan = plan(&world, "ScaleWorkload", &json!({ "replicas": 3 }));
    let patch = plan.evidence.iter().find(|item| item.id == "patch-1").unwrap();
    let (told, patch) = patch.text.split_once('\n').unwrap();
    assert!(told.contains("Deployment shop/cart"), "{told}");
    let expect = json!([{ "op": "replace", "path": "/spec/replicas", "value": 3 }]);
    assert_eq!(serde_json::from_str::<Value>(patch).unwrap(), expect);
    assert!(plan.reasoning.contains("patch"), "{}", plan.reasoning);
    // What is forbidden for other reasons as well is nothing to hand on.
    let plan = self::plan(&world, "ScaleWorkload", &json!({ "replicas": 0 }));
    assert!(plan.evidence.iter().all(|item| !item.id.starts_with("patch")));
}

#[test]
fn every_action_says_what_it_does_and_what_may_go_wrong() {
    let told = actions();
    assert_eq!(told.len(), REGISTRY.len());
    let mut names: Vec<_> = told.iter().map(|action| action.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), told.len(), "each name once");
    for action in told {
        assert!(action.description.len() > 20, "{}: {}", action.name, action.description);
        assert!(!action.risk.is_empty());
    }
}

#[test]
fn a_trial_tells_what_would_be_tried() {
    let trial = Playbooks::builtin().trial(kubewise_core::anomaly::Reason::OomKilled);
    assert_eq!(trial[0].playbook, "oom-limit-too-low");
    assert_eq!(trial[0].candidates[0].0, "SetResources");
    let parameters = trial[0].candidates[0].1.as_ref().unwrap();
    assert_eq!(parameters["container"], "app");
    assert!(Playbooks::builtin().explain().iter().all(|one| !one.description.is_empty()));
}
