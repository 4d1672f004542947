//! What a watch tells when the server cuts it, forgets our place, or forbids it.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::port::{EventSource as _, WatchItem};
use kubewise_core::{Kind, ObjectRef};
use kubewise_kubernetes::{EventFilter, Options};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::fake::{End, Fake, Reply, impatient, status};

/// Longer than the back-off after three cuts.
const PATIENCE: Duration = Duration::from_secs(20);

fn pod(name: &str, uid: &str, version: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": version.to_string()},
    })
}

fn event(uid: &str, count: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "BackOff", "message": "restarting",
        "metadata": {"namespace": "shop", "name": uid, "uid": uid, "resourceVersion": "5"},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "u1"},
        "count": count, "firstTimestamp": "2026-11-24T04:00:00Z", "lastTimestamp": "2026-11-24T04:01:00Z",
        "source": {"component": "kubelet"},
    })
}

fn list(items: &[Value], next: &str) -> Reply {
    Reply::json(
        200,
        &json!({"kind": "List", "metadata": {"resourceVersion": "10", "continue": next}, "items": items}),
    )
}

fn change(verb: &str, object: &Value) -> Value {
    json!({"type": verb, "object": object})
}

/// A server whose answers about pods and Events are two scripts by the number of earlier lists and watches.
async fn serving(
    lists: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
    watches: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
) -> Fake {
    Fake::start(move |request, earlier| {
        let plural = request.path.rsplit('/').next().unwrap();
        let alike =
            |seen: &&crate::fake::Seen| seen.path == request.path && seen.watches() == request.watches();
        let number = earlier.iter().filter(alike).count();
        if request.watches() { watches(plural, number) } else { lists(plural, number) }
    })
    .await
}

async fn watching(fake: &Fake, events: EventFilter) -> BoxStream<'static, WatchItem> {
    fake.kubernetes(Options { kinds: vec![Kind::Pod], events, ..impatient() }).await.watch()
}

/// The next items about a kind, in short.
async fn told(stream: &mut BoxStream<'static, WatchItem>, kind: &Kind, items: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < items {
        let item =
            timeout(PATIENCE, stream.next()).await.unwrap_or_else(|_| panic!("only {told:?}")).unwrap();
        let (of, text) = match item {
            WatchItem::Applied(state) => {
                (state.object.kind.clone(), format!("{} {}", state.object.name, state.uid))
            }
            WatchItem::Deleted { object, uid } => (object.kind, format!("-{} {uid}", object.name)),
            WatchItem::Event(event) => (Kind::Event, format!("{} {}", event.uid, event.count)),
            WatchItem::Synced(kind) => (kind, "synced".into()),
            WatchItem::Interrupted { kind, failure } => {
                (kind, format!("cut: {}", failure.message().split(": ").nth(1).unwrap()))
            }
        };
        if of == *kind {
            told.push(text);
        }
    }
    told
}

fn resumed_at(fake: &Fake, plural: &str) -> Vec<String> {
    let seen = fake.seen();
    let watches = seen.iter().filter(|seen| seen.watches() && seen.path.ends_with(plural));
    let version = |query: &str| {
        query.split('&').find_map(|part| part.strip_prefix("resourceVersion=")).unwrap_or_default().to_owned()
    };
    watches.map(|seen| version(&seen.query)).collect()
}

