//! Ends the process exactly at a chosen journal entry, so that tests can show that no crash does harm. Only in
//! debug builds: a release has neither this module nor the variable.

use std::process::{Command, abort, id};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use kubewise_core::Failure;
use kubewise_core::id::SagaId;
use kubewise_core::journal::JournalEntry;
use kubewise_core::port::Journal;

/// `after:N`: as soon as the process's N-th append is durable. `before:N`: once what it tells of has happened, and
/// it is not written yet.
const VARIABLE: &str = "KUBEWISE_CRASH_POINT";

/// The journal with the crash point that the environment names, if it names one.
pub(crate) fn around(journal: Arc<dyn Journal>) -> Arc<dyn Journal> {
    let point = std::env::var(VARIABLE).ok().and_then(|text| {
        let (side, number) = text.split_once(':')?;
        Some((side == "after", number.parse().ok()?))
    });
    match point {
        Some((after, number)) => Arc::new(CrashPoint { journal, after, number, durable: AtomicU32::new(0) }),
        None => journal,
    }
}

struct CrashPoint {
    journal: Arc<dyn Journal>,
    after: bool,
    number: u32,
    durable: AtomicU32,
}

#[async_trait]
impl Journal for CrashPoint {
    async fn append(&self, entry: &JournalEntry) -> Result<(), Failure> {
        if !self.after && self.durable.load(Ordering::SeqCst) + 1 == self.number {
            die();
        }
        self.journal.append(entry).await?;
        if self.durable.fetch_add(1, Ordering::SeqCst) + 1 == self.number && self.after {
            die();
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
    // If there is no such program, an abort flushes and tells as little.
    let _ = Command::new("kill").args(["-KILL", &id().to_string()]).status();
    abort()
}
