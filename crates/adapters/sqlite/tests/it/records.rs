//! What the record store promises.

use kubewise_core::journal::JournalBody;
use kubewise_core::port::RecordStore;
use kubewise_core::record::{Record, RecordKind, RecordQuery};
use kubewise_core::{Kind, ObjectRef, Rejection};
use kubewise_sqlite::Sqlite;
use serde_json::json;

use crate::build::{at, closed, event, incident, store, workload};

fn ids(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.index().id).collect()
}

async fn found(store: &Sqlite, query: &RecordQuery) -> Vec<String> {
    ids(&store.find(query).await.unwrap().records)
}

#[tokio::test]
async fn saving_again_replaces() {
    let kept = store();
    kept.store.save(&[incident("i-1", 0, &json!({}))]).await.unwrap();
    kept.store.save(&[closed("i-1", 0), closed("i-2", 0)]).await.unwrap();
    assert_eq!(
        kept.store.get(RecordKind::Incident, "i-1").await.unwrap(),
        Some(closed("i-1", 0)),
        "the newest state"
    );
    assert_eq!(kept.store.get(RecordKind::Incident, "i-3").await.unwrap(), None);
    assert_eq!(kept.store.get(RecordKind::Plan, "i-1").await.unwrap(), None);
    assert_eq!(found(&kept.store, &RecordQuery::of(RecordKind::Incident)).await, ["i-2", "i-1"]);
}

#[tokio::test]
async fn fields_of_a_newer_minor_version_survive() {
    let kept = store();
    let newer = incident("i-1", 0, &json!({ "version": "1.7", "blastRadius": { "pods": 3 }, "tags": ["x"] }));
    kept.store.save(std::slice::from_ref(&newer)).await.unwrap();
    let read = kept.store.get(RecordKind::Incident, "i-1").await.unwrap().unwrap();
    let document = read.to_document().unwrap();
    assert_eq!(document["blastRadius"], json!({ "pods": 3 }));
    assert_eq!(document["version"], "1.7");
    assert_eq!(read, newer);
}

/// A store keeps what it can give back; one unreadable record would spoil every list that it is on.
#[tokio::test]
async fn a_record_that_json_cannot_hold_is_refused_and_so_is_its_batch() {
    let kept = store();
    let document = json!({
        "id": "a-1", "workload": workload("cart"), "object": workload("cart"), "reason": "Deviation",
        "detector": "RobustZ", "severity": "Info", "score": 0.5, "threshold": 0.5, "features": [],
        "explanation": "", "status": "Firing", "time": at(0), "updatedAt": at(0), "remediationStatus": "None",
    });
    let mut broken = Record::from_document(RecordKind::Anomaly, &document.to_string()).unwrap();
    if let Record::Anomaly(anomaly) = &mut broken {
        anomaly.score = f64::NAN;
    }
    let failure = kept.store.save(&[closed("i-1", 0), broken]).await.unwrap_err();
    assert!(failure.is(Rejection::Invalid) && failure.message().contains("a-1"), "{failure}");
    assert_eq!(kept.store.get(RecordKind::Incident, "i-1").await.unwrap(), None);
}

#[tokio::test]
async fn every_filter_narrows() {
    let kept = store();
    let node = ObjectRef::cluster_scoped(Kind::Node, "n1");
    let other = ObjectRef::namespaced(Kind::Deployment, "bank", "cart");
    kept.store
        .save(&[
            incident("i-1", 10, &json!({})),
            incident("i-2", 20, &json!({ "workload": workload("web") })),
            incident("i-3", 30, &json!({ "workload": other })),
            incident("i-4", 40, &json!({ "workload": node })),
            closed("i-5", 50),
            event("e", 60),
        ])
        .await
        .unwrap();
    let all = RecordQuery::of(RecordKind::Incident);
    for (what, query, expect) in [
        ("nothing", all.clone(), vec!["i-5", "i-4", "i-3", "i-2", "i-1"]),
        ("workload", RecordQuery { workload: Some(workload("cart")), ..all.clone() }, vec!["i-5", "i-1"]),
        ("a node", RecordQuery { workload: Some(node), ..all.clone() }, vec!["i-4"]),
        ("namespace", RecordQuery { namespace: Some("bank".into()), ..all.clone() }, vec!["i-3"]),
        ("status", RecordQuery { status: Some("Repaired".into()), ..all.clone() }, vec!["i-5"]),
        ("incident", RecordQuery { incident: Some("i-2".into()), ..all.clone() }, vec!["i-2"]),
        ("since, inclusive", RecordQuery { since: Some(at(40)), ..all.clone() }, vec!["i-5", "i-4"]),
        ("until, exclusive", RecordQuery { until: Some(at(20)), ..all.clone() }, vec!["i-1"]),
        (
            "all at once",
            RecordQuery {
                workload: Some(workload("cart")),
                namespace: Some("shop".into()),
                status: Some("Open".into()),
                since: Some(at(0)),
                until: Some(at(100)),
                ..all.clone()
            },
            vec!["i-1"],
        ),
    ] {
        assert_eq!(found(&kept.store, &query).await, expect, "{what}");
    }
}

