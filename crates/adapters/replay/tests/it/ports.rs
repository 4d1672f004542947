//! The past as the pipeline sees it.

use std::sync::Arc;

use futures::executor::block_on;
use futures::{FutureExt, StreamExt};
use kubewise_core::document::Document;
use kubewise_core::port::{Clock, ClusterActor, ClusterReader, EventSource, MetricSource, WatchItem};
use kubewise_core::record::SchemaVersion;
use kubewise_core::request::ClusterRequest;
use kubewise_core::{Kind, ObjectRef, Timestamp, Uid};
use kubewise_replay::{Bystander, History, Recorder, Replay};
use kubewise_sim::VirtualClock;
use serde_json::json;

use crate::{catalogue, open};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_600_000 + seconds).expect("in range")
}

fn pod(name: &str) -> ObjectRef {
    ObjectRef::namespaced(Kind::Pod, "s", name)
}

fn document(restarts: u32) -> Document {
    Document(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "a", "namespace": "s", "uid": "u" },
        "status": { "phase": "Running", "restarts": restarts },
    }))
}

/// A pod from second 10, changed at 20, gone at 30; a sample each 10 s until 60 and one at 1000.
fn recorded() -> (tempfile::TempDir, Arc<History>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut recorder = Recorder::create(folder.path()).expect("a recorder");
    for seconds in [0, 10, 20, 30, 40, 50, 60, 1000] {
        let sample = kubewise_core::metric::NormalizedMetric {
            version: SchemaVersion::CURRENT,
            object: pod("cart-7d9f8b6c5d-x2x4z"),
            container: Some("app".into()),
            detail: None,
            metric_type: "memory_working_set".into(),
            unit: kubewise_core::unit::Unit::Bytes,
            value: seconds as f64 + 0.125,
            time: at(seconds),
        };
        recorder.sample(&sample).expect("written");
    }
    recorder.applied(at(10), &document(0)).expect("written");
    recorder.applied(at(20), &document(1)).expect("written");
    recorder.deleted(at(30), &pod("a"), &Uid::from("u")).expect("written");
    recorder.finish().expect("written");
    let history = History::open(&[folder.path().to_owned()], &catalogue()).expect("readable");
    (folder, Arc::new(history))
}

fn replay(history: &Arc<History>, from: i64) -> (VirtualClock, Arc<Replay>) {
    let clock = VirtualClock::starting_at(at(from));
    let replay = history.replay(Arc::new(clock.clone()), at(from)).expect("readable");
    (clock, replay)
}

fn values(replay: &Replay, clock: &VirtualClock) -> Option<Vec<f64>> {
    let answer = block_on(replay.sample(&catalogue()[0], clock.now())).ok()?;
    Some(answer.samples.iter().map(|sample| sample.value).collect())
}

#[test]
fn each_sample_is_told_once_when_its_time_has_come() {
    let (_folder, history) = recorded();
    let (clock, replay) = replay(&history, 5);
    assert_eq!(values(&replay, &clock), Some(vec![]), "what was before the start is not replayed");
    clock.advance(at(25));
    assert_eq!(values(&replay, &clock), Some(vec![10.125, 20.125]));
    assert_eq!(values(&replay, &clock), Some(vec![]));
    clock.advance(at(60));
    assert_eq!(values(&replay, &clock).map(|values| values.len()), Some(4));
    clock.advance(at(400));
    assert_eq!(values(&replay, &clock), None, "a gap is a failure");
    clock.advance(at(1000));
    assert_eq!(values(&replay, &clock), Some(vec![1000.125]));
}

