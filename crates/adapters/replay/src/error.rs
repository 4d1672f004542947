//! What can be wrong with a history.

use std::io;
use std::path::PathBuf;

/// Each variant says where, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file, it may not be read, or it breaks off (a gzip file cut short).
    #[error("{}: cannot be read", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Nothing tells how the file is to be read.
    #[error(
        "{}: its name does not tell what it holds; name samples *.csv, OpenMetrics *.om, *.prom or *.txt, objects and \
         Events *.json, *.jsonl or *.ndjson, each also with .gz", path.display()
    )]
    Format { path: PathBuf },
    /// A folder without a file that could be read.
    #[error("{}: holds no file named *.csv, *.om, *.prom, *.txt, *.json, *.jsonl or *.ndjson (or with .gz)", path.display())]
    Nothing { path: PathBuf },
    #[error("{}:{line}: {problem}", path.display())]
    Malformed { path: PathBuf, line: u64, problem: String },
    /// Lines out of order have to be held to be sorted, and these are too many.
    #[error(
        "{}: its lines are not in order of time, and together with other such files they are too many to be sorted in \
         memory (more than {limit}); sort the file by time, or cut it into pieces", path.display()
    )]
    TooMany { path: PathBuf, limit: usize },
    #[error("more than {limit} objects are named; replay fewer namespaces, or a shorter time")]
    TooManyObjects { limit: usize },
    #[error("cannot be written: {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}
