//! Whose trouble it is: a workload that fails because what it needs has failed joins that one's incident.
//!
//! A workload needs the Services whose names its containers are given, the claims that it mounts, and its nodes. It
//! follows something that it needs only if its own trouble is of a kind that a missing dependency makes, it was not
//! changed itself just before, and the other's trouble is one that stops. Rules ripen at different speeds, so a
//! dependant whose trouble shows first waits a little for what it needs to be judged. The other way round, a workload
//! that only does less than usual follows one that needs it and has stopped: nobody asks it any more.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kubewise_core::anomaly::Reason;
use kubewise_core::{Kind, ObjectRef, Period};

use crate::anomalies::Anomalies;
use crate::options::RuleOptions;
use crate::rules::{self, stops};
use crate::symptom::Symptom;
use crate::world::World;

/// Chains of services are seldom longer; what is further away is not told by names.
const MAX_DEPTH: usize = 4;
/// Workloads looked at: one that needs more is a hub, whose trouble is its own.
const MAX_LOOKED_AT: usize = 64;
/// The slowest rule of a dependency (pods that are not ready any more) ripens this long after the first symptom of
/// a dependant, and then some.
const WAITS: Period = Period::from_mins(2);
/// Where what it needs has nothing available at all, that is surely why; but a rollout gets Kubernetes' ten minutes
/// before it counts as stuck, and then some.
const WAITS_FOR_DOWN: Period = Period::from_mins(15);
const LOOK_AGAIN: Period = Period::from_secs(5);
/// A workload that was changed this shortly before is looked at for itself.
const OWN_CHANGE: Period = Period::from_mins(30);

/// What was found about a workload that shows something new.
#[derive(Debug, PartialEq)]
pub(crate) enum Cause {
    Own,
    /// Something that it needs shows trouble too, which is not judged yet.
    Unclear {
        until: Timestamp,
    },
    Of(ObjectRef),
}

pub(crate) fn find(
    world: &World,
    anomalies: &Anomalies,
    workload: &ObjectRef,
    symptoms: &[Symptom],
    options: &RuleOptions,
    now: Timestamp,
) -> Cause {
    let ripe: Vec<&Symptom> = symptoms.iter().filter(|symptom| symptom.ripe_at <= now).collect();
    let Some(since) = ripe.iter().map(|symptom| symptom.ripe_at).min() else { return Cause::Own };
    if !ripe.iter().all(|symptom| can_follow(symptom.reason)) || was_changed(world, workload, now) {
        return Cause::Own;
    }
    if let Some(node) = node_of_all(world, &ripe).filter(|node| anomalies.is_stopped(node)) {
        return Cause::Of(node);
    }
    // Who does less than usual may be asked for less, by one that cannot ask.
    if ripe.iter().all(|symptom| symptom.is_less)
        && let Some(asker) =
            anomalies.stopped().take(MAX_LOOKED_AT).find(|one| world.needs(one).contains(workload))
    {
        return Cause::Of(asker.clone());
    }
    let mut unclear = None;
    let mut down = false;
    let mut seen = BTreeSet::from([workload.clone()]);
    let mut level = vec![workload.clone()];
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for needed in level.iter().flat_map(|one| world.needs(one)) {
            if seen.len() > MAX_LOOKED_AT || !seen.insert(needed.clone()) {
                continue;
            }
            if anomalies.is_stopped(&needed) {
                return Cause::Of(needed);
            }
            let shown = rules::symptoms(world, &needed, options, now);
            let ripens =
                shown.iter().filter(|symptom| stops(symptom.reason)).map(|symptom| symptom.ripe_at).min();
            unclear = [unclear, ripens].into_iter().flatten().min();
            down |= world.is_down(&needed);
            next.push(needed);
        }
        level = next;
    }
    let latest = WAITS.after(since);
    match unclear {
        _ if down && WAITS_FOR_DOWN.after(since) > now => Cause::Unclear { until: LOOK_AGAIN.after(now) },
        Some(ripens) if latest > now => {
            Cause::Unclear { until: ripens.clamp(Period::from_secs(1).after(now), latest) }
        }
        _ => Cause::Own,
    }
}

/// Whether trouble of this kind can come from something that a workload needs.
fn can_follow(reason: Reason) -> bool {
    match reason {
        Reason::CrashLoopBackOff | Reason::Unavailable | Reason::Deviation | Reason::Flatline => true,
        Reason::OomKilled
        | Reason::ImagePullBackOff
        | Reason::CreateContainerConfigError
        | Reason::Evicted
        | Reason::ProgressDeadlineExceeded
        | Reason::FailedScheduling
        | Reason::FailedCreate
        | Reason::ScaledToZero
        | Reason::Terminating
        | Reason::NodeNotReady
        | Reason::NodeFlapping
        | Reason::NodePressure
        | Reason::BackoffLimitExceeded
        | Reason::ServiceWithoutEndpoints
        | Reason::ScalingLimited
        | Reason::Exhaustion
        | Reason::RestartRhythm
        | Reason::TelemetryMissing => false,
    }
}

fn was_changed(world: &World, workload: &ObjectRef, now: Timestamp) -> bool {
    let known = world.get(workload);
    let history = known.and_then(|known| known.workload());
    history.and_then(|(_, history)| history.changed_at).is_some_and(|at| OWN_CHANGE.after(at) > now)
}

/// The one node that all symptoms are on.
fn node_of_all(world: &World, symptoms: &[&Symptom]) -> Option<ObjectRef> {
    let node = |symptom: &&Symptom| world.get(&symptom.object)?.pod()?.0.node.clone();
    let mut nodes = symptoms.iter().map(node);
    let first = nodes.next()??;
    nodes.all(|other| other.as_ref() == Some(&first)).then(|| ObjectRef::cluster_scoped(Kind::Node, first))
}
