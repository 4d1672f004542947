//! Missing telemetry is a state of its own; samples stand in for a broken watch.

use kubewise_core::Kind;
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::port::WatchItem;
use kubewise_core::unit::Unit;
use kubewise_detector::Observation;

use crate::scene::*;

#[test]
fn nothing_resolves_while_its_watch_is_broken() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    scene.apply([waiting(pod("cart", 1, 0), "CrashLoopBackOff")]);
    scene.interrupt(Kind::Pod);
    // The last that came through before the cut says that all is well; the cut is told after it.
    scene.apply(workload("cart", 1, 1));
    scene.interrupt(Kind::Pod);
    scene.pass(1800);
    assert_eq!((scene.reasons(), scene.quiet()), (vec!["CrashLoopBackOff"], 0));
    assert_eq!(scene.detector.stats().missing, ["watch Pod"]);
    scene.watch(WatchItem::Synced(Kind::Pod));
    scene.pass(59);
    assert_eq!(scene.quiet(), 0);
    scene.pass(5);
    assert_eq!((scene.reasons(), scene.quiet()), (vec![], 1));
}

#[test]
fn a_silent_source_is_a_state_and_no_incident() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    let query = |name: &str, answered| Observation::Query { name: name.into(), answered };
    scene.see(&query("never", false));
    for _ in 0..4 {
        scene.see(&query("restarts", true));
        scene.pass(15);
    }
    assert!(scene.detector.stats().missing.is_empty());
    for _ in 0..40 {
        scene.see(&query("restarts", false));
        scene.pass(15);
    }
    assert_eq!(scene.detector.stats().missing, ["query restarts"]);
    scene.nothing_noticed();
    scene.see(&query("restarts", true));
    scene.pass(1);
    assert!(scene.detector.stats().missing.is_empty());
}

fn detailed(metric_type: MetricType, detail: &str, value: f64) -> NormalizedMetric {
    let sample = sample("cart-r1-0", metric_type, Unit::Count, value);
    NormalizedMetric { detail: Some(detail.into()), ..sample }
}

fn of(kind: Kind, name: &str, sample: NormalizedMetric) -> NormalizedMetric {
    let mut object = reference(kind, name);
    if object.kind == Kind::Node {
        object.namespace = None;
    }
    NormalizedMetric { object, container: None, ..sample }
}

/// The samples, told every 15 s for `seconds`, make the reason fire: with a watch that is broken, and with one
/// that is silent.
fn check(samples: &[NormalizedMetric], seconds: i64, reasons: &[&str]) {
    for broken in [true, false] {
        let mut scene = Scene::new();
        scene.apply([node("n1", "True"), stateful_set("db", 3, 3)]);
        scene.apply(workload("cart", 1, 1));
        scene.pass(60);
        for kind in KINDS.into_iter().filter(|_| broken) {
            scene.interrupt(kind);
        }
        for _ in 0..seconds / 15 {
            for sample in samples {
                scene.sample(sample.clone());
            }
            scene.pass(15);
        }
        assert_eq!(scene.reasons(), reasons, "broken: {broken}");
    }
}

#[test]
fn samples_show_the_same_failures_as_the_watch() {
    check(&[detailed(MetricType::Waiting, "CrashLoopBackOff", 1.0)], 15, &["CrashLoopBackOff"]);
    check(&[detailed(MetricType::Waiting, "ImagePullBackOff", 1.0)], 45, &["ImagePullBackOff"]);
    check(&[detailed(MetricType::Waiting, "ContainerCreating", 1.0)], 45, &[]);
    let killed = detailed(MetricType::Terminated, "OOMKilled", 1.0);
    check(&[killed.clone(), detailed(MetricType::Restarts, "", 1.0)], 15, &["OOMKilled"]);
    check(&[killed], 45, &[]);
    check(&[detailed(MetricType::Restarts, "", 2.0)], 15, &["CrashLoopBackOff"]);
    check(&[detailed(MetricType::Restarts, "", 1.0)], 45, &[]);
    let ready = detailed(MetricType::NodeCondition, "Ready", 0.0);
    check(&[of(Kind::Node, "n1", ready)], 45, &["NodeNotReady"]);
    let zero = detailed(MetricType::ReplicasDesired, "", 0.0);
    check(&[of(Kind::StatefulSet, "db", zero)], 45, &["ScaledToZero"]);
    let few = detailed(MetricType::ReplicasAvailable, "", 1.0);
    check(&[of(Kind::StatefulSet, "db", few)], 630, &["Unavailable"]);
}

#[test]
fn the_watch_knows_better_than_a_sample_that_is_behind() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    scene.sample(detailed(MetricType::Waiting, "CrashLoopBackOff", 1.0));
    scene.nothing_noticed();
}

#[test]
fn waiting_ends_with_its_series_unless_the_source_is_silent() {
    for answered in [true, false] {
        let mut scene = Scene::new();
        scene.apply(workload("cart", 1, 1));
        scene.pass(60);
        scene.see(&Observation::Query { name: "waiting".into(), answered: true });
        scene.sample(detailed(MetricType::Waiting, "CrashLoopBackOff", 1.0));
        scene.see(&Observation::Query { name: "waiting".into(), answered });
        scene.pass(115);
        assert_eq!(scene.reasons(), ["CrashLoopBackOff"]);
        scene.pass(70);
        assert_eq!(scene.quiet(), usize::from(answered));
    }
}

#[test]
fn samples_of_unknown_objects_are_counted_and_not_learnt() {
    let mut scene = Scene::new();
    scene.sample(sample("nobody", MetricType::CpuUsage, Unit::Cores, 1.0));
    scene.sample(detailed(MetricType::Waiting, "CrashLoopBackOff", 1.0));
    let stats = scene.detector.stats();
    assert_eq!((stats.unidentified, stats.series), (2, 0));
    scene.nothing_noticed();
}
