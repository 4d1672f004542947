//! The executing loop: takes up what an earlier process left, and performs what sagas ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kubewise_core::event::EventType;
use kubewise_core::guard::Guard;
use kubewise_core::id::SagaId;
use kubewise_core::incident::Chapter;
use kubewise_core::journal::{Epoch, Outcome};
use kubewise_core::plan::{RemediationPlan, disruption};
use kubewise_core::{Failure, Period, Timestamp};
use kubewise_remediation::planner;
use kubewise_remediation::saga::{Effect, Forbidden, Input, Report, Saga};
use tokio_util::sync::CancellationToken;

use crate::capture::capture;
use crate::feedback;
use crate::gather::{self, For};
use crate::plan;
use crate::runtime::{Running, Shared};
use crate::shutdown::Phase;

/// Without a wake it looks this often for approved plans and for sagas that wait to be taken up.
const LOOK_EVERY: Period = Period::from_secs(5);
/// A saga that cannot go on is taken up again after `LOOK_EVERY`, and after twice as long each time up to this: what
/// keeps it (a newer fence, a journal that refuses) goes by a person's hand, if at all.
const LONGEST_REST: Period = Period::from_mins(10);

/// Sagas that cannot go on, with the time until which each rests, and for how long it did.
type Resting = BTreeMap<SagaId, (Timestamp, Period)>;

pub(crate) async fn run(shared: Arc<Shared>, phase: Phase) {
    let mut driven = FuturesUnordered::new();
    let mut resting = Resting::new();
    let mut recovery = shared.policy.guards.stands(Guard::RecoveryFirst);
    while !phase.stop.is_cancelled() {
        // Nothing new begins before what an earlier process left is known.
        let left = if recovery { unfinished(&shared).await } else { Some(Vec::new()) };
        if let Some(mut left) = left {
            resting.retain(|saga, _| !recovery || left.contains(saga));
            left.retain(|saga| resting.get(saga).is_none_or(|(until, _)| *until <= shared.clock.now()));
            let approved = shared.incidents.approved();
            if left.is_empty() && approved.is_empty() {
                recovery = !resting.is_empty();
            } else if let Some(epoch) = shared.leader.seek().await {
                recovery = !resting.is_empty();
                for saga in recover(&shared, left, epoch).await {
                    driven.push(drive(shared.clone(), saga, epoch, phase.stop.clone()));
                }
                // An approved plan whose saga was taken up just now is Executing by now.
                let places = shared.options.workers.execute.max(1).saturating_sub(driven.len());
                for plan in shared.incidents.approved().into_iter().take(places) {
                    for saga in begin(&shared, plan, epoch).await {
                        driven.push(drive(shared.clone(), saga, epoch, phase.stop.clone()));
                    }
                }
            }
        }
        shared.telemetry.sagas_running(driven.len());
        tokio::select! {
            biased;
            () = phase.stop.cancelled() => {}
            Some((saga, ended)) = driven.next(), if !driven.is_empty() => match ended {
                Ended::Suspended => {
                    recovery = true;
                    rest(&mut resting, saga, shared.clock.now());
                }
                Ended::Finished | Ended::Rested => drop(resting.remove(&saga)),
            },
            () = shared.incidents.to_execute.notified() => {}
            () = shared.clock.sleep_until(LOOK_EVERY.after(shared.clock.now())) => {}
        }
    }
    // Each running saga comes to a rest point: what it did is journalled, what it did not do is not begun.
    while driven.next().await.is_some() {}
    phase.stopped.cancel();
}

fn rest(resting: &mut Resting, saga: SagaId, now: Timestamp) {
    let rested = resting.get(&saga).map(|(_, rested)| Period::from(rested.as_duration() * 2));
    let rests = rested.unwrap_or(LOOK_EVERY).min(LONGEST_REST);
    resting.insert(saga, (rests.after(now), rests));
}

/// Sagas in the journal that nobody drives; `None` if the journal cannot be read.
async fn unfinished(shared: &Shared) -> Option<Vec<SagaId>> {
    match shared.ports.journal.unfinished().await {
        Ok(mut sagas) => {
            // Ended in the journal, but the process died before its plan was told so.
            for plan in shared.incidents.executing() {
                let saga = Saga::id_of(&plan.id);
                if !sagas.contains(&saga) {
                    sagas.push(saga);
                }
            }
            let running = shared.running();
            Some(sagas.into_iter().filter(|saga| running.iter().all(|one| one.saga != *saga)).collect())
        }
        Err(failure) => {
            tracing::warn!(%failure, "the journal cannot be read");
            None
        }
    }
}

