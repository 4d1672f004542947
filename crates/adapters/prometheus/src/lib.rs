//! Prometheus, and what speaks its query API, behind core's `MetricSource`.
//!
//! [`Prometheus`] asks one instant query and answers with samples in base units; [`normalise`] is the reading
//! of an answer without the network. [`Range`] is the history of a query, asked for in pieces. [`DEFAULT_CATALOGUE`] is what KubeWise asks unless told otherwise.
//!
//! The process must have installed a rustls crypto provider before [`Prometheus::new`].

mod answer;
mod catalogue;
mod connection;
mod options;
mod prometheus;
mod range;
mod reply;

pub use answer::{Bounds, Unreadable, normalise};
pub use catalogue::{DEFAULT_CATALOGUE, default_catalogue};
pub use options::{Error, Options};
pub use prometheus::Prometheus;
pub use range::{Range, normalise_range};
