//! Containers that want more CPU than their limit lets them have.

use std::collections::BTreeMap;

use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::metric::MetricType;
use schemars::JsonSchema;
use serde::Serialize;

use crate::evidence::Evidence;

/// The container of the workload that is throttled most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThrottlingFacts {
    /// Empty if none is measured.
    pub(crate) pod: String,
    pub(crate) container: String,
    /// Share of scheduling periods in which it was throttled, 0 to 1; the newest, the largest of the pods'.
    pub(crate) share: f64,
    /// It is told that some container of the workload is throttled far more than before.
    pub(crate) unusual: bool,
    /// Its CPU limit, cores.
    pub(crate) limit: f64,
}

impl ThrottlingFacts {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let mut newest = BTreeMap::new();
        let throttling = |metric_type: &MetricType| *metric_type == MetricType::CpuThrottling;
        for sample in evidence.samples.iter().filter(|sample| throttling(&sample.metric_type)) {
            if let Some(container) = &sample.container {
                newest.insert((&sample.object, container), sample.value);
            }
        }
        let Some(((pod, container), share)) = newest.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)) else {
            return ThrottlingFacts::default();
        };
        let state = evidence.pod_states().find(|state| state.object == *pod);
        let mut containers = state.iter().filter_map(|state| state.pod()).flat_map(|pod| &pod.containers);
        let limit = containers.find(|known| known.name == *container).and_then(|known| known.cpu_limit);
        ThrottlingFacts {
            pod: pod.name.to_string(),
            container: container.to_string(),
            share,
            unusual: evidence.firing().any(|anomaly| tells_of(anomaly, &MetricType::CpuThrottling)),
            limit: limit.unwrap_or(0.0),
        }
    }
}

/// Whether the anomaly is about this measure, if only among others.
fn tells_of(anomaly: &AnomalyRecord, metric_type: &MetricType) -> bool {
    anomaly.features.iter().any(|feature| feature.name == metric_type.as_str())
}
