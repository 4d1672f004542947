//! An incident told to people: by a model, or by this template where there is none.

use std::fmt::Write as _;

use kubewise_core::action::{ActionStatus, Direction, ExecutedActionRecord};
use kubewise_core::anomaly::{AnomalyRecord, AnomalyStatus};
use kubewise_core::author::Prompt;
use kubewise_core::guard::Guards;
use kubewise_core::incident::Incident;
use kubewise_core::plan::RemediationPlan;

use super::egress::{Egress, plain};
use super::{Options, dossier, prompt};
use crate::evidence::Evidence;
use crate::revision::Revisions;

/// What a person reads of each list.
const MOST: usize = 5;

/// What a model would be asked to tell people about an incident, in free text.
pub fn explanation(evidence: &Evidence, plan: Option<&RemediationPlan>, options: &Options) -> Prompt {
    let guards = Guards::default();
    let egress = Egress::new(guards);
    let line = match plan {
        None => egress.line().ours("nothing yet"),
        Some(plan) => {
            let decided = if plan.hands_over() { "to hand over" } else { "to act" };
            let line = egress.line().ours(decided).ours("; the plan is ");
            let line = line.name(&plan.status.to_string());
            plan.actions.iter().fold(line, |line, step| {
                line.ours("\n- ").name(&step.action.name).ours(" on ").object(&step.action.target)
            })
        }
    };
    let mut items = dossier::items(evidence, &Revisions::of(evidence), &[], egress);
    // What a plan says may hold words of the cluster, or of a model that read them: it is data.
    items.extend(plan.map(|plan| dossier::of_plan(plan, egress)).into_iter().flatten());
    prompt::explanation(evidence, &prompt::decided(&line), items, *options, guards)
}

/// The same without a model: plans and actions newest first.
pub fn told(
    incident: &Incident,
    anomalies: &[AnomalyRecord],
    plans: &[RemediationPlan],
    actions: &[ExecutedActionRecord],
) -> String {
    let mut told = String::new();
    // To a String: none of these can fail.
    let _ = writeln!(told, "{} of {}: {}", incident.status, incident.workload, incident.summary);
    let _ = write!(told, "\nWhat is wrong, since {:.0}", incident.opened_at);
    let _ = match incident.closed_at {
        Some(closed) => writeln!(told, " until {closed:.0}:"),
        None => writeln!(told, ":"),
    };
    for anomaly in anomalies.iter().take(MOST) {
        let over = match anomaly.status {
            AnomalyStatus::Firing => "",
            AnomalyStatus::Resolved => " (over)",
        };
        let _ = writeln!(told, "- {}: {}{over}", anomaly.reason, anomaly.explanation);
    }
    if let Some(plan) = plans.first() {
        let _ = writeln!(told, "\nRoot cause, says {}: {}", plan.author, plan.root_cause);
        let _ = writeln!(told, "{}", plan.reasoning);
        for item in plan.evidence.iter().take(MOST) {
            let _ = writeln!(told, "- {} [{}]", item.text, item.id);
        }
        let _ = writeln!(told, "\nPlan ({}, {}):", plan.id, plan.status);
        for (number, step) in (1..).zip(&plan.actions) {
            let undo = match step.operation.writes() {
                None => "",
                Some(_) if step.reversible => " (can be undone)",
                Some(_) => " (cannot be undone)",
            };
            let _ = writeln!(told, "{number}. {}{undo}", step.description);
        }
        if let Some(decision) = &plan.decision {
            let _ = writeln!(told, "{decision}");
        }
    } else {
        let _ = writeln!(told, "\nNothing was decided yet.");
    }
    let done: Vec<_> =
        actions.iter().filter(|done| done.status != ActionStatus::Started).take(MOST).collect();
    if !done.is_empty() {
        let _ = writeln!(told, "\nWhat KubeWise did, newest first:");
    }
    for done in done {
        let undid = match done.direction {
            Direction::Act => "",
            Direction::Undo => "undo of ",
        };
        let verdict = done.verdict.map_or_else(String::new, |verdict| format!(", {verdict:?}"));
        let (name, status, at) = (&done.action.name, done.status, done.started_at);
        let _ = writeln!(told, "- {at:.0} {undid}{name}: {status}{verdict}; {}", done.detail);
    }
    plain(&told)
}
