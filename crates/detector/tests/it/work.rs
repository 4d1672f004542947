//! Less work than usual, and work that stands still: what is trouble, and what only looks like it.

use std::f64::consts::TAU;

use jiff::SignedDuration;
use kubewise_core::anomaly::{AnomalyRecord, Reason, Severity};
use kubewise_core::metric::MetricType;
use kubewise_core::unit::Unit;
use kubewise_detector::{Detector, DeviationOptions, Options};
use serde_json::{Value, json};

use crate::deviation::Noise;
use crate::scene::*;

const STEP: i64 = 30;
/// A day and a half of points.
const PAST: usize = 4_320;

/// A cluster whose clock moves with the samples of some pods.
struct Stage {
    scene: Scene,
    noise: Noise,
    pods: Vec<String>,
}

impl Stage {
    fn of(scene: Scene, pods: &[&str]) -> Self {
        Stage { scene, noise: Noise(17), pods: pods.iter().map(ToString::to_string).collect() }
    }

    /// `cart` with this many replicas.
    fn new(replicas: u32) -> Self {
        let mut scene = Scene::new();
        scene.apply(workload("cart", 1, replicas));
        let pods: Vec<String> = (0..replicas).map(|number| format!("cart-r1-{number}")).collect();
        Stage::of(scene, &pods.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Lives for some points with this use of CPU at each second of the clock, wavering by a twentieth.
    fn live(&mut self, points: usize, cores: impl Fn(f64) -> f64) {
        for _ in 0..points {
            self.scene.now += SignedDuration::from_secs(STEP);
            for pod in &self.pods {
                let value = cores(self.scene.now.as_second() as f64) * (1.0 + 0.05 * self.noise.normal());
                self.scene.sample(sample(pod, MetricType::CpuUsage, Unit::Cores, value.max(0.0)));
            }
            self.scene.said.extend(self.scene.detector.tick(self.scene.now));
        }
    }

    /// Gives exactly this value.
    fn stand(&mut self, points: usize, cores: f64) {
        for _ in 0..points {
            self.scene.now += SignedDuration::from_secs(STEP);
            for pod in &self.pods {
                self.scene.sample(sample(pod, MetricType::CpuUsage, Unit::Cores, cores));
            }
            self.scene.said.extend(self.scene.detector.tick(self.scene.now));
        }
    }

    fn only(&self, reason: Reason) -> AnomalyRecord {
        let firing = self.scene.firing();
        let found: Vec<&AnomalyRecord> = firing.iter().filter(|one| one.reason == reason).collect();
        assert_eq!(found.len(), 1, "{firing:#?}");
        found[0].clone()
    }
}

fn feature(anomaly: &AnomalyRecord, name: &str) -> (f64, Option<f64>) {
    let found = anomaly.features.iter().find(|feature| feature.name == name).unwrap();
    (found.value, found.expected)
}

/// Load over a day, from a fifth at night to 1.
fn daily(second: f64) -> f64 {
    0.12 * (1.0 + 2.0 / 3.0 * (second / 86_400.0 * TAU).sin())
}

#[test]
fn a_sudden_fall_is_told_with_what_was_expected_and_resolves_when_work_is_back() {
    let mut stage = Stage::new(2);
    stage.live(PAST, |_| 0.2);
    stage.scene.nothing_noticed();
    // A lull of two minutes is none of our business.
    stage.live(4, |_| 0.01);
    stage.live(60, |_| 0.2);
    stage.scene.nothing_noticed();
    stage.live(20, |_| 0.01);
    let anomaly = stage.only(Reason::Deviation);
    assert_eq!((stage.scene.incidents().len(), anomaly.severity), (1, Severity::Warning));
    let text = &anomaly.explanation;
    assert!(text.starts_with("cpu usage of container app of pod shop/cart-r1-0 fell to 1"), "{text}");
    assert!(
        text.contains("with replicas and revision as they were") && text.contains("(a chance of"),
        "{text}"
    );
    let (value, expected) = feature(&anomaly, "cpu_usage");
    assert!(value < 0.02 && expected.unwrap() > 0.15, "{value} {expected:?}");
    stage.live(300, |_| 0.01);
    assert_eq!(stage.scene.reasons(), ["Deviation"], "it does not get used to it while it fires");
    stage.live(12, |_| 0.2);
    stage.scene.pass(61);
    assert_eq!((stage.scene.reasons(), stage.scene.quiet()), (vec![], 1));
}

/// What looks like a fall and is as it should be.
#[test]
fn nights_weekends_and_the_ends_of_batches_are_no_falls() {
    let hour = |second: f64| (second / 3600.0) % 24.0;
    let weekday = |second: f64| ((second / 86_400.0) as i64 + 4) % 7; // the first day of the clock was a Thursday
    let nights = |second: f64| daily(second);
    let offices = |second: f64| {
        let works = !matches!(weekday(second), 0 | 6);
        let rise =
            ((hour(second) - 7.0) / 2.0).clamp(0.0, 1.0).min(((19.0 - hour(second)) / 2.0).clamp(0.0, 1.0));
        if works { 0.06 + 0.3 * rise } else { 0.06 }
    };
    let batches = |second: f64| if hour(second) < 1.5 { 0.8 } else { 0.1 };
    let queues = |second: f64| if (second / 1800.0) as i64 % 2 == 0 { 0.4 } else { 0.05 };
    let quiet: [(&str, &dyn Fn(f64) -> f64); 4] =
        [("nights", &nights), ("offices", &offices), ("nightly batches", &batches), ("a queue", &queues)];
    for (name, load) in quiet {
        let mut stage = Stage::new(1);
        stage.live(9 * 2_880, load);
        let falls: Vec<_> = stage.scene.anomalies().filter(|one| one.explanation.contains("fell")).collect();
        assert_eq!(falls.len(), 0, "{name}: {falls:#?}");
    }
}

#[test]
fn a_fall_in_the_midst_of_a_daily_wave_is_told() {
    let mut stage = Stage::new(1);
    stage.live(6 * 2_880, daily);
    stage.scene.nothing_noticed();
    // Near noon of the clock's wave.
    while !(21_000..24_000).contains(&(stage.scene.now.as_second() % 86_400)) {
        stage.live(1, daily);
    }
    stage.live(20, |second| 0.05 * daily(second));
    stage.only(Reason::Deviation);
}

#[test]
fn more_replicas_another_revision_and_a_drain_explain_less_work_for_each_pod() {
    // More replicas share the same load; so they do for hours.
    let mut stage = Stage::new(1);
    stage.live(PAST, |_| 0.3);
    stage.scene.apply(workload("cart", 1, 5));
    stage.live(600, |_| 0.06);
    stage.scene.nothing_noticed();
    // A new revision that needs less.
    let mut stage = Stage::new(1);
    stage.live(PAST, |_| 0.3);
    stage.scene.apply([deployment("cart", 2, 1, 1), replica_set("cart", 2, 1, 1), pod("cart", 2, 0)]);
    stage.pods = vec!["cart-r2-0".into()];
    stage.live(600, |_| 0.05);
    stage.scene.nothing_noticed();
    // A node that is emptied: work moves away before the pods do.
    let mut stage = Stage::new(1);
    stage.scene.apply([node("n1", "True")]);
    stage.live(PAST, |_| 0.3);
    stage.scene.apply([node("n1", "True").with("spec", json!({ "unschedulable": true }))]);
    stage.live(60, |_| 0.02);
    stage.scene.nothing_noticed();
}

#[test]
fn a_pod_that_is_drained_or_scaled_away_ends_what_it_showed() {
    let mut stage = Stage::new(1);
    stage.live(PAST, |_| 0.3);
    stage.live(10, |_| 0.01);
    stage.only(Reason::Deviation);
    stage.scene.apply([deployment("cart", 1, 0, 0), replica_set("cart", 1, 0, 0), autoscaler("cart")]);
    stage.scene.delete(&pod("cart", 1, 0));
    stage.scene.pass(61);
    assert_eq!((stage.scene.reasons(), stage.scene.quiet()), (vec![], 1));
}

#[test]
fn the_end_of_a_job_is_no_fall() {
    let mut scene = Scene::new();
    let running = pod_of(("Job", "report"), "report-x", "t");
    scene.apply([job("report", "Suspended"), running]);
    let mut stage = Stage::of(scene, &["report-x"]);
    stage.live(PAST, |_| 0.5);
    stage.live(60, |_| 0.01);
    stage.stand(200, 0.0);
    stage.scene.nothing_noticed();
}

#[test]
fn who_is_asked_for_less_since_its_asker_is_down_joins_that_incident() {
    let mut scene = Scene::new();
    let service = json!({
        "kind": "Service", "metadata": { "namespace": "shop", "name": "db", "uid": "service-db" },
        "spec": { "selector": { "app": "db" } },
    });
    let web = |pod: Value| pod.with("spec/containers/0/args", json!(["db:5432"]));
    let db = pod("db", 1, 0).with("metadata/labels/app", "db");
    scene.apply(workload("db", 1, 1));
    scene.apply([db, service]);
    scene.apply(workload("web", 1, 1));
    scene.apply([web(pod("web", 1, 0))]);
    let mut stage = Stage::of(scene, &["db-r1-0"]);
    stage.live(PAST, |_| 0.3);
    stage.scene.apply([waiting(web(pod("web", 1, 0)), "ImagePullBackOff"), deployment("web", 1, 1, 0)]);
    stage.live(20, |_| 0.01);
    assert_eq!(stage.scene.reasons(), ["Deviation", "ImagePullBackOff"]);
    let incidents = stage.scene.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    assert_eq!(&*incidents[0].workload.name, "web");
}

#[test]
fn what_wavered_and_stands_still_is_told_whatever_its_height() {
    for height in [0.0, 0.2] {
        let mut stage = Stage::new(1);
        stage.live(PAST, |_| 0.2);
        stage.stand(20, height);
        assert!(!stage.scene.reasons().contains(&"Flatline"), "too soon at {height}");
        stage.stand(25, height);
        let anomaly = stage.only(Reason::Flatline);
        let text = &anomaly.explanation;
        assert!(
            text.contains("stands still at ") && text.contains("no two samples were alike before"),
            "{text}"
        );
        let (stood, longest) = feature(&anomaly, "still_seconds");
        assert!(stood >= 900.0 && longest == Some(0.0), "{stood} {longest:?}");
        assert!(feature(&anomaly, "chance").0 < 1e-3);
        assert_eq!(anomaly.metric_type, Some(MetricType::CpuUsage));
        assert_eq!(stage.scene.incidents().len(), 1);
        stage.live(12, |_| 0.2);
        stage.scene.pass(61);
        assert_eq!((stage.scene.reasons(), stage.scene.quiet()), (vec![], 1));
    }
}

#[test]
fn who_often_stands_must_stand_for_longer() {
    let mut stage = Stage::new(1);
    for _ in 0..60 {
        stage.live(40, |_| 0.2);
        stage.stand(20, 0.2); // ten minutes
    }
    stage.live(40, |_| 0.2);
    stage.stand(60, 0.2);
    stage.scene.nothing_noticed();
    stage.stand(40, 0.2);
    let anomaly = stage.only(Reason::Flatline);
    assert!(anomaly.explanation.contains("it never stood for longer than 9m"), "{}", anomaly.explanation);
}

#[test]
fn missing_samples_and_what_never_moved_are_no_standstill() {
    let mut stage = Stage::new(1);
    stage.live(PAST, |_| 0.2);
    stage.scene.pass(3_600);
    stage.stand(1, 0.2);
    stage.scene.pass(3_600);
    stage.stand(1, 0.2);
    stage.scene.nothing_noticed();
    let mut stage = Stage::new(1);
    stage.stand(PAST, 0.2);
    stage.scene.nothing_noticed();
    // It started, and idles ever after.
    let mut stage = Stage::new(1);
    stage.live(10, |_| 0.01);
    stage.stand(PAST, 0.0);
    stage.scene.nothing_noticed();
}

#[test]
fn what_stands_still_everywhere_is_missing_telemetry_and_no_incident() {
    let mut scene = Scene::new();
    let names: Vec<String> = (0..12).map(|number| format!("w{number}")).collect();
    scene.apply(names.iter().flat_map(|name| workload(name, 1, 1)));
    let pods: Vec<String> = names.iter().map(|name| format!("{name}-r1-0")).collect();
    let mut stage = Stage::of(scene, &pods.iter().map(String::as_str).collect::<Vec<_>>());
    stage.live(3_000, |_| 0.2);
    stage.stand(60, 0.2);
    stage.scene.nothing_noticed();
    assert_eq!(
        stage.scene.detector.stats().missing,
        ["metric cpu_usage (it stands still everywhere)"],
        "a state of its own"
    );
    stage.live(30, |_| 0.2);
    stage.scene.pass(61);
    assert!(stage.scene.detector.stats().missing.is_empty());
    stage.scene.nothing_noticed();
}

/// A raw counter of the user's own as a measure of work.
#[test]
fn a_counter_that_is_reset_begins_anew_and_one_that_stops_is_told() {
    let requests = MetricType::from("requests");
    let mut deviation = DeviationOptions::default();
    deviation.thresholds.insert(requests.clone(), 0.9);
    deviation.work.insert(requests.clone());
    let detector = Detector::new(Options { deviation, ..Options::default() });
    let mut scene = Scene::of(detector, at(0));
    for kind in KINDS {
        scene.watch(kubewise_core::port::WatchItem::Synced(kind));
    }
    scene.apply(workload("cart", 1, 1));
    let mut count = 0.0;
    let mut count_on = |scene: &mut Scene, points: usize, each: f64, from: Option<f64>| {
        count = from.unwrap_or(count);
        for _ in 0..points {
            scene.now += SignedDuration::from_secs(STEP);
            count += each;
            scene.sample(sample("cart-r1-0", requests.clone(), Unit::Count, count));
            scene.said.extend(scene.detector.tick(scene.now));
        }
    };
    count_on(&mut scene, 3_000, 7.0, None);
    count_on(&mut scene, 3_000, 7.0, Some(0.0));
    assert_eq!(scene.detector.stats().begun_anew, 1);
    scene.nothing_noticed();
    count_on(&mut scene, 45, 0.0, None);
    assert_eq!(scene.reasons(), ["Flatline"]);
}
