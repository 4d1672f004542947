//! How KubeWise itself is doing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pause::Pause;
use crate::plan::Mode;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum HealthStatus {
    Healthy,
    /// Works, with something missing.
    Degraded,
    /// Cannot do its work.
    Unhealthy,
    /// Not yet known: nothing was measured so far. Never shown as healthy.
    Unknown,
}

/// The detailed level: parts of KubeWise, and the outside systems it depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReport {
    pub status: HealthStatus,
    /// Loops and queues.
    pub components: BTreeMap<String, ComponentHealth>,
    /// Prometheus, Kubernetes, the store.
    pub dependencies: BTreeMap<String, ComponentHealth>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentHealth {
    pub status: HealthStatus,
    /// What is wrong, in the other side's words; empty when healthy.
    pub message: String,
    /// Since when it has this status.
    pub since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// The state of its circuit breaker, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BreakerState {
    Closed,
    Open,
    HalfOpen,
}

/// What `kubewise status` shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The program's version.
    pub version: String,
    pub started_at: Timestamp,
    pub now: Timestamp,
    pub mode: Mode,
    /// The pause in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Why nothing is begun although nobody paused: what is wrong with the telemetry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind: Option<String>,
    /// Whether this process may act, and under which epoch.
    pub leadership: LeadershipStatus,
    pub health: HealthReport,
    pub queries: Vec<QueryStatus>,
    pub queues: Vec<QueueStatus>,
    /// Series that the detector follows.
    pub series: u64,
    pub workloads: u64,
    pub open_incidents: u64,
    pub running_sagas: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum LeadershipStatus {
    /// Nothing needed a leader so far; no Lease was touched.
    NotSought,
    Leading {
        epoch: u64,
    },
    Following {
        holder: String,
    },
    /// The Lease could not be read or written.
    Lost {
        message: String,
    },
}

/// One query of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueryStatus {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    pub samples: u64,
    pub dropped: u64,
    /// The source's own message for the last failure, until it succeeds again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default)]
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueueStatus {
    pub name: String,
    pub length: u64,
    pub capacity: u64,
    /// Given way to newer ones so far.
    pub displaced: u64,
}
