//! Remediation at its face.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod actions;
mod author;
mod autonomy;
mod bad_input;
mod beside;
mod capturing;
mod draining;
mod fixture;
mod for_people;
mod handing_over;
mod hostile;
mod planning;
mod playbooks;
mod quiet;
mod rules;
mod saga;
