//! Stores, records and journal entries for the tests.

use kubewise_core::id::SagaId;
use kubewise_core::journal::{Epoch, JournalBody, JournalEntry, Outcome};
use kubewise_core::record::{Record, RecordKind};
use kubewise_core::{Kind, ObjectRef, Timestamp};
use kubewise_sqlite::{Options, Sqlite};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Opened {
    pub(crate) store: Sqlite,
    pub(crate) directory: TempDir,
}

pub(crate) fn store() -> Opened {
    let directory = tempfile::tempdir().unwrap();
    Opened { store: Sqlite::open(&options(&directory)).unwrap(), directory }
}

pub(crate) fn options(directory: &TempDir) -> Options {
    Options { path: directory.path().join("kubewise.db") }
}

/// Seconds after some morning.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub(crate) fn workload(name: &str) -> ObjectRef {
    ObjectRef::namespaced(Kind::Deployment, "shop", name)
}

/// An incident of `cart`, with whatever else is given laid over it.
pub(crate) fn incident(id: &str, opened: i64, over: &Value) -> Record {
    let mut document = json!({
        "id": id, "workload": workload("cart"), "reason": "CrashLoopBackOff", "severity": "Critical",
        "status": "Open", "summary": "", "openedAt": at(opened), "updatedAt": at(opened), "anomalies": [],
    });
    for (key, value) in over.as_object().into_iter().flatten() {
        document[key] = value.clone();
    }
    Record::from_document(RecordKind::Incident, &document.to_string()).unwrap()
}

pub(crate) fn closed(id: &str, opened: i64) -> Record {
    incident(id, opened, &json!({ "status": "Repaired", "closedAt": at(opened + 60) }))
}

pub(crate) fn event(uid: &str, seen: i64) -> Record {
    let object = ObjectRef::namespaced(Kind::Pod, "shop", "cart-1");
    let document = json!({
        "uid": uid, "count": 1, "object": object, "objectUid": "u", "type": "Warning", "reason": "BackOff",
        "message": "", "firstSeen": at(seen), "lastSeen": at(seen), "source": "kubelet",
    });
    Record::from_document(RecordKind::Event, &document.to_string()).unwrap()
}

pub(crate) fn entry(saga: &str, sequence: u32, body: JournalBody) -> JournalEntry {
    JournalEntry { saga: SagaId::from(saga), sequence, epoch: Epoch(1), time: at(i64::from(sequence)), body }
}

pub(crate) fn opened(saga: &str, locks: &[&str]) -> JournalEntry {
    let plan = json!({
        "id": format!("p-{saga}"), "incident": "i-1", "workload": workload("cart"), "attempt": 1,
        "author": { "kind": "playbook", "name": "crash-loop" }, "reasoning": "", "rootCause": "",
        "evidence": [], "priority": "Critical", "actions": [], "safetyConstraints": [],
        "verification": {
            "checks": [], "provisionalAfter": "30s", "settle": "10m", "deadline": "30m",
            "baseline": {
                "desired": 3, "available": 0, "rolledOut": false, "restarts": { "cart-1/app": 7 },
                "failing": ["cart-1/app: CrashLoopBackOff"], "takenAt": at(0),
            },
        },
        "mode": "auto", "status": "Executing", "createdAt": at(0), "updatedAt": at(0),
    });
    let plan = serde_json::from_value(plan).unwrap();
    entry(saga, 0, JournalBody::Opened { plan, locks: locks.iter().map(|name| workload(name)).collect() })
}

pub(crate) fn succeeded(saga: &str, sequence: u32, detail: &str) -> JournalEntry {
    entry(saga, sequence, JournalBody::Succeeded { step: 0, detail: detail.into() })
}

pub(crate) fn ended(saga: &str, sequence: u32, outcome: Outcome) -> JournalEntry {
    entry(saga, sequence, JournalBody::Closed { outcome, reason: String::new() })
}
