//! What was noticed, held against what there was.
//!
//! An incident is right if its workload has a label that it overlaps; a label is found if an incident overlaps it. The
//! delay is from the start of the label to the opening of the first such incident, and never below zero: an incident
//! that was open already is no delay.

use std::collections::BTreeMap;

use kubewise_core::{Period, Timestamp};
use kubewise_replay::Label;
use serde::Serialize;

use crate::backtest::outcome::{Outcome, Told};

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Scores {
    pub(crate) incidents: u64,
    pub(crate) right: u64,
    pub(crate) labels: u64,
    pub(crate) found: u64,
    /// Labels outside the time that was replayed.
    pub(crate) outside: u64,
    /// Right among incidents; `None` without an incident.
    pub(crate) precision: Option<f64>,
    /// Found among labels; `None` without a label.
    pub(crate) recall: Option<f64>,
    pub(crate) median_delay_seconds: Option<f64>,
    pub(crate) longest_delay_seconds: Option<f64>,
    /// By the reason of the label.
    pub(crate) found_by_reason: BTreeMap<String, Share>,
    /// By the reason of the incident.
    pub(crate) right_by_reason: BTreeMap<String, Share>,
    /// Labels that no incident overlaps.
    pub(crate) missed: Vec<String>,
    /// Incidents without a label.
    pub(crate) wrong: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Share {
    pub(crate) count: u64,
    pub(crate) of: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) median_delay_seconds: Option<f64>,
    #[serde(skip)]
    delays: Vec<f64>,
}

pub(crate) fn score(outcome: &Outcome, labels: &[Label]) -> Scores {
    let inside: Vec<_> =
        labels.iter().filter(|label| label.start <= outcome.until && label.end >= outcome.since).collect();
    let overlaps = |incident: &Told, label: &Label| {
        let end = incident.over_at.unwrap_or(Timestamp::MAX);
        incident.workload == label.workload && incident.opened_at <= label.end && end >= label.start
    };
    let mut right_by_reason: BTreeMap<String, Share> = BTreeMap::new();
    let mut wrong = Vec::new();
    for incident in &outcome.incidents {
        let share = right_by_reason.entry(incident.reason.to_string()).or_default();
        share.of += 1;
        if inside.iter().any(|label| overlaps(incident, label)) {
            share.count += 1;
        } else {
            wrong.push(format!("{} {} of {}", incident.opened_at, incident.reason, incident.workload));
        }
    }
    let mut found_by_reason: BTreeMap<String, Share> = BTreeMap::new();
    let (mut missed, mut delays) = (Vec::new(), Vec::new());
    for label in &inside {
        let reason = label.reason.clone().unwrap_or_else(|| "any".into());
        let share = found_by_reason.entry(reason.clone()).or_default();
        share.of += 1;
        let incidents = outcome.incidents.iter().filter(|incident| overlaps(incident, label));
        let Some(first) = incidents.map(|incident| incident.opened_at).min() else {
            missed.push(format!("{} {reason} of {}", label.start, label.workload));
            continue;
        };
        let delay = Period::between(label.start, first).as_secs_f64();
        share.count += 1;
        share.delays.push(delay);
        delays.push(delay);
    }
    for share in found_by_reason.values_mut() {
        share.median_delay_seconds = median(&mut share.delays);
    }
    let incidents = outcome.incidents.len() as u64;
    let right = incidents - wrong.len() as u64;
    let (labels_inside, found) = (inside.len() as u64, (inside.len() - missed.len()) as u64);
    let share = |count: u64, of: u64| (of > 0).then(|| count as f64 / of as f64);
    Scores {
        incidents,
        right,
        labels: labels_inside,
        found,
        outside: labels.len() as u64 - labels_inside,
        precision: share(right, incidents),
        recall: share(found, labels_inside),
        longest_delay_seconds: delays.iter().copied().reduce(f64::max),
        median_delay_seconds: median(&mut delays),
        found_by_reason,
        right_by_reason,
        missed,
        wrong,
    }
}

/// Of an even number the lower of the two in the middle: a delay that there was.
fn median(delays: &mut [f64]) -> Option<f64> {
    delays.sort_by(f64::total_cmp);
    delays.get(delays.len().saturating_sub(1) / 2).copied()
}
