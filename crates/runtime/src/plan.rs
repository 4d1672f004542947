//! The planning loop. A wake or the timer makes it read the open incidents: restart, timer and wake share one
//! path. Where a plan is to be made, the [`author`] is consulted first; a round that waits for it is put off, and holds
//! up no other.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kubewise_core::event::EventType;
use kubewise_core::guard::Guard;
use kubewise_core::id::{CallId, IncidentId};
use kubewise_core::incident::Chapter;
use kubewise_core::plan::{Author, Mode, PlanStatus, RemediationPlan};
use kubewise_core::port::Notice;
use kubewise_core::{Failure, Period, Timestamp};
use kubewise_remediation::evidence::Evidence;
use kubewise_remediation::planner::{self, Decision};
use kubewise_remediation::policy::Surroundings;

use crate::author::{self, Consulted};
use crate::gather::{self, For};
use crate::runtime::Shared;
use crate::shutdown::Phase;

/// Without a wake it looks this often.
const LOOK_EVERY: Period = Period::from_secs(5);
/// Evidence that could not be gathered is tried again after this.
const RETRY_AFTER: Period = Period::from_secs(15);

pub(crate) async fn run(shared: Arc<Shared>, phase: Phase) {
    let mut planning = FuturesUnordered::new();
    let mut taken = BTreeSet::new();
    while !phase.stop.is_cancelled() {
        let now = shared.clock.now();
        shared.all_pods.forget_old(now);
        shared.nodes.forget_old(now);
        for id in shared.incidents.due(now) {
            if planning.len() < shared.options.workers.plan.max(1) && taken.insert(id.clone()) {
                planning.push(plan(shared.clone(), id));
            }
        }
        let next = shared.incidents.next_look().filter(|next| *next > now).unwrap_or(Timestamp::MAX);
        tokio::select! {
            biased;
            () = phase.stop.cancelled() => {}
            Some(done) = planning.next(), if !planning.is_empty() => { taken.remove(&done); }
            () = shared.incidents.to_plan.notified() => {}
            () = shared.clock.sleep_until(next.min(LOOK_EVERY.after(now))) => {}
        }
    }
    phase.stopped.cancel();
}

/// Plans one incident.
async fn plan(shared: Arc<Shared>, id: IncidentId) -> IncidentId {
    let evidence = match gather::evidence(&shared, &id, For::Plan).await {
        Ok(Some(evidence)) => evidence,
        Ok(None) => return id,
        Err(failure) => {
            tracing::warn!(incident = %id, %failure, "evidence could not be gathered");
            shared.incidents.look_again(&id, RETRY_AFTER.after(shared.clock.now()));
            return id;
        }
    };
    let now = shared.clock.now();
    let surroundings = gather::surroundings(&shared, &evidence.incident.workload);
    let Some((decision, call)) = decide(&shared, &evidence, &surroundings, now) else { return id };
    if let Some(made) = shared.incidents.decided(&id, decision, now) {
        if let (Author::Model { .. }, Some(call)) = (&made.author, &call) {
            author::note_plan(&shared, call, &made.id).await;
        }
        announce(&shared, &made).await;
    }
    id
}

/// The planner's decision, and the call whose answer was held against it; `None` if the author is being asked. Only if
/// there is something to decide is the author consulted, so that nobody pays while nothing may be done.
fn decide(
    shared: &Shared,
    evidence: &Evidence,
    surroundings: &Surroundings,
    now: Timestamp,
) -> Option<(Decision, Option<CallId>)> {
    let (playbooks, policy) = (&shared.playbooks, &shared.policy);
    let decision = planner::plan(evidence, playbooks, policy, surroundings, now);
    if !matches!(decision, Decision::Plan { .. }) {
        return Some((decision, None));
    }
    let incident = &evidence.incident.id;
    match author::consult(shared, evidence, surroundings, now) {
        Consulted::Proposal { proposal, call, author } => {
            let (proposal, author) = (&*proposal, author.as_str());
            let proposed =
                planner::plan_proposed(evidence, playbooks, policy, surroundings, proposal, author, now);
            Some((proposed, Some(call)))
        }
        Consulted::Wait(until) => {
            shared.incidents.look_again(incident, until);
            None
        }
        Consulted::Nothing(silence) => {
            if let Some(silence) = silence {
                let text = format!("{silence}; the playbooks decide");
                shared.incidents.tell(incident, Chapter::Plan, &text, now);
            }
            Some((decision, None))
        }
    }
}

/// Tells on the object what is proposed or handed over. Observing tells nothing: it writes nothing.
async fn announce(shared: &Shared, plan: &RemediationPlan) {
    let (reason, message) = match plan.status {
        PlanStatus::Proposed => ("Proposed", format!("kubewise approve {}: {}", plan.id, plan.reasoning)),
        PlanStatus::HandedOver => ("HandedOver", plan.reasoning.clone()),
        PlanStatus::Observed
        | PlanStatus::Approved
        | PlanStatus::Rejected
        | PlanStatus::Executing
        | PlanStatus::Superseded
        | PlanStatus::Succeeded
        | PlanStatus::RolledBack
        | PlanStatus::Aborted
        | PlanStatus::Stuck => return,
    };
    tell(shared, plan, EventType::Warning, reason, message).await;
}

/// Tells people, as far as it can be done now: what was told is in the story too.
pub(crate) async fn tell(
    shared: &Shared,
    plan: &RemediationPlan,
    event_type: EventType,
    reason: &str,
    message: String,
) {
    if let Err(failure) = notify(shared, plan, event_type, reason, message).await {
        tracing::warn!(incident = %plan.incident, %failure, "the notice could not be delivered");
    }
}

/// Writes an Event about the workload, if the mode allows one. Only the leader may.
pub(crate) async fn notify(
    shared: &Shared,
    plan: &RemediationPlan,
    event_type: EventType,
    reason: &str,
    message: String,
) -> Result<(), Failure> {
    if plan.mode < Mode::Propose && shared.policy.guards.stands(Guard::Observe) {
        return Ok(());
    }
    if shared.leader.seek().await.is_none() {
        return Err(Failure::Unavailable { message: "another process leads".into() });
    }
    let notice = Notice {
        object: plan.workload.clone(),
        uid: None,
        incident: plan.incident.clone(),
        event_type,
        reason: reason.into(),
        message: format!("{message} (incident {})", plan.incident),
        time: shared.clock.now(),
    };
    shared.ports.notifier.notify(&notice).await
}
