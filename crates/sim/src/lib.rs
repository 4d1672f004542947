//! A simulated Kubernetes cluster with failure physics and virtual time.
//!
//! A [`World`] holds nodes, workloads and pods; controllers, scheduler and kubelets of its own keep them as the
//! real ones do, Events included. Containers answer to load, fill memory, crash, cannot be pulled: what goes
//! wrong is decided by the pod template, so that only a real repair repairs. A [`Process`] is KubeWise as the
//! world sees it and implements every port of the core; a [`Simulation`] drives its loops in virtual time. The
//! same seed gives the same bytes.

mod apiserver;
mod behaviour;
mod clock;
mod cluster;
mod controllers;
mod demo;
mod event_log;
mod expectation;
mod fault;
mod kubelet;
mod logs;
mod manifest;
mod memory_store;
mod metrics;
mod patch;
mod process;
mod read;
mod scheduler;
mod simulation;
mod store;
mod watch;
mod world;

pub use behaviour::Behaviour;
pub use clock::VirtualClock;
pub use demo::{Demo, Episode, demo_world};
pub use expectation::{Expectation, Outcome};
pub use fault::{CrashPoint, Gap, PerformFault};
pub use manifest::{CONTAINER, Workload};
pub use memory_store::MemoryStore;
pub use process::Process;
pub use simulation::Simulation;
pub use world::{Change, World, Write, WriteKind};
