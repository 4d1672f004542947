use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use kubewise_sim::{Behaviour, Change, World};
use serde_json::json;

use crate::cluster::{MIB, cart, get, number, roll, waiting, world_with};

/// When the container of a workload's one pod was started, to the second, from the first start on.
fn starts(world: &World, workload: &ObjectRef, seconds: u64) -> Vec<i64> {
    let mut starts: Vec<Timestamp> = Vec::new();
    for _ in 0..seconds {
        world.pass(Period::from_secs(1));
        for pod in world.pods_of(workload) {
            let status = "/status/containerStatuses/0";
            let started = pod.time(&format!("{status}/state/running/startedAt"));
            starts.extend(started.filter(|started| !starts.contains(started)));
        }
    }
    starts.iter().map(|start| start.duration_since(starts[0]).as_secs()).collect()
}

/// The kubelet restarts at once, then after 10 s, 20 s, … and at last every five minutes.
#[test]
fn crash_loops_back_off_as_the_kubelet_does() {
    let world = World::new(7);
    world.node("n1", 4.0, 8192.0 * MIB);
    let crashing = cart().replicas(1).image("shop/cart:1-crash");
    let object = crashing.object();
    world.add(crashing);
    let starts = starts(&world, &object, 1400);
    let gaps: Vec<i64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // One second of life each, and one until the first restart.
    assert_eq!(gaps, [2, 11, 21, 41, 81, 161, 301, 301, 301]);
    assert_eq!(waiting(&world, &object), ["CrashLoopBackOff"]);
    let pod = &world.pods_of(&object)[0];
    let status = &pod.0["status"]["containerStatuses"][0];
    assert_eq!(status["restartCount"], json!(9));
    assert_eq!(status["lastState"]["terminated"]["exitCode"], json!(1));
    assert!(status["state"]["waiting"]["message"].as_str().unwrap().starts_with("back-off 5m0s restarting"));
    let back_off = world.events().into_iter().find(|event| event.reason == "BackOff").unwrap();
    assert!(back_off.count >= 7, "repeats are counted, not told anew: {}", back_off.count);
}

#[test]
fn a_pull_that_fails_backs_off_and_is_never_restarted() {
    let (world, cart) = world_with(cart().replicas(1).image("shop/cart:missing"));
    assert_eq!(waiting(&world, &cart), ["ImagePullBackOff"]);
    assert_eq!(world.pods_of(&cart)[0].number("/status/containerStatuses/0/restartCount"), Some(0));
}

#[test]
fn a_missing_config_map_is_told_and_cured_by_its_creation() {
    let (world, cart) = world_with(cart().replicas(1));
    let env = json!([{ "name": "URL", "valueFrom": { "configMapKeyRef": { "name": "urls", "key": "a" } } }]);
    let operations = vec![kubewise_core::request::PatchOperation::Add {
        path: "/spec/template/spec/containers/0/env".into(),
        value: env,
    }];
    world.change(Change::Edit { object: cart.clone(), manager: "kubectl".into(), operations }).unwrap();
    world.pass(Period::from_secs(30));
    assert_eq!(waiting(&world, &cart), ["CreateContainerConfigError"]);
    world
        .create(json!({ "kind": "ConfigMap", "metadata": { "namespace": "shop", "name": "urls" } }))
        .unwrap();
    world.pass(Period::from_secs(60));
    assert!(waiting(&world, &cart).is_empty());
    assert_eq!(number(&world, &cart, "/status/updatedReplicas"), 1);
}

#[test]
fn memory_above_the_limit_is_killed_until_the_limit_is_raised() {
    let hungry = Behaviour {
        memory_idle: 100.0 * MIB,
        memory_at_load: 80.0 * MIB,
        daily: 0.0,
        ..Behaviour::default()
    };
    let (world, cart) = world_with(cart().behaviour(hungry).memory("200Mi", "256Mi"));
    let killed = |world: &World| {
        let pods = world.pods_of(&cart);
        let reason = |pod: &kubewise_core::document::Document| {
            let status = "/status/containerStatuses/0";
            let last = pod.text(&format!("{status}/lastState/terminated/reason"));
            last == Some("OOMKilled")
                || pod.text(&format!("{status}/state/terminated/reason")) == Some("OOMKilled")
        };
        pods.iter().filter(|pod| reason(pod)).count()
    };
    world.pass(Period::from_mins(5));
    assert_eq!(killed(&world), 0);
    world.change(Change::Load { workload: cart.clone(), factor: 2.5 }).unwrap();
    world.pass(Period::from_mins(5));
    assert_eq!(killed(&world), 3);
    let raise = kubewise_core::request::PatchOperation::Replace {
        path: "/spec/template/spec/containers/0/resources/limits/memory".into(),
        value: json!("512Mi"),
    };
    world
        .change(Change::Edit { object: cart.clone(), manager: "kubectl".into(), operations: vec![raise] })
        .unwrap();
    world.pass(Period::from_mins(30));
    assert_eq!((killed(&world), number(&world, &cart, "/status/availableReplicas")), (0, 3));
}

#[test]
fn a_leak_ends_at_any_limit() {
    let (world, cart) = world_with(cart().replicas(1));
    roll(&world, &cart, "2-leak");
    world.pass(Period::from_mins(60));
    let pod = &world.pods_of(&cart)[0];
    assert!(pod.number("/status/containerStatuses/0/restartCount").unwrap() >= 3);
    assert_eq!(pod.text("/status/containerStatuses/0/lastState/terminated/reason"), Some("OOMKilled"));
}

#[test]
fn a_pod_tells_when_it_became_ready() {
    let (world, cart) = world_with(cart().replicas(1));
    let pod = world.pods_of(&cart)[0].object().unwrap();
    assert_eq!(pod.kind, Kind::Pod);
    assert_eq!(get(&world, &pod).text("/status/conditions/3/status"), Some("True"));
}
