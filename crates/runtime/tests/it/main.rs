//! The runtime at its face.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod autonomy;
mod cascade;
mod documentation;
mod feedback;
mod guard;
#[cfg(feature = "guard-mutation")]
mod guards;
mod interruption;
mod outage;
mod pipeline;
mod quality;
mod repair;
mod safety;
mod weather;
