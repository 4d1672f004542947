//! What came of a history, gathered from the records that `run` would have kept.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use futures::FutureExt;
use kubewise_core::anomaly::{AnomalyRecord, Reason, Severity};
use kubewise_core::incident::{Chapter, Incident, IncidentStatus, StoryEntry};
use kubewise_core::plan::{Mode, RemediationPlan};
use kubewise_core::port::RecordStore;
use kubewise_core::record::{Record, RecordKind, RecordQuery};
use kubewise_core::request::ClusterRequest;
use kubewise_core::{ObjectRef, Timestamp};
use kubewise_replay::{Bystander, History};
use kubewise_sim::MemoryStore;
use serde::Serialize;

use crate::backtest::Window;
use crate::backtest::score::Scores;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) mode: Mode,
    pub(crate) history: Held,
    /// Oldest first.
    pub(crate) incidents: Vec<Told>,
    /// How often each rule stood in the way.
    pub(crate) blocked_by: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scores: Option<Scores>,
}

/// What the history holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Held {
    pub(crate) files: u64,
    pub(crate) samples: u64,
    pub(crate) states: u64,
    pub(crate) events: u64,
    /// Samples that are no number, or name no object.
    pub(crate) dropped: u64,
    /// Samples that no query of the catalogue asks for, by metric.
    pub(crate) unasked: BTreeMap<String, u64>,
    /// Pods whose workload was guessed from their name.
    pub(crate) guessed_owners: u64,
}

