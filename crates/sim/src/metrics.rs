//! What Prometheus would answer, read off the running cluster.

use std::sync::Arc;

use kubewise_core::document::Document;
use kubewise_core::metric::{MetricAnswer, MetricQuery, MetricType, NormalizedMetric};
use kubewise_core::record::SchemaVersion;
use kubewise_core::{Failure, Kind, ObjectRef, Period, Timestamp};

use crate::cluster::Cluster;
use crate::fault::Gap;
use crate::kubelet::{ContainerRun, Phase, PodRun};
use crate::read::{count, quantity};

/// On a claim: how much is written to its volume in an hour, such as `1Gi`.
const FILLS_PER_HOUR: &str = "fills-per-hour";

/// Collects the samples of one answer.
struct Answer<'a> {
    query: &'a MetricQuery,
    now: Timestamp,
    samples: Vec<NormalizedMetric>,
}

impl Answer<'_> {
    fn add(&mut self, object: &ObjectRef, container: Option<&Arc<str>>, detail: Option<&str>, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.samples.push(NormalizedMetric {
            version: SchemaVersion::CURRENT,
            object: object.clone(),
            container: container.cloned(),
            detail: detail.map(Into::into),
            metric_type: self.query.metric_type.clone(),
            unit: self.query.unit.base,
            value,
            time: self.now,
        });
    }
}

impl Cluster {
    /// By the query's metric type and kind; its PromQL is not read. Unknown types have no series.
    pub(crate) fn answer(&mut self, query: &MetricQuery) -> Result<MetricAnswer, Failure> {
        if self.faults.gap == Some(Gap::Unavailable) {
            return Err(Failure::Unavailable { message: "connection refused".into() });
        }
        let mut answer = Answer { query, now: self.now, samples: Vec::new() };
        match query.labels.kind.as_str() {
            "Pod" => self.pod_samples(&mut answer),
            "Node" => self.node_samples(&mut answer),
            "HorizontalPodAutoscaler" => self.autoscaler_samples(&mut answer),
            "ResourceQuota" => self.quota_samples(&mut answer),
            "PersistentVolumeClaim" => self.volume_samples(&mut answer),
            _ => self.replica_samples(&mut answer),
        }
        let mut samples = answer.samples;
        if self.faults.gap.is_some() {
            samples.retain(|sample| !self.faults.metrics_are_gone(&sample.object));
        }
        for sample in &samples {
            self.digest_bytes(&sample.value.to_bits().to_le_bytes());
        }
        Ok(MetricAnswer { samples, ..MetricAnswer::default() })
    }

    fn pod_samples(&self, answer: &mut Answer<'_>) {
        if answer.query.metric_type == MetricType::Ready {
            for (object, pod) in self.pods.iter().filter(|(_, pod)| !pod.is_over()) {
                answer.add(object, None, None, f64::from(u8::from(pod.ready)));
            }
            return;
        }
        for (object, pod) in &self.pods {
            // What the kubelet measures does not come from a node that does not answer.
            let measured = pod.node.as_ref().is_some_and(|node| !self.lost_nodes.contains(node));
            for container in &pod.containers {
                container_sample(answer, object, pod, container, measured);
            }
        }
    }

    fn replica_samples(&self, answer: &mut Answer<'_>) {
        let kind = &answer.query.labels.kind;
        let daemon = *kind == Kind::DaemonSet;
        let pointer = if answer.query.metric_type == MetricType::ReplicasDesired {
            if daemon { "/status/desiredNumberScheduled" } else { "/spec/replicas" }
        } else if answer.query.metric_type == MetricType::ReplicasAvailable {
            if daemon { "/status/numberAvailable" } else { "/status/availableReplicas" }
        } else {
            return;
        };
        for (object, document) in self.store.list(kind, None) {
            answer.add(object, None, None, f64::from(count(document, pointer)));
        }
    }

    fn node_samples(&self, answer: &mut Answer<'_>) {
        if answer.query.metric_type != MetricType::NodeCondition {
            return;
        }
        for (object, document) in self.store.list(&Kind::Node, None) {
            for condition in document.list("/status/conditions") {
                let holds = f64::from(u8::from(condition["status"] == "True"));
                answer.add(object, None, condition["type"].as_str(), holds);
            }
        }
    }

