use std::collections::{BTreeMap, BTreeSet};

use futures::executor::block_on;
use futures::{FutureExt, StreamExt};
use kubewise_core::event::EventType;
use kubewise_core::id::SagaId;
use kubewise_core::journal::{Epoch, JournalBody, JournalEntry, Outcome};
use kubewise_core::metric::{MetricQuery, MetricType, ObjectLabels};
use kubewise_core::port::{
    ClusterReader, EventSource, Journal, Leadership, MetricSource, Notice, Notifier, RecordStore, Standing,
    WatchItem,
};
use kubewise_core::record::{HealthyRevision, Record, RecordKind, RecordQuery};
use kubewise_core::{Failure, Kind, ObjectRef, Period, Rejection, Timestamp};
use kubewise_sim::{Change, CrashPoint, Gap, MemoryStore, World, WriteKind};

use crate::cluster::{cart, roll, world_with};

fn query(metric_type: MetricType, kind: Kind) -> MetricQuery {
    MetricQuery {
        name: "q".into(),
        promql: String::new(),
        metric_type,
        unit: "count".parse().unwrap(),
        interval: Period::from_secs(15),
        labels: ObjectLabels { kind, namespace: None, name: "name".into(), container: None, detail: None },
    }
}

fn sample(world: &World, metric_type: MetricType, kind: Kind) -> Result<Vec<(Option<String>, f64)>, Failure> {
    let process = world.process("test", &MemoryStore::default());
    let answer = block_on(process.sample(&query(metric_type, kind), world.now()))?;
    Ok(answer
        .samples
        .into_iter()
        .map(|sample| (sample.detail.map(|detail| detail.to_string()), sample.value))
        .collect())
}

#[test]
fn metrics_say_what_the_cluster_is_like() {
    let (world, cart) = world_with(cart());
    roll(&world, &cart, "2-crash");
    world.pass(Period::from_mins(2));
    let pod = |metric_type| sample(&world, metric_type, Kind::Pod).unwrap();
    assert_eq!(pod(MetricType::Waiting), [(Some("CrashLoopBackOff".into()), 1.0)]);
    assert_eq!(pod(MetricType::Terminated), [(Some("Error".into()), 1.0)]);
    assert_eq!(pod(MetricType::Restarts).iter().filter(|(_, restarts)| *restarts >= 3.0).count(), 1);
    assert_eq!(pod(MetricType::Ready).iter().map(|(_, ready)| ready).sum::<f64>(), 3.0);
    assert_eq!(pod(MetricType::MemoryWorkingSet).len(), 3, "only what runs is measured");
    assert!(pod(MetricType::CpuRequestRatio).iter().all(|(_, ratio)| (0.1..1.0).contains(ratio)));
    assert_eq!(sample(&world, MetricType::ReplicasAvailable, Kind::Deployment).unwrap(), [(None, 3.0)]);
    let nodes = sample(&world, MetricType::NodeCondition, Kind::Node).unwrap();
    assert_eq!(nodes.iter().filter(|(_, holds)| *holds == 1.0).count(), 2, "two nodes are ready");
}

#[test]
fn a_gap_is_a_failure_or_silence_and_never_a_zero() {
    let (world, _) = world_with(cart());
    world.change(Change::Telemetry(Some(Gap::Unavailable))).unwrap();
    assert!(matches!(sample(&world, MetricType::Ready, Kind::Pod), Err(Failure::Unavailable { .. })));
    world.change(Change::Telemetry(Some(Gap::Silent { namespace: Some("shop".into()) }))).unwrap();
    assert_eq!(sample(&world, MetricType::Ready, Kind::Pod), Ok(vec![]));
    world.change(Change::Telemetry(None)).unwrap();
    assert_eq!(sample(&world, MetricType::Ready, Kind::Pod).unwrap().len(), 3);
}

#[derive(Default)]
struct Seen {
    objects: BTreeMap<ObjectRef, String>,
    events: BTreeSet<(String, u32)>,
    repeated: usize,
    interrupted: bool,
}

impl Seen {
    fn drain(&mut self, watch: &mut (impl StreamExt<Item = WatchItem> + Unpin)) {
        while let Some(Some(item)) = watch.next().now_or_never() {
            match item {
                WatchItem::Event(event) => {
                    let new = self.events.insert((event.uid.to_string(), event.count));
                    self.repeated += usize::from(!new);
                }
                WatchItem::Applied(state) => {
                    self.objects.insert(state.object.clone(), state.resource_version.to_string());
                }
                WatchItem::Deleted { object, .. } => {
                    self.objects.remove(&object);
                }
                WatchItem::Synced(_) => {}
                WatchItem::Interrupted { .. } => self.interrupted = true,
            }
        }
    }
}

