//! The store as others see it.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use kubewise_core::guard::Guards;
use kubewise_core::id::SagaId;
use kubewise_core::journal::JournalEntry;
use kubewise_core::port::{Journal, RecordStore};
use kubewise_core::record::{Page, Record, RecordKind, RecordQuery};
use kubewise_core::{Failure, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lane::Lane;
use crate::{file, journal, records};

/// Connections that read at one time: as many pages as people and loops look at together.
const READERS: usize = 4;
/// Rows removed in one transaction: few enough that an append waits milliseconds, not seconds.
const PURGE_BATCH: u32 = 500;
/// Batches in one purge; half a million rows. What is left goes with the next one.
const PURGE_BATCHES: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The database file; it and its directory are made if absent. A local disk, not NFS.
    pub path: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Options { path: "kubewise.db".into() }
    }
}

/// A cheap handle to the open store. The file stays locked against other processes until the last one is dropped.
#[derive(Clone, Debug)]
pub struct Sqlite {
    writer: Arc<Lane>,
    readers: Arc<Lane>,
    guards: Guards,
}

impl Sqlite {
    /// Opens or creates the store. Blocks; meant for the start of the program. A store that is in use, damaged,
    /// not ours or of a newer version is refused and left as it is.
    pub fn open(options: &Options) -> Result<Self, file::Error> {
        let store = file::open(&options.path)?;
        let readers = (0..READERS).map(|_| store.reader()).collect::<Result<_, _>>()?;
        let lock = Arc::new(store.lock);
        Ok(Sqlite {
            writer: Lane::new(vec![store.writer], Arc::clone(&lock)),
            readers: Lane::new(readers, lock),
            guards: Guards::default(),
        })
    }

    /// With a guard of the journal taken out.
    #[cfg(feature = "guard-mutation")]
    #[must_use]
    pub fn under(self, guards: Guards) -> Self {
        Sqlite { guards, ..self }
    }
}

#[async_trait]
impl RecordStore for Sqlite {
    async fn save(&self, records: &[Record]) -> Result<(), Failure> {
        let rows = records.iter().map(records::Row::of).collect::<Result<Vec<_>, _>>()?;
        self.writer.write(move |transaction| records::save(transaction, &rows)).await
    }

    async fn get(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, Failure> {
        let id = id.to_owned();
        self.readers.read(move |connection| records::get(connection, kind, &id)).await
    }

    async fn find(&self, query: &RecordQuery) -> Result<Page, Failure> {
        let query = query.clone();
        self.readers.read(move |connection| records::find(connection, &query)).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, Failure> {
        let mut removed = 0;
        for _ in 0..PURGE_BATCHES {
            let (records, sagas) = self
                .writer
                .write(move |transaction| {
                    let records = records::purge(transaction, before, PURGE_BATCH)?;
                    Ok((records, journal::purge(transaction, before, PURGE_BATCH)?))
                })
                .await?;
            removed += records as u64;
            if records.max(sagas) < PURGE_BATCH as usize {
                break;
            }
        }
        Ok(removed)
    }
}

#[async_trait]
impl Journal for Sqlite {
    async fn append(&self, entry: &JournalEntry) -> Result<(), Failure> {
        let (entry, guards) = (entry.clone(), self.guards);
        self.writer.write(move |transaction| journal::append(transaction, &entry, guards)).await
    }

    async fn unfinished(&self) -> Result<Vec<SagaId>, Failure> {
        self.readers.read(journal::unfinished).await
    }

    async fn read(&self, saga: &SagaId) -> Result<Vec<JournalEntry>, Failure> {
        let saga = saga.clone();
        self.readers.read(move |connection| journal::read(connection, &saga)).await
    }
}
