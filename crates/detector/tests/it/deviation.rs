//! The robust z: what it finds, and how rarely it is wrong.

use jiff::SignedDuration;
use kubewise_core::metric::MetricType;
use kubewise_core::unit::Unit;
use kubewise_detector::{BoundOptions, Detector, Options};

use crate::scene::*;

/// Pseudo-random numbers in 0..1; the same each time.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(1_u32 << 31)
    }

    /// About normal, with mean 0 and deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// `points` samples of throttling, 30 s apart, around `level`.
fn play(scene: &mut Scene, pod: &str, points: usize, noise: &mut Noise, level: f64) {
    for _ in 0..points {
        scene.now += SignedDuration::from_secs(30);
        let value = (level + 0.02 * noise.normal()).max(0.0);
        scene.sample(sample(pod, MetricType::CpuThrottling, Unit::Ratio, value));
        scene.said.extend(scene.detector.tick(scene.now));
    }
}

#[test]
fn a_level_that_is_left_is_told_and_resolves_when_it_is_back() {
    let (mut scene, mut noise) = (Scene::new(), Noise(7));
    scene.apply(workload("cart", 1, 1));
    play(&mut scene, "cart-r1-0", 3000, &mut noise, 0.1);
    scene.nothing_noticed();
    // A burst shorter than the hysteresis is none of our business.
    play(&mut scene, "cart-r1-0", 4, &mut noise, 0.9);
    play(&mut scene, "cart-r1-0", 60, &mut noise, 0.1);
    scene.nothing_noticed();
    // The like of it was seen just before, so it has to last.
    play(&mut scene, "cart-r1-0", 8, &mut noise, 0.9);
    scene.nothing_noticed();
    play(&mut scene, "cart-r1-0", 12, &mut noise, 0.9);
    assert_eq!(scene.reasons(), ["Deviation"]);
    let anomaly = &scene.firing()[0];
    assert!(anomaly.score >= anomaly.threshold && anomaly.score <= 1.0, "{anomaly:?}");
    assert!(anomaly.explanation.starts_with("cpu throttling of container app of pod shop/cart-r1-0 is "));
    // It does not get used to it while it fires.
    play(&mut scene, "cart-r1-0", 300, &mut noise, 0.9);
    assert_eq!(scene.reasons(), ["Deviation"]);
    play(&mut scene, "cart-r1-0", 10, &mut noise, 0.1);
    assert_eq!((scene.reasons(), scene.quiet()), (vec![], 1));
}

/// The catalogue asks for rates over five minutes: they show a step in as many minutes, the more finely the oftener it is
/// asked.
#[test]
fn a_step_that_a_rate_shows_little_by_little_is_told() {
    for every in [5, 10, 30] {
        let mut scene = Scene::new();
        scene.apply(workload("cart", 1, 1));
        let mut throttled = |share: f64| {
            scene.now += SignedDuration::from_secs(every);
            scene.sample(sample("cart-r1-0", MetricType::CpuThrottling, Unit::Ratio, share));
            scene.said.extend(scene.detector.tick(scene.now));
            scene.reasons()
        };
        for _ in 0..1000 {
            throttled(0.0);
        }
        let rise = |point: i64| (0.9 * (point * every) as f64 / 300.0).min(0.9);
        let told = (1..=600 / every).find(|point| throttled(rise(*point)) == ["Deviation"]);
        assert!(told.is_some(), "asked every {every} s, it was not told within ten minutes");
    }
}

#[test]
fn what_else_deviates_is_told_with_it() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    let mut noise = Noise(12);
    let mut measure = |scene: &mut Scene, used: f64, throttled: f64| {
        scene.now += SignedDuration::from_secs(30);
        for (of, level) in [(MetricType::CpuLimitRatio, used), (MetricType::CpuThrottling, throttled)] {
            let value = (level + 0.02 * noise.normal()).max(0.0);
            scene.sample(sample("cart-r1-0", of, Unit::Ratio, value));
        }
        scene.said.extend(scene.detector.tick(scene.now));
    };
    (0..3000).for_each(|_| measure(&mut scene, 0.2, 0.0));
    (0..30).for_each(|_| measure(&mut scene, 0.9, 0.7));
    let [anomaly] = scene.firing().try_into().unwrap();
    let features: Vec<&str> = anomaly.features.iter().map(|feature| feature.name.as_str()).collect();
    assert!(features.contains(&"cpu_limit_ratio") && features.contains(&"cpu_throttling"), "{features:?}");
    assert!(anomaly.explanation.contains("; also cpu throttling"), "{}", anomaly.explanation);
}

