//! One open incident with its anomalies and its latest plan, and what may happen to them.

use std::collections::BTreeMap;
use std::fmt::Display;

use kubewise_core::Timestamp;
use kubewise_core::anomaly::{AnomalyRecord, AnomalyStatus, RemediationStatus};
use kubewise_core::id::AnomalyId;
use kubewise_core::incident::{Chapter, Incident, IncidentStatus};
use kubewise_core::plan::{PlanStatus, RemediationPlan};
use kubewise_remediation::policy::Refusal;

/// Evidence told in the story; the plan holds all of it.
const TOLD_EVIDENCE: usize = 6;

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) incident: Incident,
    pub(crate) anomalies: BTreeMap<AnomalyId, AnomalyRecord>,
    /// The latest plan.
    pub(crate) plan: Option<RemediationPlan>,
    /// When to plan; `None`: not before something changes.
    pub(super) look_at: Option<Timestamp>,
    pub(super) quiet: bool,
}

/// The trouble went without an action of ours.
pub(super) fn resolve(entry: &mut Entry, since: Timestamp, now: Timestamp) {
    entry.incident.tell(now, Chapter::Closed, format!("resolved by itself: nothing abnormal since {since}"));
    entry.end(now, IncidentStatus::Resolved, RemediationStatus::None, "the trouble went by itself");
    entry.supersede("the trouble went before the plan ran", now);
}

impl Entry {
    /// Whether the records are as they were.
    pub(super) fn tells_the_same(&self, other: &Entry) -> bool {
        (&self.incident, &self.plan, &self.anomalies) == (&other.incident, &other.plan, &other.anomalies)
    }

    /// What of the incident's own workload fires.
    pub(super) fn firing(&self) -> impl Iterator<Item = &AnomalyRecord> {
        let own = |one: &&AnomalyRecord| one.workload == self.incident.workload;
        self.anomalies.values().filter(own).filter(|one| one.status == AnomalyStatus::Firing)
    }

    pub(super) fn due(&self, now: Timestamp) -> bool {
        self.incident.status == IncidentStatus::Open
            && self.look_at.is_some_and(|at| at <= now)
            && self.plan.as_ref().is_none_or(|plan| plan.status.is_final())
    }

    pub(super) fn end(
        &mut self,
        now: Timestamp,
        status: IncidentStatus,
        remediation: RemediationStatus,
        result: &str,
    ) {
        self.incident.status = status;
        self.incident.closed_at = Some(now);
        self.incident.updated_at = now;
        self.look_at = None;
        self.remediate(remediation, Some(result));
    }

    /// What was handed over for want of a repair is planned anew once the workload shows another kind of trouble, or a
    /// graver one: a pod without a node tells little, a rollout that is stuck for it can be undone. What a person
    /// decided, or a repair did not cure, stays handed over.
    pub(super) fn reconsider(&mut self, anomaly: &AnomalyRecord) -> bool {
        let lacked = self.plan.as_ref().is_some_and(|plan| plan.status == PlanStatus::HandedOver);
        let is_known = self.anomalies.values().any(|known| known.reason == anomaly.reason);
        let is_new = !is_known || self.incident.severity < anomaly.severity;
        let is_own = anomaly.workload == self.incident.workload;
        let is_untreated = self.incident.status == IncidentStatus::HandedOver && self.incident.attempts == 0;
        let anew = is_untreated && lacked && is_new && is_own;
        if anew {
            self.incident.status = IncidentStatus::Open;
            self.incident.closed_at = None;
            // It counts once, though it may waver.
            self.incident.severity = self.incident.severity.max(anomaly.severity);
            self.look_at = Some(anomaly.time);
        }
        anew
    }

    pub(super) fn supersede(&mut self, why: &str, now: Timestamp) {
        if let Some(plan) = self.plan.as_mut().filter(|plan| !plan.status.is_final()) {
            plan.status = PlanStatus::Superseded;
            plan.decision = Some(why.into());
            plan.updated_at = now;
        }
    }

    pub(super) fn remediate(&mut self, status: RemediationStatus, result: Option<&str>) {
        for anomaly in self.anomalies.values_mut() {
            anomaly.remediation_status = status;
            anomaly.results.extend(result.map(Into::into));
        }
    }

    pub(super) fn set_plan(&mut self, mut plan: RemediationPlan, status: PlanStatus, now: Timestamp) {
        plan.status = status;
        plan.updated_at = now;
        self.plan = Some(plan);
    }

    pub(super) fn attach(&mut self, now: Timestamp, plan: &RemediationPlan) {
        if !self.incident.plans.contains(&plan.id) {
            self.incident.plans.push(plan.id.clone());
        }
        for anomaly in self.anomalies.values_mut() {
            anomaly.plan = Some(plan.id.clone());
        }
        self.plan = Some(plan.clone());
        match plan.status {
            PlanStatus::Proposed => {
                self.incident.status = IncidentStatus::Proposed;
                self.remediate(RemediationStatus::Proposed, None);
            }
            PlanStatus::HandedOver => {
                self.end(now, IncidentStatus::HandedOver, RemediationStatus::HandedOver, &plan.reasoning);
            }
            PlanStatus::Observed
            | PlanStatus::Approved
            | PlanStatus::Rejected
            | PlanStatus::Executing
            | PlanStatus::Superseded
            | PlanStatus::Succeeded
            | PlanStatus::RolledBack
            | PlanStatus::Aborted
            | PlanStatus::Stuck => {}
        }
    }

    pub(super) fn tell_plan(&mut self, now: Timestamp, plan: &RemediationPlan, refused: &[Refusal]) {
        for item in plan.evidence.iter().take(TOLD_EVIDENCE) {
            self.tell_once(now, Chapter::Evidence, &item.text);
        }
        self.tell_refusals(now, refused);
        let text = format!("{} ({}, mode {})", plan.reasoning, plan.author, plan.mode);
        self.incident.tell(now, Chapter::Plan, text);
    }

    pub(super) fn tell_refusals(&mut self, now: Timestamp, refused: &[Refusal]) {
        for refusal in refused {
            let text = format!("not {}: {} ({})", refusal.what, refusal.finding, refusal.rule);
            self.tell_once(now, Chapter::Refused, text);
        }
    }

    /// The same again is no news: then false.
    pub(super) fn tell_once(&mut self, now: Timestamp, chapter: Chapter, text: impl Display) -> bool {
        let text = text.to_string();
        let news = !self.incident.story.iter().any(|told| told.chapter == chapter && told.text == text);
        if news {
            self.incident.tell(now, chapter, text);
        }
        news
    }
}