/// Opens the saga of a plan, unless another process did before it went; then it is taken up. None while the
/// journal cannot be read.
async fn begin(shared: &Shared, plan: RemediationPlan, epoch: Epoch) -> Vec<Saga> {
    let id = Saga::id_of(&plan.id);
    match shared.ports.journal.read(&id).await {
        Ok(entries) if entries.is_empty() => {
            let saga = Saga::open(plan, shared.policy.guards, epoch, shared.clock.now());
            start(shared, &saga);
            vec![saga]
        }
        Ok(_) => recover(shared, vec![id], epoch).await,
        Err(failure) => {
            tracing::warn!(saga = %id, %failure, "the journal cannot be read");
            Vec::new()
        }
    }
}

async fn recover(shared: &Shared, sagas: Vec<SagaId>, epoch: Epoch) -> Vec<Saga> {
    let mut recovered = Vec::new();
    for id in sagas {
        let entries = match shared.ports.journal.read(&id).await {
            Ok(entries) => entries,
            Err(failure) => {
                tracing::warn!(saga = %id, %failure, "the saga cannot be read");
                continue;
            }
        };
        if entries.is_empty() {
            let plans = shared.incidents.executing();
            if let Some(plan) = plans.iter().find(|plan| Saga::id_of(&plan.id) == id) {
                shared.incidents.not_begun(plan);
            }
            continue;
        }
        match Saga::replay(&entries, shared.policy.guards, epoch, shared.clock.now()) {
            // A stuck one holds its locks until a person comes, who was told when it ended.
            Ok(saga) if saga.is_finished() && !shared.incidents.awaits(saga.plan()) => {}
            Ok(mut saga) => {
                shared.incidents.retell(saga.plan(), saga.past());
                // Whether people were told before the crash is not known: twice is better than never.
                for past in saga.past() {
                    if let Some((event_type, reason)) = told_at_once(past.chapter) {
                        plan::tell(shared, saga.plan(), event_type, reason, past.text.clone()).await;
                    }
                }
                if saga.is_finished() {
                    tell(shared, &mut saga).await;
                } else {
                    start(shared, &saga);
                    recovered.push(saga);
                }
            }
            Err(corrupt) => {
                tracing::error!(saga = %id, error = %corrupt, "the journal of this saga is not readable");
            }
        }
    }
    recovered
}

fn start(shared: &Shared, saga: &Saga) {
    let plan = saga.plan();
    shared.run_saga(Running {
        saga: saga.id().clone(),
        workload: plan.workload.clone(),
        locks: saga.locks().to_vec(),
        disruption: disruption(&plan.actions),
    });
    shared.incidents.saga_runs(plan, shared.clock.now());
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Finished,
    /// Not ours any more, or the journal could not be written: to be taken up again from the journal.
    Suspended,
    /// At a rest point, because the process ends.
    Rested,
}

async fn drive(
    shared: Arc<Shared>,
    mut saga: Saga,
    epoch: Epoch,
    stop: CancellationToken,
) -> (SagaId, Ended) {
    let ended = loop {
        if tell(&shared, &mut saga).await {
            break Ended::Finished;
        }
        if stop.is_cancelled() {
            break Ended::Rested;
        }
        let leads = shared.leader.epoch() == Some(epoch);
        let Some(effect) = saga.poll_effect() else {
            let reason = saga.suspended().unwrap_or_default();
            tracing::warn!(saga = %saga.id(), reason, "the saga rests");
            if leads {
                call_for(&shared, saga.plan(), reason).await;
            }
            break Ended::Suspended;
        };
        if !leads && shared.policy.guards.stands(Guard::LeaderOnly) {
            tracing::warn!(saga = %saga.id(), "no longer the leader; the saga rests");
            break Ended::Suspended;
        }
        let Some(input) = perform(&shared, &saga, effect, &stop).await else { break Ended::Rested };
        saga.handle(input, shared.clock.now());
    };
    shared.saga_ended(saga.id());
    (saga.id().clone(), ended)
}

/// The leader itself cannot go on: a person is told, once for each reason.
async fn call_for(shared: &Shared, plan: &RemediationPlan, reason: &str) {
    let text = format!("the repair rests, and needs a person if that lasts: {reason}");
    if shared.incidents.tell(&plan.incident, Chapter::Refused, &text, shared.clock.now()) {
        plan::tell(shared, plan, EventType::Warning, "Suspended", text).await;
    }
}

