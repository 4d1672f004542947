//! What can be configured. One set of values for all workloads; each has a reason, few need a change.

use std::collections::{BTreeMap, BTreeSet};

use kubewise_core::Period;
use kubewise_core::metric::MetricType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct Options {
    pub rules: RuleOptions,
    pub deviation: DeviationOptions,
    pub exhaustion: ExhaustionOptions,
    pub bounds: BoundOptions,
}

/// The rules for known failures. A grace is how long a symptom must last before it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct RuleOptions {
    /// Restarts by error within `restart_window` that make a crash loop; one restart is no anomaly.
    #[schemars(range(min = 2, max = 8))]
    pub crash_restarts: u32,
    pub restart_window: Period,
    /// A registry may hiccup: an image must fail to come for this long (an invalid name counts at once).
    pub image_pull_grace: Period,
    /// A ConfigMap may be created just after the pod that needs it.
    pub config_error_grace: Period,
    /// A pod that has to wait for another to leave its node is no trouble.
    pub scheduling_grace: Period,
    pub failed_create_grace: Period,
    /// A pod that was ready and runs, but is not ready any more.
    pub unready_grace: Period,
    /// Fewer replicas available than wanted, without any other symptom: longer than a rollout or the start of a
    /// new pod takes. The default of Kubernetes' own progress deadline.
    pub unavailable_grace: Period,
    /// A person may scale to zero and back.
    pub scaled_to_zero_grace: Period,
    /// From the moment at which an object should be gone: for a pod after its own grace. To take down a load balancer or
    /// a volume takes minutes.
    pub deletion_grace: Period,
    pub node_grace: Period,
    /// A node that was cordoned first and then went down is in maintenance; a reboot or an upgrade takes less.
    pub node_maintenance_grace: Period,
    /// An anomaly resolves when nothing has shown it for this long, and for twice the failure's own interval (the
    /// time between restarts), but at most `settle_max`.
    pub settle: Period,
    pub settle_max: Period,
    /// A workload counts as healthy on a revision after being fully available for this long.
    pub healthy_after: Period,
}

impl Default for RuleOptions {
    fn default() -> Self {
        RuleOptions {
            crash_restarts: 2,
            restart_window: Period::from_mins(10),
            image_pull_grace: Period::from_secs(20),
            config_error_grace: Period::from_secs(15),
            scheduling_grace: Period::from_secs(45),
            failed_create_grace: Period::from_secs(15),
            unready_grace: Period::from_secs(60),
            unavailable_grace: Period::from_mins(10),
            scaled_to_zero_grace: Period::from_secs(30),
            deletion_grace: Period::from_mins(5),
            node_grace: Period::from_secs(30),
            node_maintenance_grace: Period::from_mins(30),
            settle: Period::from_secs(60),
            settle_max: Period::from_mins(15),
            healthy_after: Period::from_secs(30),
        }
    }
}

/// When a measure that left what its series has shown so far becomes an anomaly: when it is higher, and of work also
/// when it is far lower or stands still.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct DeviationOptions {
    pub enabled: bool,
    /// The score, 0 to 1, from which on a value is news, by metric type; types that are not listed are not followed.
    pub thresholds: BTreeMap<MetricType, f64>,
    /// Of these types, the measures of work done: to do suddenly far less, or the same without the least wavering, is
    /// trouble too. A rate of requests of your own belongs here.
    pub work: BTreeSet<MetricType>,
    /// Points before a series is judged at all.
    pub grace_points: u32,
    /// Points (a day at one in 30 s) before a series counts as grown; before, it must rise by more in proportion, up to
    /// four times, since it has not shown all that is normal for it.
    #[schemars(range(min = 1))]
    pub mature_points: u32,
    /// So many of the last `window` points must be higher by an amount that matters, one of them news.
    #[schemars(range(min = 1, max = 32))]
    pub needed: u32,
    #[schemars(range(min = 1, max = 32))]
    pub window: u32,
    /// Points in a row of which none is, and it is over.
    #[schemars(range(min = 1))]
    pub calm: u8,
    /// A pod is not judged while it starts, nor a workload after its template or its number of replicas changed.
    pub quiet_after_change: Period,
    /// A level that lasts this long is the new normal: the series is learnt anew.
    pub accept_after: Period,
}

impl Default for DeviationOptions {
    fn default() -> Self {
        // One half is about one piece of news a series and week, for a person who looks at it; a cluster has thousands
        // of series, and each may wake somebody. 0.9 is ten times as rare.
        let thresholds = [
            (MetricType::CpuUsage, 0.9),
            (MetricType::CpuRequestRatio, 0.9),
            (MetricType::CpuLimitRatio, 0.9),
            (MetricType::CpuThrottling, 0.9),
            (MetricType::MemoryWorkingSet, 0.9),
            (MetricType::MemoryLimitRatio, 0.9),
            (MetricType::MemoryTrend, 0.9),
            (MetricType::AutoscalerSaturation, 0.9),
            (MetricType::VolumeUsage, 0.9),
            (MetricType::QuotaUsage, 0.9),
        ];
        DeviationOptions {
            enabled: true,
            thresholds: thresholds.into(),
            work: [MetricType::CpuUsage].into(),
            grace_points: 240,
            mature_points: 2880,
            needed: 5,
            window: 6,
            calm: 6,
            quiet_after_change: Period::from_mins(10),
            accept_after: Period::from_mins(12 * 60),
        }
    }
}

/// What grows towards its limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct ExhaustionOptions {
    /// How long ahead the end is told, by metric type (shares, of which 1 is the limit); types that are not listed are
    /// not followed.
    pub horizons: BTreeMap<MetricType, Period>,
}

impl Default for ExhaustionOptions {
    fn default() -> Self {
        // A person needs time to act: hours for a process, which can be restarted, a working day for a disk.
        let horizons = [
            (MetricType::MemoryLimitRatio, Period::from_mins(2 * 60)),
            (MetricType::VolumeUsage, Period::from_mins(12 * 60)),
            (MetricType::QuotaUsage, Period::from_mins(12 * 60)),
        ];
        ExhaustionOptions { horizons: horizons.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct BoundOptions {
    /// Series followed (at most 512 bytes each); beyond, those that were silent the longest give way.
    #[schemars(range(min = 1))]
    pub series: usize,
    /// Events remembered, so that a repetition after a relist is known (about 150 bytes each).
    #[schemars(range(min = 1))]
    pub events: usize,
    /// A query that was answered before and is not for this long, and for three of its intervals, is missing.
    pub query_missing_after: Period,
}

impl Default for BoundOptions {
    fn default() -> Self {
        BoundOptions { series: 2_000_000, events: 50_000, query_missing_after: Period::from_mins(2) }
    }
}
