//! The detector at its face: what is seen goes in as Kubernetes and Prometheus say it, what changed comes out.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod beside;
mod controls;
mod correlation;
mod deletion;
mod deviation;
mod exhaustion;
mod flapping;
mod healthy;
mod labels;
mod orders;
mod properties;
mod restart;
mod rhythm;
mod rules;
mod scene;
mod suppressions;
mod telemetry;
mod work;
