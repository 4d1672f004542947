//! Containers that their own liveness probe ends.

use kubewise_core::document::Document;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::evidence::Evidence;

/// The container that a liveness probe ends again and again, and how patient that probe is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProbeFacts {
    /// The kubelet said that it restarted the container in trouble because of its liveness probe.
    pub(crate) kills: bool,
    pub(crate) container: String,
    pub(crate) initial_delay_seconds: i64,
    pub(crate) timeout_seconds: i64,
    pub(crate) period_seconds: i64,
    pub(crate) failure_threshold: i64,
}

impl ProbeFacts {
    pub(super) fn of(evidence: &Evidence, crashed: &str) -> Self {
        let probe = evidence.workload.as_ref().and_then(|workload| liveness_probe(workload, crashed));
        let Some(probe) = probe else { return ProbeFacts::default() };
        // The API server's defaults.
        let number = |key: &str, default: i64| probe.get(key).and_then(Value::as_i64).unwrap_or(default);
        ProbeFacts {
            kills: killed_by_probe(evidence, crashed),
            container: crashed.into(),
            initial_delay_seconds: number("initialDelaySeconds", 0),
            timeout_seconds: number("timeoutSeconds", 1),
            period_seconds: number("periodSeconds", 10),
            failure_threshold: number("failureThreshold", 3),
        }
    }
}

fn liveness_probe<'a>(workload: &'a Document, container: &str) -> Option<&'a Value> {
    let mut containers = workload.list("/spec/template/spec/containers").iter();
    containers
        .find(|spec| spec.get("name").and_then(Value::as_str) == Some(container))
        .and_then(|spec| spec.get("livenessProbe"))
}

/// `Container app failed liveness probe, will be restarted`.
fn killed_by_probe(evidence: &Evidence, container: &str) -> bool {
    let told = format!("Container {container} failed liveness probe");
    evidence.events.iter().any(|event| event.reason == "Killing" && event.message.starts_with(&told))
}
