//! Revisions are told as healthy once they have proven it.

use serde_json::json;

use crate::scene::*;

#[test]
fn a_revision_is_healthy_after_thirty_seconds_and_told_again_each_hour() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 4, 2));
    scene.pass(29);
    assert!(scene.healthy().is_empty());
    scene.pass(2);
    assert_eq!(scene.healthy(), ["r4"]);
    scene.apply(workload("cart", 4, 2));
    scene.pass(3590);
    assert_eq!(scene.healthy(), ["r4"]);
    scene.pass(20);
    assert_eq!(scene.healthy(), ["r4", "r4"]);
}

#[test]
fn nothing_less_than_whole_is_healthy() {
    let cases = [
        deployment("cart", 2, 2, 1),
        deployment("cart", 2, 2, 2).with("status/observedGeneration", 1),
        deployment("cart", 2, 2, 2).with("status/updatedReplicas", 1),
        deployment("cart", 2, 2, 2).with("spec/paused", true),
        deployment("cart", 2, 0, 0),
        deployment("cart", 3, 2, 2), // its ReplicaSet is not known
    ];
    for case in cases {
        let mut scene = Scene::new();
        let mut all = workload("cart", 2, 1);
        all[0] = case.clone();
        scene.apply(all);
        scene.pass(300);
        assert!(scene.healthy().is_empty(), "{case}");
    }
}

#[test]
fn a_revision_is_not_healthy_by_the_pods_of_an_earlier_one() {
    let mut scene = Scene::new();
    let mut all = workload("cart", 2, 1);
    // One old pod, still available, and one new one that is not: the Deployment counts 1 of 1, and 1 updated.
    all[1] = all[1].clone().with("status/availableReplicas", 0);
    scene.apply(all);
    scene.pass(300);
    assert!(scene.healthy().is_empty());
}

#[test]
fn a_revision_that_restarts_by_error_is_not_healthy_between_two_crashes() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 2, 1));
    for restarts in 1..5 {
        scene.pass(20);
        scene.apply([restarted(pod("cart", 2, 0), restarts, "Error", 1, scene.now)]);
        scene.pass(2);
        scene.apply([pod("cart", 2, 0).with("status/containerStatuses/0/restartCount", restarts)]);
    }
    scene.pass(40);
    assert!(scene.healthy().is_empty());
}

#[test]
fn stateful_and_daemon_sets_are_told_by_the_name_of_their_revision() {
    let mut scene = Scene::new();
    scene.apply([stateful_set("db", 1, 1)]);
    let agent = stateful_set("agent", 1, 1).with("kind", "DaemonSet").with(
        "status",
        json!({ "observedGeneration": 1, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberReady": 1, "numberAvailable": 1 }),
    );
    scene.apply([agent, pod_of(("DaemonSet", "agent"), "agent-x", "7d9f")]);
    scene.pass(31);
    assert_eq!(scene.healthy(), ["db-r1", "agent-7d9f"]);
}
