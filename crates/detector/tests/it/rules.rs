//! Every rule fires within its time, names the incident, and resolves.

use kubewise_core::Kind;
use kubewise_core::anomaly::{AnomalyRecord, Reason};
use kubewise_core::port::WatchItem;
use kubewise_detector::{Change, leading};
use serde_json::{Value, json};

use crate::scene::*;

/// Two scrape intervals of 15 s and 30 s: the promise for hard faults.
const SOON: i64 = 60;

/// `trouble` makes `reason` fire within `within` seconds and not before `grace`; after `cure` it resolves, and the
/// incident is quiet.
fn check(reason: &str, before: Vec<Value>, trouble: Vec<Value>, cure: Vec<Value>, grace: i64, within: i64) {
    let mut scene = Scene::new();
    scene.apply(before);
    scene.pass(120);
    scene.nothing_noticed();
    scene.apply(trouble.clone());
    scene.pass(grace);
    if grace > 0 {
        scene.nothing_noticed();
    }
    scene.apply(trouble); // the same news again changes nothing
    scene.pass(within - grace);
    assert_eq!(scene.reasons(), [reason]);
    assert_eq!(scene.incidents().len(), 1);
    let incident = scene.incidents()[0];
    assert_eq!(incident.reason.as_str(), reason);
    let anomaly = &scene.firing()[0];
    assert_eq!(anomaly.incident.as_ref(), Some(&incident.id));
    assert_eq!(anomaly.workload, incident.workload);
    assert_eq!(scene.quiet(), 0);
    scene.apply(cure);
    scene.pass(50);
    assert_eq!(scene.reasons(), [reason], "it resolved before it had settled");
    scene.pass(15);
    assert_eq!((scene.reasons(), scene.quiet()), (vec![], 1));
}

#[test]
fn an_image_that_cannot_be_pulled() {
    for reason in ["ErrImagePull", "ImagePullBackOff"] {
        let trouble = vec![waiting(pod("cart", 1, 0), reason)];
        check("ImagePullBackOff", workload("cart", 1, 1), trouble, workload("cart", 1, 1), 15, SOON);
    }
    let trouble = vec![waiting(pod("cart", 1, 0), "InvalidImageName")];
    check("ImagePullBackOff", workload("cart", 1, 1), trouble, workload("cart", 1, 1), 0, 0);
}

#[test]
fn a_missing_configmap() {
    let trouble = vec![waiting(pod("cart", 1, 0), "CreateContainerConfigError")];
    check("CreateContainerConfigError", workload("cart", 1, 1), trouble, workload("cart", 1, 1), 10, SOON);
}

#[test]
fn a_crash_loop_as_the_kubelet_tells_it() {
    let trouble = vec![waiting(pod("cart", 1, 0), "CrashLoopBackOff")];
    check("CrashLoopBackOff", workload("cart", 1, 1), trouble, workload("cart", 1, 1), 0, 0);
}

#[test]
fn a_pod_without_a_node() {
    let lost = unready(pod("cart", 1, 1)).with("status/phase", "Pending").with(
        "status/conditions",
        json!([{ "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available" }]),
    );
    let cure = vec![pod("cart", 1, 1)];
    check("FailedScheduling", workload("cart", 1, 1), vec![lost], cure, 40, SOON);
}

#[test]
fn a_rollout_past_its_deadline() {
    let stuck = json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }]);
    let trouble = vec![deployment("cart", 1, 2, 2).with("status/conditions", stuck)];
    check("ProgressDeadlineExceeded", workload("cart", 1, 2), trouble, workload("cart", 1, 2), 0, 0);
}

#[test]
fn pods_that_cannot_be_created() {
    let failure = json!([{ "type": "ReplicaFailure", "status": "True", "message": "exceeded quota" }]);
    let trouble = vec![replica_set("cart", 1, 2, 1).with("status/conditions", failure)];
    check("FailedCreate", workload("cart", 1, 2), trouble, workload("cart", 1, 2), 10, SOON);
}

#[test]
fn readiness_that_was_lost() {
    let trouble = vec![unready(pod("cart", 1, 0)), deployment("cart", 1, 2, 1)];
    check("Unavailable", workload("cart", 1, 2), trouble, workload("cart", 1, 2), 55, SOON);
}

#[test]
fn replicas_that_never_come() {
    let trouble = vec![stateful_set("db", 3, 2)];
    check("Unavailable", vec![stateful_set("db", 3, 3)], trouble, vec![stateful_set("db", 3, 3)], 590, 610);
}

#[test]
fn a_scale_to_zero_without_an_autoscaler() {
    let trouble = vec![deployment("cart", 1, 0, 0), replica_set("cart", 1, 0, 0)];
    check("ScaledToZero", workload("cart", 1, 3), trouble, workload("cart", 1, 3), 25, SOON);
}

