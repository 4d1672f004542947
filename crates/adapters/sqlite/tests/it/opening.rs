//! What is refused at the door, in which words, and that it is left as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kubewise_core::port::RecordStore;
use kubewise_sqlite::{Options, Sqlite};
use serde_json::json;

use crate::build::{closed, incident, options, store};

fn refusal(path: &Path) -> String {
    match Sqlite::open(&Options { path: path.into() }) {
        Ok(_) => "opened".into(),
        Err(error) => kubewise_core::failure::chain(&error),
    }
}

/// A closed store with some hundred records, changed by `change`.
async fn changed(change: impl FnOnce(&Path)) -> (tempfile::TempDir, String) {
    let kept = store();
    let records: Vec<_> = (0..300).map(|n| closed(&format!("i-{n}"), n)).collect();
    kept.store.save(&records).await.unwrap();
    let path = options(&kept.directory).path;
    drop(kept.store);
    change(&path);
    let before = fs::read(&path).unwrap();
    let refusal = refusal(&path);
    assert_eq!(fs::read(&path).unwrap(), before, "a refused store keeps its bytes");
    (kept.directory, refusal)
}

fn sql(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_new_store_can_be_read_by_its_owner_alone() {
    let kept = store();
    let path = options(&kept.directory).path;
    for name in ["", "-wal"] {
        let file = format!("{}{name}", path.display());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_store_that_is_not_sound_is_refused_and_kept() {
    type Change = fn(&Path);
    let cases: [(Change, &str); 5] = [
        (
            |path| sql(path, "PRAGMA user_version = 99"),
            "written by a newer KubeWise (schema 99, this one knows 2)",
        ),
        (|path| fs::write(path, "not a database at all\n".repeat(500)).unwrap(), "is damaged"),
        (
            |path| {
                let mut bytes = fs::read(path).unwrap();
                let middle = bytes.len() / 2 / 4096 * 4096;
                bytes[middle..middle + 4096].fill(0xa5);
                fs::write(path, bytes).unwrap();
            },
            "is damaged",
        ),
        (
            |path| {
                let bytes = fs::read(path).unwrap();
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            },
            "is damaged",
        ),
        (
            |path| {
                fs::remove_file(path).unwrap();
                sql(path, "CREATE TABLE songs (name TEXT)");
            },
            "of another program",
        ),
    ];
    for (change, expect) in cases {
        let (_directory, refusal) = changed(change).await;
        assert!(refusal.contains(expect) && refusal.contains("kubewise.db"), "{refusal}");
    }
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_is_gone() {
    let kept = store();
    let path = options(&kept.directory).path;
    let message = refusal(&path);
    assert!(message.contains("locked by another KubeWise process (pid "), "{message}");

    let link = kept.directory.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(refusal(&link).contains("locked by another"), "another name of the same file");

    let clone = kept.store.clone();
    drop(kept.store);
    assert!(refusal(&path).contains("locked by another"), "a handle is still there");
    drop(clone);
    assert_eq!(refusal(&path), "opened");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.join("kubewise.db"), directory.path().to_path_buf(), "/proc/kubewise.db".into()] {
        let message = refusal(&path);
        assert!(
            message.contains("cannot be opened") && message.contains(path.to_str().unwrap()),
            "{message}"
        );
    }
}

#[test]
fn a_missing_directory_is_made() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(refusal(&directory.path().join("a/b/kubewise.db")), "opened");
}

#[tokio::test]
async fn a_foreign_lock_is_a_passing_failure() {
    let kept = store();
    let mut other = rusqlite::Connection::open(options(&kept.directory).path).unwrap();
    let held = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let failure = kept.store.save(&[incident("i-1", 0, &json!({}))]).await.unwrap_err();
    assert!(matches!(failure, kubewise_core::Failure::Unavailable { .. }), "{failure:?}");
    drop(held);
    kept.store.save(&[incident("i-1", 0, &json!({}))]).await.unwrap();
}
