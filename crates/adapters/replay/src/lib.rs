//! History from files, behind the ports of core.
//!
//! [`History::open`] reads every file once: each line is checked, so that what is wrong is told before anything
//! runs, and what the whole holds is known (its span, its objects, who owns whom). [`History::replay`] then gives
//! the ports: [`Replay`] answers queries, tells the watch and reads objects as of the virtual now of a `Clock`, so
//! that the very pipeline of `run` lives through the past. [`Bystander`] stands where the cluster would be written
//! to: it refuses and records.
//!
//! Files whose lines are in order of time are streamed a second time while they are replayed; others are held in
//! memory to be sorted, within a stated bound. [`Recorder`] writes the format that is read here.

mod bystander;
mod csv;
mod error;
mod files;
mod history;
mod labels;
mod lines;
mod objects;
mod openmetrics;
mod owners;
mod recorder;
mod replay;
mod rules;

pub use bystander::{Asked, Bystander};
pub use error::Error;
pub use history::{History, Summary};
pub use labels::{Label, read_labels};
pub use recorder::{Recorder, SampleFile};
pub use replay::Replay;