#[test]
fn the_replicas_before_are_what_a_scale_to_zero_expected() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 3));
    scene.apply([deployment("cart", 1, 0, 0)]);
    scene.pass(31);
    assert_eq!(scene.firing()[0].features[0].expected, Some(3.0));
}

#[test]
fn a_node_that_is_not_ready() {
    for status in ["False", "Unknown"] {
        check(
            "NodeNotReady",
            vec![node("n1", "True")],
            vec![node("n1", status)],
            vec![node("n1", "True")],
            25,
            SOON,
        );
    }
}

/// Pod `number` of revision 2, made `made` seconds after the start, which the kubelet has evicted.
fn evicted(number: u32, made: i64) -> Value {
    pod("cart", 2, number)
        .with("metadata/creationTimestamp", at(made).to_string())
        .with("status/phase", "Failed")
        .with("status/reason", "Evicted")
        .with("status/message", "Usage of EmptyDir volume \"scratch\" exceeds the limit \"8Mi\".")
}

#[test]
fn pods_that_are_evicted_soon_after_they_were_made() {
    let lost = |made: &[i64]| -> Vec<Value> {
        let pods = (0..).zip(made).map(|(number, made)| evicted(number, *made));
        pods.chain([replica_set("cart", 2, 1, 0)]).collect()
    };
    let healthy = || workload("cart", 1, 2);
    let gone = vec![replica_set("cart", 2, 0, 0)];
    check("Evicted", healthy(), lost(&[80, 100, 120]), gone, 0, SOON);
    let mut scene = Scene::new();
    scene.apply(healthy());
    scene.pass(120);
    scene.apply(lost(&[80, 100, 120]));
    scene.pass(5);
    let told = &scene.firing()[0].explanation;
    assert!(
        told.contains("has lost 3 pods") && told.contains("(Evicted): Usage of EmptyDir volume"),
        "{told}"
    );

    let pressed = node("n1", "True").with(
        "status/conditions",
        json!([{ "type": "Ready", "status": "True" }, { "type": "DiskPressure", "status": "True" }]),
    );
    for (made, besides) in [
        (&[80, 100][..], Vec::new()),     // two may be chance
        (&[-900, -800, 100], Vec::new()), // those that ran for long before are another kind
        (&[80, 100, 120], vec![pressed]), // the node evicts
    ] {
        let mut scene = Scene::new();
        scene.apply(healthy());
        scene.pass(120);
        scene.apply(besides);
        scene.apply(lost(made));
        scene.pass(20);
        scene.nothing_noticed();
    }
}

#[test]
fn a_node_under_pressure() {
    let of = |kind: &str, status: &str| {
        node("n1", "True").with(
            "status/conditions",
            json!([
                { "type": "Ready", "status": "True", "reason": "KubeletReady" },
                { "type": kind, "status": status, "reason": "KubeletHas", "message": "kubelet" },
            ]),
        )
    };
    for kind in ["DiskPressure", "MemoryPressure", "PIDPressure"] {
        check(
            "NodePressure",
            vec![of(kind, "False")],
            vec![of(kind, "True")],
            vec![of(kind, "False")],
            25,
            SOON,
        );
    }
}

#[test]
fn a_job_that_gave_up() {
    check(
        "BackoffLimitExceeded",
        vec![],
        vec![job("nightly", "Failed")],
        vec![job("nightly", "Complete")],
        0,
        0,
    );
}

#[test]
fn two_restarts_by_error_are_a_loop_that_lasts_for_twice_its_interval() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    for restarts in 1..=2 {
        scene.pass(50);
        scene.apply([restarted(pod("cart", 1, 0), restarts, "Error", 1, scene.now)]);
        if restarts == 1 {
            scene.nothing_noticed();
        }
    }
    assert_eq!(scene.reasons(), ["CrashLoopBackOff"]);
    assert_eq!(
        scene.firing()[0].explanation,
        "container app of pod shop/cart-r1-0 restarted 2 times in 50s, exit code 1; last ready 50s ago"
    );
    // Ready again, as between any two crashes.
    let up = restarted(pod("cart", 1, 0), 2, "Error", 1, scene.now)
        .with("status/conditions/0/status", "True")
        .with("status/containerStatuses/0/ready", true);
    scene.apply([up]);
    scene.pass(60 + 95);
    assert_eq!(scene.reasons(), ["CrashLoopBackOff"]);
    scene.pass(10);
    assert_eq!((scene.reasons(), scene.quiet()), (vec![], 1));
}

