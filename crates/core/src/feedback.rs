//! What people say of incidents: labels to learn from, and what is to be expected for a while.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::anomaly::{AnomalyRecord, Reason};
use crate::id::{AnomalyId, FeedbackId, IncidentId};
use crate::metric::MetricType;
use crate::object::ObjectRef;
use crate::period::Period;
use crate::record::{Extra, SchemaVersion};

/// Who says what a verified repair has shown.
pub const OURSELVES: &str = "kubewise";
/// Nothing is expected for longer than a quarter: whoever still expects it then can say so again.
pub const LONGEST_SUPPRESSION: Period = Period::from_mins(90 * 24 * 60);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Feedback {
    #[serde(default)]
    pub version: SchemaVersion,
    pub id: FeedbackId,
    pub incident: IncidentId,
    pub workload: ObjectRef,
    pub label: Label,
    /// The anomalies that the incident had when it was said.
    pub anomalies: Vec<AnomalyId>,
    /// What these showed.
    pub about: Vec<Shown>,
    /// Who said it; of a suppression its owner.
    pub by: String,
    pub reason: String,
    pub time: Timestamp,
    /// Of `Expected`, always: until then the workload may show `about` without an anomaly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    #[serde(flatten)]
    pub extra: Extra,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Label {
    /// It was trouble.
    True,
    /// It was none.
    False,
    /// It was as it should be, and will be so for a while: a suppression.
    Expected,
}

/// A kind of anomaly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    pub reason: Reason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<MetricType>,
}

/// What is said, before it is known of which anomalies.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub label: Label,
    pub by: String,
    pub reason: String,
    /// Given if and only if the label is `Expected`.
    pub until: Option<Timestamp>,
}

impl Feedback {
    /// Whether it holds back an anomaly of its workload at this time.
    pub fn suppresses(&self, shown: &Shown, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now < until) && self.about.contains(shown)
    }
}

impl Shown {
    pub fn of(anomaly: &AnomalyRecord) -> Self {
        Shown { reason: anomaly.reason, metric_type: anomaly.metric_type.clone() }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
