//! Ends or stops the process exactly at a chosen journal entry, so that tests can show that no crash does harm. Only in
//! debug builds: a release has neither this module nor the variable.

use std::process::{Command, abort, id};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use kubewise_core::Failure;
use kubewise_core::id::SagaId;
use kubewise_core::journal::JournalEntry;
use kubewise_core::port::Journal;

/// `after:N`: as soon as the process's N-th append is durable. `before:N`: once what it tells of has happened, and
/// it is not written yet. `panic:N`: as `after:N`, but by a panic of the loop. `stop:N`: as `after:N`, but the process is
/// only stopped, until somebody lets it go on.
const VARIABLE: &str = "KUBEWISE_CRASH_POINT";

const ARRIVES: Duration = Duration::from_millis(500);

/// The journal with the crash point that the environment names, if it names one.
pub(crate) fn around(journal: Arc<dyn Journal>) -> Arc<dyn Journal> {
    let point = std::env::var(VARIABLE).ok().and_then(|text| {
        let (side, number) = text.split_once(':')?;
        let fate = match side {
            "after" => Fate::DieAfter,
            "before" => Fate::DieBefore,
            "panic" => Fate::PanicAfter,
            "stop" => Fate::StopAfter,
            _ => return None,
        };
        Some((fate, number.parse().ok()?))
    });
    match point {
        Some((fate, number)) => Arc::new(CrashPoint { journal, fate, number, durable: AtomicU32::new(0) }),
        None => journal,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    DieBefore,
    DieAfter,
    PanicAfter,
    StopAfter,
}

struct CrashPoint {
    journal: Arc<dyn Journal>,
    fate: Fate,
    number: u32,
    durable: AtomicU32,
}

#[async_trait]
#[expect(clippy::panic, reason = "that is what is asked for")]
impl Journal for CrashPoint {
    async fn append(&self, entry: &JournalEntry) -> Result<(), Failure> {
        if self.fate == Fate::DieBefore && self.durable.load(Ordering::SeqCst) + 1 == self.number {
            die();
        }
        self.journal.append(entry).await?;
        if self.durable.fetch_add(1, Ordering::SeqCst) + 1 == self.number {
            match self.fate {
                Fate::DieAfter => die(),
                Fate::PanicAfter => panic!("by {VARIABLE}"),
                Fate::StopAfter => {
                    signal("-STOP");
                    thread::sleep(ARRIVES); // the kernel stops its threads a moment later
                }
                Fate::DieBefore => {}
            }
        }
        Ok(())
    }

    async fn unfinished(&self) -> Result<Vec<SagaId>, Failure> {
        self.journal.unfinished().await
    }

    async fn read(&self, saga: &SagaId) -> Result<Vec<JournalEntry>, Failure> {
        self.journal.read(saga).await
    }
}

/// By a SIGKILL, as the kernel or a node's end would: nothing is flushed, nobody is told.
fn die() -> ! {
    signal("-KILL");
    abort() // if there is no such program, this flushes and tells as little
}

fn signal(name: &str) {
    let _ = Command::new("kill").args([name, &id().to_string()]).status();
}
