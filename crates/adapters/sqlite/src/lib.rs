//! The embedded store and journal: one SQLite file for one KubeWise process.
//!
//! Records and the journal share the file, so that they cannot be restored from different days. Every commit is
//! synced to disk (`synchronous=FULL`): the journal needs it, and a batch of records is one commit, so records
//! pay one sync for a batch and need no second set of settings.

pub mod audit;
mod file;
mod journal;
mod lane;
mod records;
mod sqlite;

pub use file::Error;
pub use sqlite::{Options, Sqlite};
