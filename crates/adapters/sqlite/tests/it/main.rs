//! The store as its users meet it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod audit;
mod build;
mod crash;
#[cfg(feature = "guard-mutation")]
mod guards;
mod journal;
mod opening;
mod records;
