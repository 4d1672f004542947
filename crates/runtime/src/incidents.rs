//! The open incidents with their anomalies and plans: the one place where their records change.

mod entry;
mod people;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kubewise_core::action::ActionStatus;
use kubewise_core::anomaly::{AnomalyRecord, RemediationStatus};
use kubewise_core::id::IncidentId;
use kubewise_core::incident::{Chapter, Incident, IncidentStatus, StoryEntry};
use kubewise_core::journal::Outcome;
use kubewise_core::plan::{PlanStatus, RemediationPlan};
use kubewise_core::record::Record;
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use kubewise_detector::Change;
use kubewise_remediation::author::redact;
use kubewise_remediation::planner::Decision;
use kubewise_remediation::saga::Report;
use tokio::sync::Notify;

use crate::outbox::Outbox;
use crate::telemetry::Telemetry;
pub(crate) use entry::Entry;
use entry::resolve;

/// After an aborted or rolled-back saga the cluster needs a moment before it is looked at again.
const LOOK_AGAIN: Period = Period::from_secs(30);
/// An observed trouble is planned anew: the mode may have been raised, or what was found changed. Soon while its plan is
/// young, and less often the longer the plan stands, so that what stays for days costs the cluster little: after a tenth of
/// that time, but not before …
const OBSERVE_AGAIN: Period = Period::from_secs(60);
/// … and at the latest after this.
const OBSERVE_AGAIN_AT_MOST: Period = Period::from_mins(60);

/// One entry for each workload with an incident, so bounded by the cluster; an entry goes when all is quiet.
#[derive(Debug)]
pub(crate) struct Incidents {
    entries: Mutex<BTreeMap<IncidentId, Entry>>,
    outbox: Arc<Outbox>,
    telemetry: Telemetry,
    /// Sagas for one incident; then it is a person's.
    max_attempts: u32,
    /// Something may need a plan.
    pub(crate) to_plan: Notify,
    /// Something may be executed.
    pub(crate) to_execute: Notify,
}

impl Incidents {
    pub(crate) fn new(outbox: Arc<Outbox>, telemetry: Telemetry, max_attempts: u32) -> Self {
        Incidents {
            entries: Mutex::default(),
            outbox,
            telemetry,
            max_attempts,
            to_plan: Notify::new(),
            to_execute: Notify::new(),
        }
    }

    /// Takes up what an earlier process left open.
    pub(crate) fn restore(
        &self,
        incidents: Vec<Incident>,
        anomalies: Vec<AnomalyRecord>,
        plans: Vec<RemediationPlan>,
        now: Timestamp,
    ) {
        let mut entries = self.lock();
        for incident in incidents {
            let look_at = (incident.status == IncidentStatus::Open).then_some(now);
            let entry = Entry { incident, anomalies: BTreeMap::new(), plan: None, look_at, quiet: false };
            entries.insert(entry.incident.id.clone(), entry);
        }
        for anomaly in anomalies {
            let entry = anomaly.incident.as_ref().and_then(|id| entries.get_mut(id));
            if let Some(entry) = entry {
                entry.anomalies.insert(anomaly.id.clone(), anomaly);
            }
        }
        for plan in plans {
            if let Some(entry) = entries.get_mut(&plan.incident)
                && entry.plan.as_ref().is_none_or(|known| known.created_at <= plan.created_at)
            {
                entry.plan = Some(plan);
            }
        }
        drop(entries);
        self.to_plan.notify_one();
        self.to_execute.notify_one();
    }