#[tokio::test]
async fn a_cut_is_told_and_resumed_where_it_was() {
    let fake = serving(
        |plural, number| match (plural, number) {
            ("pods", 0) => list(&[pod("a", "u1", 1)], "more"),
            ("pods", 1) => list(&[pod("b", "u2", 2)], ""),
            _ => list(&[], ""),
        },
        |plural, number| match (plural, number) {
            ("pods", 0) => Reply::Watch(
                vec![change("MODIFIED", &pod("a", "u1", 11)), change("DELETED", &pod("b", "u2", 12))],
                End::Closed,
            ),
            ("pods", 1) => Reply::html(503),
            ("pods", 2) => Reply::Watch(vec![change("ADDED", &pod("c", "u3", 13))], End::Held),
            _ => Reply::Watch(vec![], End::Held),
        },
    )
    .await;
    let mut stream = watching(&fake, EventFilter::default()).await;
    let expected = [
        "a u1",
        "b u2",
        "synced",
        "a u1",
        "-b u2",
        "cut: cut after 0 s",
        "cut: <html><body>Sign in to go on</body></html>",
        "synced",
        "c u3",
    ];
    let told = told(&mut stream, &Kind::Pod, expected.len()).await;
    for (told, expected) in told.iter().zip(expected) {
        assert!(
            told == expected || (told.starts_with("cut: ") && expected.starts_with("cut: ")),
            "{told} {expected}"
        );
    }
    assert_eq!(resumed_at(&fake, "/pods"), ["10", "12", "12"]);
}

#[tokio::test]
async fn after_410_a_new_list_tells_what_went_and_no_event_twice() {
    let gone = || {
        Reply::Watch(vec![json!({"type": "ERROR", "object": status(410, "Expired", "too old")})], End::Held)
    };
    // In a stream as the API server does it, or as an answer as others do.
    for forgotten in [gone(), Reply::status(410, "Gone", "too old")] {
        let serving = || {
            let forgotten = forgotten.clone();
            serving(
                |plural, number| match (plural, number) {
                    ("pods", 0) => list(&[pod("a", "u1", 1), pod("b", "u2", 2), pod("c", "u3", 3)], ""),
                    ("pods", _) => list(&[pod("a", "u1", 1), pod("b", "u9", 20)], ""),
                    (_, 0) => list(&[event("e1", 1), event("e2", 4)], ""),
                    (_, _) => list(&[event("e1", 1), event("e2", 6), event("e3", 1)], ""),
                },
                move |_, number| {
                    if number == 0 { forgotten.clone() } else { Reply::Watch(vec![], End::Held) }
                },
            )
        };
        let fake = serving().await;
        let mut stream = watching(&fake, EventFilter::default()).await;
        let pods =
            ["a u1", "b u2", "c u3", "synced", "cut: too old", "a u1", "-b u2", "b u9", "-c u3", "synced"];
        assert_eq!(told(&mut stream, &Kind::Pod, pods.len()).await, pods);
        let fake = serving().await;
        let mut stream = watching(&fake, EventFilter::default()).await;
        let events = ["e1 1", "e2 4", "synced", "cut: too old", "e2 6", "e3 1", "synced"];
        assert_eq!(told(&mut stream, &Kind::Event, events.len()).await, events);
    }
}

#[tokio::test]
async fn a_forbidden_kind_is_told_and_the_others_go_on() {
    let fake = serving(
        |plural, _| match plural {
            "pods" => Reply::status(403, "Forbidden", "pods is forbidden"),
            _ => list(&[event("e1", 1)], ""),
        },
        |_, _| Reply::Watch(vec![], End::Held),
    )
    .await;
    let mut stream = watching(&fake, EventFilter::default()).await;
    assert_eq!(told(&mut stream, &Kind::Event, 2).await, ["e1 1", "synced"]);
    let mut stream = watching(&fake, EventFilter::default()).await;
    assert_eq!(told(&mut stream, &Kind::Pod, 2).await, ["cut: pods is forbidden", "cut: pods is forbidden"]);
}

#[tokio::test]
async fn garbage_is_left_out_or_relisted_and_nothing_ends() {
    let fake = serving(
        |plural, _| match plural {
            "pods" => list(&[json!("text"), json!({"metadata": {}}), pod("a", "u1", 1)], ""),
            _ => list(&[json!({"metadata": {"uid": "e1"}}), event("e2", 1)], ""),
        },
        |_, number| match number {
            0 => Reply::Watch(vec![json!("garbage")], End::Held),
            _ => Reply::Watch(vec![change("ADDED", &pod("b", "u2", 2))], End::Held),
        },
    )
    .await;
    let mut stream = watching(&fake, EventFilter::default()).await;
    let told = told(&mut stream, &Kind::Pod, 6).await;
    assert_eq!(
        (&told[..2], &told[3..]),
        (&["a u1".into(), "synced".into()][..], &["a u1".into(), "synced".into(), "b u2".into()][..])
    );
}