/// One incident, with everything that came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) workload: ObjectRef,
    /// The reason of the first anomaly, by which it was noticed.
    pub(crate) reason: Reason,
    pub(crate) severity: Severity,
    pub(crate) summary: String,
    pub(crate) status: IncidentStatus,
    pub(crate) opened_at: Timestamp,
    /// When nothing of it fired any more; absent if it still did at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) over_at: Option<Timestamp>,
    /// Why nothing could be planned, if the history does not hold what a plan rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) incomplete: Option<String>,
    /// What would have been done, or that a person would have been called.
    pub(crate) plan: Option<Planned>,
    /// What was deliberately not done, with the rule.
    pub(crate) blocked: Vec<Blocked>,
    /// Writes that the cluster would have been asked for.
    pub(crate) writes: Vec<ClusterRequest>,
    pub(crate) anomalies: Vec<AnomalyRecord>,
    pub(crate) story: Vec<StoryEntry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Planned {
    pub(crate) at: Timestamp,
    pub(crate) hands_over: bool,
    pub(crate) mode: Mode,
    /// In words, one for each step.
    pub(crate) steps: Vec<String>,
    pub(crate) reasoning: String,
    pub(crate) author: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Blocked {
    pub(crate) rule: String,
    pub(crate) finding: String,
}

impl Told {
    /// One line on what would have come of it.
    pub(crate) fn would(&self) -> String {
        match (&self.incomplete, &self.plan) {
            (Some(missing), _) => format!("evidence incomplete: {missing}"),
            (None, None) => "nothing".into(),
            (None, Some(plan)) => {
                let steps = plan.steps.join(", then ");
                match plan.mode {
                    _ if plan.hands_over => steps,
                    Mode::Observe => format!("only observe; possible: {steps}"),
                    Mode::Propose => format!("propose: {steps}"),
                    Mode::Auto => steps,
                }
            }
        }
    }
}

pub(crate) fn gather(
    history: &History,
    store: &MemoryStore,
    bystander: &Bystander,
    window: Window,
    mode: Mode,
) -> Result<Outcome> {
    let mut anomalies: BTreeMap<String, Vec<AnomalyRecord>> = BTreeMap::new();
    let mut plans: BTreeMap<String, Vec<RemediationPlan>> = BTreeMap::new();
    let mut incidents = Vec::new();
    for kind in [RecordKind::Anomaly, RecordKind::Plan, RecordKind::Incident] {
        for record in records(store, kind)? {
            match record {
                Record::Anomaly(one) => {
                    let incident = one.incident.as_ref().map(ToString::to_string).unwrap_or_default();
                    anomalies.entry(incident).or_default().push(one);
                }
                Record::Plan(one) => plans.entry(one.incident.to_string()).or_default().push(one),
                Record::Incident(one) => incidents.push(one),
                Record::Event(_)
                | Record::Action(_)
                | Record::Capture(_)
                | Record::Revision(_)
                | Record::Service(_)
                | Record::Feedback(_)
                | Record::Pause(_)
                | Record::Call(_) => {}
            }
        }
    }
    // The store tells the newest first.
    incidents.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
    let asked = bystander.asked();
    let mut told = Vec::new();
    for incident in incidents {
        let id = incident.id.to_string();
        let mut anomalies = anomalies.remove(&id).unwrap_or_default();
        anomalies.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        let mut plans = plans.remove(&id).unwrap_or_default();
        plans.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        let over_at = over_at(&anomalies);
        let during = |time: Timestamp| time >= incident.opened_at && over_at.is_none_or(|end| time <= end);
        let mut writes: Vec<ClusterRequest> = Vec::new();
        for one in asked.iter().filter(|one| during(one.time)) {
            let planned = plans.iter().flat_map(|plan| &plan.actions);
            let ours =
                planned.filter_map(|step| step.operation.writes()).any(|object| object == one.object());
            if ours && !writes.contains(&one.request) {
                writes.push(one.request.clone());
            }
        }
        told.push(tell(history, incident, anomalies, plans.into_iter().next(), writes));
    }
    let mut blocked_by = BTreeMap::new();
    for blocked in told.iter().flat_map(|one| &one.blocked) {
        *blocked_by.entry(blocked.rule.clone()).or_default() += 1;
    }
    let summary = history.summary();
    Ok(Outcome {
        since: window.since,
        until: window.until,
        mode,
        history: Held {
            files: summary.files,
            samples: summary.samples,
            states: summary.states,
            events: summary.events,
            dropped: summary.dropped.total(),
            unasked: summary.unasked.clone(),
            guessed_owners: summary.guessed_owners,
        },
        incidents: told,
        blocked_by,
        scores: None,
    })
}

/// The first plan says what would have been done; those after it only follow from its not having been.
fn tell(
    history: &History,
    incident: Incident,
    anomalies: Vec<AnomalyRecord>,
    plan: Option<RemediationPlan>,
    writes: Vec<ClusterRequest>,
) -> Told {
    let refused = incident.story.iter().filter(|entry| entry.chapter == Chapter::Refused);
    let blocked = refused.map(|entry| blocked(&entry.text)).collect();
    let unknown = plan.is_none() && !history.tells_of(&incident.workload);
    Told {
        incomplete: unknown.then(|| format!("the history holds no state of {}", incident.workload)),
        plan: plan.map(|plan| Planned {
            at: plan.created_at,
            hands_over: plan.hands_over(),
            mode: plan.mode,
            steps: plan.actions.iter().map(|step| step.description.clone()).collect(),
            author: plan.author.to_string(),
            reasoning: plan.reasoning,
        }),
        id: incident.id.to_string(),
        reason: anomalies.first().map_or(incident.reason, |first| first.reason),
        workload: incident.workload,
        severity: incident.severity,
        summary: incident.summary,
        status: incident.status,
        opened_at: incident.opened_at,
        over_at: over_at(&anomalies),
        blocked,
        writes,
        anomalies,
        story: incident.story,
    }
}

/// An incident that is handed over is closed to KubeWise at once; the trouble goes on until its anomalies resolve.
fn over_at(anomalies: &[AnomalyRecord]) -> Option<Timestamp> {
    let ends: Option<Vec<_>> = anomalies.iter().map(|anomaly| anomaly.resolved_at).collect();
    ends?.into_iter().max()
}

/// A refusal is told as `not WHAT: FINDING (Rule)`.
fn blocked(text: &str) -> Blocked {
    let parts = text.strip_suffix(')').and_then(|text| text.rsplit_once(" ("));
    let (finding, rule) = parts.unwrap_or((text, "Other"));
    Blocked { rule: rule.into(), finding: finding.into() }
}

fn records(store: &MemoryStore, kind: RecordKind) -> Result<Vec<Record>> {
    let mut query = RecordQuery::of(kind);
    let mut records = Vec::new();
    loop {
        // The store in memory answers at once.
        let page = store.find(&query).now_or_never().context("the store in memory waits")??;
        records.extend(page.records);
        let Some(next) = page.next else { return Ok(records) };
        query.cursor = Some(next);
    }
}
