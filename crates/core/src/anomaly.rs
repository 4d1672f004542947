//! What was noticed.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{ActionId, AnomalyId, EventId, IncidentId, PlanId};
use crate::metric::MetricType;
use crate::object::ObjectRef;
use crate::record::{Extra, SchemaVersion};

/// One kind of trouble of one workload, from the moment it fires until it resolves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnomalyRecord {
    #[serde(default)]
    pub version: SchemaVersion,
    pub id: AnomalyId,
    pub workload: ObjectRef,
    /// The object that showed it first: a pod, a node, the workload itself.
    pub object: ObjectRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    pub reason: Reason,
    pub detector: DetectorKind,
    pub severity: Severity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<MetricType>,
    /// 0 (as expected) to 1 (surely abnormal).
    pub score: f64,
    /// The score from which on the anomaly fires.
    pub threshold: f64,
    pub features: Vec<Feature>,
    /// One sentence for people: what was seen and what was expected.
    pub explanation: String,
    pub status: AnomalyStatus,
    /// When it began to fire.
    pub time: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentId>,
    pub remediation_status: RemediationStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
    /// What became of the remediation, in the words of the story.
    #[serde(default)]
    pub results: Vec<String>,
    #[serde(default)]
    pub events: Vec<EventId>,
    #[serde(default)]
    pub actions: Vec<ActionId>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// The feature that holds how long a failure takes to come back, in seconds.
pub const FAILURE_INTERVAL: &str = "failure_interval_seconds";

/// One input of the decision, with what was expected of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Feature {
    pub name: String,
    pub value: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<f64>,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// Why an anomaly fires. Known failures keep the word that Kubernetes has for them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Reason { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Reason {
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// A container ends again and again.
    CrashLoopBackOff "CrashLoopBackOff";
    /// A container was killed at its memory limit.
    OomKilled "OOMKilled";
    /// An image cannot be pulled (also ErrImagePull, InvalidImageName).
    ImagePullBackOff "ImagePullBackOff";
    /// A ConfigMap, Secret or key that a container needs is missing.
    CreateContainerConfigError "CreateContainerConfigError";
    /// Pods fail as a whole soon after they were made: the kubelet evicts them, or does not admit them.
    Evicted "Evicted";
    /// A rollout made no progress within its deadline.
    ProgressDeadlineExceeded "ProgressDeadlineExceeded";
    /// A pod finds no node.
    FailedScheduling "FailedScheduling";
    /// Pods cannot be created: quota, admission, limit range.
    FailedCreate "FailedCreate";
    /// Fewer replicas are ready than wanted, without any other reason, for longer than a rollout takes.
    Unavailable "Unavailable";
    /// A workload that had replicas is at zero, and no autoscaler put it there.
    ScaledToZero "ScaledToZero";
    /// An object is being deleted for long, and does not go.
    Terminating "Terminating";
    NodeNotReady "NodeNotReady";
    /// A node stops being ready again and again, and comes back each time.
    NodeFlapping "NodeFlapping";
    /// A node runs out of disk, memory or process numbers.
    NodePressure "NodePressure";
    /// A Job gave up.
    BackoffLimitExceeded "BackoffLimitExceeded";
    /// A Service that led to ready pods was changed and leads to none of them any more.
    ServiceWithoutEndpoints "ServiceWithoutEndpoints";
    /// An autoscaler wants more replicas than its most.
    ScalingLimited "ScalingLimited";
    /// A measure grows towards its limit without a plateau, and will be there soon.
    Exhaustion "Exhaustion";
    /// A measure left what is normal for its series.
    Deviation "Deviation";
    /// A measure of work that always wavered stands still.
    Flatline "Flatline";
    /// A container restarts by error at regular intervals, too slowly for a crash loop.
    RestartRhythm "RestartRhythm";
    /// Telemetry that used to come does not.
    TelemetryMissing "TelemetryMissing";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum DetectorKind {
    /// A deterministic rule for a known failure.
    Rule,
    /// A value that is rare for its series.
    #[serde(alias = "RobustZ")]
    Scorer,
    /// The trend of a series.
    Trend,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum AnomalyStatus {
    Firing,
    Resolved,
}

/// Where the remediation of an anomaly stands; that of its incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum RemediationStatus {
    /// Nothing is planned (yet, or because the mode is observe).
    None,
    Proposed,
    Running,
    Repaired,
    RolledBack,
    HandedOver,
    Stuck,
}