#[test]
fn an_oom_kill_fires_at_once_and_names_the_incident_though_a_loop_follows() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    scene.pass(60);
    let killed = restarted(pod("cart", 1, 0), 1, "OOMKilled", 137, scene.now);
    scene.apply([killed.clone()]);
    assert_eq!(scene.reasons(), ["OOMKilled"]);
    scene.pass(5);
    scene.apply([waiting(killed, "CrashLoopBackOff")]);
    assert_eq!(scene.reasons(), ["CrashLoopBackOff", "OOMKilled"]);
    assert_eq!(scene.incidents().len(), 1);
    assert_eq!(leading(&scene.firing()).unwrap().reason, Reason::OomKilled);
    assert!(scene.said.iter().any(|change| matches!(change, Change::IncidentJoined { .. })));
    let text = &scene.firing()[0].explanation;
    assert!(text.contains("was killed at its memory limit of 64Mi"), "{text}");
}

#[test]
fn a_crash_loop_that_came_first_gives_way_to_the_kill_behind_it() {
    let mut anomalies: Vec<AnomalyRecord> = Vec::new();
    assert_eq!(leading(&anomalies), None);
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    scene.apply([waiting(pod("cart", 1, 0), "CrashLoopBackOff")]);
    scene.pass(5);
    scene.apply([waiting(restarted(pod("cart", 1, 0), 1, "OOMKilled", 137, scene.now), "CrashLoopBackOff")]);
    anomalies.extend(scene.firing());
    assert_eq!(leading(&anomalies).unwrap().reason, Reason::OomKilled);
}

#[test]
fn pods_of_one_workload_share_an_anomaly_and_others_do_not() {
    let mut scene = Scene::new();
    for name in ["cart", "pay"] {
        scene.apply(workload(name, 1, 2));
        scene.apply((0..2).map(|number| waiting(pod(name, 1, number), "CrashLoopBackOff")));
    }
    scene.pass(31);
    assert_eq!(scene.incidents().len(), 2);
    assert_eq!(scene.reasons(), ["CrashLoopBackOff", "CrashLoopBackOff"]);
    assert!(
        scene.firing().iter().all(|one| one.explanation.ends_with("; 1 more pod alike")),
        "{:?}",
        scene.firing()
    );
}

#[test]
fn events_go_with_the_anomalies_of_their_workload() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    let failed = |count, now| {
        WatchItem::Event(Box::new(event(reference(Kind::Pod, "cart-r1-0"), "BackOff", count, now)))
    };
    for count in [1, 1, 2] {
        scene.watch(failed(count, scene.now)); // the second time as after a relist
    }
    let told: Vec<_> = scene.said.iter().filter(|change| matches!(change, Change::Event(_))).collect();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|change| matches!(
        change,
        Change::Event(event) if event.workload == Some(reference(Kind::Deployment, "cart"))
    )));
    scene.apply([waiting(pod("cart", 1, 0), "CrashLoopBackOff")]);
    assert_eq!(scene.firing()[0].events.len(), 2);
    scene.watch(failed(3, scene.now));
    assert_eq!(scene.firing()[0].events.len(), 3);
}

#[test]
fn an_event_tells_that_a_stateful_set_cannot_create_pods() {
    let mut scene = Scene::new();
    scene.apply([stateful_set("db", 3, 2)]);
    let record = event(reference(Kind::StatefulSet, "db"), "FailedCreate", 1, scene.now);
    scene.watch(WatchItem::Event(Box::new(record)));
    scene.pass(20);
    assert_eq!(scene.reasons(), ["FailedCreate"]);
}

#[test]
fn a_pod_that_nobody_owns_is_its_own_workload() {
    let mut scene = Scene::new();
    let bare = pod("cart", 1, 0).with("metadata/ownerReferences", json!([]));
    scene.apply([waiting(bare, "CrashLoopBackOff")]);
    scene.pass(120);
    let workloads: Vec<_> = scene.incidents().iter().map(|incident| incident.workload.clone()).collect();
    assert_eq!(workloads, [reference(Kind::Pod, "cart-r1-0")]);
}

#[test]
fn owners_that_own_each_other_hold_nothing_up_and_are_one_incident() {
    let owned_by = |name: &str| json!([{ "kind": "ReplicaSet", "name": name, "uid": format!("ReplicaSet-{name}"), "controller": true }]);
    let mut scene = Scene::new();
    scene.apply([
        replica_set("a", 1, 2, 0).with("metadata/ownerReferences", owned_by("b-r1")),
        replica_set("b", 1, 2, 0).with("metadata/ownerReferences", owned_by("a-r1")),
    ]);
    scene.apply((0..2).map(|number| waiting(pod("a", 1, number), "CrashLoopBackOff")));
    scene.pass(120);
    assert!(scene.reasons().contains(&"CrashLoopBackOff"), "{:?}", scene.reasons());
    assert_eq!(scene.incidents().len(), 1, "{:#?}", scene.incidents());
}
