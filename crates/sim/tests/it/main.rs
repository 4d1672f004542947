//! The simulated cluster at its face.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod cluster;
mod controllers;
mod demo;
mod kubelet;
mod ports;
mod time;
mod writes;
