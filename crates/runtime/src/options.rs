//! What can be configured of the loops.

use kubewise_core::Period;
use kubewise_core::author::{Caps, Prices, Usage};
use kubewise_remediation::author;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::breaker::BreakerOptions;
use crate::dependency::RetryOptions;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub collect: CollectOptions,
    pub queues: QueueOptions,
    pub batches: BatchOptions,
    pub workers: WorkerOptions,
    pub resilience: ResilienceOptions,
    pub shutdown: ShutdownOptions,
    /// The detector is told the time this often, so that what depends on time alone is noticed. Only a simulation of days
    /// has it otherwise.
    #[serde(skip)]
    pub tick: Period,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            collect: CollectOptions::default(),
            queues: QueueOptions::default(),
            batches: BatchOptions::default(),
            workers: WorkerOptions::default(),
            resilience: ResilienceOptions::default(),
            shutdown: ShutdownOptions::default(),
            tick: Period::from_secs(1),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CollectOptions {
    /// Queries at one time.
    pub concurrency: usize,
    /// Share of the interval by which each poll is moved at random, so that queries spread.
    pub jitter: f64,
    /// Instead of each query's own interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Period>,
}

impl Default for CollectOptions {
    fn default() -> Self {
        CollectOptions { concurrency: 4, jitter: 0.1, interval: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueOptions {
    /// Samples between collecting and detecting (about 150 bytes each); when full the oldest gives way.
    pub samples: usize,
    /// Events and object states between watching and detecting; when full the watch waits.
    pub watch: usize,
    /// Records waiting for the store; when full, Events give way first.
    pub records: usize,
}

impl Default for QueueOptions {
    fn default() -> Self {
        QueueOptions { samples: 200_000, watch: 1_024, records: 20_000 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchOptions {
    /// Samples judged before other work gets a turn.
    pub samples: usize,
    /// Records saved in one transaction.
    pub records: usize,
}

impl Default for BatchOptions {
    fn default() -> Self {
        BatchOptions { samples: 4_096, records: 256 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerOptions {
    /// Incidents planned at one time.
    pub plan: usize,
    /// Sagas executed at one time by this process; policy may allow fewer.
    pub execute: usize,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        WorkerOptions { plan: 4, execute: 8 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResilienceOptions {
    pub retry: RetryOptions,
    pub breaker: BreakerOptions,
}

/// How long each phase of the shutdown may take; they run one after the other, and giving up the Lease takes as long as
/// `save` at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownOptions {
    pub collect: Period,
    pub detect: Period,
    pub plan: Period,
    pub execute: Period,
    pub save: Period,
}

impl Default for ShutdownOptions {
    /// 23 s in all, and before them the API's 5 s: below the 30 s that Kubernetes grants.
    fn default() -> Self {
        ShutdownOptions {
            collect: Period::from_secs(1),
            detect: Period::from_secs(2),
            plan: Period::from_secs(2),
            execute: Period::from_secs(10),
            save: Period::from_secs(4),
        }
    }
}

/// How the author of plans is asked. Beside [`Options`], since people set it where they name the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuthorOptions {
    /// From the question to the plan; then the playbooks decide alone.
    pub deadline: Period,
    /// Questions on their way at one time.
    pub concurrency: usize,
    pub prompt: author::Options,
    pub prices: Prices,
    pub caps: Caps,
}

impl Default for AuthorOptions {
    fn default() -> Self {
        AuthorOptions {
            deadline: Period::from_secs(30),
            concurrency: 2,
            prompt: author::Options::default(),
            prices: Prices::default(),
            caps: Caps::default(),
        }
    }
}

impl AuthorOptions {
    /// What a call may be charged with at most.
    pub(crate) fn largest(&self) -> Usage {
        Usage {
            input_tokens: self.prompt.prompt_tokens.into(),
            output_tokens: self.prompt.answer_tokens.into(),
        }
    }
}
