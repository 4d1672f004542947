//! The audit log: nothing of it is changed without a trace.

use std::fs;
use std::path::{Path, PathBuf};

use kubewise_core::journal::Outcome;
use kubewise_core::port::{Journal, RecordStore};
use kubewise_core::record::{Record, RecordKind};
use kubewise_sqlite::audit::{Broken, verify};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use crate::build::{at, ended, opened, options, store, succeeded};

/// A closed store of five entries: a saga, a pause and its end.
async fn written() -> (TempDir, PathBuf) {
    let kept = store();
    for entry in
        [opened("s-1", &["cart"]), succeeded("s-1", 1, "scaled up"), ended("s-1", 2, Outcome::Succeeded)]
    {
        kept.store.append(&entry).await.unwrap();
        kept.store.append(&entry).await.unwrap(); // again, as after a lost answer: that is no second entry
    }
    for end in [json!({}), json!({ "endedAt": at(60), "endedBy": "ada" })] {
        let mut document = json!({ "by": "ada", "reason": "the provider moves house", "since": at(0) });
        document.as_object_mut().unwrap().extend(end.as_object().unwrap().clone());
        let record = Record::from_document(RecordKind::Pause, &document.to_string()).unwrap();
        kept.store.save(&[record]).await.unwrap();
    }
    let path = options(&kept.directory).path;
    (kept.directory, path)
}

/// Whether it is found where it was done.
type Found = fn(&Broken) -> bool;

fn sql(path: &Path, statements: &str) -> rusqlite::Result<()> {
    Connection::open(path).unwrap().execute_batch(statements)
}

#[tokio::test]
async fn a_whole_chain_holds_and_knows_its_earlier_tips() {
    let (_directory, path) = written().await;
    let whole = verify(&path, None).unwrap();
    assert_eq!((whole.entries, whole.tip.len(), whole.noted), (5, 64, None));
    assert_eq!(verify(&path, Some(&whole.tip)).unwrap().noted, Some(true));
    assert_eq!(verify(&path, Some("0000")).unwrap().noted, Some(false));
}

#[tokio::test]
async fn the_log_is_only_ever_added_to() {
    let (_directory, path) = written().await;
    for statement in ["UPDATE audit SET text = 'x' WHERE number = 1", "DELETE FROM audit WHERE number = 5"] {
        let refused = sql(&path, statement).unwrap_err().to_string();
        assert!(refused.contains("only ever added to"), "{refused}");
    }
}

#[tokio::test]
async fn what_is_changed_past_the_triggers_is_found_and_named() {
    let drop = "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_removed;";
    let cases: [(&str, Found); 8] = [
        ("UPDATE audit SET text = replace(text, 'scaled up', 'scaled Up')", |b| {
            matches!(b, Broken::Changed { number: 2 })
        }),
        ("UPDATE audit SET time = time + 1 WHERE number = 4", |b| matches!(b, Broken::Changed { number: 4 })),
        ("UPDATE audit SET hash = upper(hash) WHERE number = 3", |b| {
            matches!(b, Broken::Changed { number: 3 })
        }),
        ("DELETE FROM audit WHERE number = 2", |b| matches!(b, Broken::Missing { expected: 2, found: 3 })),
        ("UPDATE audit SET number = number + 100; UPDATE audit SET number = number - 99", |b| {
            matches!(b, Broken::Missing { expected: 1, .. })
        }),
        (
            "UPDATE journal SET entry = replace(entry, 'scaled up', 'scaled Up')",
            |b| matches!(b, Broken::Journal { name } if name == "s-1/1"),
        ),
        (
            "DELETE FROM audit WHERE number >= 3",
            |b| matches!(b, Broken::Unwritten { name } if name == "s-1/2"),
        ),
        (
            "PRAGMA foreign_keys = OFF; UPDATE journal SET saga = 's-2' WHERE sequence = 1",
            |b| matches!(b, Broken::Unwritten { name } if name == "s-2/1"),
        ),
    ];
    for (change, found) in cases {
        let (_directory, path) = written().await;
        sql(&path, &format!("{drop} {change}")).unwrap();
        let broken = verify(&path, None).unwrap_err();
        assert!(found(&broken), "{change}: {broken}");
    }
}

/// Each byte of an entry's text, as it lies in the file, is flipped in turn.
#[tokio::test]
async fn one_flipped_byte_is_found() {
    let (_directory, path) = written().await;
    // Everything into the file itself, and nothing into the log beside it.
    sql(&path, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;").unwrap();
    let whole = fs::read(&path).unwrap();
    let text = b"the provider moves house";
    let places: Vec<usize> =
        (0..whole.len() - text.len()).filter(|at| whole[*at..].starts_with(text)).collect();
    assert!(places.len() >= 2, "in the record and in the log: {places:?}");
    let mut in_log = 0;
    for place in places {
        let mut found = 0;
        for offset in 0..text.len() {
            let mut flipped = whole.clone();
            flipped[place + offset] ^= 1;
            fs::write(&path, &flipped).unwrap();
            found += usize::from(verify(&path, None).is_err());
        }
        // The record itself is no part of the chain, the log is.
        assert!(found == 0 || found == text.len(), "{found} of {}", text.len());
        in_log += usize::from(found == text.len());
    }
    assert_eq!(in_log, 2, "both entries of the pause");
}

#[tokio::test]
async fn retention_leaves_the_log_alone() {
    let kept = store();
    for entry in [opened("s-1", &["cart"]), ended("s-1", 1, Outcome::Succeeded)] {
        kept.store.append(&entry).await.unwrap();
    }
    kept.store.purge(at(1_000_000)).await.unwrap();
    assert!(kept.store.unfinished().await.unwrap().is_empty());
    assert_eq!(verify(&options(&kept.directory).path, None).unwrap().entries, 2);
}

#[tokio::test]
async fn what_people_say_is_in_the_log_once_each_time() {
    let kept = store();
    let feedback = |reason: &str| {
        let document = json!({
            "id": "f-1", "incident": "i-1", "workload": { "kind": "Deployment", "namespace": "shop", "name": "cart" },
            "label": "False", "by": "ada", "reason": reason, "time": at(0), "anomalies": [], "about": [],
        });
        Record::from_document(RecordKind::Feedback, &document.to_string()).unwrap()
    };
    for reason in ["a test", "a test", "a test (ended by ada)"] {
        kept.store.save(&[feedback(reason)]).await.unwrap();
    }
    assert_eq!(verify(&options(&kept.directory).path, None).unwrap().entries, 2);
}
