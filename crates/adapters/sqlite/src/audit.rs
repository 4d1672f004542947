//! The audit log: every journal entry and every word of a person, in a chain of hashes.
//!
//! An entry is added in the very transaction that writes what it tells of, so neither is there without the other. Its
//! hash covers the entry and the hash before it: a changed, removed or inserted entry breaks the chain. Whoever can
//! write the file could compute the whole chain anew from some entry on, or cut its end off; against that, note the tip
//! that [`verify`] gives somewhere else.

use std::fmt::Write as _;
use std::path::Path;

use kubewise_core::record::RecordKind;
use ring::digest;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, params};

use crate::lane::Fault;

/// Of the first entry, which has none before it.
const NOTHING: &str = "";

/// What an entry tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Journal,
    Pause,
    /// What a person (or a verified repair) says of an incident; a suppression and its end.
    Feedback,
    /// A plan that a person rejects. An approval is in the opening of its saga.
    Rejection,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Journal => "journal",
            Kind::Pause => "pause",
            Kind::Feedback => "feedback",
            Kind::Rejection => "rejection",
        }
    }

    /// Which records are somebody's word.
    pub(crate) fn of(kind: RecordKind, status: Option<&str>) -> Option<Self> {
        match kind {
            RecordKind::Pause => Some(Kind::Pause),
            RecordKind::Feedback => Some(Kind::Feedback),
            RecordKind::Plan => (status == Some("Rejected")).then_some(Kind::Rejection),
            RecordKind::Event
            | RecordKind::Anomaly
            | RecordKind::Incident
            | RecordKind::Action
            | RecordKind::Capture
            | RecordKind::Revision
            | RecordKind::Service
            | RecordKind::Call => None,
        }
    }
}

/// Adds an entry; the same again under its name is no news.
pub(crate) fn add(
    transaction: &Transaction<'_>,
    time: i64,
    kind: Kind,
    name: &str,
    text: &str,
) -> Result<(), Fault> {
    let newest: Option<String> = transaction
        .prepare_cached("SELECT text FROM audit WHERE kind = ?1 AND name = ?2 ORDER BY number DESC LIMIT 1")?
        .query_row([kind.as_str(), name], |row| row.get(0))
        .optional()?;
    if newest.as_deref() == Some(text) {
        return Ok(());
    }
    let last: Option<(i64, String)> = transaction
        .prepare_cached("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (number, before) = last.map_or((1, NOTHING.to_owned()), |(number, hash)| (number + 1, hash));
    let hash = hash(&before, number, time, kind.as_str(), name, text);
    transaction
        .prepare_cached(
            "INSERT INTO audit (number, time, kind, name, text, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![number, time, kind.as_str(), name, text, hash])?;
    Ok(())
}

/// Each part with its length, so that no two entries read the same.
fn hash(before: &str, number: i64, time: i64, kind: &str, name: &str, text: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let (number, time) = (number.to_string(), time.to_string());
    for part in [before, &number, &time, kind, name, text] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // to a String: cannot fail
        text
    })
}

/// A chain that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub entries: u64,
    /// The newest hash; what was noted of it elsewhere must be in the chain.
    pub tip: String,
    /// Whether a tip that was noted before is in the chain; `None` if none was given.
    pub noted: Option<bool>,
}

/// Why an audit log is not to be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    #[error("audit entry {number} is not what was written: its hash does not match")]
    Changed { number: i64 },
    #[error("audit entry {expected} is missing; {found} follows")]
    Missing { expected: i64, found: i64 },
    #[error("journal entry {name} is not what the audit log holds")]
    Journal { name: String },
    #[error("journal entry {name} is not in the audit log")]
    Unwritten { name: String },
    #[error("the audit log cannot be read")]
    Unreadable(#[from] rusqlite::Error),
}

/// Goes through the whole chain, and holds what is left of the journal against it. Reads only; the store may be in use.
pub fn verify(path: &Path, noted: Option<&str>) -> Result<Verified, Broken> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let mut found = noted.map(|_| false);
    let mut statement =
        connection.prepare("SELECT number, time, kind, name, text, hash FROM audit ORDER BY number")?;
    let mut journal = connection.prepare("SELECT entry FROM journal WHERE saga || '/' || sequence = ?1")?;
    let mut rows = statement.query([])?;
    let (mut entries, mut tip) = (0_u64, NOTHING.to_owned());
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        let expected = entries as i64 + 1;
        if number != expected {
            return Err(Broken::Missing { expected, found: number });
        }
        let (kind, name, text): (String, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let written: String = row.get(5)?;
        if written != hash(&tip, number, row.get(1)?, &kind, &name, &text) {
            return Err(Broken::Changed { number });
        }
        // What retention removed is in the chain alone.
        let kept: Option<String> = if kind == Kind::Journal.as_str() {
            journal.query_row([&name], |row| row.get(0)).optional()?
        } else {
            None
        };
        if kept.is_some_and(|kept| kept != text) {
            return Err(Broken::Journal { name });
        }
        found = found.map(|found| found || noted == Some(written.as_str()));
        tip = written;
        entries += 1;
    }
    // The log is younger than the oldest stores: what their journals held before it began is not in it.
    let unwritten = connection
        .query_row(
            "SELECT journal.saga || '/' || sequence AS name
             FROM journal LEFT JOIN sagas ON sagas.saga = journal.saga
             WHERE coalesce(opening >= (
                     SELECT min(opening) FROM sagas JOIN audit ON kind = 'journal' AND name = saga || '/0'
                 ), TRUE)
                 AND NOT EXISTS (
                     SELECT 1 FROM audit WHERE kind = 'journal' AND name = journal.saga || '/' || sequence
                 )
             ORDER BY name LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()?;
    match unwritten {
        Some(name) => Err(Broken::Unwritten { name }),
        None => Ok(Verified { entries, tip, noted: found }),
    }
}
