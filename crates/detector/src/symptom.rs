//! What a rule sees now.

use jiff::Timestamp;
use kubewise_core::anomaly::{DetectorKind, Feature, Reason, Severity};
use kubewise_core::metric::MetricType;
use kubewise_core::{ObjectRef, Period};

/// One object that shows one kind of trouble at this moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Symptom {
    pub(crate) reason: Reason,
    pub(crate) object: ObjectRef,
    pub(crate) container: Option<String>,
    pub(crate) severity: Severity,
    /// From when on it is enough to fire an anomaly; before, it only keeps one from resolving.
    pub(crate) ripe_at: Timestamp,
    pub(crate) text: String,
    pub(crate) features: Vec<Feature>,
    /// How long the failure takes to come back.
    pub(crate) interval: Option<Period>,
    pub(crate) measure: Option<Measure>,
    /// It does less than usual, and nothing else.
    pub(crate) is_less: bool,
}

/// What a deviation is about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measure {
    pub(crate) metric_type: MetricType,
    pub(crate) score: f64,
    pub(crate) threshold: f64,
}

impl Symptom {
    pub(crate) fn new(reason: Reason, object: &ObjectRef, ripe_at: Timestamp, text: String) -> Self {
        Symptom {
            reason,
            object: object.clone(),
            container: None,
            severity: Severity::Critical,
            ripe_at,
            text,
            features: Vec::new(),
            interval: None,
            measure: None,
            is_less: false,
        }
    }

    pub(crate) fn container(mut self, name: &str) -> Self {
        self.container = Some(name.into());
        self
    }

    pub(crate) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(crate) fn feature(mut self, name: &str, value: f64, expected: Option<f64>) -> Self {
        self.features.push(Feature { name: name.into(), value, expected });
        self
    }

    /// The value of what it measures, and what was expected of it.
    pub(crate) fn leading_feature(&self) -> Option<&Feature> {
        let name = self.measure.as_ref()?.metric_type.as_str();
        self.features.iter().find(|feature| feature.name == name)
    }

    pub(crate) fn detector(&self) -> DetectorKind {
        match (self.reason, &self.measure) {
            (Reason::Exhaustion, _) => DetectorKind::Trend,
            (_, Some(_)) => DetectorKind::Scorer,
            (_, None) => DetectorKind::Rule,
        }
    }

    /// Orders the symptoms of one reason: the one told about comes first.
    pub(crate) fn rank(&self) -> (Timestamp, &ObjectRef, &Option<String>) {
        (self.ripe_at, &self.object, &self.container)
    }
}
