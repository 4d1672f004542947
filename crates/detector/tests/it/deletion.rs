//! What is being deleted for long, and what holds it.

use kubewise_core::Kind;

use crate::scene::*;

/// The grace, in seconds.
const GRACE: i64 = 300;

#[test]
fn a_namespace_that_does_not_go_is_told_with_what_its_controller_says_is_left() {
    let mut scene = Scene::new();
    scene.apply([going(namespace("shop"), scene.now, false)]);
    scene.pass(GRACE - 1);
    scene.nothing_noticed();
    scene.pass(1);
    assert_eq!(scene.reasons(), ["Terminating"]);
    assert_eq!(scene.incidents()[0].workload.to_string(), "Namespace shop");
    assert_eq!(
        scene.firing()[0].explanation,
        "namespace shop should be gone since 5m, and is still being deleted; held by: configmaps. has 1 resource instances"
    );
    scene.delete(&namespace("shop"));
    scene.pass(65);
    assert_eq!((scene.reasons(), scene.quiet()), (vec![], 1));
}

#[test]
fn a_pod_that_does_not_go_is_told_under_its_workload() {
    for (held, told) in [
        (true, "held by: finalizer example.com/cleanup"),
        (false, "no finalizer holds it, so its kubelet has not ended it"),
    ] {
        let mut scene = Scene::new();
        scene.apply(workload("cart", 1, 2));
        // The moment in a pod's deletion timestamp is the end of its own grace.
        scene.apply([going(pod("cart", 1, 0), at(30), held), pod("cart", 1, 2)]);
        scene.pass(30 + GRACE - 1);
        scene.nothing_noticed();
        assert_eq!(scene.healthy(), ["r1"], "an old pod that leaves keeps no revision from being healthy");
        scene.pass(1);
        assert_eq!(scene.reasons(), ["Terminating"]);
        assert_eq!(scene.incidents()[0].workload, reference(Kind::Deployment, "cart"));
        let text = &scene.firing()[0].explanation;
        assert!(text.starts_with("pod shop/cart-r1-0 ") && text.ends_with(told), "{text}");
    }
}

#[test]
fn what_a_node_that_is_down_or_a_namespace_that_goes_explains_is_not_told_again() {
    let mut scene = Scene::new();
    let away = node("n1", "Unknown").with("spec/unschedulable", true);
    scene.apply([away]);
    scene.apply(workload("cart", 1, 2));
    scene.apply([going(pod("cart", 1, 0), scene.now, false)]);
    scene.pass(GRACE + 60);
    scene.nothing_noticed();

    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 2));
    scene.apply([going(namespace("shop"), scene.now, false), going(pod("cart", 1, 0), scene.now, true)]);
    scene.pass(GRACE + 60);
    let ill: Vec<_> = scene.incidents().iter().map(|incident| incident.workload.to_string()).collect();
    assert_eq!(ill, ["Namespace shop"]);
}
