//! HorizontalPodAutoscalers: replicas follow CPU use.

use kubewise_core::document::Document;
use kubewise_core::event::EventType;
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use serde_json::{Value, json};

use super::{now_of, set_condition};
use crate::cluster::{Cluster, Task};

const EVERY: Period = Period::from_secs(15);
/// Use this near to its target changes nothing.
const TOLERANCE: f64 = 0.1;
/// Scaling down waits until fewer were enough for so long.
const DOWN_AFTER: Period = Period::from_secs(300);

impl Cluster {
    /// Looks once and comes again.
    pub(crate) fn autoscaler(&mut self, object: &ObjectRef) {
        let Some(document) = self.store.get(object).cloned() else { return };
        self.after(EVERY, Task::Reconcile(object.clone()));
        let text = |pointer: &str| document.text(pointer).unwrap_or_default();
        let target = ObjectRef {
            kind: Kind::from(text("/spec/scaleTargetRef/kind")),
            namespace: object.namespace.clone(),
            name: text("/spec/scaleTargetRef/name").into(),
        };
        let Some(current) =
            self.store.get(&target).map(|target| target.number("/spec/replicas").unwrap_or(1) as u32)
        else {
            return;
        };
        let now = now_of(self);
        let mut conditions: Vec<Value> = document.list("/status/conditions").to_vec();
        let able = "the HPA controller was able to get the target's current scale";
        set_condition(&mut conditions, "AbleToScale", "True", "SucceededGetScale", able, &now);
        let used = self.cpu_use(&target).filter(|_| !self.faults.metrics_are_gone(&target));
        let mut desired = current;
        if let Some(used) = used.filter(|_| current > 0) {
            let valid =
                "the HPA was able to successfully calculate a replica count from cpu resource utilization";
            set_condition(&mut conditions, "ScalingActive", "True", "ValidMetricFound", valid, &now);
            desired = wanted(&document, current, used, &mut conditions, &now);
        } else {
            let message = "the HPA was unable to compute the replica count";
            set_condition(
                &mut conditions,
                "ScalingActive",
                "False",
                "FailedGetResourceMetric",
                message,
                &now,
            );
            self.tell(
                object,
                EventType::Warning,
                "FailedGetResourceMetric",
                message,
                "horizontal-pod-autoscaler",
            );
        }
        let low_since = document.time("/status/lowSince");
        let mut low: Option<Timestamp> = None;
        if desired < current {
            low = low_since.or(Some(self.now));
            if low.is_some_and(|since| DOWN_AFTER.after(since) > self.now) {
                desired = current; // not yet
            } else {
                low = None;
            }
        }
        let used = used.map(|used| (used * 100.0).round());
        let status = json!({
            "currentReplicas": current, "desiredReplicas": desired, "conditions": conditions,
            "lowSince": low.map(crate::store::stamp),
            // Whole tens, so that a steady load does not change the object each time.
            "currentMetrics": used.map(|used| json!([{ "type": "Resource", "resource": {
                "name": "cpu", "current": { "averageUtilization": (used / 10.0).round() * 10.0 },
            } }])),
        });
        self.store.set_status(object, status);
        if desired != current {
            let reason = if desired > current { "above" } else { "below" };
            let message = format!(
                "New size: {desired}; reason: cpu resource utilization (percentage of request) {reason} target"
            );
            self.scale(&target, desired, (object, message));
        }
    }

    /// CPU used over requested, of the ready pods.
    fn cpu_use(&self, target: &ObjectRef) -> Option<f64> {
        let pods =
            self.pods.values().filter(|pod| pod.workload == *target && pod.ready && pod.deleted.is_none());
        let (used, requested) =
            pods.flat_map(|pod| &pod.containers).fold((0.0, 0.0), |(used, requested), container| {
                (used + container.used.cpu, requested + container.cpu_request.unwrap_or(0.0))
            });
        (requested > 0.0).then(|| used / requested)
    }
}

fn wanted(document: &Document, current: u32, used: f64, conditions: &mut Vec<Value>, now: &str) -> u32 {
    let goal =
        document.number("/spec/metrics/0/resource/target/averageUtilization").unwrap_or(80) as f64 / 100.0;
    let ratio = used / goal;
    let raw =
        if (ratio - 1.0).abs() <= TOLERANCE { current } else { (f64::from(current) * ratio).ceil() as u32 };
    let min = document.number("/spec/minReplicas").unwrap_or(1) as u32;
    let max = (document.number("/spec/maxReplicas").unwrap_or(1) as u32).max(min);
    let (status, reason, message) = if raw > max {
        ("True", "TooManyReplicas", "the desired replica count is more than the maximum replica count")
    } else if raw < min {
        ("True", "TooFewReplicas", "the desired replica count is less than the minimum replica count")
    } else {
        ("False", "DesiredWithinRange", "the desired count is within the acceptable range")
    };
    set_condition(conditions, "ScalingLimited", status, reason, message, now);
    raw.clamp(min, max)
}
