//! Jobs that gave up: was it the moment, or is it the Job?

use kubewise_core::Kind;
use kubewise_core::document::Document;
use kubewise_core::request::{RETRIED_AS_ANNOTATION, RETRY_OF_ANNOTATION};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::evidence::Evidence;

/// Why a pod ended that nothing of its own ended.
const TAKEN_DOWN: [&str; 5] = ["Evicted", "NodeLost", "NodeShutdown", "Preempting", "Terminated"];
/// What a program writes when something else did not answer. A Job that reads so is tried once more at most.
const NOT_ANSWERED: [&str; 9] = [
    "connection refused",
    "connection reset",
    "connection timed out",
    "i/o timeout",
    "temporary failure in name resolution",
    "no route to host",
    "temporarily unavailable",
    "service unavailable",
    "too many requests",
];

/// The Job that gave up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobFacts {
    /// Pods of the Job that failed.
    pub(crate) failed: i64,
    /// Each of them was taken down from outside, or wrote last that something did not answer.
    pub(crate) transient: bool,
    /// It was tried once more already, or is such a Job itself.
    pub(crate) retried: bool,
}

impl JobFacts {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let Some(job) = evidence.workload.as_ref().filter(|_| evidence.incident.workload.kind == Kind::Job)
        else {
            return JobFacts::default();
        };
        let failed = || evidence.pods.iter().filter(|pod| pod.text("/status/phase") == Some("Failed"));
        let logged = || evidence.logs.iter().any(|log| not_answered(&log.text));
        JobFacts {
            failed: job.number("/status/failed").unwrap_or(0) as i64,
            transient: failed().next().is_some()
                && failed().all(|pod| taken_down(pod) || (logged() && !killed(pod))),
            retried: [RETRIED_AS_ANNOTATION, RETRY_OF_ANNOTATION]
                .iter()
                .any(|key| job.annotation(key).is_some()),
        }
    }
}

fn taken_down(pod: &Document) -> bool {
    let disrupted = pod.list("/status/conditions").iter().any(|condition| {
        condition.get("type").and_then(Value::as_str) == Some("DisruptionTarget")
            && condition.get("status").and_then(Value::as_str) == Some("True")
    });
    disrupted || pod.text("/status/reason").is_some_and(|reason| TAKEN_DOWN.contains(&reason))
}

/// For lack of memory: the next run would be as well.
fn killed(pod: &Document) -> bool {
    let reason = |status: &Value| -> Option<String> {
        Some(status.pointer("/state/terminated/reason")?.as_str()?.to_owned())
    };
    pod.list("/status/containerStatuses").iter().any(|status| reason(status).as_deref() == Some("OOMKilled"))
}

/// Within its last lines, where a program says why it ends.
fn not_answered(log: &str) -> bool {
    const LAST: usize = 5;
    let mut last = log.lines().rev().filter(|line| !line.trim().is_empty()).take(LAST);
    last.any(|line| {
        let line = line.to_lowercase();
        NOT_ANSWERED.iter().any(|words| line.contains(words))
    })
}
