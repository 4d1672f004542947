//! What is measured, whatever the source.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{Kind, ObjectRef};
use crate::period::Period;
use crate::record::SchemaVersion;
use crate::unit::{SourceUnit, Unit};

macro_rules! metric_types {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// What a sample measures. The names are those of the configuration.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(from = "String", into = "String")]
        #[schemars(with = "String")]
        pub enum MetricType { $($(#[$doc])* $variant,)* /** Named by the user. */ Custom(Arc<str>) }

        impl MetricType {
            pub const KNOWN: &[MetricType] = &[$(MetricType::$variant,)*];

            pub fn as_str(&self) -> &str {
                match self { $(MetricType::$variant => $name,)* MetricType::Custom(name) => name }
            }
        }

        impl From<&str> for MetricType {
            fn from(name: &str) -> Self {
                match name { $($name => MetricType::$variant,)* other => MetricType::Custom(other.into()) }
            }
        }
    };
}

metric_types! {
    /// Restarts of a container so far.
    Restarts "restarts";
    /// 1 while a container waits; `detail` is the reason.
    Waiting "waiting";
    /// 1 if the last termination of a container had the reason in `detail`.
    Terminated "terminated";
    /// 1 while a pod is ready.
    Ready "ready";
    /// Cores used by a container.
    CpuUsage "cpu_usage";
    /// CPU used over CPU requested.
    CpuRequestRatio "cpu_request_ratio";
    /// CPU used over the CPU limit.
    CpuLimitRatio "cpu_limit_ratio";
    /// Share of scheduling periods in which a container was throttled.
    CpuThrottling "cpu_throttling";
    /// Bytes of a container that cannot be reclaimed.
    MemoryWorkingSet "memory_working_set";
    /// Working set over the memory limit.
    MemoryLimitRatio "memory_limit_ratio";
    /// Growth of the working set, bytes a second.
    MemoryTrend "memory_trend";
    /// Replicas that a workload's spec asks for.
    ReplicasDesired "replicas_desired";
    /// Replicas of a workload that are available.
    ReplicasAvailable "replicas_available";
    /// Current over maximal replicas of an autoscaler.
    AutoscalerSaturation "autoscaler_saturation";
    /// 1 while the node condition in `detail` holds.
    NodeCondition "node_condition";
    /// Used over capacity of a volume claim.
    VolumeUsage "volume_usage";
    /// Used over hard limit of a quota; `detail` is the resource.
    QuotaUsage "quota_usage";
}

impl From<String> for MetricType {
    fn from(name: String) -> Self {
        MetricType::from(name.as_str())
    }
}

impl From<MetricType> for String {
    fn from(metric_type: MetricType) -> Self {
        metric_type.as_str().into()
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One sample in base units. `object` is what the source named (a pod, a node, a workload), never a scrape label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NormalizedMetric {
    #[serde(default)]
    pub version: SchemaVersion,
    pub object: ObjectRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Arc<str>>,
    /// What tells series of one object and type apart: a reason, a condition, a resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Arc<str>>,
    pub metric_type: MetricType,
    pub unit: Unit,
    /// Finite.
    pub value: f64,
    pub time: Timestamp,
}

/// One entry of the catalogue: what to ask, how often, and what the answer means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricQuery {
    /// Unique in the catalogue; names the query in status, logs and metrics.
    pub name: String,
    pub promql: String,
    pub metric_type: MetricType,
    /// The unit of the answer; it is brought to the base unit.
    pub unit: SourceUnit,
    pub interval: Period,
    pub labels: ObjectLabels,
}

/// Which labels of the answer name the object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectLabels {
    /// The kind of the object.
    pub kind: Kind,
    /// Absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What labels name, borrowed from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    pub namespace: Option<&'a str>,
    pub name: &'a str,
    pub container: Option<&'a str>,
    pub detail: Option<&'a str>,
}

impl ObjectLabels {
    /// Reads what the labels of a series name. `None` without those that name the object; a container or detail label
    /// that a series lacks is left out. To Prometheus an empty label is none, so `label` shall give `None` for it.
    pub fn named<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> Option<Named<'a>> {
        let given = |name: &Option<String>| name.as_deref().and_then(&label);
        let namespace = given(&self.namespace);
        if self.namespace.is_some() && namespace.is_none() {
            return None;
        }
        let name = label(&self.name)?;
        Some(Named { namespace, name, container: given(&self.container), detail: given(&self.detail) })
    }
}

/// What came of one query. Nothing is dropped in silence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricAnswer {
    pub samples: Vec<NormalizedMetric>,
    pub dropped: DroppedSamples,
    /// Warnings of the source, in its words.
    pub warnings: Vec<String>,
}

/// Samples that were left out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DroppedSamples {
    pub not_a_number: u64,
    pub infinite: u64,
    /// The same object, container, detail and time twice in one answer.
    pub duplicate: u64,
    /// Older than the source's staleness limit.
    pub stale: u64,
    /// Without the labels that name the object.
    pub unidentified: u64,
}

impl DroppedSamples {
    pub fn total(&self) -> u64 {
        self.not_a_number + self.infinite + self.duplicate + self.stale + self.unidentified
    }
}