/// What a watch told, however it was cut, is what one that was never cut told.
#[test]
fn a_cut_watch_loses_nothing() {
    for forgotten in [false, true] {
        let (world, cart) = world_with(cart());
        let open = || world.process("test", &MemoryStore::default()).watch();
        let (mut whole, mut seen) = (open(), Seen::default());
        seen.drain(&mut whole);
        world.change(Change::WatchCut).unwrap();
        let mut during = open();
        let mut late = Seen::default();
        late.drain(&mut during);
        assert!(late.objects.is_empty(), "nothing is told during the cut");
        roll(&world, &cart, "2");
        world.pass(Period::from_mins(3));
        seen.drain(&mut whole);
        assert!(seen.interrupted);
        world.change(Change::WatchBack { forgotten }).unwrap();
        seen.drain(&mut whole);
        late.drain(&mut during);
        let mut fresh = Seen::default();
        fresh.drain(&mut open());
        assert_eq!(seen.objects, fresh.objects, "forgotten: {forgotten}");
        assert_eq!(late.objects, fresh.objects, "forgotten: {forgotten}");
        assert!(seen.events.is_superset(&fresh.events));
        assert_eq!(seen.repeated > 0, forgotten, "only a new list tells twice");
        assert!(fresh.objects.keys().any(|object| object.kind == Kind::Pod));
    }
}

#[test]
fn logs_speak_of_the_failure() {
    let crashing = cart().replicas(1).image("shop/cart:1-crash").env("SAYS", "prices from rates:80");
    let (world, cart) = world_with(crashing);
    let process = world.process("test", &MemoryStore::default());
    let pod = world.pods_of(&cart)[0].object().unwrap();
    let text = block_on(process.logs(&pod, "app", true)).unwrap();
    assert!(text.contains("ERROR cannot start") && text.contains("INFO prices from rates:80"), "{text}");
    assert!(block_on(process.logs(&pod, "none", false)).unwrap_err().is(Rejection::Invalid));
}

#[test]
fn a_notice_becomes_an_event_on_the_object() {
    let (world, cart) = world_with(cart());
    let process = world.process("test", &MemoryStore::default());
    let notice = Notice {
        object: cart.clone(),
        uid: None,
        incident: "i-1".into(),
        event_type: EventType::Normal,
        reason: "Repaired".into(),
        message: "rolled back".into(),
        time: world.now(),
    };
    block_on(process.notify(&notice)).unwrap();
    assert!(world.events().iter().any(|event| event.reason == "Repaired" && event.object == cart));
    assert_eq!(world.notices(), [notice]);
    assert_eq!(world.writes().last().unwrap().kind, WriteKind::Event);
}

#[test]
fn one_process_leads_until_its_lease_ends() {
    let world = World::new(1);
    let store = MemoryStore::default();
    let (a, b) = (world.process("a", &store), world.process("b", &store));
    let epoch = |standing: Result<Standing, Failure>| match standing.unwrap() {
        Standing::Leader { epoch, .. } => Ok(epoch.0),
        Standing::Follower { holder } => Err(holder),
    };
    assert_eq!(epoch(block_on(a.hold())), Ok(1));
    assert_eq!(epoch(block_on(b.hold())), Err("a".into()));
    world.pass(Period::from_secs(20));
    assert_eq!(epoch(block_on(b.hold())), Ok(2), "the lease of a has ended");
    assert_eq!(epoch(block_on(a.hold())), Err("b".into()));
    block_on(b.release()).unwrap();
    assert_eq!(epoch(block_on(a.hold())), Ok(3));
    world.change(Change::Lead { holder: "c".into() }).unwrap();
    assert_eq!(epoch(block_on(a.hold())), Err("c".into()));
}

fn revision(name: &str, seconds: i64) -> Record {
    Record::Revision(HealthyRevision {
        version: kubewise_core::record::SchemaVersion::CURRENT,
        workload: cart().object(),
        template: name.into(),
        seen_at: Timestamp::from_second(seconds).unwrap(),
        extra: BTreeMap::new(),
    })
}

