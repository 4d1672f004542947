//! What is normal is not noticed.

use serde_json::json;

use crate::scene::*;

#[test]
fn a_healthy_rollout() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 3));
    scene.pass(60);
    scene.apply([deployment("cart", 2, 3, 3)
        .with("status/updatedReplicas", 0)
        .with("status/observedGeneration", 1)]);
    for number in 0..3 {
        let left = 2 - number;
        scene.apply([replica_set("cart", 2, number + 1, number), replica_set("cart", 1, left, left)]);
        let pending = unready(pod("cart", 2, number)).with("status/phase", "Pending");
        scene.apply([waiting(pending, "ContainerCreating")]);
        scene.apply([deployment("cart", 2, 3, 2).with("status/updatedReplicas", number + 1)]);
        scene.pass(100);
        let old = pod("cart", 1, number);
        // The old container ends with an error, as programs do that do not heed SIGTERM.
        let ending = waiting(old.clone(), "CrashLoopBackOff");
        let now = scene.now;
        scene.apply([going(ending, now, false)]);
        scene.apply([pod("cart", 2, number)]);
        scene.pass(20);
        scene.delete(&old);
    }
    scene.apply([deployment("cart", 2, 3, 3), replica_set("cart", 2, 3, 3)]);
    scene.pass(3000);
    scene.nothing_noticed();
    assert_eq!(scene.healthy().first(), Some(&"r1"));
    assert_eq!(scene.healthy().last(), Some(&"r2"));
}

#[test]
fn a_scale_up_with_slow_starts() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 2));
    scene.pass(60);
    scene
        .apply([deployment("cart", 1, 6, 2).with("status/updatedReplicas", 6), replica_set("cart", 1, 6, 2)]);
    scene.apply((2..6).map(|number| unready(pod("cart", 1, number))));
    scene.pass(500);
    scene.apply(workload("cart", 1, 6));
    scene.pass(900);
    scene.nothing_noticed();
}

#[test]
fn one_restart_and_a_slow_start_after_it() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 2));
    scene.pass(60);
    scene.apply([restarted(pod("cart", 1, 0), 1, "Error", 1, scene.now), deployment("cart", 1, 2, 1)]);
    scene.pass(200);
    scene.apply(workload("cart", 1, 2));
    scene.pass(900);
    scene.nothing_noticed();
}

#[test]
fn restarts_by_success() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    for restarts in 1..6 {
        scene.pass(30);
        scene.apply([restarted(pod("cart", 1, 0), restarts, "Completed", 0, scene.now)]);
    }
    scene.nothing_noticed();
}

#[test]
fn completed_jobs_and_their_pods() {
    let mut scene = Scene::new();
    let ended = unready(pod_of(("Job", "nightly"), "nightly-x", "t")).with("status/phase", "Succeeded");
    scene.apply([job("nightly", "Complete"), ended]);
    let failed = unready(pod_of(("Job", "nightly"), "nightly-y", "t")).with("status/phase", "Failed");
    scene.apply([failed]);
    scene.pass(900);
    scene.nothing_noticed();
}

#[test]
fn a_pod_that_is_deleted_and_replaced() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    scene.pass(60);
    let old = pod("cart", 1, 0);
    scene.apply([unready(old.clone()).with("metadata/deletionTimestamp", at(0).to_string())]);
    scene.apply([unready(pod("cart", 1, 1)), deployment("cart", 1, 1, 0)]);
    scene.pass(30);
    scene.delete(&old);
    scene.pass(200);
    scene.apply([pod("cart", 1, 1), deployment("cart", 1, 1, 1)]);
    scene.pass(600);
    scene.nothing_noticed();
}

