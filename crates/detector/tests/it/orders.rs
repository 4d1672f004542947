//! What led up to trouble goes with it: known orders of Events, and unusually many of them.

use kubewise_core::Kind;
use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::event::EventRecord;
use kubewise_core::port::WatchItem;
use kubewise_core::{ObjectRef, Timestamp};

use crate::scene::*;

fn cart() -> Scene {
    let mut scene = Scene::new();
    scene.apply([node("n1", "True")]);
    scene.apply(workload("cart", 1, 1));
    scene.pass(120);
    scene
}

fn tell(scene: &mut Scene, object: ObjectRef, reason: &str, count: u32) {
    let record = event(object, reason, count, scene.now);
    scene.watch(WatchItem::Event(Box::new(record)));
    scene.pass(10);
}

fn of_pod(scene: &mut Scene, reason: &str) {
    tell(scene, reference(Kind::Pod, "cart-r1-0"), reason, 1);
}

fn only(scene: &Scene) -> AnomalyRecord {
    let firing = scene.firing();
    assert_eq!(firing.len(), 1, "{firing:#?}");
    firing[0].clone()
}

fn crash(scene: &mut Scene) -> String {
    scene.apply([waiting(pod("cart", 1, 0), "CrashLoopBackOff")]);
    only(scene).explanation
}

#[test]
fn a_probe_that_failed_before_the_kubelet_killed_and_backed_off_is_named() {
    let mut scene = cart();
    for reason in ["Unhealthy", "Killing", "BackOff"] {
        of_pod(&mut scene, reason);
    }
    let text = crash(&mut scene);
    assert!(
        text.contains(
            "; its probe failed, so the kubelet ended the container, again and again (Unhealthy at "
        ),
        "{text}"
    );
    assert!(text.contains(", then Killing at ") && text.contains(", then BackOff at "), "{text}");
    assert_eq!(scene.incidents()[0].summary, text, "the incident tells it");
    assert_eq!(only(&scene).events.len(), 3);
}

#[test]
fn the_same_events_in_another_order_tell_nothing() {
    let mut scene = cart();
    for reason in ["BackOff", "Killing", "Unhealthy"] {
        of_pod(&mut scene, reason);
    }
    let text = crash(&mut scene);
    assert!(!text.contains("probe"), "{text}");
}

#[test]
fn events_that_are_long_past_tell_nothing() {
    let mut scene = cart();
    of_pod(&mut scene, "Unhealthy");
    of_pod(&mut scene, "Killing");
    scene.pass(31 * 60);
    of_pod(&mut scene, "BackOff");
    let text = crash(&mut scene);
    assert!(!text.contains("probe"), "{text}");
}

#[test]
fn a_change_of_the_spec_explains_what_failed_after_it_and_not_what_failed_before() {
    let revise = |scene: &mut Scene| {
        scene.apply([deployment("cart", 2, 1, 1)]);
        scene.pass(10);
    };
    let mut scene = cart();
    revise(&mut scene);
    of_pod(&mut scene, "BackOff");
    let text = crash(&mut scene);
    assert!(text.contains("; it fails since its spec was changed (SpecChanged at "), "{text}");

    let mut scene = cart();
    of_pod(&mut scene, "BackOff");
    revise(&mut scene);
    tell(&mut scene, reference(Kind::Pod, "cart-r1-0"), "BackOff", 2);
    let text = crash(&mut scene);
    assert!(!text.contains("since its spec was changed"), "{text}");
}

#[test]
fn a_scale_up_explains_pods_without_a_node() {
    let mut scene = cart();
    scene.apply([deployment("cart", 1, 2, 1), replica_set("cart", 1, 2, 1)]);
    let lost = unready(pod("cart", 1, 1)).with("status/phase", "Pending").with(
        "status/conditions",
        serde_json::json!([{ "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available" }]),
    );
    scene.apply([lost]);
    scene.pass(2);
    tell(&mut scene, reference(Kind::Pod, "cart-r1-1"), "FailedScheduling", 1);
    scene.pass(60);
    let text = only(&scene).explanation;
    assert!(
        text.contains("; it was scaled up, and there is no node for the new pods (ScaledUp at "),
        "{text}"
    );
}

#[test]
fn the_pressure_of_a_node_explains_an_eviction_there() {
    let mut scene = cart();
    tell(&mut scene, ObjectRef::cluster_scoped(Kind::Node, "n1"), "EvictionThresholdMet", 1);
    of_pod(&mut scene, "Evicted");
    scene.apply([unready(pod("cart", 1, 0)), deployment("cart", 1, 1, 0)]);
    scene.pass(90);
    let text = only(&scene).explanation;
    assert!(text.contains("; its node ran short and evicted it (EvictionThresholdMet at "), "{text}");
}

#[test]
fn an_order_that_is_complete_only_later_is_told_then_and_stays() {
    let mut scene = cart();
    of_pod(&mut scene, "Unhealthy");
    of_pod(&mut scene, "Killing");
    assert!(!crash(&mut scene).contains("probe"));
    of_pod(&mut scene, "BackOff");
    scene.pass(60);
    assert!(only(&scene).explanation.contains("its probe failed"), "{}", only(&scene).explanation);
    scene.pass(3600);
    assert!(only(&scene).explanation.contains("its probe failed"), "{}", only(&scene).explanation);
}

/// Its own uid, so that it is another occurrence.
fn numbered(reason: &str, number: usize, seen: Timestamp) -> EventRecord {
    EventRecord {
        uid: format!("{reason}-{number}").as_str().into(),
        ..event(reference(Kind::Pod, "cart-r1-0"), reason, 1, seen)
    }
}

#[test]
fn unusually_many_warnings_go_with_an_anomaly_as_a_feature_and_usual_ones_do_not() {
    for usual in [false, true] {
        let mut scene = cart();
        for number in 0..200 {
            if usual {
                scene.watch(WatchItem::Event(Box::new(numbered("Slow", number, scene.now))));
            }
            scene.pass(90);
        }
        for number in 200..206 {
            scene.watch(WatchItem::Event(Box::new(numbered("Slow", number, scene.now))));
            scene.pass(90);
        }
        crash(&mut scene);
        let anomaly = only(&scene);
        let warnings = anomaly.features.iter().find(|feature| feature.name == "warning_events");
        assert_eq!(warnings.is_some(), !usual, "{anomaly:#?}");
        if let Some(warnings) = warnings {
            assert_eq!(warnings.value, 6.0);
            assert!(warnings.expected.unwrap() < 0.1, "{warnings:?}");
        }
    }
}
