//! The adapter against a scripted API server on loopback, and against the real one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod answers;
mod configuration;
mod fake;
#[cfg(feature = "guard-mutation")]
mod guards;
mod leases;
mod real;
mod requests;
mod watches;
