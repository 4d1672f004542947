//! The runtime at its face.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod cascade;
mod documentation;
mod feedback;
mod guard;
mod interruption;
mod outage;
mod pipeline;
mod quality;
mod repair;
mod safety;
mod weather;
