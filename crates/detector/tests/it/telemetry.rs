//! Missing telemetry is a state of its own; samples stand in for a broken watch.

use jiff::SignedDuration;
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

/// A scene with a series of CPU that was learnt for a while, at one sample in 30 s.
fn learnt(points: usize) -> Scene {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    live(&mut scene, points, 0.2);
    scene
}

fn live(scene: &mut Scene, points: usize, cores: f64) {
    for point in 0..points {
        scene.pass(30);
        let value = cores + 0.01 * (point * 7 % 13) as f64;
        scene.sample(sample("cart-r1-0", MetricType::CpuUsage, Unit::Cores, value));
    }
}

#[test]
fn samples_from_the_future_and_from_long_ago_are_counted_and_put_nothing_out_of_step() {
    let mut scene = learnt(300);
    let before = scene.detector.stats();
    for seconds in [31, 3_600, 86_400, -601, -86_400] {
        let time = scene.now + SignedDuration::from_secs(seconds);
        let strange =
            NormalizedMetric { time, ..sample("cart-r1-0", MetricType::CpuUsage, Unit::Cores, 9.0) };
        scene.see(&Observation::Metric(strange));
        let waits = NormalizedMetric { time, ..detailed(MetricType::Waiting, "CrashLoopBackOff", 1.0) };
        scene.see(&Observation::Metric(waits));
    }
    let stats = scene.detector.stats();
    assert_eq!((stats.misdated - before.misdated, stats.ignored), (10, before.ignored));
    live(&mut scene, 10, 0.2);
    assert_eq!(scene.detector.stats().ignored, before.ignored, "what comes in time is learnt");
    scene.nothing_noticed();
}

#[test]
fn a_sample_that_is_a_little_ahead_or_behind_is_learnt() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    for seconds in [-500, 30] {
        let time = scene.now + SignedDuration::from_secs(seconds);
        let one = NormalizedMetric { time, ..sample("cart-r1-0", MetricType::CpuUsage, Unit::Cores, 0.2) };
        scene.see(&Observation::Metric(one));
    }
    let stats = scene.detector.stats();
    assert_eq!((stats.misdated, stats.ignored, stats.series), (0, 0, 1));
}

/// Twice, older than the last, and no number: each is counted once and changes nothing that follows.
#[test]
fn duplicates_old_samples_and_what_is_no_number_change_nothing_that_follows() {
    let mut plain = learnt(600);
    let mut marred = learnt(600);
    for value in [0.9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for (metric_type, unit) in
            [(MetricType::CpuUsage, Unit::Cores), (MetricType::MemoryLimitRatio, Unit::Ratio)]
        {
            marred.sample(sample("cart-r1-0", metric_type.clone(), unit, 0.5));
            plain.sample(sample("cart-r1-0", metric_type.clone(), unit, 0.5));
            marred.sample(sample("cart-r1-0", metric_type.clone(), unit, value));
            let time = marred.now - SignedDuration::from_secs(60);
            let old = NormalizedMetric { time, ..sample("cart-r1-0", metric_type, unit, value) };
            marred.see(&Observation::Metric(old));
        }
    }
    assert!(marred.detector.stats().ignored > plain.detector.stats().ignored);
    for scene in [&mut plain, &mut marred] {
        live(scene, 40, 0.9);
    }
    assert_eq!(plain.said, marred.said);
    assert!(!plain.said.is_empty());
}

#[test]
fn when_the_clock_is_put_back_all_goes_on_from_there() {
    let mut scene = learnt(3_000);
    scene.apply([waiting(pod("cart", 1, 0), "CrashLoopBackOff")]);
    scene.now -= SignedDuration::from_hours(3);
    // What fires is looked at again at once, not in three hours.
    scene.apply(workload("cart", 1, 1));
    scene.pass(70);
    assert_eq!((scene.reasons(), scene.quiet()), (vec![], 1));
    // So are the samples; what was learnt is not lost.
    live(&mut scene, 5, 0.2);
    let stats = scene.detector.stats();
    assert_eq!((stats.ignored, stats.begun_anew, stats.series), (0, 1, 1));
    live(&mut scene, 20, 0.9);
    assert_eq!(scene.reasons(), ["Deviation"]);
}

#[test]
fn a_metric_that_changes_its_unit_begins_anew_and_is_counted() {
    let mut scene = learnt(3_000);
    for _ in 0..40 {
        scene.pass(30);
        scene.sample(sample("cart-r1-0", MetricType::CpuUsage, Unit::Ratio, 0.9));
    }
    let stats = scene.detector.stats();
    assert_eq!((stats.begun_anew, stats.series), (1, 1));
    scene.nothing_noticed();
}

#[test]
fn a_metric_that_vanishes_while_others_come_is_missing_until_it_is_back() {
    let mut scene = learnt(300);
    let other = |scene: &mut Scene, minutes: usize| {
        for _ in 0..minutes {
            scene.pass(60);
            scene.sample(sample("cart-r1-0", MetricType::CpuThrottling, Unit::Ratio, 0.1));
        }
    };
    other(&mut scene, 14);
    assert!(scene.detector.stats().missing.is_empty());
    other(&mut scene, 4);
    assert_eq!(scene.detector.stats().missing, ["metric cpu_usage"]);
    scene.nothing_noticed();
    live(&mut scene, 3, 0.2);
    scene.pass(61);
    assert!(scene.detector.stats().missing.is_empty());
    // With the last pod that had it, it is not missed.
    scene.delete(&pod("cart", 1, 0));
    scene.pass(3_600);
    assert!(scene.detector.stats().missing.is_empty());
}

#[test]
fn a_deviation_of_a_metric_that_vanishes_is_not_well_for_that() {
    let mut scene = learnt(3_000);
    live(&mut scene, 20, 0.9);
    assert_eq!(scene.reasons(), ["Deviation"]);
    scene.pass(8 * 3_600);
    assert_eq!(scene.reasons(), ["Deviation"], "nothing is healthy because nothing is measured");
    live(&mut scene, 12, 0.2);
    scene.pass(61);
    assert_eq!(scene.reasons(), [""; 0]);
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
