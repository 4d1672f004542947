//! What people say of deviations is learnt for their metric type, and for nothing else.
//!
//! Each play is a workload of its own with its own quiet past, so that a deviation is news for it. Two kinds are
//! played: a nightly batch (about the same height, between two and three, half an hour long), of which people say that
//! it is no trouble, and real trouble at any hour of any height, which lasts.

use jiff::SignedDuration;
use kubewise_core::Kind;
use kubewise_core::anomaly::{AnomalyRecord, AnomalyStatus, Reason};
use kubewise_core::feedback::{Feedback, Label};
use kubewise_core::id::{FeedbackId, IncidentId};
use kubewise_core::metric::MetricType;
use kubewise_core::record::{Extra, SchemaVersion};
use kubewise_core::unit::Unit;
use kubewise_detector::{Change, Observation};

use crate::deviation::Noise;
use crate::scene::*;

/// Points 30 s apart of a quiet past: enough for a rise of a batch's height to matter.
const PAST: usize = 1200;
const STEP: i64 = 30;

#[derive(Clone, Copy, PartialEq)]
enum Play {
    Batch,
    Trouble,
}

/// A cluster in which one workload after the other has a deviation.
struct Stage {
    scene: Scene,
    noise: Noise,
    metric_type: MetricType,
    played: usize,
    past: usize,
}

/// What became of some plays, by kind: the records of those that were told, and how many were not.
#[derive(Default)]
struct Told {
    batches: Vec<AnomalyRecord>,
    troubles: Vec<AnomalyRecord>,
    missed: usize,
}

impl Told {
    fn precision(&self) -> f64 {
        self.troubles.len() as f64 / (self.troubles.len() + self.batches.len()).max(1) as f64
    }
}

impl Stage {
    fn new(metric_type: MetricType, seed: u64) -> Self {
        let scene = Scene::new();
        Stage { scene, noise: Noise(seed), metric_type, played: 0, past: PAST }
    }

    fn points(&mut self, pod: &str, points: usize, level: f64) {
        for _ in 0..points {
            self.scene.now += SignedDuration::from_secs(STEP);
            let value = (level + 0.02 * self.noise.normal()).max(0.0);
            self.scene.sample(sample(pod, self.metric_type.clone(), Unit::Ratio, value));
            self.scene.said.extend(self.scene.detector.tick(self.scene.now));
        }
    }

    /// Lets the next workload have its past, end it at an hour of the day, and deviate. Its name.
    fn play(&mut self, play: Play) -> String {
        let name = format!("w{}", self.played);
        self.played += 1;
        let (hour, level, points) = match play {
            Play::Batch => (2.0 + self.noise.next(), 0.6 + 0.05 * self.noise.next(), 60),
            Play::Trouble => (24.0 * self.noise.next(), 0.75 + 0.25 * self.noise.next(), 60),
        };
        self.wait_until(hour * 3600.0 - (self.past as i64 * STEP) as f64);
        self.scene.apply(workload(&name, 1, 1));
        let pod = format!("{name}-r1-0");
        self.points(&pod, self.past, 0.1);
        self.points(&pod, points, level);
        name
    }

    /// Plays a batch that labels hold back: the first of a few.
    fn held_back(&mut self) -> String {
        for _ in 0..5 {
            let name = self.play(Play::Batch);
            if self.deviation(&name).is_none() {
                return name;
            }
            self.end(&name);
        }
        unreachable!("of five batches none was held back")
    }

    /// Back to its level, for as long as it takes to resolve.
    fn end(&mut self, name: &str) {
        self.points(&format!("{name}-r1-0"), 10, 0.1);
    }

    fn wait_until(&mut self, second_of_day: f64) {
        let ahead = (second_of_day as i64 - self.scene.now.as_second()).rem_euclid(86_400);
        self.scene.now += SignedDuration::from_secs(ahead);
    }

    fn act(&mut self, plays: usize) -> Told {
        let mut told = Told::default();
        for number in 0..plays {
            let play = if number % 5 < 3 { Play::Batch } else { Play::Trouble };
            let name = self.play(play);
            self.end(&name);
            match (self.deviation(&name), play) {
                (Some(record), Play::Batch) => told.batches.push(record),
                (Some(record), Play::Trouble) => told.troubles.push(record),
                (None, Play::Batch) => {}
                (None, Play::Trouble) => told.missed += 1,
            }
        }
        told
    }

    /// The first word on a workload's deviation.
    fn deviation(&self, name: &str) -> Option<AnomalyRecord> {
        let workload = reference(Kind::Deployment, name);
        self.scene
            .anomalies()
            .find(|one| one.reason == Reason::Deviation && one.workload == workload)
            .cloned()
    }
}

/// As records come back from a store.
fn stored(anomaly: &AnomalyRecord) -> AnomalyRecord {
    serde_json::from_str(&serde_json::to_string(anomaly).unwrap()).unwrap()
}

