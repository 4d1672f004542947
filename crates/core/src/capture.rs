//! What was saved before an act that destroys it: the evidence that would be gone with a pod.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{CaptureId, IncidentId, PlanId};
use crate::metric::NormalizedMetric;
use crate::object::ObjectRef;
use crate::record::{Extra, SchemaVersion};

/// The pods that a step takes down, as they were just before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capture {
    #[serde(default)]
    pub version: SchemaVersion,
    pub id: CaptureId,
    pub incident: IncidentId,
    pub plan: PlanId,
    pub step: usize,
    pub workload: ObjectRef,
    pub status: CaptureStatus,
    pub pods: Vec<CapturedPod>,
    /// The latest samples of these pods.
    pub samples: Vec<NormalizedMetric>,
    pub taken_at: Timestamp,
    #[serde(flatten)]
    pub extra: Extra,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaptureStatus {
    Complete,
    /// A log was refused, or something was cut; its place says so.
    Partial,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapturedPod {
    pub pod: ObjectRef,
    /// Metadata, spec and status. Values of environment variables are left out: they may be secrets.
    pub document: Value,
    pub logs: Vec<CapturedLog>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapturedLog {
    pub container: String,
    /// Of the container's previous run.
    pub previous: bool,
    /// The end of the log, or why there is none.
    pub text: String,
}
