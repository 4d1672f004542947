//! What a person expects is held back for its workload, its reason and its time, and for nothing else.

use kubewise_core::anomaly::{AnomalyRecord, Reason};
use kubewise_core::feedback::{Feedback, Label, Shown};
use kubewise_core::id::{FeedbackId, IncidentId};
use kubewise_core::record::{Extra, SchemaVersion};
use kubewise_core::{Kind, Timestamp};
use kubewise_detector::Observation;

use crate::scene::*;

fn expected(workload: &str, reason: Reason, until: Timestamp) -> Observation {
    let feedback = Feedback {
        version: SchemaVersion::CURRENT,
        id: FeedbackId::derive(&[&workload]),
        incident: IncidentId::from("i-1"),
        workload: reference(Kind::Deployment, workload),
        label: Label::Expected,
        anomalies: Vec::new(),
        about: vec![Shown { reason, metric_type: None }],
        by: "ada".into(),
        reason: "the registry moves".into(),
        time: at(0),
        until: Some(until),
        extra: Extra::default(),
    };
    Observation::Feedback { feedback: Box::new(feedback), anomalies: Vec::new() }
}

fn failing(scene: &mut Scene, workload: &str) -> Vec<&'static str> {
    scene.apply([waiting(pod(workload, 1, 0), "ImagePullBackOff")]);
    scene.pass(60);
    scene.reasons()
}

#[test]
fn what_is_expected_makes_no_incident_until_its_end() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    scene.pass(120);
    scene.see(&expected("cart", Reason::ImagePullBackOff, at(1_000)));
    assert_eq!(failing(&mut scene, "cart"), [""; 0]);
    scene.pass(700);
    scene.nothing_noticed();
    scene.pass(200);
    assert_eq!(scene.reasons(), ["ImagePullBackOff"], "its end is over, and it still fails");
}

#[test]
fn only_that_reason_of_that_workload_is_held_back() {
    let mut scene = Scene::new();
    for name in ["cart", "web"] {
        scene.apply(workload(name, 1, 1));
    }
    scene.pass(120);
    scene.see(&expected("cart", Reason::OomKilled, at(10_000)));
    assert_eq!(failing(&mut scene, "cart"), ["ImagePullBackOff"]);
    scene.see(&expected("cart", Reason::ImagePullBackOff, at(10_000)));
    assert_eq!(failing(&mut scene, "web").len(), 2, "one each, so far");
}

#[test]
fn an_anomaly_that_fires_resolves_once_it_is_expected_and_an_early_end_brings_it_back() {
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 1));
    scene.pass(120);
    assert_eq!(failing(&mut scene, "cart"), ["ImagePullBackOff"]);
    scene.see(&expected("cart", Reason::ImagePullBackOff, at(10_000)));
    scene.pass(70);
    assert_eq!((scene.reasons(), scene.quiet()), (vec![], 1));
    scene.see(&expected("cart", Reason::ImagePullBackOff, scene.now));
    scene.pass(5);
    assert_eq!(scene.reasons(), ["ImagePullBackOff"]);
    let incidents: Vec<_> = scene.anomalies().map(|one: &AnomalyRecord| one.incident.clone()).collect();
    assert!(incidents.iter().any(|one| *one != incidents[0]), "another incident");
}
