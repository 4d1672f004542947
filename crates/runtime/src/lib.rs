//! The loops of KubeWise: collect, detect, plan, execute, recover, save.
//!
//! [`Runtime::new`] wires the pure crates to the ports; [`Runtime::loops`] hands out the loops as plain futures,
//! so that `run` spawns them on tokio and the simulation on its own executor in virtual time: one pipeline.
//! No other time is used than the [`Clock`](kubewise_core::port::Clock) port.

mod author;
mod breaker;
mod capture;
mod clock;
mod collect;
mod dependency;
mod detect;
mod execute;
mod feedback;
mod gather;
mod health;
mod incidents;
mod inquiry;
mod leader;
mod options;
mod outbox;
mod pause;
mod plan;
mod queue;
mod recent;
mod release;
mod runtime;
mod shutdown;
mod telemetry;

pub use breaker::{Breaker, BreakerOptions};
pub use clock::SystemClock;
pub use dependency::{
    Dependency, GuardedAuthor, GuardedCluster, GuardedJournal, GuardedMetrics, GuardedStore, RetryOptions,
};
pub use options::{
    AuthorOptions, BatchOptions, CollectOptions, Options, QueueOptions, ResilienceOptions, ShutdownOptions,
    WorkerOptions,
};
pub use runtime::{Handle, Loop, Ports, Runtime, Setup};
pub use telemetry::Telemetry;
