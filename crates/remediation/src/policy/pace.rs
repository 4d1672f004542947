//! How much may be done, and how often.

use std::collections::BTreeSet;

use kubewise_core::action::{ActionStatus, Direction, ExecutedActionRecord};
use kubewise_core::document::Document;
use kubewise_core::journal::Outcome;
use kubewise_core::plan::{Operation, Verdict};
use kubewise_core::{Kind, ObjectRef, Period};

use super::{Case, Finding, never, not_before};
use crate::evidence::all_pods::is_alive;
use crate::revision::is_ready;
use crate::selector::selects;

/// How soon a state of the cluster that forbids something now is looked at again.
const LOOK_AGAIN: Period = Period::from_secs(30);

fn done_before<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a ExecutedActionRecord> {
    let plan = case.plan;
    case.evidence.history.iter().filter(move |done| {
        done.plan != *plan && done.status != ActionStatus::Failed && done.action.name != "Notify"
    })
}

pub(super) fn attempts(case: &Case<'_>) -> Finding {
    let since = case.options.attempts_window.before(case.now);
    let sagas: BTreeSet<_> = done_before(case)
        .filter(|done| done.direction == Direction::Act && done.started_at >= since)
        .map(|done| &done.saga)
        .collect();
    let window = case.options.attempts_window;
    if sagas.len() >= case.options.max_attempts as usize {
        return never(format!("{} repairs were tried within {window} already", sagas.len()));
    }
    Ok(format!("{} of {} attempts within {window}", sagas.len(), case.options.max_attempts))
}

/// Counts back to the last repair of this cause that helped.
pub(super) fn escalation(case: &Case<'_>) -> Finding {
    let treated = done_before(case).filter(|done| {
        done.direction == Direction::Act
            && done.status == ActionStatus::Succeeded
            && done.cause.as_deref() == Some(case.cause)
    });
    let in_vain = treated.take_while(|done| done.verdict != Some(Verdict::Improved));
    // Also what was rolled back before it could be measured.
    let ended = |done: &&ExecutedActionRecord| {
        use Outcome::{HandedOver, RolledBack, Stuck};
        done.verdict.is_some() || matches!(done.outcome, Some(RolledBack | HandedOver | Stuck))
    };
    let sagas: BTreeSet<_> = in_vain.filter(ended).map(|done| &done.saga).collect();
    let (count, most) = (sagas.len(), case.options.max_ineffective);
    if count >= most as usize {
        return never(format!("{} was treated {count} times, and none of it helped", case.cause));
    }
    Ok(format!("{count} of {most} treatments of {} without success", case.cause))
}

pub(super) fn cooldown(case: &Case<'_>) -> Finding {
    let newest = done_before(case).map(|done| done.finished_at.unwrap_or(done.started_at)).max();
    let Some(newest) = newest else { return Ok("KubeWise did not act on it before".into()) };
    let until = case.options.cooldown.after(newest);
    if until > case.now {
        return not_before(
            until,
            format!("KubeWise acted on it at {newest:.0}; it is left alone until {until:.0}"),
        );
    }
    Ok(format!("the last action was at {newest:.0}"))
}

pub(super) fn concurrency(case: &Case<'_>) -> Finding {
    let again = LOOK_AGAIN.after(case.now);
    let around = case.surroundings;
    let held = case
        .steps
        .iter()
        .filter_map(|step| step.operation.writes())
        .find(|object| around.locked.contains(object));
    if let Some(object) = held {
        return not_before(again, format!("another repair holds {object}"));
    }
    if around.running_sagas >= case.options.max_running {
        return not_before(again, format!("{} repairs run already", around.running_sagas));
    }
    Ok(format!("{} of {} repairs run", around.running_sagas, case.options.max_running))
}

