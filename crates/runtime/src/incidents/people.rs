//! What people say of incidents and of their plans.

use kubewise_core::Timestamp;
use kubewise_core::anomaly::RemediationStatus;
use kubewise_core::failure::{Failure, Rejection};
use kubewise_core::feedback::{Feedback, Label};
use kubewise_core::id::PlanId;
use kubewise_core::incident::{Chapter, Incident, IncidentStatus};
use kubewise_core::plan::{PlanStatus, RemediationPlan};
use kubewise_core::record::Record;

use super::Incidents;
use crate::feedback::in_words;

impl Incidents {
    /// A person's decision about a proposed plan.
    pub(crate) fn decide(
        &self,
        id: &PlanId,
        approve: bool,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<RemediationPlan, Failure> {
        let mut entries = self.lock();
        let refused = |reason, message| Err(Failure::Rejected { reason, message });
        let entry = entries.values_mut().find(|entry| entry.plan.as_ref().is_some_and(|plan| plan.id == *id));
        let unknown = || refused(Rejection::NotFound, format!("there is no plan {id}"));
        let Some(entry) = entry else { return unknown() };
        let Some(plan) = entry.plan.as_mut() else { return unknown() };
        if plan.status != PlanStatus::Proposed {
            let message = format!("plan {id} is {}, only a Proposed plan can be decided", plan.status);
            return refused(Rejection::Conflict, message);
        }
        plan.status = if approve { PlanStatus::Approved } else { PlanStatus::Rejected };
        plan.decided_by = Some(by.into());
        plan.decision = reason.map(Into::into);
        plan.updated_at = now;
        let plan = plan.clone();
        let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        if approve {
            entry.incident.tell(now, Chapter::Plan, format!("approved by {by}{why}"));
        } else {
            entry.incident.tell(now, Chapter::Refused, format!("rejected by {by}{why}"));
            entry.end(
                now,
                IncidentStatus::HandedOver,
                RemediationStatus::HandedOver,
                &format!("rejected by {by}"),
            );
        }
        self.telemetry.plan(plan.status);
        self.save(entry);
        drop(entries);
        self.to_execute.notify_one();
        Ok(plan)
    }

    /// Tells what a person said; an incident that is no trouble is over, unless its saga runs. False if the incident
    /// is not among these any more.
    pub(crate) fn said(&self, feedback: &Feedback, now: Timestamp) -> bool {
        let mut known = false;
        self.change(&feedback.incident, |entry| {
            known = true;
            let words = in_words(feedback);
            entry.incident.tell(now, Chapter::Said, words.clone());
            match entry.incident.status {
                IncidentStatus::Open | IncidentStatus::Proposed | IncidentStatus::HandedOver
                    if feedback.label != Label::True =>
                {
                    entry.end(now, IncidentStatus::Resolved, RemediationStatus::None, &words);
                    entry.supersede(&words, now);
                }
                IncidentStatus::Open
                | IncidentStatus::Proposed
                | IncidentStatus::Repairing
                | IncidentStatus::Repaired
                | IncidentStatus::Resolved
                | IncidentStatus::HandedOver
                | IncidentStatus::Stuck => {}
            }
        });
        known
    }

    /// A person has seen to what was stuck. It need not be among these any more.
    pub(crate) fn released(&self, mut incident: Incident, words: &str, now: Timestamp) -> Incident {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&incident.id) else {
            incident.tell(now, Chapter::Said, words);
            incident.status = IncidentStatus::HandedOver;
            self.outbox.put(Record::Incident(incident.clone()));
            return incident;
        };
        entry.incident.tell(now, Chapter::Said, words);
        entry.end(now, IncidentStatus::HandedOver, RemediationStatus::HandedOver, words);
        self.save(entry);
        let (incident, gone) = (entry.incident.clone(), entry.quiet);
        if gone {
            entries.remove(&incident.id);
        }
        self.reached(&entries, incident.status);
        incident
    }
}
