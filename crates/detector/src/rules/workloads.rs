//! What a workload as a whole shows.

use jiff::Timestamp;
use kubewise_core::anomaly::Reason;
use kubewise_core::request::RETRIED_AS_ANNOTATION;
use kubewise_core::state::{ObjectState, PodState, ReplicaSetState, WorkloadState, condition};
use kubewise_core::{Kind, ObjectRef, Period};

use crate::history::{ContainerHistory, WorkloadHistory};
use crate::rules::pods::{is_leaving, is_unwanted};
use crate::rules::{MESSAGE, Scene};
use crate::symptom::Symptom;
use crate::text;
use crate::world::Known;

/// An Event that says pods could not be created counts this long; the controller repeats it more often.
pub(crate) const FAILED_CREATE_COUNTS: Period = Period::from_mins(5);
/// A Job that failed longer ago is history.
const FAILED_JOB_COUNTS: Period = Period::from_mins(24 * 60);

/// Adds the workload's own symptoms to those of its pods.
pub(crate) fn symptoms(scene: &Scene<'_>, symptoms: &mut Vec<Symptom>) {
    symptoms.extend(failed_job(scene));
    symptoms.extend(failed_replica_set(scene));
    let Some(known) = scene.world.get(scene.workload) else { return };
    let Some((state, history)) = known.workload() else { return };
    let one = Workload { scene, known, state, history };
    symptoms.extend(one.deadline());
    symptoms.extend(one.failed_create());
    symptoms.extend(one.scaled_to_zero());
    symptoms.extend(one.evicted());
    if symptoms.is_empty() {
        symptoms.extend(one.unready());
    }
    if symptoms.is_empty() {
        symptoms.extend(one.unavailable());
    }
}

/// Whether the controller is still bringing pods to the wanted revision and number.
pub(crate) fn is_rolling(object: &ObjectState, state: &WorkloadState) -> bool {
    state.observed_generation < object.generation || state.updated < state.desired
}

struct Workload<'a> {
    scene: &'a Scene<'a>,
    known: &'a Known,
    state: &'a WorkloadState,
    history: &'a WorkloadHistory,
}

impl Workload<'_> {
    fn object(&self) -> &ObjectRef {
        &self.known.state.object
    }

    fn symptom(&self, reason: Reason, ripe_at: Timestamp, text: &str) -> Symptom {
        let text = format!("{} {text}", text::name(self.object()));
        Symptom::new(reason, self.object(), ripe_at, text)
    }

    fn with_replicas(&self, symptom: Symptom) -> Symptom {
        symptom.feature(
            "available_replicas",
            f64::from(self.state.available),
            Some(f64::from(self.state.desired)),
        )
    }

    fn deadline(&self) -> Option<Symptom> {
        let progressing = condition(&self.state.conditions, "Progressing")?;
        // A status that speaks of an older spec tells nothing of the rollout that has begun since.
        let current = self.state.observed_generation >= self.known.state.generation;
        if &*progressing.reason != "ProgressDeadlineExceeded" || !current || self.state.paused {
            return None;
        }
        let text = format!(
            "made no progress in its rollout within the deadline: {} of {} replicas updated, {} available",
            self.state.updated, self.state.desired, self.state.available
        );
        Some(self.with_replicas(self.symptom(Reason::ProgressDeadlineExceeded, self.scene.now, &text)))
    }

    fn failed_create(&self) -> Option<Symptom> {
        let failed = self.history.failed_create.as_ref()?;
        let lasts = FAILED_CREATE_COUNTS.after(failed.last) > self.scene.now;
        if !lasts || self.state.ready >= self.state.desired {
            return None;
        }
        let text = format!("cannot create pods: {}", text::brief(&failed.message, MESSAGE));
        let ripe_at = self.scene.options.failed_create_grace.after(failed.since);
        Some(self.with_replicas(self.symptom(Reason::FailedCreate, ripe_at, &text)))
    }

    fn scaled_to_zero(&self) -> Option<Symptom> {
        let (before, at) = self.history.scaled_from?;
        if self.scene.world.is_autoscaled(self.object()) {
            return None;
        }
        let text = format!("was scaled from {before} replicas to 0, and no autoscaler did it");
        let ripe_at = self.scene.options.scaled_to_zero_grace.after(at);
        let symptom = self.symptom(Reason::ScaledToZero, ripe_at, &text);
        Some(symptom.feature("desired_replicas", 0.0, Some(f64::from(before))))
    }

    /// Pods that failed as a whole within a crash loop's window of being made, one more than a container may restart.
    /// What a node under pressure evicts is the node's trouble, and what ran for long before is another kind.
    fn evicted(&self) -> Option<Symptom> {
        let (options, world) = (self.scene.options, self.scene.world);
        let since = options.restart_window.before(self.scene.now);
        let pods = self
            .scene
            .objects
            .iter()
            .filter_map(|known| Some((known.state.created?, *known, known.pod()?.0)));
        let mut failed: Vec<(Timestamp, &Known, &PodState)> = pods
            .filter(|(made, known, pod)| {
                &*pod.phase == "Failed" && *made >= since && !is_unwanted(self.scene, known)
            })
            .filter(|(_, _, pod)| {
                !pod.node.as_ref().is_some_and(|node| world.is_node_pressed(node) || world.is_node_down(node))
            })
            .collect();
        failed.sort_by_key(|(made, known, _)| (*made, known.state.object.clone()));
        let (ripe_at, ..) = failed.get(options.crash_restarts as usize)?;
        let (_, newest, pod) = failed.last()?;
        let reason = if pod.reason.is_empty() { "Failed" } else { &*pod.reason };
        let text = format!(
            "has lost {} pods soon after they were made, the last one {} ({reason}): {}",
            failed.len(),
            newest.state.object.name,
            text::brief(&pod.message, MESSAGE)
        );
        let symptom = self.symptom(Reason::Evicted, *ripe_at, &text);
        Some(self.with_replicas(symptom).feature("failed_pods", failed.len() as f64, Some(0.0)))
    }

    /// Pods that were ready, run, and are not ready any more; not those on a node that is down, which the
    /// node's own incident tells.
    fn unready(&self) -> Vec<Symptom> {
        if self.state.available >= self.state.desired {
            return Vec::new();
        }
        let pods = self.scene.objects.iter().filter_map(|known| Some((known, known.pod()?)));
        pods.filter(|(known, (pod, _))| {
            &*pod.phase == "Running" && !pod.ready && !is_leaving(self.scene, known, pod)
        })
        .filter(|(_, (pod, _))| !pod.node.as_ref().is_some_and(|node| self.scene.world.is_node_down(node)))
        .filter_map(|(known, (_, history))| {
            let since = history.ready_at?;
            // A container that was just restarted has a start ahead of it.
            let restarted = history.containers.values().filter_map(ContainerHistory::last_restart).max();
            let grace = if restarted >= Some(since) {
                self.scene.options.unavailable_grace
            } else {
                self.scene.options.unready_grace
            };
            let text = format!(
                "{} runs but has not been ready for {}; {} of {} replicas of {} are available",
                text::name(&known.state.object),
                text::span(since, self.scene.now),
                self.state.available,
                self.state.desired,
                text::name(self.object())
            );
            let symptom = Symptom::new(Reason::Unavailable, &known.state.object, grace.after(since), text);
            Some(self.with_replicas(symptom))
        })
        .collect()
    }

    fn unavailable(&self) -> Option<Symptom> {
        let since = self.history.short_since?;
        // The progress deadline watches over a Deployment's rollout; others have none.
        let watched_over =
            self.object().kind == Kind::Deployment && is_rolling(&self.known.state, self.state);
        let mut pods = self.scene.objects.iter().filter_map(|known| known.pod());
        let node_down =
            pods.any(|(pod, _)| pod.node.as_ref().is_some_and(|node| self.scene.world.is_node_down(node)));
        if watched_over || node_down {
            return None;
        }
        let text = format!(
            "has {} of {} replicas available since {} without progress",
            self.state.available,
            self.state.desired,
            text::span(since, self.scene.now)
        );
        let ripe_at = self.scene.options.unavailable_grace.after(since);
        Some(self.with_replicas(self.symptom(Reason::Unavailable, ripe_at, &text)))
    }
}

