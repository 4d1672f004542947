//! Whatever comes in whatever order: no panic, the same answer twice, one open incident for each workload.

use std::collections::BTreeSet;

use kubewise_core::Kind;
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::port::WatchItem;
use kubewise_core::unit::Unit;
use kubewise_detector::Change;
use proptest::prelude::*;
use serde_json::Value;

use crate::scene::*;

#[derive(Clone, Debug)]
enum Step {
    Apply(Value),
    Delete(Value),
    Sample(NormalizedMetric),
    Interrupt(Kind),
    Sync(Kind),
    Event(u32),
    Pass(i64),
}

fn documents() -> impl Strategy<Value = Value> {
    let pods = (1..3_u32, 0..2_u32, 0..7_usize, 0..5_u32).prop_map(|(revision, number, shape, restarts)| {
        let plain = pod("cart", revision, number).with("status/containerStatuses/0/restartCount", restarts);
        match shape {
            0 => plain,
            1 => waiting(plain, "CrashLoopBackOff"),
            2 => waiting(plain, "ImagePullBackOff"),
            3 => restarted(plain, restarts, "OOMKilled", 137, at(i64::from(restarts) * 40)),
            4 => restarted(plain, restarts, "Error", 1, at(-40)),
            5 => plain.with("metadata/deletionTimestamp", at(0).to_string()),
            _ => unready(plain),
        }
    });
    let others =
        (0..6_usize, 1..3_u32, 0..3_u32, 0..3_u32).prop_map(|(shape, revision, desired, available)| {
            match shape {
                0 | 1 => deployment("cart", revision, desired, available),
                2 => replica_set("cart", revision, desired, available),
                3 => node("n1", if available == 0 { "True" } else { "False" }),
                4 => autoscaler("cart"),
                _ => job("nightly", if available == 0 { "Complete" } else { "Failed" }),
            }
        });
    prop_oneof![pods, others]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kinds = || prop::sample::select(KINDS.to_vec());
    let samples = (prop::sample::select(MetricType::KNOWN.to_vec()), any::<f64>(), 0..3_usize).prop_map(
        |(metric_type, value, detail)| NormalizedMetric {
            detail: Some(["Ready", "CrashLoopBackOff", "OOMKilled"][detail].into()),
            ..sample("cart-r1-0", metric_type, Unit::Ratio, value)
        },
    );
    let step = prop_oneof![
        6 => documents().prop_map(Step::Apply),
        1 => documents().prop_map(Step::Delete),
        4 => samples.prop_map(Step::Sample),
        1 => kinds().prop_map(Step::Interrupt),
        1 => kinds().prop_map(Step::Sync),
        1 => (1..4_u32).prop_map(Step::Event),
        3 => (1..90_i64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..60)
}

fn play(steps: &[Step]) -> Vec<Change> {
    let mut scene = Scene::listing();
    for step in steps {
        match step.clone() {
            Step::Apply(document) => scene.apply([document]),
            Step::Delete(document) => scene.delete(&document),
            Step::Sample(sample) => scene.sample(sample),
            Step::Interrupt(kind) => scene.interrupt(kind),
            Step::Sync(kind) => scene.watch(WatchItem::Synced(kind)),
            Step::Event(count) => {
                let object = reference(Kind::Deployment, "cart");
                scene.watch(WatchItem::Event(Box::new(event(object, "FailedCreate", count, scene.now))));
            }
            Step::Pass(seconds) => scene.pass(seconds),
        }
    }
    scene.said
}

proptest! {
    #[test]
    fn any_sequence_gives_the_same_changes_twice_and_never_two_open_incidents(steps in steps()) {
        let said = play(&steps);
        prop_assert_eq!(&said, &play(&steps));
        let mut open = BTreeSet::new();
        for change in &said {
            match change {
                Change::IncidentOpened(incident) => {
                    let workload = &incident.workload;
                    prop_assert!(open.iter().all(|(_, other)| other != workload), "two incidents of {}", workload);
                    open.insert((incident.id.clone(), workload.clone()));
                }
                Change::IncidentQuiet { incident, .. } => {
                    let before = open.len();
                    open.retain(|(id, _)| id != incident);
                    prop_assert_eq!(open.len() + 1, before, "quiet, but was not open");
                }
                Change::Anomaly(anomaly) => {
                    // Its own workload's, or that of what it needs.
                    prop_assert!(open.iter().any(|(id, _)| Some(id) == anomaly.incident.as_ref()));
                    prop_assert!((0.0..=1.0).contains(&anomaly.score));
                }
                Change::IncidentJoined { .. }
                | Change::HeldBack(_)
                | Change::Healthy(_)
                | Change::Serving(_)
                | Change::Event(_) => {}
            }
        }
    }

    /// What a workload shows does not depend on the order in which its objects were told.
    #[test]
    fn the_order_of_a_listing_does_not_matter(order in Just(listing()).prop_shuffle()) {
        let mut scene = Scene::listing();
        scene.apply(order);
        for kind in KINDS {
            scene.watch(WatchItem::Synced(kind));
        }
        scene.pass(120);
        prop_assert_eq!(scene.reasons(), ["CrashLoopBackOff", "ImagePullBackOff", "NodeNotReady"]);
        prop_assert_eq!(scene.incidents().len(), 3);
    }
}

fn listing() -> Vec<Value> {
    let mut all = workload("cart", 1, 2);
    all.extend(workload("pay", 3, 2));
    all.push(waiting(pod("cart", 1, 0), "CrashLoopBackOff").with("metadata/name", "cart-r1-7"));
    all.push(waiting(pod("pay", 3, 1), "ImagePullBackOff").with("metadata/name", "pay-r3-7"));
    all.push(node("n1", "False"));
    all
}
