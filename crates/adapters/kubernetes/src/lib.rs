//! The Kubernetes API behind core's ports.
//!
//! [`connect`] reads a kubeconfig or a pod's own credentials and gives a [`Kubernetes`]: event source, reader, actor and
//! notifier in one. [`Kubernetes::leadership`] is the Lease that decides who may act.
//!
//! Every call is sent once and has a time limit; what an answer, or none, means for the effect is decided in one
//! place (`answer.rs`). Repeating and circuit breaking are put around these ports in the wiring, so kube's own
//! retry, which sends any method up to 16 times over minutes, is off.
//!
//! The process must have installed a rustls crypto provider before [`connect`].

mod actor;
mod answer;
mod connection;
mod event;
mod follow;
mod kubernetes;
mod lease;
mod notice;
mod options;
mod reader;
mod told;

pub use kubernetes::{Kubernetes, connect};
pub use lease::Lease;
pub use options::{Error, EventFilter, LeaseOptions, Options};