    /// Takes in what the detector says.
    pub(crate) fn apply(&self, change: Change, now: Timestamp) {
        match without_secrets(change) {
            Change::Event(event) => self.outbox.put(Record::Event(*event)),
            Change::Healthy(revision) => {
                tracing::debug!(workload = %revision.workload, template = revision.template, "revision seen healthy");
                self.outbox.put(Record::Revision(*revision));
            }
            Change::Serving(serving) => self.outbox.put(Record::Service(*serving)),
            Change::Anomaly(anomaly) => self.anomaly(*anomaly),
            Change::HeldBack(anomaly) => self.outbox.put(Record::Anomaly(*anomaly)),
            Change::IncidentOpened(incident) => {
                let id = incident.id.clone();
                tracing::info!(incident = %id, workload = %incident.workload, reason = %incident.reason, "incident opened");
                let entry = Entry {
                    incident: *incident,
                    anomalies: BTreeMap::new(),
                    plan: None,
                    look_at: Some(now),
                    quiet: false,
                };
                let mut entries = self.lock();
                entries.insert(id.clone(), entry);
                self.reached(&entries, IncidentStatus::Open);
                if let Some(entry) = entries.get(&id) {
                    self.save(entry);
                }
                drop(entries);
                self.to_plan.notify_one();
            }
            Change::IncidentJoined { incident, anomaly, text } => {
                self.change(&incident, |entry| {
                    if !entry.incident.anomalies.contains(&anomaly) {
                        entry.incident.anomalies.push(anomaly);
                    }
                    entry.quiet = false;
                    entry.incident.tell(now, Chapter::Seen, text);
                    match entry.incident.status {
                        IncidentStatus::Repaired | IncidentStatus::Resolved => {
                            entry.incident.status = IncidentStatus::Open;
                            entry.incident.closed_at = None;
                            entry.look_at = Some(now);
                        }
                        IncidentStatus::Open => entry.look_at = Some(now),
                        IncidentStatus::Proposed
                        | IncidentStatus::Repairing
                        | IncidentStatus::HandedOver
                        | IncidentStatus::Stuck => {}
                    }
                });
                self.to_plan.notify_one();
            }
            Change::IncidentQuiet { incident, since } => self.quiet(&incident, since, now),
        }
    }

    /// Detection owns what was seen; what was done about it stays.
    fn anomaly(&self, mut anomaly: AnomalyRecord) {
        let mut entries = self.lock();
        if let Some(entry) = anomaly.incident.as_ref().and_then(|id| entries.get_mut(id)) {
            if entry.reconsider(&anomaly) {
                self.save(entry);
                self.to_plan.notify_one();
            }
            if let Some(known) = entry.anomalies.get(&anomaly.id) {
                anomaly.plan.clone_from(&known.plan);
                anomaly.remediation_status = known.remediation_status;
                anomaly.results.clone_from(&known.results);
                anomaly.actions.clone_from(&known.actions);
            } else {
                self.telemetry.anomaly(anomaly.reason);
            }
            entry.anomalies.insert(anomaly.id.clone(), anomaly.clone());
            let leading: Vec<AnomalyRecord> = entry.firing().cloned().collect();
            if let Some(leading) = kubewise_detector::leading(&leading)
                && (entry.incident.reason != leading.reason || entry.incident.severity < leading.severity)
            {
                entry.incident.reason = leading.reason;
                entry.incident.severity = leading.severity;
                entry.incident.summary.clone_from(&leading.explanation);
                self.save(entry);
            }
        }
        drop(entries);
        self.outbox.put(Record::Anomaly(anomaly));
    }

