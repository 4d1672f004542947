//! Opening the file: nothing is written to it before it is known to be ours, whole and readable by this version.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rusqlite_migration::{M, Migrations};

/// Each migration is one schema version; they are only ever added to.
const MIGRATIONS: &[M<'static>] = &[M::up(include_str!("schema_1.sql")), M::up(include_str!("schema_2.sql"))];
const SCHEMA: u32 = MIGRATIONS.len() as u32;
/// As the first migration sets it.
const APPLICATION: i64 = 1_265_984_087;
/// Only a foreign tool can hold a lock on the file; a person's query is over by then, or we say so.
const BUSY: Duration = Duration::from_secs(2);

/// Why a store was not opened. It was left as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the store `{}` cannot be opened: {source}; its directory must exist or be creatable, and be writable", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("the store `{}` is locked by another KubeWise process{holder}; stop that one, or use another file", path.display())]
    Locked { path: PathBuf, holder: String },
    #[error(
        "the store `{}` is damaged: {detail}; it was left as it is; restore a backup, or move it away to begin anew",
        path.display()
    )]
    Corrupt { path: PathBuf, detail: String },
    #[error("`{}` is a SQLite database of another program; name another file for the store", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "the store `{}` was written by a newer KubeWise (schema {found}, this one knows {SCHEMA}); use that version",
        path.display()
    )]
    Newer { path: PathBuf, found: i64 },
    #[error("the store `{}` cannot be opened", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("the store `{}` cannot be brought to schema {SCHEMA}", path.display())]
    Migration { path: PathBuf, source: rusqlite_migration::Error },
    #[error("the store `{}` is on a file system without shared memory (such as NFS); use a local disk", path.display())]
    NoWriteAheadLog { path: PathBuf },
}

/// A store that passed every check.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    pub(crate) writer: Connection,
    pub(crate) lock: File,
}

pub(crate) fn open(path: &Path) -> Result<Store, Error> {
    let path = locate(path).map_err(|source| Error::Unusable { path: path.into(), source })?;
    let lock = lock(&path)?;
    create(&path).map_err(|source| Error::Unusable { path: path.clone(), source })?;
    let mut writer = Connection::open(&path).map_err(|error| classify(&path, error))?;
    examine(&writer, &path)?;
    prepare(&writer, &path)?;
    Migrations::from_slice(MIGRATIONS)
        .to_latest(&mut writer)
        .map_err(|source| Error::Migration { path: path.clone(), source })?;
    Ok(Store { path, writer, lock })
}

impl Store {
    pub(crate) fn reader(&self) -> Result<Connection, Error> {
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let reader = Connection::open_with_flags(&self.path, flags)?;
            reader.busy_timeout(BUSY)?;
            Ok(reader)
        };
        open().map_err(|error| classify(&self.path, error))
    }
}

/// The one true name of the file, so that its lock has one name too.
fn locate(path: &Path) -> io::Result<PathBuf> {
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    if path.exists() {
        return path.canonicalize();
    }
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    Ok(directory.canonicalize()?.join(name))
}

/// Locks a file beside the store. Not the store itself: closing any descriptor of it would drop the locks that
/// SQLite holds on it. The system frees the lock when the process ends, however it ends; the file stays, since
/// removing it would let two processes lock two files of one name.
fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let unusable = |source| Error::Unusable { path: path.into(), source };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(PathBuf::from(name))
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The number only helps the reader; without it the refusal stands.
            let _ = file.take(20).read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => String::new(),
                pid => format!(" (pid {pid})"),
            };
            return Err(Error::Locked { path: path.into(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(unusable)?;
    Ok(file)
}

/// A new store is its owner's alone: what is to be put back is in it as it was, with whatever people wrote into it. SQLite
/// gives the files beside it the same mode.
fn create(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    File::options().write(true).create_new(true).mode(0o600).open(path).map(|_| ())
}

/// Reads only: a file that is refused here keeps its bytes, and its write-ahead log is not folded in.
fn examine(connection: &Connection, path: &Path) -> Result<(), Error> {
    let refuse = |error| classify(path, error);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(refuse)?;
    connection.busy_timeout(BUSY).map_err(refuse)?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(refuse);

    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let fresh = application == 0 && version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0;
    if !fresh {
        if application != APPLICATION {
            return Err(Error::Foreign { path: path.into() });
        }
        if version > i64::from(SCHEMA) {
            return Err(Error::Newer { path: path.into(), found: version });
        }
        let finding: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(refuse)?;
        if finding != "ok" {
            return Err(Error::Corrupt { path: path.into(), detail: finding });
        }
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(refuse)?;
    Ok(())
}

fn prepare(connection: &Connection, path: &Path) -> Result<(), Error> {
    let set = |name: &str, value: &str| {
        connection
            .pragma_update_and_check(None, name, value, |row| row.get::<_, String>(0))
            .map_err(|error| classify(path, error))
    };
    if set("journal_mode", "wal")? != "wal" {
        return Err(Error::NoWriteAheadLog { path: path.into() });
    }
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA journal_size_limit = 67108864;",
        )
        .map_err(|error| classify(path, error))
}

fn classify(path: &Path, error: rusqlite::Error) -> Error {
    let path = path.to_path_buf();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            Error::Corrupt { path, detail: "it is not a SQLite database".into() }
        }
        Some(ErrorCode::DatabaseCorrupt) => Error::Corrupt { path, detail: error.to_string() },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            Error::Unusable { path, source: io::Error::new(io::ErrorKind::PermissionDenied, error) }
        }
        _ => Error::Sqlite { path, source: error },
    }
}

#[cfg(test)]
mod tests;
