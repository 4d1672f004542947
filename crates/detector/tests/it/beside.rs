//! Services that were changed, and autoscalers that want more.

use kubewise_core::Kind;
use kubewise_detector::{Detector, Options};
use serde_json::{Value, json};

use crate::scene::*;

/// A Deployment of two whose pods bear `app=NAME` and listen on 8080.
fn labelled(name: &str) -> Vec<Value> {
    let mut all = workload(name, 1, 2);
    for pod in &mut all[2..] {
        *pod = pod
            .clone()
            .with("metadata/labels/app", name)
            .with("spec/containers/0/ports", json!([{ "containerPort": 8080, "name": "http" }]));
    }
    all
}

/// The Service `cart` was seen leading to the cart's pods.
fn served() -> Scene {
    let mut scene = Scene::new();
    scene.apply(labelled("cart"));
    scene.apply([service("cart", "cart")]);
    scene.pass(31);
    scene
}

#[test]
fn a_service_is_told_as_serving_after_thirty_seconds_and_again_each_hour() {
    let mut scene = Scene::new();
    scene.apply(labelled("cart"));
    scene.apply([service("cart", "cart"), service("idle", "nobody")]);
    scene.pass(29);
    assert_eq!(scene.serving(), []);
    scene.pass(2);
    let told = scene.serving();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].workload, reference(Kind::Deployment, "cart"));
    assert_eq!(told[0].route.to_string(), "app=cart to 8080");
    scene.pass(3_610);
    assert_eq!(scene.serving().len(), 2);
}

#[test]
fn a_service_that_was_changed_and_leads_to_none_of_its_ready_pods() {
    for wrong in [
        service("cart", "crat"),
        service("cart", "cart").with("spec/ports/0/targetPort", 8081),
        service("cart", "cart").with("spec/ports/0/targetPort", "web"),
    ] {
        let mut scene = served();
        scene.apply([wrong]);
        scene.pass(25);
        scene.nothing_noticed();
        scene.pass(10);
        assert_eq!(scene.reasons(), ["ServiceWithoutEndpoints"]);
        let anomaly = &scene.firing()[0];
        assert_eq!(anomaly.workload, reference(Kind::Deployment, "cart"));
        assert_eq!(anomaly.object, reference(Kind::Service, "cart"));
        assert!(anomaly.explanation.contains("app=cart to 8080"), "{}", anomaly.explanation);
        assert_eq!(scene.serving().len(), 1, "what leads nowhere is never told as serving");
        scene.apply([service("cart", "cart")]);
        scene.pass(65);
        assert_eq!((scene.reasons(), scene.quiet()), (vec![], 1));
    }
}

#[test]
fn a_service_that_leads_elsewhere_or_whose_pods_are_ill_is_no_trouble_of_its_own() {
    // Traffic is moved to another workload, whose pods come up just now.
    let mut scene = served();
    let mut green = labelled("green");
    for pod in &mut green[2..] {
        *pod = unready(pod.clone());
    }
    scene.apply(green);
    scene.apply([service("cart", "green")]);
    scene.pass(45);
    scene.nothing_noticed();
    scene.apply(labelled("green"));
    scene.pass(400); // what did not lead anywhere at first is looked at again after a while
    scene.nothing_noticed();
    assert_eq!(scene.serving().last().unwrap().workload, reference(Kind::Deployment, "green"));
    // One that never led anywhere.
    let mut scene = Scene::new();
    scene.apply(labelled("cart"));
    scene.apply([service("idle", "nobody")]);
    scene.apply([service("idle", "nobody-else")]);
    scene.pass(120);
    scene.nothing_noticed();
    // Its pods are not ready, so the Service is not why.
    let mut scene = served();
    let pods = labelled("cart").split_off(2).into_iter().map(unready);
    scene.apply(pods);
    scene.apply([service("cart", "crat")]);
    scene.pass(45);
    scene.nothing_noticed();
}

#[test]
fn what_a_service_led_to_is_known_after_a_restart() {
    let told = served().serving();
    let mut detector = Detector::new(Options::default());
    detector.recall(told.clone());
    let mut scene = Scene::of(detector, at(1_000));
    for kind in KINDS {
        scene.watch(kubewise_core::port::WatchItem::Synced(kind));
    }
    scene.apply(labelled("cart"));
    scene.apply([service("cart", "crat")]);
    scene.pass(35);
    assert_eq!(scene.reasons(), ["ServiceWithoutEndpoints"]);
    // Another Service of the same name has no past.
    let mut detector = Detector::new(Options::default());
    detector.recall(told);
    let mut scene = Scene::of(detector, at(1_000));
    scene.apply(labelled("cart"));
    scene.apply([service("cart", "crat").with("metadata/uid", "another")]);
    scene.pass(35);
    scene.nothing_noticed();
}

#[test]
fn an_autoscaler_that_wants_more_than_its_most_for_two_minutes() {
    let limited = |reason: &str| {
        let condition = json!([{ "type": "ScalingLimited", "status": "True", "reason": reason }]);
        autoscaler("cart").with("status/conditions", condition)
    };
    let mut scene = Scene::new();
    scene.apply(workload("cart", 1, 2));
    scene.apply([limited("TooFewReplicas")]);
    scene.pass(200);
    scene.nothing_noticed();
    scene.apply([limited("TooManyReplicas")]);
    scene.pass(110);
    scene.nothing_noticed();
    scene.pass(15);
    assert_eq!(scene.reasons(), ["ScalingLimited"]);
    assert_eq!(scene.firing()[0].workload, reference(Kind::Deployment, "cart"));
    scene.apply([autoscaler("cart")]);
    scene.pass(65);
    assert_eq!(scene.reasons(), Vec::<&str>::new());
}

#[test]
fn a_job_that_was_tried_once_more_is_told_by_the_new_one() {
    let failed = || job("report", "Failed");
    let retry = |condition: &str| {
        let mut new = job("report-retry-1", condition);
        new["metadata"]["annotations"] = json!({ "kubewise.dev/retry-of": "Job-report" });
        new
    };
    let marked =
        failed().with("metadata/annotations", json!({ "kubewise.dev/retried-as": "report-retry-1" }));
    let mut scene = Scene::new();
    scene.apply([failed()]);
    scene.apply([marked.clone()]);
    scene.pass(100);
    assert_eq!(scene.reasons(), ["BackoffLimitExceeded"], "the new one is not there yet");
    scene.apply([retry("Complete"), marked.clone()]);
    scene.pass(70);
    assert_eq!(scene.reasons(), Vec::<&str>::new());
    scene.apply([retry("Failed")]);
    scene.pass(5);
    assert_eq!(scene.firing()[0].workload, reference(Kind::Job, "report-retry-1"));
}
