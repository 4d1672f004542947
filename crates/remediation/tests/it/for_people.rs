//! What only people may mend: KubeWise names what stands behind it, and writes nothing.

use kubewise_core::anomaly::Reason;
use kubewise_core::document::Document;
use kubewise_core::plan::Mode;
use kubewise_core::{Kind, ObjectRef};
use kubewise_remediation::evidence;
use serde_json::{Value, json};

use crate::beside::{of, with};
use crate::fixture::{
    World, anomaly, at, change_all_pods, crash_loop, line, out_of_memory, running, stateful_set,
};

/// The namespace `shop` waits for a finalizer of something in it.
fn namespace_going() -> World {
    let document = json!({
        "kind": "Namespace",
        "metadata": { "name": "shop", "uid": "uid-shop", "deletionTimestamp": "2026-03-01T11:50:00Z" },
        "spec": { "finalizers": ["kubernetes"] },
        "status": { "phase": "Terminating", "conditions": [
            { "type": "NamespaceContentRemaining", "status": "True", "message": "configmaps. has 1 resource instances" },
            { "type": "NamespaceFinalizersRemaining", "status": "True", "message": "example.com/cleanup in 1 resource" },
            { "type": "NamespaceDeletionContentFailure", "status": "False", "message": "all content was deleted" },
        ] },
    });
    of(out_of_memory(), document, ObjectRef::cluster_scoped(Kind::Namespace, "shop"), Reason::Terminating)
}

#[test]
fn a_namespace_that_does_not_go_is_handed_over_with_what_holds_it() {
    let world = namespace_going();
    assert_eq!(line(&world.decide()), "hand over by playbook deletion-stuck");
    let told = world.plan().reasoning;
    let holds = "held by: configmaps. has 1 resource instances; example.com/cleanup in 1 resource.";
    assert!(told.contains(holds), "{told}");
    // Whatever else is wrong with what is being deleted is nobody's any more.
    let crashing = with(world, |world| {
        world.evidence.anomalies = vec![anomaly(Reason::CrashLoopBackOff, "11:55:00")];
    });
    assert_eq!(line(&crashing.decide()), "nothing: Namespace shop is being deleted");
}

#[test]
fn a_deployment_that_is_being_deleted_is_not_repaired_while_it_does_not_go() {
    let mut world = crash_loop();
    world.set("/metadata/deletionTimestamp", json!("2026-03-01T11:50:00Z"));
    world.set("/metadata/finalizers", json!(["foregroundDeletion"]));
    world.evidence.anomalies.push(anomaly(Reason::Terminating, "11:56:00"));
    assert_eq!(line(&world.decide()), "hand over by playbook deletion-stuck");
    assert!(world.plan().reasoning.contains("held by: finalizer foregroundDeletion"));
}

#[test]
fn the_mode_of_a_namespace_is_its_own() {
    let mut world = namespace_going();
    world.options.mode = Mode::Observe;
    world.options.modes.insert("shop".into(), Mode::Propose);
    assert_eq!(world.plan().mode, Mode::Propose);
    assert_eq!(evidence::lists(&world.evidence.incident.workload), []);
}

/// The pods of the cart run, and are ready no more since 11:55.
fn readiness_lost() -> World {
    with(out_of_memory(), |world| {
        world.evidence.anomalies = vec![anomaly(Reason::Unavailable, "11:55:00")];
        for pod in &mut world.evidence.pods {
            pod.0["status"]["containerStatuses"] = json!([running()]);
            pod.0["metadata"]["labels"]["app"] = json!("cart");
        }
    })
}

/// Denies all that it selects; kubectl wrote it then.
fn policy(selector: &Value, created: &str, written: &str) -> Document {
    Document(json!({
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "deny-all", "namespace": "shop", "uid": "uid-deny-all", "creationTimestamp": at(created),
            "managedFields": [{ "manager": "kubectl", "operation": "Update", "time": at(written) }],
        },
        "spec": { "podSelector": selector, "policyTypes": ["Ingress"] },
    }))
}

fn with_policy(world: World, policy: Document) -> World {
    with(world, |world| world.evidence.policies = vec![policy])
}