#[test]
fn a_new_pod_takes_over_what_its_siblings_learnt() {
    let (mut scene, mut noise) = (Scene::new(), Noise(8));
    scene.apply(workload("cart", 1, 2));
    play(&mut scene, "cart-r1-0", 3000, &mut noise, 0.1);
    play(&mut scene, "cart-r1-1", 8, &mut noise, 0.9);
    assert_eq!(scene.reasons(), ["Deviation"]);
    // One of another revision does not: its level may well be another.
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    play(&mut scene, "cart-r1-0", 3000, &mut noise, 0.1);
    scene.apply([pod("cart", 2, 0), replica_set("cart", 2, 1, 1)]);
    play(&mut scene, "cart-r2-0", 100, &mut noise, 0.9);
    scene.nothing_noticed();
}

#[test]
fn a_pod_that_is_gone_is_no_deviation_any_more() {
    let (mut scene, mut noise) = (Scene::new(), Noise(9));
    scene.apply(workload("cart", 1, 1));
    play(&mut scene, "cart-r1-0", 3000, &mut noise, 0.1);
    play(&mut scene, "cart-r1-0", 8, &mut noise, 0.9);
    scene.delete(&pod("cart", 1, 0));
    scene.pass(61);
    assert_eq!(scene.quiet(), 1);
}

#[test]
fn what_was_on_its_way_to_a_deviation_begins_anew_after_a_gap() {
    let (mut scene, mut noise) = (Scene::new(), Noise(11));
    scene.apply(workload("cart", 1, 1));
    play(&mut scene, "cart-r1-0", 3000, &mut noise, 0.1);
    // The like of it was seen just before, so it has to last; a gap in between is not lasting.
    play(&mut scene, "cart-r1-0", 4, &mut noise, 0.9);
    play(&mut scene, "cart-r1-0", 60, &mut noise, 0.1);
    play(&mut scene, "cart-r1-0", 11, &mut noise, 0.9);
    scene.now += SignedDuration::from_mins(30);
    play(&mut scene, "cart-r1-0", 9, &mut noise, 0.9);
    scene.nothing_noticed();
    play(&mut scene, "cart-r1-0", 20, &mut noise, 0.9);
    assert_eq!(scene.reasons(), ["Deviation"]);
}

/// At most one incident in 1,000 hours of healthy workloads: a daily curve, noise, bursts of a minute or two, a
/// doubled load for an hour.
#[test]
fn healthy_load_stays_within_the_alarm_budget() {
    const WORKLOADS: usize = 20;
    const HOURS: usize = 50;
    let (mut scene, mut noise) = (Scene::new(), Noise(10));
    for number in 0..WORKLOADS {
        scene.apply(workload(&format!("w{number}"), 1, 1));
    }
    let mut burst = [0_u32; WORKLOADS];
    for point in 0..HOURS * 120 {
        scene.now += SignedDuration::from_secs(30);
        let hour = point as f64 / 120.0;
        let day = 1.0 + 0.6 * (hour / 24.0 * std::f64::consts::TAU).sin();
        for (number, left) in burst.iter_mut().enumerate() {
            if noise.next() < 0.002 {
                *left = 1 + (noise.next() * 4.0) as u32;
            }
            let peak = if *left > 0 { 4.0 } else { 1.0 };
            *left = left.saturating_sub(1);
            let crowd = if hour as usize == 10 + number { 2.0 } else { 1.0 };
            let load = (day * crowd * peak * (1.0 + 0.15 * noise.normal())).max(0.0);
            let pod = format!("w{number}-r1-0");
            scene.sample(sample(&pod, MetricType::CpuLimitRatio, Unit::Ratio, 0.2 * load));
            scene.sample(sample(&pod, MetricType::MemoryWorkingSet, Unit::Bytes, 2e8 * (0.8 + 0.2 * load)));
        }
        scene.said.extend(scene.detector.tick(scene.now));
    }
    assert!(scene.incidents().len() <= 1, "{:?}", scene.incidents());
}

#[test]
fn series_are_bounded_and_old_samples_ignored() {
    let bounds = BoundOptions { series: 100, ..BoundOptions::default() };
    let mut scene = Scene::of(Detector::new(Options { bounds, ..Options::default() }), at(0));
    scene.apply(workload("cart", 1, 300));
    for number in 0..300 {
        scene.now += SignedDuration::from_secs(1);
        for _ in 0..2 {
            scene.sample(sample(&format!("cart-r1-{number}"), MetricType::CpuUsage, Unit::Cores, 1.0));
        }
    }
    let stats = scene.detector.stats();
    assert!(stats.series <= 100, "{stats:?}");
    assert_eq!((stats.ignored, stats.evicted + stats.series as u64), (300, 300));
    scene.sample(sample("cart-r1-0", MetricType::CpuUsage, Unit::Cores, f64::NAN));
    assert_eq!(scene.detector.stats().ignored, 301);
}