    fn autoscaler_samples(&self, answer: &mut Answer<'_>) {
        if answer.query.metric_type != MetricType::AutoscalerSaturation {
            return;
        }
        for (object, document) in self.store.list(&Kind::HorizontalPodAutoscaler, None) {
            let (current, max) =
                (count(document, "/status/currentReplicas"), count(document, "/spec/maxReplicas"));
            answer.add(object, None, None, f64::from(current) / f64::from(max));
        }
    }

    /// A volume fills steadily from its claim's creation on, if the claim says how fast.
    fn volume_samples(&self, answer: &mut Answer<'_>) {
        if answer.query.metric_type != MetricType::VolumeUsage {
            return;
        }
        for (object, document) in self.store.list(&Kind::PersistentVolumeClaim, None) {
            let size = quantity(document.0.pointer("/spec/resources/requests/storage"));
            let rate = document.annotation(FILLS_PER_HOUR).and_then(kubewise_core::quantity::parse);
            let made = document.time("/metadata/creationTimestamp");
            if let (Some(size), Some(rate), Some(made)) = (size, rate, made) {
                let hours = Period::between(made, self.now).as_secs_f64() / 3600.0;
                answer.add(object, None, None, (rate * hours / size).min(1.0));
            }
        }
    }

    fn quota_samples(&self, answer: &mut Answer<'_>) {
        if answer.query.metric_type != MetricType::QuotaUsage {
            return;
        }
        for (object, document) in self.store.list(&Kind::ResourceQuota, None) {
            let of = |document: &Document, section: &str, resource: &str| {
                quantity(
                    document
                        .0
                        .pointer(&format!("/status/{section}"))
                        .and_then(|amounts| amounts.get(resource)),
                )
            };
            let hard = document.0.pointer("/status/hard").and_then(serde_json::Value::as_object);
            for resource in hard.into_iter().flat_map(|hard| hard.keys()) {
                if let (Some(used), Some(hard)) =
                    (of(document, "used", resource), of(document, "hard", resource))
                {
                    answer.add(object, None, Some(resource), used / hard);
                }
            }
        }
    }
}

fn container_sample(
    answer: &mut Answer<'_>,
    object: &ObjectRef,
    pod: &PodRun,
    container: &ContainerRun,
    measured: bool,
) {
    let running = measured && container.is_running();
    let used = &container.used;
    let over = |used: f64, of: Option<f64>| of.filter(|of| running && *of > 0.0).map(|of| used / of);
    let value = match &answer.query.metric_type {
        MetricType::Restarts => pod.node.is_some().then(|| f64::from(container.restarts)),
        MetricType::Waiting => {
            if let (Phase::Waiting { reason, .. }, true) = (&container.phase, pod.node.is_some()) {
                answer.add(object, Some(&container.name), Some(reason), 1.0);
            }
            return;
        }
        MetricType::Terminated => {
            if let Some(end) = &container.last {
                answer.add(object, Some(&container.name), Some(end.reason), 1.0);
            }
            return;
        }
        MetricType::CpuUsage => running.then_some(used.cpu),
        MetricType::CpuRequestRatio => over(used.cpu, container.cpu_request),
        MetricType::CpuLimitRatio => over(used.cpu, container.cpu_limit),
        MetricType::CpuThrottling => {
            running.then_some(used.throttled).filter(|_| container.cpu_limit.is_some())
        }
        MetricType::MemoryWorkingSet => running.then_some(used.memory),
        MetricType::MemoryLimitRatio => over(used.memory, container.memory_limit),
        MetricType::MemoryTrend => used.trend().filter(|_| running),
        MetricType::Ready
        | MetricType::ReplicasDesired
        | MetricType::ReplicasAvailable
        | MetricType::AutoscalerSaturation
        | MetricType::NodeCondition
        | MetricType::VolumeUsage
        | MetricType::QuotaUsage
        | MetricType::Custom(_) => None,
    };
    if let Some(value) = value {
        answer.add(object, Some(&container.name), None, value);
    }
}