#[test]
fn a_policy_that_came_just_before_is_named_with_its_undo() {
    let made = with_policy(readiness_lost(), policy(&json!({}), "11:54:00", "11:54:00"));
    assert_eq!(line(&made.decide()), "hand over by playbook network-policy");
    let plan = made.plan();
    let told = "NetworkPolicy shop/deny-all, which selects its pods, was made by kubectl 1m before the trouble began";
    assert!(plan.reasoning.starts_with(told), "{}", plan.reasoning);
    let undo = "`kubectl delete networkpolicy deny-all -n shop` takes it back";
    assert!(plan.reasoning.contains(undo), "{}", plan.reasoning);
    assert!(plan.evidence.iter().any(|item| item.source == "policies" && item.text == told));

    let changed = with_policy(readiness_lost(), policy(&json!({}), "08:00:00", "11:54:50"));
    let told = changed.plan().reasoning;
    assert!(told.contains("was changed by kubectl 10s before the trouble began"), "{told}");
    assert!(told.contains("kubectl has to put back what it was before"), "{told}");
}

#[test]
fn a_policy_that_cannot_have_brought_the_trouble_is_not_named() {
    let long_ago = policy(&json!({}), "08:00:00", "11:20:00");
    let afterwards = policy(&json!({}), "11:56:00", "11:56:00");
    let of_others = policy(&json!({ "matchLabels": { "app": "pay" } }), "11:54:00", "11:54:00");
    let not_ours = json!([{ "key": "app", "operator": "NotIn", "values": ["cart"] }]);
    let of_the_rest = policy(&json!({ "matchExpressions": not_ours }), "11:54:00", "11:54:00");
    let mut open = policy(&json!({}), "11:54:00", "11:54:00");
    open.0["spec"]["ingress"] = json!([{}]);
    for innocent in [long_ago, afterwards, of_others, of_the_rest, open] {
        let world = with_policy(readiness_lost(), innocent);
        assert_eq!(line(&world.decide()), "hand over by playbook hand-over", "{:?}", world.evidence.policies);
    }
    // Nor for a trouble that no policy makes.
    let killed = with_policy(out_of_memory(), policy(&json!({}), "11:54:00", "11:54:00"));
    assert_eq!(line(&killed.decide()), "act SetResources as Approved");
}

#[test]
fn a_policy_that_cuts_off_what_the_workload_needs_is_named_too() {
    let labels = json!({ "app": "db" });
    let world = with(readiness_lost(), |world| {
        for pod in &mut world.evidence.pods {
            pod.0["spec"]["containers"][0]["env"] = json!([{ "name": "DB_HOST", "value": "db" }]);
        }
        world.evidence.services = vec![Document(json!({
            "kind": "Service", "metadata": { "name": "db", "namespace": "shop", "uid": "uid-db" },
            "spec": { "selector": labels },
        }))];
        let database = Document(json!({
            "kind": "Pod",
            "metadata": { "name": "db-0", "namespace": "shop", "uid": "uid-db-0", "labels": labels },
        }));
        change_all_pods(world, |pods| pods.push(database));
        world.evidence.policies = vec![policy(&json!({ "matchLabels": labels }), "11:54:00", "11:54:00")];
    });
    let told = world.plan().reasoning;
    assert!(told.contains("which selects the pods of Service db that it needs, was made"), "{told}");
}

#[test]
fn a_change_of_policy_after_the_revision_keeps_that_from_being_blamed_and_pods_from_being_replaced() {
    let undone = with_policy(crash_loop(), policy(&json!({}), "11:49:00", "11:49:00"));
    assert_eq!(line(&undone.decide()), "act RolloutUndo as Approved");
    let later = with_policy(crash_loop(), policy(&json!({}), "11:53:00", "11:53:00"));
    assert_eq!(line(&later.decide()), "hand over by playbook network-policy");

    let never_ready = json!({ "name": "app", "ready": false, "restartCount": 0, "state": { "running": {} } });
    let ordinal = with(stateful_set(), |world| {
        world.evidence.anomalies = vec![anomaly(Reason::Unavailable, "11:55:00")];
        world.pod("cart-1")["status"]["containerStatuses"] = json!([never_ready]);
        world.evidence.revisions.remove(0);
        world.evidence.revisions[0].0["metadata"]["creationTimestamp"] = json!(at("08:00:00"));
        world.seen_healthy("cart-bad");
    });
    assert_eq!(line(&ordinal.decide()), "act EvictPod as Approved");
    let cut_off = with_policy(ordinal, policy(&json!({}), "11:53:00", "11:53:00"));
    assert_eq!(line(&cut_off.decide()), "hand over by playbook network-policy");
}