#[test]
fn the_watch_tells_the_state_at_the_start_and_then_each_change() {
    let (_folder, history) = recorded();
    let (clock, replay) = replay(&history, 15);
    let mut watch = replay.watch();
    let mut items = || std::iter::from_fn(|| watch.next().now_or_never().flatten()).collect::<Vec<_>>();
    let told = |items: &[WatchItem]| -> Vec<String> {
        let mut told = Vec::new();
        for item in items {
            match item {
                WatchItem::Applied(state) => {
                    let owner = state.owner.as_ref().map(|owner| format!(" of {}", owner.object));
                    told.push(format!("{}{}", state.object, owner.unwrap_or_default()));
                }
                WatchItem::Deleted { object, .. } => told.push(format!("{object} gone")),
                WatchItem::Synced(_) => {}
                WatchItem::Event(_) | WatchItem::Interrupted { .. } => told.push("something else".into()),
            }
        }
        told
    };
    let first = items();
    // What only samples name is known by identity, its workload by its name.
    assert_eq!(told(&first), ["Pod s/cart-7d9f8b6c5d-x2x4z of Deployment s/cart", "Pod s/a"]);
    assert!(first.contains(&WatchItem::Synced(Kind::Pod)));
    assert_eq!(items(), []);
    clock.advance(at(40));
    assert_eq!(told(&items()), ["Pod s/a", "Pod s/a gone"]);
    clock.advance(at(2000));
    assert_eq!(told(&items()), ["Pod s/cart-7d9f8b6c5d-x2x4z gone"]);
    let workload = ObjectRef::namespaced(Kind::Deployment, "s", "cart");
    assert_eq!(replay.workloads().get(&pod("cart-7d9f8b6c5d-x2x4z")), Some(&workload));
}

#[test]
fn the_reader_knows_what_the_watch_told_and_invents_nothing() {
    let (_folder, history) = recorded();
    let (clock, replay) = replay(&history, 0);
    let mut watch = replay.watch();
    let mut live = |seconds| {
        clock.advance(at(seconds));
        while watch.next().now_or_never().flatten().is_some() {}
    };
    live(0);
    assert_eq!(block_on(replay.get(&pod("a"))), Ok(None), "it is not there yet");
    live(25);
    assert_eq!(block_on(replay.get(&pod("a"))), Ok(Some(document(1))));
    assert_eq!(block_on(replay.list(&Kind::Pod, Some("s"))).map(|all| all.len()), Ok(1));
    live(35);
    assert_eq!(block_on(replay.get(&pod("a"))), Ok(None));
    let failure = block_on(replay.get(&pod("cart-7d9f8b6c5d-x2x4z"))).expect_err("unknown");
    assert_eq!(failure.message(), "the history holds no state of Pod s/cart-7d9f8b6c5d-x2x4z");
}

#[test]
fn owners_are_taken_from_lines_that_name_them() {
    let lines = "timestamp,metric,value,unit,namespace,kind,name,container,detail\n\
        0,owner,1,count,s,Pod,db-0,,StatefulSet/db\n0,waiting,1,count,s,Pod,db-0,app,x\n0,waiting,1,count,s,Pod,lone,app,x\n";
    let (_folder, history) = open(&[("a.csv", lines.as_bytes())]).expect("readable");
    let clock = VirtualClock::starting_at(Timestamp::UNIX_EPOCH);
    let replay = history.replay(Arc::new(clock), Timestamp::UNIX_EPOCH).expect("readable");
    let mut watch = replay.watch();
    while watch.next().now_or_never().flatten().is_some() {}
    let workloads = replay.workloads();
    assert_eq!(workloads.get(&pod("db-0")), Some(&ObjectRef::namespaced(Kind::StatefulSet, "s", "db")));
    assert_eq!(workloads.get(&pod("lone")), Some(&pod("lone")));
    assert_eq!(history.summary().guessed_owners, 0);
}

#[test]
fn nothing_is_ever_written() {
    let bystander = Bystander::new(Arc::new(VirtualClock::starting_at(at(7))));
    let request = ClusterRequest::Evict { pod: pod("a"), uid: Uid::from("u") };
    for dry_run in [true, false] {
        let refused = block_on(bystander.perform(&request, dry_run)).expect_err("refused");
        assert!(refused.message().contains("a backtest touches nothing"), "{refused}");
    }
    let asked = bystander.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!((asked[0].time, asked[0].object()), (at(7), &pod("a")));
}