fn said(label: Label, anomaly: &AnomalyRecord) -> Observation {
    let feedback = Feedback {
        version: SchemaVersion::CURRENT,
        id: FeedbackId::derive(&[&anomaly.id]),
        incident: IncidentId::from("i-1"),
        workload: anomaly.workload.clone(),
        label,
        anomalies: vec![anomaly.id.clone()],
        about: Vec::new(),
        by: "ada".into(),
        reason: String::new(),
        time: at(0),
        until: None,
        extra: Extra::default(),
    };
    Observation::Feedback { feedback: Box::new(feedback), anomalies: vec![stored(anomaly)] }
}

/// `limit` labels of each kind, the kinds in turn.
fn lessons(told: &Told, limit: usize) -> Vec<Observation> {
    let batches = told.batches.iter().map(|one| said(Label::False, one));
    let troubles = told.troubles.iter().map(|one| said(Label::True, one));
    batches.zip(troubles).take(limit).flat_map(|(one, other)| [one, other]).collect()
}

/// A stage on which batches and troubles were labelled, and these labels.
fn taught(limit: usize) -> (Stage, Vec<Observation>) {
    let mut stage = Stage::new(MetricType::CpuThrottling, 3);
    let told = stage.act(15);
    let lessons = lessons(&told, limit);
    for lesson in &lessons {
        stage.scene.see(lesson);
    }
    (stage, lessons)
}

/// What a new process says of ten plays, having learnt these lessons at its start.
fn says(metric_type: &MetricType, lessons: &[Observation]) -> Stage {
    let mut stage = Stage::new(metric_type.clone(), 5);
    for lesson in lessons {
        stage.scene.see(lesson);
    }
    stage.act(10);
    stage
}

#[test]
fn labels_raise_precision_and_lose_no_trouble_and_no_hard_fault() {
    for seed in [3, 4, 6] {
        let mut stage = Stage::new(MetricType::CpuThrottling, seed);
        let before = stage.act(25);
        assert_eq!((before.batches.len(), before.troubles.len(), before.missed), (15, 10, 0));
        for lesson in lessons(&before, 10) {
            stage.scene.see(&lesson);
        }
        let after = stage.act(30);
        assert!(after.precision() >= before.precision() + 0.3, "{}", after.precision());
        assert_eq!((after.troubles.len(), after.missed), (12, 0));
        assert_eq!(stage.scene.detector.stats().held_back as usize, 18 - after.batches.len());
        let agrees = |one: &&AnomalyRecord| one.explanation.contains("others like it were called trouble");
        assert!(after.troubles.iter().filter(agrees).count() >= 6, "the forest says so when it agrees");
        // A hard fault in the middle of a batch that is held back.
        let name = stage.play(Play::Batch);
        assert_eq!(stage.deviation(&name), None);
        stage.scene.apply([waiting(pod(&name, 1, 0), "ImagePullBackOff")]);
        stage.scene.pass(60);
        assert_eq!(stage.scene.reasons(), ["ImagePullBackOff"]);
    }
}

#[test]
fn too_few_labels_and_those_of_another_metric_type_or_version_change_nothing() {
    let (_, lessons) = taught(5);
    let throttling = says(&MetricType::CpuThrottling, &[]);
    assert_eq!(says(&MetricType::CpuThrottling, &lessons[..8]).scene.said, throttling.scene.said);
    assert_ne!(says(&MetricType::CpuThrottling, &lessons).scene.said, throttling.scene.said);
    let bare: Vec<_> = lessons.iter().cloned().map(without_rows).collect();
    assert_eq!(says(&MetricType::CpuThrottling, &bare).scene.said, throttling.scene.said);
    let other = says(&MetricType::CpuLimitRatio, &[]);
    assert_eq!(says(&MetricType::CpuLimitRatio, &lessons).scene.said, other.scene.said);
}

/// Who says the same of an incident twice, or whose word a repair confirms, has not seen two.
#[test]
fn a_second_label_of_an_incident_is_no_second_case_and_another_one_takes_the_place_of_the_first() {
    let (_, lessons) = taught(5);
    let four = &lessons[..8];
    let throttling = says(&MetricType::CpuThrottling, &[]);
    let twice: Vec<_> = four.iter().chain(four).cloned().collect();
    assert_eq!(
        says(&MetricType::CpuThrottling, &twice).scene.said,
        throttling.scene.said,
        "still four of each"
    );
    // Of five cases of each kind one of trouble was called none at first, and then trouble: now there are enough.
    let mut changed = lessons.clone();
    let last = changed.pop().unwrap();
    changed.push(relabelled(last.clone(), Label::False));
    assert_eq!(
        says(&MetricType::CpuThrottling, &changed).scene.said,
        throttling.scene.said,
        "four of trouble"
    );
    changed.push(last);
    assert_ne!(says(&MetricType::CpuThrottling, &changed).scene.said, throttling.scene.said);
}

