//! The words of KubeWise and the ports between its parts.
//!
//! Words are plain values: what is measured ([`metric`]), what Kubernetes says ([`event`], [`state`]),
//! what was noticed ([`anomaly`], [`incident`]) and what people say of it ([`feedback`]), what a model is asked
//! ([`author`]), what shall be done ([`plan`], [`request`]), what was done ([`journal`], [`action`]), what was earned by it ([`autonomy`]). [`port`] holds the traits behind which everything outside the process lives.
//! Nothing here performs I/O, reads a clock or draws a random number.

pub mod action;
pub mod anomaly;
pub mod author;
pub mod autonomy;
pub mod capture;
pub mod document;
pub mod event;
pub mod failure;
pub mod feedback;
pub mod guard;
pub mod health;
pub mod id;
pub mod incident;
pub mod journal;
pub mod mask;
mod mentions;
pub mod metric;
pub mod money;
pub mod object;
pub mod pause;
pub mod period;
pub mod plan;
pub mod port;
pub mod quantity;
pub mod record;
pub mod request;
pub mod service;
pub mod state;
pub mod topology;
pub mod unit;

pub use failure::{Failure, Rejection};
pub use jiff::Timestamp;
pub use object::{Kind, ObjectRef, Uid};
pub use period::Period;