#[test]
fn a_drained_node() {
    let mut scene = Scene::new();
    scene.apply([node("n1", "True"), node("n2", "True")]);
    scene.apply(workload("cart", 1, 2));
    scene.pass(60);
    scene.apply([node("n1", "True").with("spec", json!({ "unschedulable": true }))]);
    for number in 0..2 {
        let old = pod("cart", 1, number);
        scene.apply([unready(old.clone()).with("metadata/deletionTimestamp", at(0).to_string())]);
        scene.apply([deployment("cart", 1, 2, 1), unready(pod("cart", 1, number + 2))]);
        scene.pass(40);
        scene.delete(&old);
        scene.apply([pod("cart", 1, number + 2), deployment("cart", 1, 2, 2)]);
    }
    scene.pass(900);
    scene.nothing_noticed();
}

#[test]
fn a_registry_that_hiccups() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    scene.apply([waiting(pod("cart", 1, 0), "ErrImagePull")]);
    scene.pass(12);
    scene.apply(workload("cart", 1, 1));
    scene.pass(100);
    scene.nothing_noticed();
}

#[test]
fn zero_replicas_that_somebody_meant() {
    let zero = || [deployment("cart", 1, 0, 0), replica_set("cart", 1, 0, 0)];
    // Never had any.
    let mut scene = Scene::new();
    scene.apply(zero());
    scene.pass(120);
    scene.nothing_noticed();
    // An autoscaler is there.
    scene.apply(workload("cart", 1, 2));
    scene.apply([autoscaler("cart")]);
    scene.apply(zero());
    scene.pass(120);
    scene.nothing_noticed();
}

#[test]
fn pods_of_a_set_that_is_scaled_away() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 2, 1));
    scene.apply([replica_set("cart", 1, 0, 0)]);
    scene.apply([waiting(pod("cart", 1, 9), "CrashLoopBackOff")]);
    scene.pass(60);
    scene.nothing_noticed();
}

#[test]
fn a_lost_node_is_one_incident_and_not_one_for_each_of_its_workloads() {
    let mut scene = Scene::new();
    scene.apply([node("n1", "True")]);
    scene.apply(workload("cart", 1, 2));
    scene.pass(60);
    scene.apply([node("n1", "Unknown")]);
    scene.apply((0..2).map(|number| unready(pod("cart", 1, number))));
    scene.apply([deployment("cart", 1, 2, 0)]);
    scene.pass(900);
    assert_eq!(scene.reasons(), ["NodeNotReady"]);
    assert_eq!(scene.incidents().len(), 1);
}

#[test]
fn a_node_in_maintenance_may_be_down_for_a_while() {
    let cordoned = |ready: &str| node("n1", ready).with("spec", json!({ "unschedulable": true }));
    let mut scene = Scene::new();
    scene.apply([node("n1", "True"), cordoned("True")]);
    scene.pass(60);
    scene.apply([cordoned("Unknown")]);
    scene.pass(29 * 60);
    scene.nothing_noticed();
    scene.apply([cordoned("True")]);
    scene.pass(600);
    scene.apply([node("n1", "True")]);
    scene.pass(600);
    scene.nothing_noticed();
}

#[test]
fn maintenance_that_does_not_end_and_a_node_that_was_cordoned_when_it_was_down_are_told() {
    let cordoned = |ready: &str| node("n1", ready).with("spec", json!({ "unschedulable": true }));
    let mut scene = Scene::new();
    scene.apply([cordoned("True")]);
    scene.pass(60);
    scene.apply([cordoned("False")]);
    scene.pass(31 * 60);
    assert_eq!(scene.reasons(), ["NodeNotReady"]);
    let text = &scene.firing()[0].explanation;
    assert!(text.contains("for longer than its maintenance may take"), "{text}");

    let mut scene = Scene::new();
    scene.apply([node("n1", "True")]);
    scene.pass(60);
    scene.apply([node("n1", "False")]);
    scene.pass(10);
    scene.apply([cordoned("False")]);
    scene.pass(30);
    assert_eq!(scene.reasons(), ["NodeNotReady"]);
    scene.pass(600);
    assert_eq!((scene.reasons(), scene.quiet()), (vec!["NodeNotReady"], 0), "a cordon cures nothing");
}
