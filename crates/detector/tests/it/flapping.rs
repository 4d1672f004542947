//! A node that comes and goes: each time it is back within its grace.

use crate::scene::*;

/// It falls after each of these times, in seconds, and comes back ten seconds later.
fn live(times: &[i64]) -> Scene {
    let mut scene = Scene::new();
    scene.apply([node("n1", "True"), node("n2", "True")]);
    for time in times {
        scene.pass(time - 10);
        scene.apply([node("n1", "Unknown")]);
        scene.pass(10);
        scene.apply([node("n1", "True")]);
    }
    scene
}

#[test]
fn the_third_fall_within_the_window_is_told_though_each_was_within_the_grace() {
    let scene = live(&[60, 60]);
    scene.nothing_noticed();
    let mut scene = live(&[60, 60, 120]);
    assert_eq!(scene.reasons(), ["NodeFlapping"]);
    assert_eq!(scene.incidents()[0].workload.to_string(), "Node n1");
    assert_eq!(
        scene.firing()[0].explanation,
        "node n1 stopped being ready 3 times within 3m, and came back in between"
    );
    scene.pass(15 * 60);
    assert_eq!((scene.reasons(), scene.quiet()), (vec![], 1), "it is over when it stayed");
}

#[test]
fn seldom_falls_and_those_of_a_cordoned_node_are_no_flapping() {
    live(&[60, 600, 600, 600]).nothing_noticed();
    let mut scene = Scene::new();
    let maintained = |ready| node("n1", ready).with("spec/unschedulable", true);
    for _ in 0..5 {
        scene.apply([maintained("True")]);
        scene.pass(60);
        scene.apply([maintained("Unknown")]);
        scene.pass(20);
    }
    scene.nothing_noticed();
}

#[test]
fn a_node_that_was_never_seen_ready_has_not_fallen() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.apply([node("n1", "Unknown")]);
        scene.pass(5);
    }
    scene.apply([node("n1", "True")]);
    scene.pass(60);
    scene.nothing_noticed();
}
