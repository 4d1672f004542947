//! What was acknowledged outlives the process.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use kubewise_core::id::SagaId;
use kubewise_core::port::{Journal, RecordStore};
use kubewise_core::record::RecordKind;
use kubewise_sqlite::{Options, Sqlite};

use crate::build::{closed, opened, options, succeeded};

const PATH: &str = "SQLITE_CRASH_TEST_PATH";
/// Marks the child's acknowledgements among what the test harness prints.
const ACKNOWLEDGED: &str = "acknowledged ";

#[tokio::test]
async fn kill_loses_nothing_that_was_acknowledged() {
    if let Some(path) = env::var_os(PATH) {
        return append_until_killed(&Options { path: path.into() }).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let options = options(&directory);
    let saga = SagaId::from("s-1");
    let mut last = 0;
    for round in 0..5 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "crash::kill_loses_nothing_that_was_acknowledged", "--nocapture"])
            .env(PATH, &options.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Held until the child is dead: a closed pipe would end it before the kill does.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = lines
            .by_ref()
            .filter_map(|line| {
                let line = line.unwrap();
                line.split_once(ACKNOWLEDGED).map(|(_, sequence)| sequence.parse::<u32>().unwrap())
            })
            .nth(10 + 7 * round)
            .expect("the child acknowledges entries until it is killed");
        child.kill().unwrap();
        child.wait().unwrap();

        let store = Sqlite::open(&options).unwrap();
        let entries = store.read(&saga).await.unwrap();
        let sequences: Vec<u32> = entries.iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, (0..entries.len() as u32).collect::<Vec<_>>(), "no gap");
        assert!(
            entries.len() as u32 > acknowledged,
            "{} entries, {acknowledged} acknowledged",
            entries.len()
        );
        assert!(acknowledged > last, "the child went on where the last one was killed");
        let record = store.get(RecordKind::Incident, &format!("i-{acknowledged}")).await.unwrap();
        assert!(record.is_some(), "the record saved before entry {acknowledged}");
        last = acknowledged;
    }
}

/// What the test's own child does: it is the same test, told a path.
#[expect(clippy::print_stdout, reason = "what the parent waits for")]
async fn append_until_killed(options: &Options) {
    let store = Sqlite::open(options).unwrap();
    let saga = SagaId::from("s-1");
    for sequence in store.read(&saga).await.unwrap().len() as u32.. {
        store.save(&[closed(&format!("i-{sequence}"), 0)]).await.unwrap();
        let entry = if sequence == 0 { opened("s-1", &["cart"]) } else { succeeded("s-1", sequence, "") };
        store.append(&entry).await.unwrap();
        println!("{ACKNOWLEDGED}{sequence}");
    }
}
