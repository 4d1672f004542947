//! What grows towards its limit is told in time; what only moves is not.

use std::f64::consts::TAU;

use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::metric::MetricType;
use kubewise_core::unit::Unit;

use crate::scene::*;

const STEP: i64 = 30;

/// A wavering that is the same in each run.
fn noise(step: i64) -> f64 {
    let mixed =
        (step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

/// Lives with a memory share of `level(seconds)` for `hours`, or until the share is 1. When it was told first, in
/// seconds, and when it was full.
fn live(hours: i64, level: impl Fn(f64) -> f64) -> (Option<i64>, Option<i64>, Scene) {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    let start = scene.now;
    let since = |scene: &Scene| (scene.now - start).get_seconds();
    for step in 0..hours * 3600 / STEP {
        scene.pass(STEP);
        let value = level((step * STEP) as f64) + 0.01 * noise(step);
        if value >= 1.0 {
            let full = since(&scene);
            return (told(&scene).map(|one| (one.time - start).get_seconds()), Some(full), scene);
        }
        scene.sample(sample("cart-r1-0", MetricType::MemoryLimitRatio, Unit::Ratio, value));
    }
    let told = told(&scene).map(|one| (one.time - start).get_seconds());
    (told, None, scene)
}

fn told(scene: &Scene) -> Option<AnomalyRecord> {
    scene.anomalies().find(|one| one.reason.as_str() == "Exhaustion").cloned()
}

#[test]
fn a_leak_is_told_at_least_half_an_hour_before_the_end() {
    for hours in [1.5, 3.0, 8.0, 24.0, 60.0] {
        let (told, full, _) = live(72, |seconds| 0.35 + 0.65 * seconds / (hours * 3600.0));
        let (told, full) =
            (told.unwrap_or_else(|| panic!("a leak of {hours} h was not told")), full.unwrap());
        assert!(full - told >= 1800, "a leak of {hours} h was told {} s before its end", full - told);
        assert!(full - told <= 5 * 3600, "a leak of {hours} h was told {} s before its end", full - told);
    }
}

#[test]
fn a_leak_that_begins_after_days_of_waves_is_told_too() {
    let wave = |seconds: f64| 0.45 + 0.12 * (seconds / 86_400.0 * TAU).sin();
    let begins = 60.0 * 3600.0;
    let (told, full, scene) =
        live(96, |seconds| wave(seconds) + 0.1 * ((seconds - begins) / 3600.0).max(0.0));
    let (told, full) = (told.unwrap(), full.unwrap());
    assert!(told as f64 > begins && full - told >= 1800, "told at {told}, full at {full}");
    let anomaly = scene.firing().into_iter().find(|one| one.reason.as_str() == "Exhaustion").unwrap();
    assert!(
        anomaly.explanation.contains("without a plateau and is full in about"),
        "{}",
        anomaly.explanation
    );
    assert!(anomaly.features.iter().any(|feature| feature.name == "full_in_seconds"), "{anomaly:?}");
}

#[test]
fn what_only_moves_is_not_told() {
    let quiet: [(&str, &dyn Fn(f64) -> f64); 5] = [
        ("constant", &|_| 0.7),
        ("a daily wave", &|seconds| 0.55 + 0.25 * (seconds / 86_400.0 * TAU).sin()),
        ("a steep morning", &|seconds| if (seconds / 3600.0) % 24.0 < 8.0 { 0.4 } else { 0.75 }),
        ("a cache that fills", &|seconds| 0.2 + 0.6 * (1.0 - (-seconds / 7200.0).exp())),
        ("a new, higher level", &|seconds| if seconds < 30_000.0 { 0.5 } else { 0.85 }),
    ];
    for (name, level) in quiet {
        let (told, _, scene) = live(72, level);
        assert_eq!(told, None, "{name}: {:#?}", scene.firing());
    }
}

/// The first rise of a batch looks like a leak; from then on it is known.
#[test]
fn a_saw_of_batches_is_a_habit() {
    let (_, _, scene) = live(72, |seconds| 0.3 + 0.4 * (seconds / 3600.0).fract());
    let late = scene.anomalies().filter(|one| one.time > at(2 * 3600)).count();
    assert_eq!(late, 0, "{:#?}", scene.anomalies().last());
}

#[test]
fn it_is_over_when_the_growth_is() {
    let (told, _, mut scene) = live(4, |seconds| 0.35 + 0.6 * seconds / (4.0 * 3600.0));
    assert!(told.is_some());
    for _ in 0..240 {
        scene.pass(STEP);
        scene.sample(sample("cart-r1-0", MetricType::MemoryLimitRatio, Unit::Ratio, 0.5));
    }
    assert_eq!(scene.reasons(), [""; 0]);
}
