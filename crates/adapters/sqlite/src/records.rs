//! Records in SQL.

use kubewise_core::record::{Cursor, Index, MAX_PAGE, Page, Record, RecordKind, RecordQuery};
use kubewise_core::{Failure, Rejection, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params, params_from_iter};

use crate::audit;
use crate::lane::Fault;

/// A record as it is stored.
pub(crate) struct Row {
    index: Index,
    document: String,
}

impl Row {
    /// Refuses a record that could not be read again (a number that JSON cannot hold), since one such record
    /// would spoil every page that it is on.
    pub(crate) fn of(record: &Record) -> Result<Self, Failure> {
        let index = record.index();
        let written = record.to_document().map(|document| document.to_string());
        match written.and_then(|text| Record::from_document(index.kind, &text).map(|_| text)) {
            Ok(document) => Ok(Row { index, document }),
            Err(error) => Err(unreadable("cannot be saved", index.kind, &index.id, &error)),
        }
    }
}

pub(crate) fn save(transaction: &Transaction<'_>, rows: &[Row]) -> Result<(), Fault> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO records (kind, id, time, workload, namespace, status, incident, closed, document)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (kind, id) DO UPDATE SET
             time = excluded.time, workload = excluded.workload, namespace = excluded.namespace,
             status = excluded.status, incident = excluded.incident, closed = excluded.closed,
             document = excluded.document",
    )?;
    for Row { index, document } in rows {
        let workload = index.workload.as_ref();
        statement.execute(params![
            index.kind.as_str(),
            index.id,
            nanoseconds(index.time),
            workload.map(ToString::to_string),
            workload.and_then(|workload| workload.namespace.as_deref()),
            index.status,
            index.incident,
            index.closed,
            document,
        ])?;
        if let Some(kind) = audit::Kind::of(index.kind, index.status.as_deref()) {
            audit::add(transaction, nanoseconds(index.time), kind, &index.id, document)?;
        }
    }
    Ok(())
}

pub(crate) fn get(connection: &Connection, kind: RecordKind, id: &str) -> Result<Option<Record>, Fault> {
    let document: Option<String> = connection
        .prepare_cached("SELECT document FROM records WHERE kind = ?1 AND id = ?2")?
        .query_row(params![kind.as_str(), id], |row| row.get(0))
        .optional()?;
    document.map(|document| record(kind, id, &document)).transpose()
}

pub(crate) fn find(connection: &Connection, query: &RecordQuery) -> Result<Page, Fault> {
    let limit = query.limit.clamp(1, MAX_PAGE);
    let mut sql = String::from("SELECT id, document FROM records WHERE kind = ?");
    let mut values = vec![Value::from(query.kind.as_str().to_owned())];
    let mut require = |condition: &str, wanted: Vec<Value>| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.extend(wanted);
    };
    if let Some(workload) = &query.workload {
        require("workload = ?", vec![workload.to_string().into()]);
    }
    for (condition, wanted) in [
        ("namespace = ?", &query.namespace),
        ("status = ?", &query.status),
        ("incident = ?", &query.incident),
    ] {
        if let Some(wanted) = wanted {
            require(condition, vec![wanted.clone().into()]);
        }
    }
    if let Some(since) = query.since {
        require("time >= ?", vec![nanoseconds(since).into()]);
    }
    if let Some(until) = query.until {
        require("time < ?", vec![nanoseconds(until).into()]);
    }
    if let Some(Cursor { time, id }) = &query.cursor {
        require("(time, id) < (?, ?)", vec![nanoseconds(*time).into(), id.clone().into()]);
    }
    // One more than asked for tells whether there is a next page.
    sql.push_str(" ORDER BY time DESC, id DESC LIMIT ?");
    values.push(((limit + 1) as u32).into());

    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut records = Vec::new();
    let mut more = false;
    while let Some(row) = rows.next()? {
        more = records.len() == limit;
        if more {
            break;
        }
        let (id, document): (String, String) = (row.get(0)?, row.get(1)?);
        records.push(record(query.kind, &id, &document)?);
    }
    let next = records.last().filter(|_| more).map(|last| {
        let index = last.index();
        Cursor { time: index.time, id: index.id }
    });
    Ok(Page { records, next })
}

/// One batch of closed records older than `before`; how many it held.
pub(crate) fn purge(transaction: &Transaction<'_>, before: Timestamp, batch: u32) -> Result<usize, Fault> {
    Ok(transaction
        .prepare_cached(
            "DELETE FROM records WHERE rowid IN
                (SELECT rowid FROM records WHERE closed = 1 AND time < ?1 LIMIT ?2)",
        )?
        .execute(params![nanoseconds(before), batch])?)
}

/// Saturates in the years 1677 and 2262; no clock that KubeWise meets is there.
pub(crate) fn nanoseconds(time: Timestamp) -> i64 {
    let nanoseconds = time.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

fn record(kind: RecordKind, id: &str, document: &str) -> Result<Record, Fault> {
    Record::from_document(kind, document)
        .map_err(|error| unreadable("in the store is not readable", kind, id, &error).into())
}

fn unreadable(what: &str, kind: RecordKind, id: &str, error: &serde_json::Error) -> Failure {
    let message = format!("{} `{id}` {what}: {error}", kind.as_str());
    Failure::Rejected { reason: Rejection::Invalid, message }
}
