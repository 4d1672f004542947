//! Records on their way to the store. Saving never blocks deciding; only the newest state of a record is kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kubewise_core::port::{Clock, RecordStore};
use kubewise_core::record::{Record, RecordKind};
use kubewise_core::{Failure, Period};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Telemetry;

/// How long to leave a failing store alone; its breaker decides how often it is really asked.
const PAUSE: Period = Period::from_secs(2);

#[derive(Debug)]
pub(crate) struct Outbox {
    capacity: usize,
    waiting: Mutex<BTreeMap<(RecordKind, String), Record>>,
    filled: Notify,
    telemetry: Telemetry,
}

impl Outbox {
    pub(crate) fn new(capacity: usize, telemetry: Telemetry) -> Self {
        Outbox { capacity: capacity.max(1), waiting: Mutex::default(), filled: Notify::new(), telemetry }
    }

    pub(crate) fn put(&self, record: Record) {
        let index = record.index();
        let mut waiting = self.lock();
        waiting.insert((index.kind, index.id), record);
        if waiting.len() > self.capacity {
            // Events sort first and can be had again from Kubernetes; anything else is dearer.
            waiting.pop_first();
            self.telemetry.records_displaced(1);
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// The newest state of a record that is not saved yet.
    pub(crate) fn waiting(&self, kind: RecordKind, id: &str) -> Option<Record> {
        self.lock().get(&(kind, id.to_owned())).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Saves until cancelled, then once more until nothing is left or the store fails.
    pub(crate) async fn run(
        &self,
        store: Arc<dyn RecordStore>,
        clock: Arc<dyn Clock>,
        batch: usize,
        stop: CancellationToken,
    ) {
        loop {
            let stopping = stop.is_cancelled();
            match self.flush(store.as_ref(), batch).await {
                Ok(0) if stopping => return,
                Ok(0) => {
                    tokio::select! {
                        biased;
                        () = self.filled.notified() => {}
                        () = stop.cancelled() => {}
                    }
                }
                Ok(_) => {}
                Err(failure) if stopping => {
                    tracing::error!(%failure, records = self.len(), "records could not be saved before the end");
                    return;
                }
                Err(failure) => {
                    tracing::warn!(%failure, records = self.len(), "the store cannot be written; records wait");
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => {}
                        () = clock.sleep_until(PAUSE.after(clock.now())) => {}
                    }
                }
            }
        }
    }

    /// Saves one batch. What could not be saved waits on, unless a newer state has come meanwhile.
    async fn flush(&self, store: &dyn RecordStore, batch: usize) -> Result<usize, Failure> {
        let mut taken: VecDeque<Record> = {
            let mut waiting = self.lock();
            (0..batch.max(1)).map_while(|_| waiting.pop_last()).map(|(_, record)| record).collect()
        };
        let count = taken.len();
        if count == 0 {
            return Ok(0);
        }
        let mut saved = store.save(taken.make_contiguous()).await;
        // One of them is refused; the others are saved without it.
        while saved.as_ref().is_err_and(|failure| !failure.is_transient()) {
            let Some(record) = taken.front() else { break };
            match store.save(std::slice::from_ref(record)).await {
                Err(failure) if failure.is_transient() => saved = Err(failure),
                Err(failure) => {
                    let record = record.index();
                    tracing::error!(kind = ?record.kind, id = record.id, %failure, "the store refuses a record; it is left out");
                    taken.pop_front();
                }
                Ok(()) => drop(taken.pop_front()),
            }
        }
        match saved {
            Err(failure) if failure.is_transient() => {
                let mut waiting = self.lock();
                for record in taken {
                    let index = record.index();
                    waiting.entry((index.kind, index.id)).or_insert(record);
                }
                Err(failure)
            }
            _ => {
                self.telemetry.saved(count);
                Ok(count)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(RecordKind, String), Record>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
