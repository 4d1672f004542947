//! The API as its clients meet it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod access;
mod decisions;
mod document;
mod face;
mod feedback;
mod inquiry;
mod problems;
mod records;
mod serving;
mod system;