#[tokio::test]
async fn events_of_both_ages_are_normalised() {
    let mut new = event("new", 0);
    new["count"] = Value::Null;
    new["firstTimestamp"] = Value::Null;
    new["lastTimestamp"] = Value::Null;
    new["source"] = json!({});
    new["eventTime"] = json!("2026-11-24T03:00:00.250000Z");
    new["series"] = json!({"count": 3, "lastObservedTime": "2026-11-24T03:05:00.000000Z"});
    new["reportingComponent"] = json!("default-scheduler");
    new["type"] = json!("Normal");
    let mut node = event("node", 1);
    node["involvedObject"] = json!({"kind": "Node", "name": "n1", "uid": "n1"});
    let items = [event("old", 7), new, node];
    let fake = serving(
        move |plural, _| if plural == "events" { list(&items, "") } else { list(&[], "") },
        |_, _| Reply::Watch(vec![], End::Held),
    )
    .await;
    let stream = watching(&fake, EventFilter::default()).await;
    let events: Vec<EventRecord> = stream
        .filter_map(async |item| if let WatchItem::Event(event) = item { Some(*event) } else { None })
        .take(3)
        .collect()
        .await;
    let [old, new, node] = events.try_into().unwrap();
    let web = ObjectRef::namespaced(Kind::Pod, "shop", "web-1");
    assert_eq!(
        (old.count, old.event_type, old.object, &*old.source),
        (7, EventType::Warning, web, "kubelet")
    );
    assert_eq!(old.last_seen.to_string(), "2026-11-24T04:01:00Z");
    assert_eq!((new.count, new.event_type, &*new.source), (3, EventType::Normal, "default-scheduler"));
    assert_eq!(new.first_seen.to_string(), "2026-11-24T03:00:00.25Z");
    assert_eq!(new.last_seen.to_string(), "2026-11-24T03:05:00Z");
    assert_eq!(node.object, ObjectRef::cluster_scoped(Kind::Node, "n1"));
}

#[tokio::test]
async fn only_admitted_events_are_told() {
    let mut quiet = event("quiet", 1);
    quiet["type"] = json!("Normal");
    quiet["reason"] = json!("Pulled");
    let mut away = event("away", 1);
    away["involvedObject"] = json!({"kind": "ReplicaSet", "namespace": "other", "name": "web", "uid": "u"});
    let all = ["loud 1", "quiet 1", "away 1"];
    let text = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let any = EventFilter::default;
    for (filter, expected) in [
        (any(), &all[..]),
        (EventFilter { types: vec![EventType::Normal], ..any() }, &all[1..2]),
        (EventFilter { include_reasons: text(&["Pulled"]), ..any() }, &all[1..2]),
        (EventFilter { exclude_reasons: text(&["BackOff"]), ..any() }, &all[1..2]),
        (EventFilter { kinds: vec![Kind::ReplicaSet], ..any() }, &all[2..]),
        (EventFilter { namespaces: text(&["shop"]), ..any() }, &all[..2]),
    ] {
        let items = [event("loud", 1), quiet.clone(), away.clone()];
        let fake = serving(
            move |plural, _| list(if plural == "events" { &items } else { &[] }, ""),
            |_, _| Reply::Watch(vec![], End::Held),
        )
        .await;
        let mut stream = watching(&fake, filter.clone()).await;
        let told = told(&mut stream, &Kind::Event, expected.len() + 1).await;
        assert_eq!(told[..expected.len()], *expected, "{filter:?}");
        assert_eq!(told[expected.len()], "synced", "{filter:?}");
    }
}
