use futures::StreamExt;
use kubewise_core::metric::{MetricQuery, MetricType, ObjectLabels};
use kubewise_core::port::Clock;
use kubewise_core::port::{EventSource, MetricSource};
use kubewise_core::{Kind, Period};
use kubewise_sim::{Demo, MemoryStore, Outcome, Simulation, demo_world};

/// Lives through the demo with somebody who watches and measures but does nothing.
fn live(seed: u64) -> (Demo, u64) {
    let demo = demo_world(seed);
    let process = demo.world.process("watcher", &MemoryStore::default());
    let mut simulation = Simulation::new(demo.world.clone());
    let mut watch = process.watch();
    simulation.spawn(Box::pin(async move { while watch.next().await.is_some() {} }));
    let clock = demo.world.clock();
    simulation.spawn(Box::pin(async move {
        let query = MetricQuery {
            name: "memory".into(),
            promql: String::new(),
            metric_type: MetricType::MemoryWorkingSet,
            unit: "bytes".parse().unwrap(),
            interval: Period::from_secs(30),
            labels: ObjectLabels {
                kind: Kind::Pod,
                namespace: None,
                name: "pod".into(),
                container: None,
                detail: None,
            },
        };
        loop {
            clock.sleep_until(Period::from_secs(30).after(clock.now())).await;
            process.sample(&query, clock.now()).await.unwrap();
        }
    }));
    simulation.run(demo.end, None);
    let digest = demo.world.digest();
    (demo, digest)
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let (first, again, other) = (live(42).1, live(42).1, live(43).1);
    assert_eq!(first, again);
    assert_ne!(first, other);
}

/// Without repairs every trouble stays, and nothing else goes wrong.
#[test]
fn the_demo_needs_its_repairs_and_only_these() {
    let demo = demo_world(42);
    demo.world.pass(Period::from_mins(9));
    let pods = demo.world.list(&Kind::Pod, None);
    assert!((190..=220).contains(&pods.len()), "{} pods", pods.len());
    assert!(pods.iter().all(|pod| pod.state().unwrap().pod().unwrap().ready), "all is well at the start");
    demo.world.advance(demo.end);
    assert_eq!(demo.world.mishaps(), Vec::<String>::new());
    assert_eq!(demo.episodes.iter().filter(|episode| episode.trouble).count(), 5);
    for expectation in &demo.expectations {
        let stays_broken =
            matches!(expectation.outcome, Outcome::RolledBack { .. } | Outcome::LimitRaised { .. });
        let result = expectation.check(&demo.world);
        assert_eq!(result.is_err(), stays_broken, "{}: {result:?}", expectation.workload);
    }
    let troubled: Vec<_> = demo.episodes.iter().filter(|e| e.trouble).map(|e| e.workload.clone()).collect();
    for kind in [Kind::Deployment, Kind::StatefulSet] {
        for document in demo.world.list(&kind, None) {
            let object = document.object().unwrap();
            let state = document.state().unwrap();
            let state = state.workload().unwrap();
            if !troubled.contains(&object) {
                assert_eq!(state.available, state.desired, "{object}");
                for pod in demo.world.pods_of(&object) {
                    assert_eq!(pod.number("/status/containerStatuses/0/restartCount"), Some(0), "{object}");
                }
            }
        }
    }
}