#[test]
fn records_come_newest_first_in_pages() {
    let store = MemoryStore::default();
    let all: Vec<_> = (0..5).map(|n| revision(&format!("r{n}"), n)).collect();
    block_on(store.save(&all)).unwrap();
    block_on(store.save(&[revision("r0", 9)])).unwrap();
    let (mut query, mut found) =
        (RecordQuery { limit: 2, ..RecordQuery::of(RecordKind::Revision) }, Vec::new());
    loop {
        let page = block_on(store.find(&query)).unwrap();
        found.extend(page.records);
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    let expected: Vec<_> =
        [("r0", 9), ("r4", 4), ("r3", 3), ("r2", 2), ("r1", 1)].map(|(n, t)| revision(n, t)).into();
    assert_eq!(found, expected, "a saved record replaces the one of its id");
    assert_eq!(block_on(store.purge(Timestamp::from_second(3).unwrap())).unwrap(), 2);
    assert_eq!(block_on(store.find(&RecordQuery::of(RecordKind::Revision))).unwrap().records.len(), 3);
}

fn entry(saga: &str, sequence: u32, epoch: u64, body: JournalBody) -> JournalEntry {
    JournalEntry { saga: saga.into(), sequence, epoch: Epoch(epoch), time: Timestamp::UNIX_EPOCH, body }
}

fn started(saga: &str, sequence: u32, epoch: u64) -> JournalEntry {
    entry(saga, sequence, epoch, JournalBody::Started { step: 0, attempt: 1 })
}

fn opened(saga: &str, epoch: u64, lock: &str) -> JournalEntry {
    let plan = serde_json::json!({
        "id": "p", "incident": "i", "workload": { "kind": "Deployment", "name": lock }, "attempt": 1,
        "author": { "kind": "playbook", "name": "x" }, "reasoning": "", "rootCause": "", "evidence": [],
        "priority": "Info", "actions": [], "safetyConstraints": [],
        "verification": {
            "checks": [], "provisionalAfter": "1s", "settle": "1s", "deadline": "1s",
            "baseline": {
                "desired": 0, "available": 0, "rolledOut": true, "restarts": {}, "failing": [],
                "newestSample": null, "takenAt": "2026-01-01T00:00:00Z",
            },
        },
        "mode": "auto", "status": "Executing", "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
    });
    let locks = vec![ObjectRef::namespaced(Kind::Deployment, "shop", lock)];
    entry(saga, 0, epoch, JournalBody::Opened { plan: serde_json::from_value(plan).unwrap(), locks })
}

#[test]
fn the_journal_lets_one_writer_win() {
    let closed = |saga, sequence, outcome| {
        entry(saga, sequence, 2, JournalBody::Closed { outcome, reason: String::new() })
    };
    let store = MemoryStore::default();
    for (why, entry, expected) in [
        ("the first entry opens", started("s1", 0, 1), Some(Rejection::Invalid)),
        ("opened", opened("s1", 1, "cart"), None),
        ("the same again", opened("s1", 1, "cart"), None),
        ("another in its place", opened("s1", 1, "web"), Some(Rejection::Conflict)),
        ("a lock that is held", opened("s2", 1, "cart"), Some(Rejection::Conflict)),
        ("a gap", started("s1", 2, 1), Some(Rejection::Conflict)),
        ("a newer epoch", started("s1", 1, 2), None),
        ("an older epoch", started("s1", 2, 1), Some(Rejection::Conflict)),
        ("closed", closed("s1", 2, Outcome::Succeeded), None),
        ("the lock is free", opened("s2", 2, "cart"), None),
        ("stuck", closed("s2", 1, Outcome::Stuck), None),
        ("a stuck saga keeps its locks", opened("s3", 2, "cart"), Some(Rejection::Conflict)),
        ("other objects are free", opened("s4", 2, "web"), None),
    ] {
        let result = block_on(store.append(&entry));
        assert_eq!(
            result.err().map(|failure| [Rejection::Invalid, Rejection::Conflict]
                .into_iter()
                .find(|reason| failure.is(*reason))
                .unwrap()),
            expected,
            "{why}"
        );
    }
    assert_eq!(block_on(store.unfinished()).unwrap(), [SagaId::from("s2"), SagaId::from("s4")]);
    assert_eq!(block_on(store.read(&"s1".into())).unwrap().len(), 3);
}

#[test]
fn a_dead_process_never_hears_back_and_leaves_what_was_durable() {
    for (point, kept) in [(CrashPoint::BeforeAppend(1), 0), (CrashPoint::AfterAppend(1), 1)] {
        let (world, cart) = world_with(cart());
        let store = MemoryStore::default();
        let process = world.process("a", &store);
        process.crash_at(point);
        assert!(process.append(&opened("s1", 1, "cart")).now_or_never().is_none());
        assert!(process.is_dead());
        assert!(ClusterReader::get(&*process, &cart).now_or_never().is_none());
        assert!(process.watch().next().now_or_never().is_none());
        assert_eq!(store.journal().len(), kept, "{point:?}");
        let next = world.process("b", &store);
        assert_eq!(block_on(next.unfinished()).unwrap().len(), kept);
    }
}
