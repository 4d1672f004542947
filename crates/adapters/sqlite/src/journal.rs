//! The journal in SQL. Every append runs in an immediate transaction, so its checks and its insert are one step.

use kubewise_core::guard::{Guard, Guards};
use kubewise_core::id::SagaId;
use kubewise_core::journal::{JournalBody, JournalEntry, Outcome};
use kubewise_core::{Failure, ObjectRef, Rejection, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::audit;
use crate::lane::Fault;
use crate::records::nanoseconds;

pub(crate) fn append(
    transaction: &Transaction<'_>,
    entry: &JournalEntry,
    guards: Guards,
) -> Result<(), Fault> {
    let JournalEntry { saga, sequence, epoch, time, body } = entry;
    let text = serde_json::to_string(entry)
        .map_err(|error| refused(Rejection::Invalid, format!("entry {sequence} of saga {saga}: {error}")))?;
    let written: Option<String> = transaction
        .prepare_cached("SELECT entry FROM journal WHERE saga = ?1 AND sequence = ?2")?
        .query_row(params![saga.as_str(), sequence], |row| row.get(0))
        .optional()?;
    if let Some(written) = written {
        return if written == text {
            Ok(())
        } else {
            Err(conflict(format!("entry {sequence} of saga {saga} is already written, and differs")))
        };
    }
    let newest: i64 =
        transaction.prepare_cached("SELECT epoch FROM newest_epoch")?.query_row([], |row| row.get(0))?;
    let epoch = i64::try_from(epoch.0)
        .map_err(|_| refused(Rejection::Invalid, format!("epoch {epoch} is too large")))?;
    if epoch < newest && guards.stands(Guard::JournalEpoch) {
        return Err(conflict(format!("epoch {epoch} is over: epoch {newest} has written")));
    }
    let next: u32 = transaction
        .prepare_cached("SELECT coalesce(max(sequence) + 1, 0) FROM journal WHERE saga = ?1")?
        .query_row([saga.as_str()], |row| row.get(0))?;
    if *sequence != next && guards.stands(Guard::JournalSequence) {
        return Err(conflict(format!(
            "entry {sequence} of saga {saga} would leave a gap: the next is {next}"
        )));
    }
    if matches!(body, JournalBody::Opened { .. }) != (*sequence == 0) {
        let message = format!("entry {sequence} of saga {saga}: the first entry, and only it, is `opened`");
        return Err(refused(Rejection::Invalid, message));
    }
    if let JournalBody::Opened { locks, .. } = body {
        open(transaction, saga, locks, guards)?;
    }
    transaction
        .prepare_cached(
            "INSERT INTO journal (saga, sequence, epoch, time, entry) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![saga.as_str(), sequence, epoch, nanoseconds(*time), &text])?;
    let name = format!("{saga}/{sequence}");
    audit::add(transaction, nanoseconds(*time), audit::Kind::Journal, &name, &text)?;
    transaction.prepare_cached("UPDATE newest_epoch SET epoch = ?1 WHERE epoch < ?1")?.execute([epoch])?;
    if let JournalBody::Closed { outcome, .. } = body {
        close(transaction, saga, *outcome, *time)?;
    }
    Ok(())
}

pub(crate) fn unfinished(connection: &Connection) -> Result<Vec<SagaId>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT saga FROM sagas WHERE outcome IS NULL OR outcome = 'Stuck' ORDER BY opening",
    )?;
    let sagas = statement.query_map([], |row| Ok(SagaId::from(row.get_ref(0)?.as_str()?)))?;
    Ok(sagas.collect::<Result<_, _>>()?)
}

pub(crate) fn read(connection: &Connection, saga: &SagaId) -> Result<Vec<JournalEntry>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT sequence, entry FROM journal WHERE saga = ?1 ORDER BY sequence")?;
    let mut rows = statement.query([saga.as_str()])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(parse(saga, row.get(0)?, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?);
    }
    Ok(entries)
}

/// One batch of closed sagas older than `before`, with their entries; how many it held.
pub(crate) fn purge(transaction: &Transaction<'_>, before: Timestamp, batch: u32) -> Result<usize, Fault> {
    Ok(transaction
        .prepare_cached(
            "DELETE FROM sagas WHERE opening IN
                (SELECT opening FROM sagas WHERE outcome <> 'Stuck' AND closed_at < ?1 LIMIT ?2)",
        )?
        .execute(params![nanoseconds(before), batch])?)
}

fn open(
    transaction: &Transaction<'_>,
    saga: &SagaId,
    locks: &[ObjectRef],
    guards: Guards,
) -> Result<(), Fault> {
    transaction.prepare_cached("INSERT INTO sagas (saga) VALUES (?1)")?.execute([saga.as_str()])?;
    let mut holder = transaction.prepare_cached("SELECT saga FROM locks WHERE object = ?1 AND saga <> ?2")?;
    let mut take =
        transaction.prepare_cached("INSERT OR IGNORE INTO locks (object, saga) VALUES (?1, ?2)")?;
    for object in locks {
        let object = object.to_string();
        let held: Option<String> =
            holder.query_row(params![object, saga.as_str()], |row| row.get(0)).optional()?;
        if let Some(other) = held.filter(|_| guards.stands(Guard::JournalLocks)) {
            return Err(conflict(format!("{object} is locked by saga {other}")));
        }
        take.execute(params![object, saga.as_str()])?;
    }
    Ok(())
}

fn close(
    transaction: &Transaction<'_>,
    saga: &SagaId,
    outcome: Outcome,
    time: Timestamp,
) -> Result<(), Fault> {
    transaction
        .prepare_cached("UPDATE sagas SET outcome = ?2, closed_at = ?3 WHERE saga = ?1")?
        .execute(params![saga.as_str(), outcome.to_string(), nanoseconds(time)])?;
    if outcome != Outcome::Stuck {
        transaction.prepare_cached("DELETE FROM locks WHERE saga = ?1")?.execute([saga.as_str()])?;
    }
    Ok(())
}

fn parse(saga: &SagaId, sequence: u32, text: &str) -> Result<JournalEntry, Fault> {
    serde_json::from_str(text).map_err(|error| {
        refused(Rejection::Invalid, format!("entry {sequence} of saga {saga} is not readable: {error}"))
    })
}

fn conflict(message: String) -> Fault {
    refused(Rejection::Conflict, message)
}

fn refused(reason: Rejection, message: String) -> Fault {
    Failure::Rejected { reason, message }.into()
}
