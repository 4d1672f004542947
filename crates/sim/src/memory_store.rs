//! Records and journal in memory, with the promises of the durable ones as far as memory can keep them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use kubewise_core::id::SagaId;
use kubewise_core::journal::{Epoch, JournalBody, JournalEntry, Outcome};
use kubewise_core::port::{Journal, RecordStore};
use kubewise_core::record::{Cursor, Index, MAX_PAGE, Page, Record, RecordKind, RecordQuery};
use kubewise_core::{Failure, ObjectRef, Rejection, Timestamp};

/// Clones share their content; it outlives the processes that use it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    records: BTreeMap<(RecordKind, String), (Index, Record)>,
    by_time: BTreeMap<RecordKind, BTreeSet<(Timestamp, String)>>,
    sagas: BTreeMap<SagaId, Vec<JournalEntry>>,
    /// In order of opening.
    opened: Vec<SagaId>,
    locks: BTreeMap<ObjectRef, SagaId>,
    epoch: Epoch,
}

impl MemoryStore {
    /// Every entry of every saga, in order of opening.
    pub fn journal(&self) -> Vec<JournalEntry> {
        let kept = self.lock();
        kept.opened.iter().filter_map(|saga| kept.sagas.get(saga)).flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn conflict(message: String) -> Failure {
    Failure::Rejected { reason: Rejection::Conflict, message }
}

fn invalid(message: String) -> Failure {
    Failure::Rejected { reason: Rejection::Invalid, message }
}

/// Refuses a record that a durable store could not give back.
fn check(record: &Record, index: &Index) -> Result<(), Failure> {
    let written = record.to_document().map(|document| document.to_string());
    written
        .and_then(|text| Record::from_document(index.kind, &text))
        .map(|_| ())
        .map_err(|error| invalid(format!("{} `{}` cannot be saved: {error}", index.kind.as_str(), index.id)))
}

#[async_trait]
impl RecordStore for MemoryStore {
    async fn save(&self, records: &[Record]) -> Result<(), Failure> {
        let indexed: Vec<_> = records.iter().map(|record| (record.index(), record)).collect();
        indexed.iter().try_for_each(|(index, record)| check(record, index))?;
        let mut kept = self.lock();
        for (index, record) in indexed {
            let (kind, place) = (index.kind, (index.time, index.id.clone()));
            let old = kept.records.insert((kind, index.id.clone()), (index, record.clone()));
            let by_time = kept.by_time.entry(kind).or_default();
            if let Some((old, _)) = old {
                by_time.remove(&(old.time, old.id));
            }
            by_time.insert(place);
        }
        Ok(())
    }

    async fn get(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, Failure> {
        Ok(self.lock().records.get(&(kind, id.to_owned())).map(|(_, record)| record.clone()))
    }

    async fn find(&self, query: &RecordQuery) -> Result<Page, Failure> {
        let limit = query.limit.clamp(1, MAX_PAGE);
        let kept = self.lock();
        let end = query
            .cursor
            .as_ref()
            .map_or(Bound::Unbounded, |cursor| Bound::Excluded((cursor.time, cursor.id.clone())));
        let mut found = kept
            .by_time
            .get(&query.kind)
            .into_iter()
            .flat_map(|places| places.range((Bound::Unbounded, end.clone())).rev())
            .filter_map(|(_, id)| kept.records.get(&(query.kind, id.clone())))
            .filter(|(index, _)| query.admits(index));
        let page: Vec<_> = found.by_ref().take(limit).collect();
        let more = found.next().is_some();
        let next =
            page.last().filter(|_| more).map(|(index, _)| Cursor { time: index.time, id: index.id.clone() });
        Ok(Page { records: page.into_iter().map(|(_, record)| record.clone()).collect(), next })
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, Failure> {
        let mut kept = self.lock();
        let count = kept.records.len();
        kept.records.retain(|_, (index, _)| !index.closed || index.time >= before);
        let Kept { records, by_time, .. } = &mut *kept;
        for (kind, places) in by_time {
            places.retain(|(_, id)| records.contains_key(&(*kind, id.clone())));
        }
        Ok((count - records.len()) as u64)
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn append(&self, entry: &JournalEntry) -> Result<(), Failure> {
        let JournalEntry { saga, sequence, epoch, body, .. } = entry;
        let mut kept = self.lock();
        let entries = kept.sagas.get(saga).map_or(&[][..], Vec::as_slice);
        if let Some(written) = entries.get(*sequence as usize) {
            if written == entry {
                return Ok(());
            }
            return Err(conflict(format!("entry {sequence} of saga {saga} is already written, and differs")));
        }
        if *epoch < kept.epoch {
            return Err(conflict(format!("epoch {epoch} is over: epoch {} has written", kept.epoch)));
        }
        if *sequence as usize != entries.len() {
            let next = entries.len();
            return Err(conflict(format!(
                "entry {sequence} of saga {saga} would leave a gap: the next is {next}"
            )));
        }
        if matches!(body, JournalBody::Opened { .. }) != (*sequence == 0) {
            return Err(invalid(format!(
                "entry {sequence} of saga {saga}: the first entry, and only it, is `opened`"
            )));
        }
        if let JournalBody::Opened { locks, .. } = body {
            for object in locks {
                if let Some(other) = kept.locks.get(object).filter(|other| *other != saga) {
                    return Err(conflict(format!("{object} is locked by saga {other}")));
                }
            }
            for object in locks {
                kept.locks.insert(object.clone(), saga.clone());
            }
            kept.opened.push(saga.clone());
        }
        if let JournalBody::Closed { outcome, .. } = body
            && *outcome != Outcome::Stuck
        {
            kept.locks.retain(|_, holder| holder != saga);
        }
        kept.epoch = *epoch;
        kept.sagas.entry(saga.clone()).or_default().push(entry.clone());
        Ok(())
    }

    async fn unfinished(&self) -> Result<Vec<SagaId>, Failure> {
        let kept = self.lock();
        let is_open = |saga: &&SagaId| match kept.sagas.get(*saga).and_then(|entries| entries.last()) {
            Some(JournalEntry { body: JournalBody::Closed { outcome, .. }, .. }) => {
                *outcome == Outcome::Stuck
            }
            Some(_) | None => true,
        };
        Ok(kept.opened.iter().filter(is_open).cloned().collect())
    }

    async fn read(&self, saga: &SagaId) -> Result<Vec<JournalEntry>, Failure> {
        Ok(self.lock().sagas.get(saga).cloned().unwrap_or_default())
    }
}