/// A ReplicaSet that cannot create the pods it should have.
fn failed_replica_set(scene: &Scene<'_>) -> Option<Symptom> {
    scene
        .objects
        .iter()
        .find_map(|known| failed_set(scene, &known.state, known.replica_set()?, known.heard_at))
}

fn failed_set(
    scene: &Scene<'_>,
    object: &ObjectState,
    set: &ReplicaSetState,
    heard_at: Timestamp,
) -> Option<Symptom> {
    let failure =
        condition(&set.conditions, "ReplicaFailure").filter(|failure| &*failure.status == "True")?;
    if set.desired <= set.ready || object.deleted.is_some() {
        return None;
    }
    let text = format!(
        "{} cannot create pods for {}: {}",
        text::name(&object.object),
        text::name(scene.workload),
        text::brief(&failure.message, MESSAGE)
    );
    let since = failure.since.unwrap_or(heard_at).min(heard_at);
    let ripe_at = scene.options.failed_create_grace.after(since);
    let symptom = Symptom::new(Reason::FailedCreate, &object.object, ripe_at, text);
    Some(symptom.feature("ready_replicas", f64::from(set.ready), Some(f64::from(set.desired))))
}

/// Then the new Job tells how it goes on.
fn is_tried_once_more(scene: &Scene<'_>, job: &ObjectState) -> bool {
    job.annotations.get(RETRIED_AS_ANNOTATION).is_some_and(|name| {
        let retry = ObjectRef { name: name.as_str().into(), ..job.object.clone() };
        scene.world.get(&retry).is_some()
    })
}

/// The latest Job of the workload, if it gave up.
fn failed_job(scene: &Scene<'_>) -> Option<Symptom> {
    let jobs = scene.objects.iter().filter_map(|known| Some((known, known.job()?)));
    let (known, job) = jobs.max_by_key(|(known, _)| (known.state.created, &known.state.object))?;
    let failed = condition(&job.conditions, "Failed").filter(|failed| &*failed.status == "True")?;
    let old = failed.since.is_some_and(|since| FAILED_JOB_COUNTS.after(since) < scene.now);
    if old || known.state.deleted.is_some() || is_tried_once_more(scene, &known.state) {
        return None;
    }
    let text = format!(
        "{} gave up after {} failed pods ({}): {}",
        text::name(&known.state.object),
        job.failed,
        failed.reason,
        text::brief(&failed.message, MESSAGE)
    );
    let symptom = Symptom::new(Reason::BackoffLimitExceeded, &known.state.object, scene.now, text);
    Some(symptom.feature("failed_pods", f64::from(job.failed), Some(0.0)))
}
