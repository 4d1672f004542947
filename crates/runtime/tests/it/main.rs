//! The runtime at its face.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod author;
mod autonomy;
mod cascade;
mod documentation;
mod feedback;
#[cfg(feature = "guard-mutation")]
mod guards;
mod inquiry;
mod interruption;
mod outage;
mod pipeline;
mod planner_scoreboard;
mod quality;
mod repair;
mod scripted;
mod transcripts;
mod weather;