/// Hands on what the saga tells. True once it is finished.
async fn tell(shared: &Shared, saga: &mut Saga) -> bool {
    let plan = saga.plan().clone();
    let mut finished = false;
    for report in saga.take_reports() {
        let now = shared.clock.now();
        let notice = match &report {
            Report::Story { chapter, text } => {
                told_at_once(*chapter).map(|(event_type, reason)| (event_type, reason, text.clone()))
            }
            Report::Finished { outcome, reason } => {
                finished = true;
                let event_type =
                    if *outcome == Outcome::Succeeded { EventType::Normal } else { EventType::Warning };
                Some((event_type, outcome_reason(*outcome), reason.clone()))
            }
            Report::Action(_) => None,
        };
        if matches!(report, Report::Finished { outcome: Outcome::Succeeded, .. }) {
            feedback::verified(shared, &plan.incident, now);
        }
        let given_up = shared.incidents.report(&plan, report, now);
        let given_up = given_up.map(|text| (EventType::Warning, outcome_reason(Outcome::HandedOver), text));
        for (event_type, reason, text) in notice.into_iter().chain(given_up) {
            plan::tell(shared, &plan, event_type, reason, text).await;
        }
    }
    finished || saga.is_finished()
}

/// The parts of a story that people are told as they happen.
fn told_at_once(chapter: Chapter) -> Option<(EventType, &'static str)> {
    match chapter {
        Chapter::Acted => Some((EventType::Normal, "Acted")),
        Chapter::Undone => Some((EventType::Warning, "Undone")),
        Chapter::Seen
        | Chapter::Evidence
        | Chapter::Plan
        | Chapter::Refused
        | Chapter::Verified
        | Chapter::Said
        | Chapter::Closed => None,
    }
}

fn outcome_reason(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "Repaired",
        Outcome::RolledBack => "RolledBack",
        Outcome::Aborted => "Aborted",
        Outcome::HandedOver => "HandedOver",
        Outcome::Stuck => "Stuck",
    }
}

/// Does what the saga asks for. `None` if the process ends meanwhile, at a place where nothing is under way.
async fn perform(shared: &Shared, saga: &Saga, effect: Effect, stop: &CancellationToken) -> Option<Input> {
    let ports = &shared.ports;
    Some(match effect {
        Effect::Append(entry) => Input::Appended(ports.journal.append(&entry).await),
        Effect::Check { step } => Input::Checked(check(shared, saga, step).await),
        Effect::CheckUndo { step } => Input::UndoChecked(check_undo(shared, saga, step).await),
        Effect::Read { object } => Input::Read(ports.reader.get(&object).await),
        Effect::Perform { request, dry_run } => {
            Input::Performed(ports.actor.perform(&request, dry_run).await)
        }
        Effect::Capture { step } => Input::Captured(capture(shared, saga, step).await),
        Effect::Measure => Input::Measured(gather::measure(shared, saga.plan()).await),
        Effect::Notify { message } => {
            Input::Notified(plan::notify(shared, saga.plan(), EventType::Warning, "Notice", message).await)
        }
        Effect::Wait { until } => {
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = shared.clock.sleep_until(until) => Input::Elapsed,
            }
        }
    })
}

/// Policy with fresh evidence, just before the act.
async fn check(shared: &Shared, saga: &Saga, step: usize) -> Result<(), Forbidden> {
    let plan = saga.plan();
    let forbidden = |finding, temporary| Err(Forbidden { finding, temporary });
    let evidence = match gather::evidence(shared, &plan.incident, For::Act).await {
        Ok(Some(evidence)) => evidence,
        Ok(None) => return forbidden("the incident is no longer open".into(), false),
        Err(failure) => {
            let finding = format!("fresh evidence could not be gathered: {failure}");
            return forbidden(finding, failure.is_transient());
        }
    };
    let surroundings = gather::surroundings(shared, &plan.workload);
    planner::recheck(plan, step, &evidence, &shared.policy, &surroundings, shared.clock.now())
        .map_err(Forbidden::from)
}

/// Ownership and protection with fresh evidence, just before an undo; harm is undone also where the incident is over.
async fn check_undo(shared: &Shared, saga: &Saga, step: usize) -> Result<Option<String>, Failure> {
    let plan = saga.plan();
    let (incident, anomalies) = feedback::known(shared, &plan.incident).await?;
    let evidence = gather::evidence_of(shared, incident, anomalies, For::Act).await?;
    let surroundings = gather::surroundings(shared, &plan.workload);
    Ok(planner::forbids_undo(plan, step, &evidence, &shared.policy, &surroundings, shared.clock.now()))
}