fn relabelled(lesson: Observation, label: Label) -> Observation {
    let Observation::Feedback { mut feedback, anomalies } = lesson else { return lesson };
    feedback.label = label;
    Observation::Feedback { feedback, anomalies }
}

#[test]
fn what_was_held_back_until_it_was_over_is_recorded_then() {
    let (mut stage, _) = taught(5);
    let name = stage.held_back();
    let held = |stage: &Stage| -> Vec<AnomalyRecord> {
        let said = stage.scene.said.iter();
        let records =
            said.filter_map(|change| if let Change::HeldBack(one) = change { Some(&**one) } else { None });
        records.filter(|one| *one.workload.name == name).cloned().collect()
    };
    assert_eq!(held(&stage), []);
    stage.end(&name);
    let held = held(&stage);
    assert_eq!(held.len(), 1, "{held:#?}");
    assert_eq!((held[0].status, &held[0].incident), (AnomalyStatus::Resolved, &None));
    assert!(held[0].resolved_at > Some(held[0].time));
    let text = &held[0].explanation;
    assert!(
        text.ends_with("held back until it was over, since others like it were called no trouble"),
        "{text}"
    );
    assert_eq!(stage.deviation(&name), None);
}

/// As a version that kept no rows would have written it.
fn without_rows(lesson: Observation) -> Observation {
    let Observation::Feedback { feedback, mut anomalies } = lesson else { return lesson };
    for anomaly in &mut anomalies {
        anomaly.features.retain(|feature| !feature.name.starts_with("row_") && feature.name != "half_space");
    }
    Observation::Feedback { feedback, anomalies }
}

#[test]
fn the_same_labels_at_the_next_start_give_the_same_decisions() {
    let (mut first, lessons) = taught(5);
    let mut second = Stage::new(MetricType::CpuThrottling, 11);
    second.scene.now = first.scene.now;
    second.played = first.played;
    for lesson in &lessons {
        second.scene.see(lesson);
    }
    first.noise = Noise(11);
    let names = |told: Told| -> Vec<_> {
        told.batches.iter().chain(&told.troubles).map(|one| one.workload.name.to_string()).collect()
    };
    let (one, other) = (names(first.act(20)), names(second.act(20)));
    assert_eq!(one, other);
    assert!((8..12).contains(&one.len()), "{one:?}");
}

#[test]
fn what_lasts_or_grows_is_told_whatever_labels_say() {
    let (mut stage, _) = taught(5);
    stage.past = 3000;
    let name = stage.held_back();
    let pod = format!("{name}-r1-0");
    stage.points(&pod, 170, 0.75);
    assert_eq!(stage.deviation(&name), None);
    stage.points(&pod, 20, 0.75);
    assert!(stage.deviation(&name).is_some(), "more than two hours");
    stage.end(&name);
    let name = stage.held_back();
    stage.points(&format!("{name}-r1-0"), 2, 1.0);
    assert!(stage.deviation(&name).is_some(), "much higher than when it began");
}

#[test]
fn a_deviation_that_fires_resolves_once_enough_of_its_like_were_called_no_trouble() {
    let (mut stage, _) = taught(4);
    let trouble = stage.play(Play::Trouble);
    stage.end(&trouble);
    let trouble = stage.deviation(&trouble).unwrap();
    let name = stage.play(Play::Batch);
    let anomaly = stage.deviation(&name).unwrap();
    stage.scene.see(&said(Label::Expected, &anomaly));
    stage.scene.see(&said(Label::True, &trouble));
    stage.scene.pass(70);
    assert_eq!((stage.scene.reasons(), stage.scene.detector.stats().open_incidents), (vec![], 0));
}

/// Of forty workloads all but one leave their level together: more rows than the trees' window has.
#[test]
fn trouble_of_many_does_not_become_the_place_of_normal_rows() {
    let mut stage = Stage::new(MetricType::CpuThrottling, 9);
    let pods: Vec<String> = (0..40).map(|number| format!("w{number}-r1-0")).collect();
    for number in 0..40 {
        stage.scene.apply(workload(&format!("w{number}"), 1, 1));
    }
    let mut all = |points: usize, many: f64, last: f64| {
        for _ in 0..points {
            stage.scene.now += SignedDuration::from_secs(STEP);
            for pod in &pods {
                let level = if pod == "w39-r1-0" { last } else { many };
                let value = (level + 0.02 * stage.noise.normal()).max(0.0);
                stage.scene.sample(sample(pod, stage.metric_type.clone(), Unit::Ratio, value));
            }
        }
    };
    all(PAST, 0.1, 0.1);
    all(20, 0.9, 0.1);
    all(8, 0.9, 0.9);
    let told = stage.deviation("w39").unwrap();
    let rank = told.features.iter().find(|one| one.name == "half_space").unwrap().value;
    assert!(rank >= 0.99, "{rank}");
}
