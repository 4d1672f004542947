//! The records of anomalies and incidents as they begin.

use jiff::Timestamp;
use kubewise_core::ObjectRef;
use kubewise_core::anomaly::{AnomalyRecord, AnomalyStatus, RemediationStatus};
use kubewise_core::id::{AnomalyId, IncidentId};
use kubewise_core::incident::{Chapter, Incident, IncidentStatus};
use kubewise_core::record::{Extra, SchemaVersion};

use crate::symptom::Symptom;

/// An anomaly as it begins; what it shows is told later.
pub(crate) fn anomaly(workload: &ObjectRef, id: AnomalyId, lead: &Symptom, time: Timestamp) -> AnomalyRecord {
    AnomalyRecord {
        version: SchemaVersion::CURRENT,
        id,
        workload: workload.clone(),
        object: lead.object.clone(),
        container: lead.container.clone(),
        reason: lead.reason,
        detector: lead.detector(),
        severity: lead.severity,
        metric_type: lead.measure.as_ref().map(|measure| measure.metric_type.clone()),
        score: lead.measure.as_ref().map_or(1.0, |measure| measure.score),
        threshold: lead.measure.as_ref().map_or(1.0, |measure| measure.threshold),
        features: Vec::new(),
        explanation: String::new(),
        status: AnomalyStatus::Firing,
        time,
        updated_at: time,
        resolved_at: None,
        incident: None,
        remediation_status: RemediationStatus::None,
        plan: None,
        results: Vec::new(),
        events: Vec::new(),
        actions: Vec::new(),
        extra: Extra::default(),
    }
}

/// The record of a deviation that never fired, since labels spoke against it, and is over.
pub(crate) fn held_back(workload: &ObjectRef, mut symptom: Symptom, now: Timestamp) -> AnomalyRecord {
    symptom.text.push_str("; held back until it was over, since others like it were called no trouble");
    let id = AnomalyId::derive(&[workload, &symptom.object, &symptom.text, &now]);
    let mut record = anomaly(workload, id, &symptom, symptom.ripe_at);
    record.features.clone_from(&symptom.features);
    (record.explanation, record.status) = (symptom.text, AnomalyStatus::Resolved);
    (record.updated_at, record.resolved_at) = (now, Some(now));
    record
}

/// An incident with its first anomaly.
pub(crate) fn incident(first: &AnomalyRecord, dependants: Vec<ObjectRef>, now: Timestamp) -> Incident {
    let mut incident = Incident {
        version: SchemaVersion::CURRENT,
        id: IncidentId::derive(&[&first.workload, &now]),
        workload: first.workload.clone(),
        reason: first.reason,
        severity: first.severity,
        status: IncidentStatus::Open,
        summary: first.explanation.clone(),
        opened_at: now,
        updated_at: now,
        closed_at: None,
        anomalies: vec![first.id.clone()],
        dependants,
        events: first.events.clone(),
        plans: Vec::new(),
        actions: Vec::new(),
        attempts: 0,
        story: Vec::new(),
        extra: Extra::default(),
    };
    incident.tell(now, Chapter::Seen, first.explanation.clone());
    incident
}
