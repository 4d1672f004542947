//! The runtime at its face.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod documentation;
mod guard;
#[cfg(feature = "guard-mutation")]
mod guards;
mod interruption;
mod outage;
mod pipeline;
mod repair;
mod safety;
mod weather;