/// Many records of one moment: the id decides, and a page boundary in their midst loses none.
#[tokio::test]
async fn pages_join_without_loss_or_repeat() {
    let kept = store();
    let records: Vec<_> = (0..25).map(|n| incident(&format!("i-{n:02}"), n / 10 * 10, &json!({}))).collect();
    kept.store.save(&records).await.unwrap();
    let mut expect = ids(&records);
    expect.reverse();

    let mut query = RecordQuery { limit: 4, ..RecordQuery::of(RecordKind::Incident) };
    let mut seen = Vec::new();
    loop {
        let page = kept.store.find(&query).await.unwrap();
        assert!(page.records.len() <= 4);
        seen.extend(ids(&page.records));
        // A cursor travels as text.
        query.cursor = page.next.map(|cursor| cursor.to_string().parse().unwrap());
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, expect);

    let whole = RecordQuery { limit: 25, cursor: None, ..query };
    assert_eq!(kept.store.find(&whole).await.unwrap().next, None, "a page that is just full is the last");
}

/// More than one batch, so that the loop over batches is in play.
#[tokio::test]
async fn retention_removes_old_closed_records_and_counts_them() {
    let kept = store();
    let mut records: Vec<_> = (0..1_200).map(|n| event(&format!("old-{n}"), n % 100)).collect();
    records.extend([closed("i-old", 0), incident("i-open", 0, &json!({})), closed("i-young", 200)]);
    kept.store.save(&records).await.unwrap();

    assert_eq!(kept.store.purge(at(100)).await.unwrap(), 1_201);
    assert_eq!(kept.store.purge(at(100)).await.unwrap(), 0);
    assert_eq!(found(&kept.store, &RecordQuery::of(RecordKind::Event)).await, [""; 0]);
    assert_eq!(found(&kept.store, &RecordQuery::of(RecordKind::Incident)).await, ["i-young", "i-open"]);
}

#[tokio::test]
async fn a_plan_with_an_operation_of_a_newer_version_is_refused_by_name_and_kept() {
    let kept = store();
    let opened = crate::build::opened("s-1", &[]);
    let JournalBody::Opened { plan, .. } = opened.body else { panic!("not an opening") };
    kept.store.save(&[Record::Plan(*plan)]).await.unwrap();
    let file = rusqlite::Connection::open(crate::build::options(&kept.directory).path).unwrap();
    let newer = json!([{
        "action": { "name": "TransplantPod", "target": workload("cart") },
        "operation": { "verb": "transplant", "pod": "cart-1" },
        "description": "", "reversible": true, "disruption": 0,
    }]);
    let written =
        "UPDATE records SET document = json_set(document, '$.actions', json(?1)) WHERE kind = 'plan'";
    assert_eq!(file.execute(written, [newer.to_string()]).unwrap(), 1);

    let failure = kept.store.get(RecordKind::Plan, "p-s-1").await.unwrap_err();
    assert!(failure.is(Rejection::Invalid), "{failure}");
    for told in ["p-s-1", "unknown variant `transplant`"] {
        assert!(failure.message().contains(told), "{failure}");
    }
    let failure = kept.store.find(&RecordQuery::of(RecordKind::Plan)).await.unwrap_err();
    assert!(failure.message().contains("p-s-1"), "no list passes for whole without it: {failure}");
    let still =
        "SELECT json_extract(document, '$.actions[0].operation.verb') FROM records WHERE kind = 'plan'";
    assert_eq!(
        file.query_row(still, [], |row| row.get::<_, String>(0)).unwrap(),
        "transplant",
        "nothing is lost"
    );
}
