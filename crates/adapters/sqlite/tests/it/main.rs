//! The store as its users meet it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod build;
mod crash;
mod journal;
mod opening;
mod records;
