//! Revisions that work: what a rollout undo may return to.

use jiff::Timestamp;
use kubewise_core::record::{Extra, HealthyRevision, SchemaVersion};
use kubewise_core::state::{ReplicaSetState, WorkloadState, condition};
use kubewise_core::{Kind, ObjectRef, Period};

use crate::history::ContainerHistory;
use crate::options::RuleOptions;
use crate::rules::workloads::is_rolling;
use crate::world::{Known, World};

/// A revision that stays healthy is told again, so that its record does not age away.
const TELL_AGAIN: Period = Period::from_mins(60);

/// When to look at a workload again, and what there is to tell.
pub(crate) struct Verdict {
    pub(crate) revision: Option<HealthyRevision>,
    pub(crate) look_at: Option<Timestamp>,
}

/// Judges whether a workload is healthy on its present revision. `is_quiet`: it shows no symptom and nothing
/// fires. One pod that restarted by error a short while ago spoils it too, since a failing revision may look
/// available between two crashes.
pub(crate) fn judge(
    world: &mut World,
    workload: &ObjectRef,
    is_quiet: bool,
    options: &RuleOptions,
    now: Timestamp,
) -> Verdict {
    let template = template(world, workload)
        .filter(|_| is_quiet && world.get(workload).is_some_and(is_complete))
        .filter(|_| restarted_at(world, workload).is_none_or(|at| options.settle.after(at) < now));
    let mut verdict = Verdict { revision: None, look_at: None };
    world.change(workload, options.restart_window, now, |known| {
        let Some(history) = known.workload_history() else { return false };
        let Some(template) = template else {
            history.healthy_since = None;
            return false;
        };
        let ripe_at = options.healthy_after.after(*history.healthy_since.get_or_insert(now));
        let told = history.told.as_ref().filter(|(told, _)| *told == template);
        let due = told.map_or(ripe_at, |(_, at)| TELL_AGAIN.after(*at).max(ripe_at));
        if due > now {
            verdict.look_at = Some(due);
            return false;
        }
        history.told = Some((template.clone(), now));
        verdict.look_at = Some(TELL_AGAIN.after(now));
        verdict.revision = Some(HealthyRevision {
            version: SchemaVersion::CURRENT,
            workload: workload.clone(),
            template,
            seen_at: now,
            extra: Extra::default(),
        });
        false
    });
    verdict
}

/// Fully rolled out and fully available.
fn is_complete(known: &Known) -> bool {
    let Some((state, _)) = known.workload() else { return false };
    let stuck = condition(&state.conditions, "Progressing")
        .is_some_and(|progressing| &*progressing.status == "False");
    state.desired > 0
        && !state.paused
        && !stuck
        && !is_rolling(&known.state, state)
        && state.ready >= state.desired
        && state.available >= state.desired
        && known.state.deleted.is_none()
}

fn restarted_at(world: &World, workload: &ObjectRef) -> Option<Timestamp> {
    let objects = world.objects_of(workload);
    let pods = objects.iter().filter_map(|known| known.pod());
    pods.flat_map(|(_, history)| history.containers.values()).filter_map(ContainerHistory::last_restart).max()
}

/// The name of the present revision, all of whose pods are there: a Deployment's `pod-template-hash`, a StatefulSet's update revision, a
/// DaemonSet's ControllerRevision (its name and the hash that its pods carry).
fn template(world: &World, workload: &ObjectRef) -> Option<String> {
    let (state, _) = world.get(workload)?.workload()?;
    let objects = world.objects_of(workload);
    if workload.kind == Kind::Deployment {
        let sets: Vec<&ReplicaSetState> = objects.iter().filter_map(|known| known.replica_set()).collect();
        let number = state.revision.as_ref().and_then(|revision| revision.parse::<u64>().ok());
        let by_number = sets.iter().find(|set| number.is_some() && set.revision == number);
        let by_size = || sets.iter().find(|set| set.desired == state.desired);
        // While pods of an earlier revision are still there, the Deployment counts them as its own.
        let whole = by_number.or_else(by_size).filter(|set| set.available >= state.desired);
        return whole?.template.as_deref().map(Into::into);
    }
    if workload.kind == Kind::StatefulSet {
        return state.revision.clone();
    }
    one_template(&objects, state).map(|hash| format!("{}-{hash}", workload.name))
}

/// The hash that all pods carry; `None` if they differ or not all are known.
fn one_template<'a>(objects: &[&'a Known], state: &WorkloadState) -> Option<&'a str> {
    let pods = objects.iter().filter(|known| known.state.deleted.is_none());
    let mut hashes: Vec<&str> = pods
        .filter_map(|known| known.pod())
        .map(|(pod, _)| pod.template.as_deref().unwrap_or_default())
        .collect();
    let complete = hashes.len() >= state.desired as usize;
    hashes.dedup();
    match hashes.as_slice() {
        [hash] if complete && !hash.is_empty() => Some(hash),
        _ => None,
    }
}
