//! What lies between the runtime and the simulated world: outages of the store, slow requests, and moments of a
//! saga at which something else happens.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kubewise_core::document::Document;
use kubewise_core::id::SagaId;
use kubewise_core::journal::JournalEntry;
use kubewise_core::port::{Clock, ClusterActor, ClusterReader, Journal, RecordStore};
use kubewise_core::record::{Page, Record, RecordKind, RecordQuery};
use kubewise_core::request::{ClusterRequest, Performed};
use kubewise_core::{Failure, Kind, ObjectRef, Rejection, Timestamp};
use kubewise_sim::{Process, VirtualClock};

type Deed = Box<dyn FnOnce() + Send>;

/// Turned from outside while the pipeline runs.
#[derive(Default)]
pub(crate) struct Weather {
    pub(crate) store_down: bool,
    pub(crate) journal_down: bool,
    /// The store refuses to save a record of this kind, for good.
    pub(crate) refused: Option<RecordKind>,
    /// Objects of this kind may not be listed.
    pub(crate) forbidden: Option<Kind>,
    /// There are more pods than one list takes.
    pub(crate) crowded: bool,
    /// The API server answers dry runs with 500.
    pub(crate) dry_runs_fail: bool,
    /// Requests that are sent wait on the wire until then.
    pub(crate) held_until: Option<Timestamp>,
    /// Done right after so many more entries are durable.
    pub(crate) after_entry: Option<(u32, Deed)>,
    /// Sagas that were read from the journal so far.
    pub(crate) sagas_read: u32,
}

/// A process behind the weather.
pub(crate) struct Weathered {
    pub(crate) process: Arc<Process>,
    pub(crate) clock: VirtualClock,
    pub(crate) weather: Mutex<Weather>,
}

impl Weathered {
    pub(crate) fn set(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.weather.lock().unwrap());
    }

    fn refuse(&self, down: impl FnOnce(&Weather) -> bool) -> Result<(), Failure> {
        let down = down(&self.weather.lock().unwrap());
        if down { Err(Failure::Unavailable { message: "disk is not there".into() }) } else { Ok(()) }
    }

    fn appended(&self) {
        let due = {
            let mut weather = self.weather.lock().unwrap();
            weather.after_entry = weather.after_entry.take().map(|(left, deed)| (left - 1, deed));
            weather.after_entry.take_if(|(left, _)| *left == 0)
        };
        if let Some((_, deed)) = due {
            deed();
        }
    }
}

#[async_trait]
impl ClusterActor for Weathered {
    async fn perform(&self, request: &ClusterRequest, dry_run: bool) -> Result<Performed, Failure> {
        if dry_run && self.weather.lock().unwrap().dry_runs_fail {
            return Err(Failure::Unavailable { message: "an error on the server (500)".into() });
        }
        let held = self.weather.lock().unwrap().held_until.filter(|_| !dry_run);
        if let Some(until) = held {
            self.clock.sleep_until(until).await;
        }
        self.process.perform(request, dry_run).await
    }
}

#[async_trait]
impl ClusterReader for Weathered {
    async fn get(&self, object: &ObjectRef) -> Result<Option<Document>, Failure> {
        ClusterReader::get(self.process.as_ref(), object).await
    }

    async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Vec<Document>, Failure> {
        if self.weather.lock().unwrap().forbidden.as_ref() == Some(kind) {
            let message = format!("cannot list {kind}");
            return Err(Failure::Rejected { reason: Rejection::Forbidden, message });
        }
        if self.weather.lock().unwrap().crowded && *kind == Kind::Pod && namespace.is_none() {
            let message = "list Pod: 9000 objects are more than the 5000 that are taken".into();
            return Err(Failure::Rejected { reason: Rejection::Invalid, message });
        }
        self.process.list(kind, namespace).await
    }

    async fn pods_on(&self, node: &str) -> Result<Vec<Document>, Failure> {
        self.process.pods_on(node).await
    }

    async fn logs(&self, pod: &ObjectRef, container: &str, previous: bool) -> Result<String, Failure> {
        self.process.logs(pod, container, previous).await
    }

    async fn last_changed(&self, settings: &ObjectRef) -> Result<Option<Timestamp>, Failure> {
        self.process.last_changed(settings).await
    }
}

#[async_trait]
impl RecordStore for Weathered {
    async fn save(&self, records: &[Record]) -> Result<(), Failure> {
        self.refuse(|weather| weather.store_down)?;
        let refused = self.weather.lock().unwrap().refused;
        if records.iter().any(|record| Some(record.index().kind) == refused) {
            return Err(Failure::Rejected { reason: Rejection::Invalid, message: "too large".into() });
        }
        RecordStore::save(self.process.as_ref(), records).await
    }

    async fn get(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, Failure> {
        self.refuse(|weather| weather.store_down)?;
        RecordStore::get(self.process.as_ref(), kind, id).await
    }

    async fn find(&self, query: &RecordQuery) -> Result<Page, Failure> {
        self.refuse(|weather| weather.store_down)?;
        self.process.find(query).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, Failure> {
        self.process.purge(before).await
    }
}

#[async_trait]
impl Journal for Weathered {
    async fn append(&self, entry: &JournalEntry) -> Result<(), Failure> {
        self.refuse(|weather| weather.journal_down)?;
        self.process.append(entry).await?;
        self.appended();
        Ok(())
    }

    async fn unfinished(&self) -> Result<Vec<SagaId>, Failure> {
        self.refuse(|weather| weather.journal_down)?;
        self.process.unfinished().await
    }

    async fn read(&self, saga: &SagaId) -> Result<Vec<JournalEntry>, Failure> {
        self.refuse(|weather| weather.journal_down)?;
        self.set(|weather| weather.sagas_read += 1);
        self.process.read(saga).await
    }
}