    /// All of an incident's anomalies are resolved.
    fn quiet(&self, id: &IncidentId, since: Timestamp, now: Timestamp) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(id) else { return };
        entry.quiet = true;
        if entry.incident.status == IncidentStatus::Repairing {
            return; // its saga tells the end
        }
        if entry.incident.status.is_closed() {
            entry.incident.tell(now, Chapter::Seen, format!("nothing abnormal any more since {since}"));
        } else {
            resolve(entry, since, now);
        }
        let status = entry.incident.status;
        self.save(entry);
        if status != IncidentStatus::Stuck {
            entries.remove(id);
        }
        self.reached(&entries, status);
    }

    /// Incidents that need a plan now.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<IncidentId> {
        let entries = self.lock();
        entries.values().filter(|entry| entry.due(now)).map(|entry| entry.incident.id.clone()).collect()
    }

    /// When the next incident needs a plan.
    pub(crate) fn next_look(&self) -> Option<Timestamp> {
        let entries = self.lock();
        entries
            .values()
            .filter(|entry| entry.incident.status == IncidentStatus::Open)
            .filter_map(|e| e.look_at)
            .min()
    }

    pub(crate) fn get(&self, id: &IncidentId) -> Option<Entry> {
        self.lock().get(id).cloned()
    }

    /// Looking failed, or is put off: try again then.
    pub(crate) fn look_again(&self, id: &IncidentId, at: Timestamp) {
        if let Some(entry) = self.lock().get_mut(id) {
            entry.look_at = Some(at);
        }
    }

    /// The mode of a workload, or of all in a namespace, changed: what waits to be planned anew is planned now.
    pub(crate) fn mode_changed(&self, object: &ObjectRef, now: Timestamp) {
        let mut entries = self.lock();
        for entry in entries.values_mut() {
            let workload = &entry.incident.workload;
            let inside = object.kind == Kind::Namespace && workload.namespace.as_ref() == Some(&object.name);
            if inside || workload == object {
                entry.look_at = entry.look_at.map(|_| now);
            }
        }
        drop(entries);
        self.to_plan.notify_one();
    }

    /// Tells something once; whether it is news.
    pub(crate) fn tell(&self, id: &IncidentId, chapter: Chapter, text: &str, now: Timestamp) -> bool {
        let mut news = false;
        self.change(id, |entry| news = entry.tell_once(now, chapter, text));
        news
    }

    /// Takes in what the planner decided. Returns the plan if it is a new one.
    pub(crate) fn decided(
        &self,
        id: &IncidentId,
        decision: Decision,
        now: Timestamp,
    ) -> Option<RemediationPlan> {
        let mut made = None;
        self.change(id, |entry| {
            if entry.incident.status != IncidentStatus::Open {
                return; // resolved or taken up while it was thought about
            }
            entry.look_at = None;
            match decision {
                Decision::Nothing { reason } => {
                    entry.tell_once(now, Chapter::Plan, reason);
                }
                Decision::Wait { until, reason, refused } => {
                    entry.look_at = Some(until);
                    entry.tell_refusals(now, &refused);
                    entry.tell_once(now, Chapter::Plan, reason);
                }
                Decision::Plan { plan, refused } => {
                    let known = entry.plan.as_ref();
                    let known = known.filter(|known| known.id == plan.id && known.status == plan.status);
                    if plan.status == PlanStatus::Observed {
                        let since = known.map_or(now, |known| known.created_at);
                        entry.look_at = Some(observe_again(since, now));
                    }
                    if known.is_some() {
                        // No news. What was reconsidered in vain is over again.
                        if plan.status == PlanStatus::HandedOver {
                            entry.attach(now, &plan);
                        }
                        return;
                    }
                    entry.tell_plan(now, &plan, &refused);
                    entry.attach(now, &plan);
                    self.telemetry.plan(plan.status);
                    made = Some(*plan);
                }
            }
        });
        self.to_execute.notify_one();
        made
    }

    /// Plans that may run and do not yet.
    pub(crate) fn approved(&self) -> Vec<RemediationPlan> {
        let entries = self.lock();
        let plans = entries.values().filter_map(|entry| entry.plan.as_ref());
        plans.filter(|plan| plan.status == PlanStatus::Approved).cloned().collect()
    }

    /// Plans that were running when an earlier process ended.
    pub(crate) fn executing(&self) -> Vec<RemediationPlan> {
        let entries = self.lock();
        let plans = entries.values().filter_map(|entry| entry.plan.as_ref());
        plans.filter(|plan| plan.status == PlanStatus::Executing).cloned().collect()
    }

    /// Whether the end of a plan is not known yet.
    pub(crate) fn awaits(&self, plan: &RemediationPlan) -> bool {
        let known = self.get(&plan.incident).and_then(|entry| entry.plan);
        known.is_some_and(|known| known.id == plan.id && !known.status.is_final())
    }

    /// A plan whose saga never came to its first journal entry may run yet.
    pub(crate) fn not_begun(&self, plan: &RemediationPlan) {
        self.change(&plan.incident, |entry| {
            entry.incident.status = IncidentStatus::Open;
            // It becomes no younger by that.
            entry.set_plan(plan.clone(), PlanStatus::Approved, plan.updated_at);
        });
    }

    /// A saga of this plan begins, or goes on after a restart.
    pub(crate) fn saga_runs(&self, plan: &RemediationPlan, now: Timestamp) {
        self.change(&plan.incident, |entry| {
            entry.incident.attempts = entry.incident.attempts.max(plan.attempt);
            entry.incident.status = IncidentStatus::Repairing;
            entry.incident.updated_at = now;
            entry.set_plan(plan.clone(), PlanStatus::Executing, now);
            entry.remediate(RemediationStatus::Running, None);
        });
    }

    /// Completes a story whose end was lost in a crash, from what the journal knows.
    pub(crate) fn retell(&self, plan: &RemediationPlan, past: &[StoryEntry]) {
        self.change(&plan.incident, |entry| {
            let story = &mut entry.incident.story;
            let missing: Vec<_> =
                past.iter().filter(|one| story.iter().all(|told| told.text != one.text)).cloned().collect();
            story.extend(missing);
            story.sort_by_key(|entry| entry.time);
        });
    }

    /// What a saga tells. Why nothing more is tried, if it was the last that is.
    pub(crate) fn report(&self, plan: &RemediationPlan, report: Report, now: Timestamp) -> Option<String> {
        match report {
            Report::Story { chapter, text } => {
                tracing::info!(incident = %plan.incident, %chapter, "{text}");
                self.change(&plan.incident, |entry| {
                    if chapter == Chapter::Plan {
                        // A saga that cannot go on is taken up at the same place many times.
                        entry.tell_once(now, chapter, text);
                    } else {
                        entry.incident.tell(now, chapter, text);
                    }
                });
            }
            Report::Action(mut action) => {
                // It is told again with its verdict and its end.
                if action.finished_at.is_some() && action.verdict.is_none() && action.outcome.is_none() {
                    self.telemetry.action(&action.action.name, action.status == ActionStatus::Succeeded);
                }
                self.change(&plan.incident, |entry| {
                    let id = action.id.clone();
                    if !entry.incident.actions.contains(&id) {
                        entry.incident.actions.push(id.clone());
                    }
                    action.anomalies = entry.anomalies.keys().cloned().collect();
                    for anomaly in entry.anomalies.values_mut() {
                        if !anomaly.actions.contains(&id) {
                            anomaly.actions.push(id.clone());
                        }
                    }
                });
                self.outbox.put(Record::Action(*action));
            }
            Report::Finished { outcome, reason } => return self.finished(plan, outcome, &reason, now),
        }
        None
    }

    fn finished(
        &self,
        plan: &RemediationPlan,
        outcome: Outcome,
        reason: &str,
        now: Timestamp,
    ) -> Option<String> {
        tracing::info!(incident = %plan.incident, %outcome, reason, "saga finished");
        self.telemetry.saga_finished(outcome);
        let mut entries = self.lock();
        let entry = entries.get_mut(&plan.incident)?;
        entry.incident.tell(now, Chapter::Closed, format!("{outcome}: {reason}"));
        let mut given_up = None;
        let (plan_status, status, remediation) = match outcome {
            Outcome::Succeeded => {
                (PlanStatus::Succeeded, IncidentStatus::Repaired, RemediationStatus::Repaired)
            }
            Outcome::RolledBack => {
                (PlanStatus::RolledBack, IncidentStatus::Open, RemediationStatus::RolledBack)
            }
            Outcome::Aborted => (PlanStatus::Aborted, IncidentStatus::Open, RemediationStatus::None),
            Outcome::HandedOver => {
                (PlanStatus::HandedOver, IncidentStatus::HandedOver, RemediationStatus::HandedOver)
            }
            Outcome::Stuck => (PlanStatus::Stuck, IncidentStatus::Stuck, RemediationStatus::Stuck),
        };
        let mut ended = plan.clone();
        ended.decision = Some(reason.into());
        entry.set_plan(ended, plan_status, now);
        self.telemetry.plan(plan_status);
        // Trouble that joined after the last measurement is looked at anew.
        let fires_anew = status == IncidentStatus::Repaired && entry.firing().next().is_some();
        if fires_anew || status == IncidentStatus::Open {
            entry.incident.status = IncidentStatus::Open;
            entry.look_at = Some(LOOK_AGAIN.after(now));
            entry.remediate(remediation, Some(reason));
            if entry.quiet {
                resolve(entry, now, now);
            } else if !fires_anew && entry.incident.attempts >= self.max_attempts {
                let reason = format!(
                    "{} repairs were begun, none came through; last: {reason}",
                    entry.incident.attempts
                );
                entry.incident.tell(now, Chapter::Closed, format!("handed over: {reason}"));
                entry.end(now, IncidentStatus::HandedOver, RemediationStatus::HandedOver, &reason);
                given_up = Some(reason);
            }
        } else {
            entry.end(now, status, remediation, reason);
        }
        let status = entry.incident.status;
        let gone = entry.quiet && status != IncidentStatus::Stuck;
        self.save(entry);
        if gone {
            entries.remove(&plan.incident);
        }
        self.reached(&entries, status);
        drop(entries);
        self.to_plan.notify_one();
        given_up
    }

    /// Entries that are not closed.
    pub(crate) fn open(&self) -> usize {
        self.lock().values().filter(|entry| !entry.incident.status.is_closed()).count()
    }

    /// When the incidents of other workloads were opened that are not over.
    pub(crate) fn openings_besides(&self, workload: &ObjectRef) -> Vec<Timestamp> {
        let entries = self.lock();
        let others = entries.values().map(|entry| &entry.incident).filter(|one| one.workload != *workload);
        others.map(|incident| incident.opened_at).collect()
    }

    fn change(&self, id: &IncidentId, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(id) else { return };
        let before = entry.clone();
        change(entry);
        if !entry.tells_the_same(&before) {
            self.save(entry);
        }
        let after = entry.incident.status;
        if before.incident.status != after {
            self.reached(&entries, after);
        }
    }

    fn reached(&self, entries: &BTreeMap<IncidentId, Entry>, status: IncidentStatus) {
        let open = entries.values().filter(|entry| !entry.incident.status.is_closed()).count();
        self.telemetry.incident(status, open);
    }

    fn save(&self, entry: &Entry) {
        self.outbox.put(Record::Incident(entry.incident.clone()));
        if let Some(plan) = &entry.plan {
            self.outbox.put(Record::Plan(plan.clone()));
        }
        for anomaly in entry.anomalies.values() {
            self.outbox.put(Record::Anomaly(anomaly.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IncidentId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn observe_again(since: Timestamp, now: Timestamp) -> Timestamp {
    let tenth = Period::from_secs(Period::between(since, now).as_duration().as_secs() / 10);
    tenth.clamp(OBSERVE_AGAIN, OBSERVE_AGAIN_AT_MOST).after(now)
}

/// The cluster's own words, which the detector repeats, are kept and told without their secrets.
fn without_secrets(mut change: Change) -> Change {
    let texts: Vec<&mut String> = match &mut change {
        Change::Event(event) => vec![&mut event.message],
        Change::Anomaly(anomaly) | Change::HeldBack(anomaly) => vec![&mut anomaly.explanation],
        Change::IncidentOpened(incident) => {
            let story = incident.story.iter_mut().map(|entry| &mut entry.text);
            story.chain([&mut incident.summary]).collect()
        }
        Change::IncidentJoined { text, .. } => vec![text],
        Change::IncidentQuiet { .. } | Change::Healthy(_) | Change::Serving(_) => Vec::new(),
    };
    for text in texts {
        if let Cow::Owned(without) = redact(text) {
            *text = without;
        }
    }
    change
}
