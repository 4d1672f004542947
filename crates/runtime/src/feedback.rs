//! What people say of incidents, on its way to the store, the story and the detector.

use kubewise_core::anomaly::{AnomalyRecord, Reason};
use kubewise_core::failure::{Failure, Rejection};
use kubewise_core::feedback::{Feedback, Label, OURSELVES, Said, Shown};
use kubewise_core::id::{AnomalyId, FeedbackId, IncidentId};
use kubewise_core::incident::{Chapter, Incident};
use kubewise_core::record::{Extra, Record, RecordKind, RecordQuery, SchemaVersion};
use kubewise_core::{Period, Timestamp};
use kubewise_detector::Observation;

use crate::incidents::Entry;
use crate::runtime::{Ports, Shared};

/// Waiting for the detector, which takes it up within a second: people type slower than that.
pub(crate) const QUEUE: usize = 100;
/// Taken up at a start, newest first; what a person taught before ten thousand later lessons has faded anyway.
const REMEMBERED: usize = 10_000;

pub(crate) async fn say(shared: &Shared, id: &IncidentId, said: Said) -> Result<Feedback, Failure> {
    let now = shared.clock.now();
    let was_open = shared.incidents.get(id).is_some();
    let (mut incident, anomalies) = known(shared, id).await?;
    let feedback = feedback(&incident, &anomalies, said, now);
    shared.ports.store.save(&[Record::Feedback(feedback.clone())]).await?;
    // One that ended meanwhile is newer than what was read of it.
    if !shared.incidents.said(&feedback, now) && !was_open {
        incident.tell(now, Chapter::Said, in_words(&feedback));
        shared.outbox.put(Record::Incident(incident));
    }
    teach(shared, feedback.clone(), anomalies)?;
    Ok(feedback)
}

/// A repair that was verified shows that the deviations which it was for were trouble. Where the detector is too busy
/// to learn it now, it does so at the next start.
pub(crate) fn verified(shared: &Shared, incident: &IncidentId, now: Timestamp) {
    let Some(Entry { incident, anomalies, .. }) = shared.incidents.get(incident) else { return };
    let is_own = |one: &AnomalyRecord| one.reason == Reason::Deviation && one.workload == incident.workload;
    let anomalies: Vec<AnomalyRecord> = anomalies.into_values().filter(is_own).collect();
    if anomalies.is_empty() {
        return; // what a rule says needs no label
    }
    let said =
        Said { label: Label::True, by: OURSELVES.into(), reason: "a verified repair".into(), until: None };
    let feedback = feedback(&incident, &anomalies, said, now);
    shared.outbox.put(Record::Feedback(feedback.clone()));
    if let Err(failure) = teach(shared, feedback, anomalies) {
        tracing::warn!(incident = %incident.id, %failure, "a verified repair was not learnt from");
    }
}

pub(crate) async fn end_suppression(shared: &Shared, id: &FeedbackId, by: &str) -> Result<Feedback, Failure> {
    let now = shared.clock.now();
    let record = shared.ports.store.get(RecordKind::Feedback, id.as_str()).await?;
    let Some(Record::Feedback(mut feedback)) = record else {
        return rejected(Rejection::NotFound, format!("there is no feedback {id}"));
    };
    match feedback.until {
        None => rejected(Rejection::Conflict, format!("feedback {id} is {}, no suppression", feedback.label)),
        Some(until) if until <= now => {
            rejected(Rejection::Conflict, format!("suppression {id} is over since {until}"))
        }
        Some(_) => {
            feedback.until = Some(now);
            feedback.reason = format!("{} (ended by {by})", feedback.reason);
            shared.ports.store.save(&[Record::Feedback(feedback.clone())]).await?;
            teach(shared, feedback.clone(), Vec::new())?;
            Ok(feedback)
        }
    }
}

/// What was said before this process began, oldest first.
pub(crate) async fn recall(ports: &Ports) -> Result<Vec<Observation>, Failure> {
    let mut lessons = Vec::new();
    let mut query = RecordQuery::of(RecordKind::Feedback);
    while lessons.len() < REMEMBERED {
        let page = ports.store.find(&query).await?;
        for record in page.records {
            if let Record::Feedback(feedback) = record {
                let anomalies = anomalies(ports, &feedback.anomalies).await?;
                lessons.push(Observation::Feedback { feedback: Box::new(feedback), anomalies });
            }
        }
        let Some(next) = page.next else { break };
        query.cursor = Some(next);
    }
    lessons.reverse();
    Ok(lessons)
}

fn feedback(incident: &Incident, anomalies: &[AnomalyRecord], said: Said, now: Timestamp) -> Feedback {
    let mut about: Vec<Shown> = anomalies.iter().map(Shown::of).collect();
    about.sort();
    about.dedup();
    Feedback {
        version: SchemaVersion::CURRENT,
        id: FeedbackId::derive(&[&incident.id, &said.by, &now]),
        incident: incident.id.clone(),
        workload: incident.workload.clone(),
        label: said.label,
        anomalies: anomalies.iter().map(|anomaly| anomaly.id.clone()).collect(),
        about,
        by: said.by,
        reason: said.reason,
        time: now,
        until: said.until,
        extra: Extra::default(),
    }
}

/// As a line of the story.
pub(crate) fn in_words(feedback: &Feedback) -> String {
    let verdict = match (feedback.label, feedback.until) {
        (Label::True, _) => "real trouble".to_owned(),
        (Label::False, _) => "no trouble".into(),
        (Label::Expected, Some(until)) => format!("expected until {until:.0}"),
        (Label::Expected, None) => "expected".into(),
    };
    let reason = if feedback.reason.is_empty() { String::new() } else { format!(": {}", feedback.reason) };
    format!("{verdict}, says {}{reason}", feedback.by)
}

fn teach(shared: &Shared, feedback: Feedback, anomalies: Vec<AnomalyRecord>) -> Result<(), Failure> {
    let lesson = Observation::Feedback { feedback: Box::new(feedback), anomalies };
    shared.lessons.try_send(lesson).map_err(|_| Failure::RateLimited {
        message: "it is kept, but the detector is busy and learns it at the next start".into(),
        retry_after: Some(Period::from_secs(1).as_duration()),
    })
}

/// An incident with its anomalies: as it is while it is open, else as the store keeps it.
pub(crate) async fn known(
    shared: &Shared,
    id: &IncidentId,
) -> Result<(Incident, Vec<AnomalyRecord>), Failure> {
    match shared.incidents.get(id) {
        Some(entry) => Ok((entry.incident, entry.anomalies.into_values().collect())),
        None => stored(&shared.ports, id).await,
    }
}

/// An incident of the store with its anomalies.
async fn stored(ports: &Ports, id: &IncidentId) -> Result<(Incident, Vec<AnomalyRecord>), Failure> {
    match ports.store.get(RecordKind::Incident, id.as_str()).await? {
        Some(Record::Incident(incident)) => {
            let anomalies = anomalies(ports, &incident.anomalies).await?;
            Ok((incident, anomalies))
        }
        _ => rejected(Rejection::NotFound, format!("there is no incident {id}")),
    }
}

async fn anomalies(ports: &Ports, ids: &[AnomalyId]) -> Result<Vec<AnomalyRecord>, Failure> {
    let mut anomalies = Vec::new();
    for id in ids {
        if let Some(Record::Anomaly(anomaly)) = ports.store.get(RecordKind::Anomaly, id.as_str()).await? {
            anomalies.push(anomaly);
        }
    }
    Ok(anomalies)
}

fn rejected<T>(reason: Rejection, message: String) -> Result<T, Failure> {
    Err(Failure::Rejected { reason, message })
}
