//! How long to watch before a repair counts as one.

use kubewise_core::anomaly::FAILURE_INTERVAL;
use kubewise_core::document::Document;
use kubewise_core::plan::{Indicators, Verification};
use kubewise_core::state::ContainerState;
use kubewise_core::{Kind, Period, Timestamp};

use crate::evidence::Evidence;
use crate::playbook::Playbook;
use crate::verify;

/// A repair must hold at least this long, whatever the failure, …
const MIN_SETTLE: u64 = 60;
/// … and a trouble that comes back more slowly than this is a new one. Seconds.
const MAX_SETTLE: u64 = 600;
/// The kubelet's back-off between restarts, seconds: doubled each time up to five minutes.
const FIRST_BACK_OFF: u64 = 10;
const MAX_BACK_OFF: u64 = 300;
/// Seconds from the act to the earliest provisional verdict; people wait for it.
const MIN_PROVISIONAL: u64 = 15;
const MAX_PROVISIONAL: u64 = 60;
/// The API server's default of a Deployment's `progressDeadlineSeconds`.
const PROGRESS_DEADLINE: u64 = 600;

pub(super) fn verification(
    evidence: &Evidence,
    workload: &Document,
    playbook: Option<&Playbook>,
    now: Timestamp,
) -> Verification {
    let asked = playbook.and_then(|playbook| playbook.settle).map(|settle| settle.as_duration().as_secs());
    let recurs = (2 * failure_interval(evidence)).clamp(MIN_SETTLE, MAX_SETTLE);
    let settle = asked.map_or(recurs, |asked| asked.clamp(MIN_SETTLE, MAX_SETTLE));
    let rollout = workload.number("/spec/progressDeadlineSeconds").unwrap_or(PROGRESS_DEADLINE).min(3600);
    let mut checks = playbook.map(|playbook| playbook.checks.clone()).unwrap_or_default();
    let settle_for = Period::from_secs(settle);
    checks.push(format!("every wanted replica of {} is available", evidence.incident.workload));
    checks.push(format!("the trouble stays gone for {settle_for}, measured, and then nothing fires"));
    if !evidence.dependants.is_empty() {
        let needing: Vec<_> = evidence.dependants.iter().map(|one| one.workload.to_string()).collect();
        checks.push(format!("those that need it fare as before: {}", needing.join(", ")));
    }
    Verification {
        checks,
        provisional_after: Period::from_secs((settle / 2).clamp(MIN_PROVISIONAL, MAX_PROVISIONAL)),
        settle: settle_for,
        // What fires takes as long to resolve as it takes to come back.
        deadline: Period::from_secs(rollout + 2 * settle.max(recurs)),
        baseline: baseline(evidence, workload, now),
        dependants: evidence.dependants.clone(),
    }
}

fn baseline(evidence: &Evidence, workload: &Document, now: Timestamp) -> Indicators {
    let mut baseline = verify::indicators(Some(workload), &evidence.pods, &evidence.samples, now);
    verify::services(&evidence.services, &evidence.serving, &evidence.pods, &mut baseline);
    baseline.firing = evidence.firing().map(|anomaly| anomaly.reason.to_string()).collect();
    // What is done to a node makes it neither ready nor unready: that it goes once more is no harm of ours.
    if evidence.incident.workload.kind == Kind::Node {
        baseline.available = 0;
    }
    baseline
}

/// The failure's own rhythm in seconds: as it was seen before, or how long a container lives and how long it then waits,
/// at the longest.
fn failure_interval(evidence: &Evidence) -> u64 {
    let states: Vec<_> = evidence.pod_states().collect();
    let containers = states.iter().filter_map(|state| state.pod()).flat_map(|pod| &pod.containers);
    let features = evidence.firing().flat_map(|anomaly| &anomaly.features);
    let seen =
        features.filter(|feature| feature.name == FAILURE_INTERVAL).map(|feature| feature.value as u64);
    containers.map(|container| life(container) + back_off(container)).chain(seen).max().unwrap_or(0)
}

fn life(container: &ContainerState) -> u64 {
    let ended = container.terminated.as_ref().filter(|ended| ended.exit_code != 0);
    let span = ended.and_then(|ended| Some(Period::between(ended.started_at?, ended.finished_at?)));
    span.map_or(0, |span| span.as_duration().as_secs().min(MAX_SETTLE))
}

/// From the kubelet's message (`back-off 2m40s restarting …`), or from the restarts so far.
fn back_off(container: &ContainerState) -> u64 {
    let told = container.waiting.as_ref().and_then(|waiting| {
        let (_, rest) = waiting.message.split_once("back-off ")?;
        rest.split_whitespace().next()?.parse::<Period>().ok()
    });
    let counted = || match container.restarts {
        0 => 0,
        restarts => FIRST_BACK_OFF << (restarts - 1).min(5),
    };
    told.map_or_else(counted, |told| told.as_duration().as_secs()).min(MAX_BACK_OFF)
}