pub(super) fn disruption_budget(case: &Case<'_>) -> Finding {
    let again = LOOK_AGAIN.after(case.now);
    let (wanted, used) = (case.disruption(), case.surroundings.disruption_in_use);
    let budget = case.options.disruption_budget;
    if wanted > budget {
        return never(format!("{wanted} pods may become unavailable, more than the budget of {budget}"));
    }
    if wanted.saturating_add(used) > budget {
        return not_before(
            again,
            format!("{wanted} more pods may become unavailable beside {used}; the budget is {budget}"),
        );
    }
    // The first one only: each that follows is asked about when it is its turn.
    if let Some(Operation::Evict { pod, uid }) =
        case.steps.iter().map(|step| &step.operation).find(|operation| operation.is_eviction())
    {
        let evicted = case.evidence.evictable(uid);
        if let Some(sibling) = evicted.and_then(|evicted| unready_sibling(case, evicted)) {
            let text = format!("{sibling} of the same controller is not ready; {pod} waits for it");
            return not_before(again, text);
        }
        // A pod that is not ready is evicted without regard to a budget that holds already, so only ready ones count.
        let ready = evicted.filter(|pod| is_ready(pod));
        if let Some(budget) =
            ready.and_then(|pod| case.evidence.budgets.iter().find(|budget| forbids(budget, pod)))
        {
            let name = budget.text("/metadata/name").unwrap_or_default();
            return not_before(again, format!("PodDisruptionBudget {name} allows no eviction of {pod} now"));
        }
    }
    Ok(format!("{wanted} pods may become unavailable, {used} elsewhere; the budget is {budget}"))
}

/// Another pod of the controller that is not ready, or on its way out: one of them at a time. A pod that is not ready
/// itself serves nobody.
fn unready_sibling(case: &Case<'_>, evicted: &Document) -> Option<ObjectRef> {
    let controller =
        |pod: &Document| pod.owners().into_iter().find(|owner| owner.controller).map(|owner| owner.uid);
    let own = controller(evicted).filter(|_| is_ready(evicted) && case.object.kind == Kind::Node)?;
    let waits = |pod: &Document| {
        let leaving = pod.text("/metadata/deletionTimestamp").is_some();
        controller(pod).as_ref() == Some(&own) && is_alive(pod) && (leaving || !is_ready(pod))
    };
    case.evidence.every_pod().find(|pod| waits(pod))?.object().ok()
}

fn forbids(budget: &Document, pod: &Document) -> bool {
    budget.text("/metadata/namespace") == pod.text("/metadata/namespace")
        && budget.number("/status/disruptionsAllowed") == Some(0)
        && budget.at("/spec/selector").is_some_and(|selector| selects(selector, pod))
}

pub(super) fn telemetry(case: &Case<'_>) -> Finding {
    match &case.surroundings.blind {
        Some(what) => not_before(LOOK_AGAIN.after(case.now), format!("nothing can be measured: {what}")),
        None => Ok("the outcome can be measured".into()),
    }
}

pub(super) fn pause(case: &Case<'_>) -> Finding {
    match &case.surroundings.paused {
        Some(who) => not_before(LOOK_AGAIN.after(case.now), format!("KubeWise is paused {who}")),
        None => Ok("nobody paused KubeWise".into()),
    }
}

pub(super) fn storm(case: &Case<'_>) -> Finding {
    let (all, ill) = (case.surroundings.workloads, case.surroundings.workloads_with_incident);
    if is_storm(case, ill) {
        return not_before(
            LOOK_AGAIN.after(case.now),
            format!("{ill} of {all} workloads have an incident: the cause is elsewhere"),
        );
    }
    Ok(format!("{ill} of {all} workloads have an incident"))
}

/// The first workloads of a storm look like troubles of their own, and would be repaired one by one until it has its
/// size. So once half of it came within the hold, each repair waits until the hold has passed without such a row.
pub(super) fn gathering_storm(case: &Case<'_>) -> Finding {
    let hold = case.options.storm_hold;
    let opened = case.surroundings.other_openings.iter().filter(|opened| hold.after(**opened) > case.now);
    let (others, newest) = (opened.clone().count() as u32, opened.max());
    if let Some(newest) = newest.filter(|_| is_storm(case, 2 * (others + 1))) {
        let finding = format!("{others} more workloads fell ill within {hold}: it may become a storm");
        return not_before(hold.after(*newest), finding);
    }
    Ok(format!("{others} more workloads fell ill within {hold}"))
}

fn is_storm(case: &Case<'_>, ill: u32) -> bool {
    let share = f64::from(ill) / f64::from(case.surroundings.workloads.max(1));
    ill >= case.options.storm_minimum && share >= case.options.storm_share
}
