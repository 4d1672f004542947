//! After a restart of KubeWise the same incident goes on.

use kubewise_core::Kind;
use kubewise_core::port::WatchItem;
use kubewise_detector::{Detector, Options};
use serde_json::Value;

use crate::scene::*;

/// A scene whose detector took up what `before` left open; nothing is listed yet.
fn restarted_scene(before: &Scene) -> Scene {
    let mut detector = Detector::new(Options::default());
    let open = before.incidents().into_iter().cloned().collect();
    detector.restore(before.firing(), open);
    Scene::of(detector, before.now)
}

fn list(scene: &mut Scene, documents: Vec<Value>) {
    scene.apply(documents);
    for kind in KINDS {
        scene.watch(WatchItem::Synced(kind));
    }
}

fn check(before: Vec<Value>, trouble: &[Value], wait: i64) {
    let mut first = Scene::new();
    first.apply(before);
    first.apply(trouble.to_vec());
    first.pass(wait);
    assert_eq!(first.incidents().len(), 1);

    let mut second = restarted_scene(&first);
    second.pass(300);
    assert_eq!(second.said, [], "nothing may be concluded before anything is seen");
    list(&mut second, trouble.to_vec());
    second.pass(300);
    assert!(second.incidents().is_empty(), "a second incident for the same trouble");
    assert_eq!((second.quiet(), second.detector.stats().open_incidents), (0, 1));

    let mut third = restarted_scene(&first);
    // What a listing has told so far, cut or not, says nothing about what it has not told yet.
    third.interrupt(Kind::Pod);
    third.apply(workload("other", 1, 1));
    third.apply([stateful_set("other", 1, 1), node("n9", "True")]);
    third.pass(300);
    assert_eq!(third.quiet(), 0, "resolved before everything was listed");
    list(&mut third, vec![]);
    third.pass(59);
    assert_eq!(third.quiet(), 0);
    third.pass(5);
    assert_eq!((third.quiet(), third.reasons()), (1, vec![]));
}

#[test]
fn the_same_trouble_goes_on_and_ends_when_it_is_gone() {
    let with = |trouble: Value| {
        let mut all = workload("cart", 1, 2);
        all[2] = trouble;
        all
    };
    check(workload("cart", 1, 2), &with(waiting(pod("cart", 1, 0), "CrashLoopBackOff")), 5);
    check(workload("cart", 1, 2), &with(waiting(pod("cart", 1, 0), "ErrImagePull")), 30);
    check(workload("cart", 1, 2), &[deployment("cart", 1, 0, 0), replica_set("cart", 1, 0, 0)], 60);
    check(vec![stateful_set("db", 3, 3)], &[stateful_set("db", 3, 2)], 650);
    check(vec![node("n1", "True")], &[node("n1", "False")], 60);
}

#[test]
fn an_incident_whose_anomalies_had_resolved_becomes_quiet() {
    let mut first = Scene::new();
    first.apply([waiting(pod("cart", 1, 0), "CrashLoopBackOff")]);
    first.apply(workload("cart", 1, 1).into_iter().take(2));
    let incidents: Vec<_> = first.incidents().into_iter().cloned().collect();
    assert_eq!(incidents.len(), 1);
    let mut detector = Detector::new(Options::default());
    detector.restore(vec![], incidents);
    let mut second = Scene::of(detector, first.now);
    second.pass(100);
    assert_eq!(second.quiet(), 0);
    list(&mut second, workload("cart", 1, 1));
    second.pass(70);
    assert_eq!(second.quiet(), 1);
}
