//! Restarts as regular as a clock, each of which alone is nothing.

use kubewise_core::anomaly::{Reason, Severity};
use serde_json::Value;

use crate::scene::*;

/// Up and ready again, as between any two restarts.
fn up(pod: Value) -> Value {
    pod.with("status/conditions/0/status", "True").with("status/containerStatuses/0/ready", true)
}

/// A container that restarts after each of these minutes, and is well in between.
fn live(minutes: &[i64], exit_code: i64) -> Scene {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    for (number, wait) in minutes.iter().enumerate() {
        scene.pass(wait * 60 - 5);
        let ended = restarted(pod("cart", 1, 0), number as u32 + 1, "Error", exit_code, scene.now);
        scene.apply([ended.clone()]);
        scene.pass(5);
        scene.apply([up(ended)]);
    }
    scene
}

#[test]
fn the_fourth_of_regular_restarts_is_told_as_a_rhythm_and_is_over_when_one_fails_to_come() {
    let scene = live(&[60, 45, 44], 137);
    scene.nothing_noticed();
    let mut scene = live(&[60, 45, 44, 47], 137);
    assert_eq!(scene.reasons(), ["RestartRhythm"]);
    let anomaly = &scene.firing()[0];
    assert_eq!(anomaly.severity, Severity::Warning);
    assert_eq!(
        anomaly.explanation,
        "container app of pod shop/cart-r1-0 restarts by error about every 45m: 3 times in a row after 44m to 47m, last \
         with exit code 137 (Error) (so regular by chance in about 1 of 29)"
    );
    let feature = |name: &str| anomaly.features.iter().find(|feature| feature.name == name).unwrap().value;
    assert_eq!((feature("beats"), feature("interval_seconds")), (3.0, 2_700.0));
    assert!(feature("spread") < 0.1 && feature("chance") < 0.05);
    scene.pass(60 * 60);
    assert_eq!(scene.reasons(), ["RestartRhythm"], "the next is late, not missing");
    scene.pass(30 * 60);
    assert_eq!((scene.reasons(), scene.quiet()), (vec![], 1));
}

#[test]
fn each_further_beat_goes_on_with_the_same_incident() {
    let scene = live(&[60, 45, 44, 47, 45, 46, 44], 1);
    assert_eq!((scene.reasons(), scene.incidents().len()), (vec!["RestartRhythm"], 1));
    let beats = |name: &str| scene.firing()[0].features.iter().find(|one| one.name == name).unwrap().value;
    assert_eq!(beats("beats"), 6.0);
}

#[test]
fn restarts_at_random_and_such_as_end_in_success_have_no_rhythm() {
    live(&[60, 45, 190, 20, 75, 44], 1).nothing_noticed();
    live(&[60, 45, 44, 47, 45], 0).nothing_noticed();
}

#[test]
fn what_was_before_the_rhythm_does_not_hide_it() {
    let scene = live(&[60, 200, 12, 30, 31, 30], 1);
    assert_eq!(scene.firing()[0].reason, Reason::RestartRhythm);
    assert!(scene.firing()[0].explanation.contains("about every 30m: 3 times"), "{:?}", scene.firing());
}
