//! Whether a workload is better, worse, or whether that cannot be told.
//!
//! *Better* needs proof: every indicator is well, those that need the workload fare as before, a sample newer than the
//! act says that somebody still measures, **and**, once the settle time is over, nothing of the workload fires any more.
//! *Worse* needs proof too, since it leads to an undo: what surely served before no longer does, and no rollout under
//! way explains it; or one that needs the workload suffers for longer than it takes to find back to it. Everything else
//! is inconclusive, and inconclusive is never undone.

use std::collections::{BTreeMap, BTreeSet};

use kubewise_core::anomaly::{AnomalyRecord, AnomalyStatus};
use kubewise_core::document::Document;
use kubewise_core::guard::{Guard, Guards};
use kubewise_core::metric::NormalizedMetric;
use kubewise_core::plan::{Dependant, Indicators, Measurement, Verdict};
use kubewise_core::service::ServingService;
use kubewise_core::state::{StateDetail, condition};
use kubewise_core::{Kind, ObjectRef, Period, Timestamp, quantity};
use serde_json::Value;

use crate::action::expand_claim::STORAGE;
use crate::action::restore_service;

/// Reasons for which a container waits that time alone does not heal.
const FAILING_WAITS: &[&str] = &[
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// A sample older than this says nothing about now: twice the longest interval of the default catalogue.
pub const FRESH_FOR: Period = Period::from_secs(120);

/// A dependant that lost the workload for a moment is back by then: three back-offs of the kubelet (10 s, 20 s, 40 s), and
/// as long again for its own start.
const FINDS_BACK: Period = Period::from_secs(140);

/// A deviation of which more than this share is left is not gone; what is left below that, load explains.
const NOT_GONE: f64 = 1.0 / 3.0;

/// The guarded indicators of a workload: `None` for a workload that is gone, `pods` all of its own.
pub fn indicators(
    workload: Option<&Document>,
    pods: &[Document],
    samples: &[NormalizedMetric],
    now: Timestamp,
) -> Indicators {
    let mut indicators = Indicators {
        desired: 0,
        available: 0,
        rolled_out: false,
        restarts: BTreeMap::new(),
        failing: Vec::new(),
        firing: Vec::new(),
        // A sample from the future would pass for fresh for ever.
        newest_sample: samples.iter().map(|sample| sample.time).filter(|time| *time <= now).max(),
        taken_at: now,
    };
    let of_job = workload.is_some_and(|document| document.text("/kind") == Some("Job"));
    if let Some(document) = workload {
        replicas(document, &mut indicators);
    }
    for document in pods {
        pod(document, of_job, &mut indicators);
    }
    indicators.failing.sort();
    indicators
}

/// A Service that leads nowhere, although it led to these pods, is an ailment of theirs.
pub fn services(
    services: &[Document],
    serving: &[ServingService],
    pods: &[Document],
    indicators: &mut Indicators,
) {
    let astray = restore_service::astray(services, serving, pods);
    let named = astray.filter_map(|(document, _)| Some(document.object().ok()?.to_string()));
    indicators.failing.extend(named.map(|service| format!("{service}: leads to no ready pod")));
    indicators.failing.sort();
}

/// What of a workload fires, or would: a measure whose deviation was told of a pod that is replaced by now is judged anew
/// by the detector only after hours, so its samples are looked at here.
pub fn firing(
    anomalies: &[AnomalyRecord],
    samples: &[NormalizedMetric],
    pods: &[Document],
    now: Timestamp,
) -> Vec<String> {
    let present: BTreeSet<ObjectRef> = pods.iter().filter_map(|pod| pod.object().ok()).collect();
    let fresh: Vec<&NormalizedMetric> = samples
        .iter()
        .filter(|sample| sample.time <= now && Period::between(sample.time, now) <= FRESH_FOR)
        .filter(|sample| sample.object.kind != Kind::Pod || present.contains(&sample.object))
        .collect();
    let fires = |anomaly: &AnomalyRecord| {
        let told = || anomaly.reason.to_string();
        (anomaly.status == AnomalyStatus::Firing).then(told).or_else(|| still_off(anomaly, &fresh))
    };
    anomalies.iter().filter_map(fires).collect()
}

/// How far a measure still is from what is usual, if that is more than a part of how far it was.
fn still_off(anomaly: &AnomalyRecord, fresh: &[&NormalizedMetric]) -> Option<String> {
    let metric_type = anomaly.metric_type.as_ref()?;
    let feature = anomaly.features.iter().find(|feature| feature.name == metric_type.as_str())?;
    let usual = feature.expected?;
    let of_measure = |sample: &&&NormalizedMetric| {
        sample.metric_type == *metric_type && sample.container.as_deref() == anomaly.container.as_deref()
    };
    // The newest of each object.
    let newest: BTreeMap<&ObjectRef, f64> =
        fresh.iter().filter(of_measure).map(|sample| (&sample.object, sample.value)).collect();
    if newest.is_empty() {
        return None; // that nobody measures it shows elsewhere
    }
    let now = newest.values().sum::<f64>() / newest.len() as f64;
    let (was, is) = (feature.value - usual, now - usual);
    let off = is.signum() == was.signum() && is.abs() > was.abs() * NOT_GONE;
    off.then(|| format!("{}: {metric_type} is {now:.2}, usually {usual:.2}", anomaly.reason))
}

fn replicas(document: &Document, indicators: &mut Indicators) {
    let Ok(state) = document.state() else { return };
    let seen = document.number("/status/observedGeneration").unwrap_or(0) >= state.generation;
    let (desired, available, rolled_out) = match &state.detail {
        StateDetail::Workload(workload) => {
            let held_back =
                document.number("/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0) as u32;
            let replaced = state.object.kind != Kind::Deployment
                || document.number("/status/replicas").unwrap_or(0) as u32 == workload.updated;
            let updated = workload.updated >= workload.desired.saturating_sub(held_back);
            (workload.desired, workload.available, seen && replaced && updated)
        }
        StateDetail::ReplicaSet(set) => (set.desired, set.available, seen),
        StateDetail::Job(job) => {
            let desired = document.number("/spec/parallelism").unwrap_or(1) as u32;
            let failed = condition(&job.conditions, "Failed").is_some_and(|failed| &*failed.status == "True");
            (desired, (job.active + job.succeeded).min(desired), !failed)
        }
        StateDetail::Node(node) => {
            let ready = condition(&node.conditions, "Ready").is_some_and(|ready| &*ready.status == "True");
            (1, u32::from(ready), true)
        }
        StateDetail::Pod(pod) => (1, u32::from(pod.ready), true),
        // A claim's volume works while it is bound, and has grown once it holds what is asked for.
        StateDetail::Other if state.object.kind == Kind::PersistentVolumeClaim => {
            let amount = |place: &str| document.text(place).and_then(quantity::parse);
            let (holds, asked) = (amount("/status/capacity/storage"), amount(STORAGE));
            let bound = document.text("/status/phase") == Some("Bound");
            (1, u32::from(bound), holds.zip(asked).is_none_or(|(holds, asked)| holds >= asked))
        }
        StateDetail::Autoscaler(_) | StateDetail::Service(_) | StateDetail::Other => (0, 0, true),
    };
    indicators.desired = desired;
    indicators.available = available;
    indicators.rolled_out = rolled_out;
}

fn pod(document: &Document, of_job: bool, indicators: &mut Indicators) {
    let Ok(state) = document.state() else { return };
    let Some(pod) = state.pod() else { return };
    // On its way out, or (unless a Job counts it) the left-over record of a pod that was replaced.
    let over = &*pod.phase == "Succeeded" || (&*pod.phase == "Failed" && !of_job);
    if state.deleted.is_some() || over {
        return;
    }
    let name = &state.object.name;
    if pod.unschedulable.is_some() {
        indicators.failing.push(format!("{name}: FailedScheduling"));
    }
    let ended = ended_badly(document);
    for container in &pod.containers {
        let key = format!("{name}/{}", container.name);
        let waits = container.waiting.as_ref().map(|waiting| &*waiting.reason);
        let reason = waits
            .filter(|reason| FAILING_WAITS.contains(reason))
            .or_else(|| ended.get(&*container.name).copied());
        indicators.failing.extend(reason.map(|reason| format!("{key}: {reason}")));
        indicators.restarts.insert(key, container.restarts);
    }
}

/// Containers that are ended now (not those that run again after an end), unless by their own wish.
fn ended_badly(document: &Document) -> BTreeMap<&str, &str> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let statuses = lists.into_iter().flat_map(|list| document.list(list));
    let ended = |status: &'_ Value| -> bool {
        status.pointer("/state/terminated/exitCode").and_then(Value::as_i64).is_some_and(|code| code != 0)
    };
    statuses
        .filter(|status| ended(status))
        .filter_map(|status| {
            let reason = status.pointer("/state/terminated/reason").and_then(Value::as_str);
            Some((status.get("name")?.as_str()?, reason.unwrap_or("Error")))
        })
        .collect()
}

/// What a measurement is held against.
#[derive(Clone, Debug)]
pub struct Standard<'a> {
    /// How it was when the plan was made.
    pub baseline: &'a Indicators,
    pub dependants: &'a [Dependant],
    /// The measurement before this one, if any since the act.
    pub previous: Option<&'a Measurement>,
    /// Since when every measurement found dependants that suffer.
    pub suffering_since: Option<Timestamp>,
    /// Whether the settle time is over, so that what fires no longer only lags behind.
    pub settled: bool,
    pub acted_at: Timestamp,
    /// Pods that the steps may make unavailable while their rollout goes on.
    pub disruption: u32,
    /// From then on a rollout under way excuses nothing.
    pub patient_until: Timestamp,
    pub guards: Guards,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// In words, at least one.
    pub reasons: Vec<String>,
    /// Whether every indicator is well, measured freshly or not.
    pub healthy: bool,
    /// Whether a dependant fares worse than before the act.
    pub suffering: bool,
}

/// Holds a measurement against its standard. A `Worse` is to be believed only when the next one agrees.
pub fn judge(measured: &Measurement, standard: &Standard<'_>) -> Judgement {
    let own = &measured.own;
    let before = standard.previous.map_or(standard.baseline, |previous| &previous.own);
    let mut ailments = ailments(own, before);
    let suffering =
        if standard.guards.stands(Guard::Dependants) { suffering(measured, standard) } else { Vec::new() };
    let suffers = !suffering.is_empty();
    let harm = harm(own, standard).or_else(|| lasting(&suffering, measured, standard));
    ailments.extend(suffering);
    let healthy = ailments.is_empty();
    let stands = |guard| standard.guards.stands(guard);
    let (verdict, reasons) = if let Some(harm) = harm {
        (Verdict::Worse, vec![harm])
    } else if !healthy {
        (Verdict::Inconclusive, ailments)
    } else if let Some(stale) = stale(own, standard.acted_at).filter(|_| stands(Guard::FreshSample)) {
        (Verdict::Inconclusive, vec![stale])
    } else if standard.settled && !own.firing.is_empty() && stands(Guard::TroubleGone) {
        (Verdict::Inconclusive, vec![format!("still fires: {}", own.firing.join(", "))])
    } else {
        let well = format!(
            "{} of {} replicas are available, nothing fails or restarts, and fresh samples confirm it",
            own.available, own.desired
        );
        (Verdict::Improved, vec![well])
    };
    Judgement { verdict, reasons, healthy, suffering: suffers }
}

/// How dependants fare worse than before the act; while the workload itself is on its way that says nothing.
fn suffering(measured: &Measurement, standard: &Standard<'_>) -> Vec<String> {
    if is_rolling(&measured.own, standard) {
        return Vec::new();
    }
    let suffers = measured.dependants.iter().filter_map(|Dependant { workload, indicators }| {
        let baseline = of(workload, standard.dependants)?;
        let previous = standard.previous.and_then(|previous| of(workload, &previous.dependants));
        let how = suffers(indicators, previous.unwrap_or(baseline), baseline)?;
        Some(format!("{workload}, which needs it: {how}"))
    });
    suffers.collect()
}

fn of<'a>(workload: &ObjectRef, dependants: &'a [Dependant]) -> Option<&'a Indicators> {
    dependants.iter().find(|one| one.workload == *workload).map(|one| &one.indicators)
}

fn suffers(measured: &Indicators, previous: &Indicators, baseline: &Indicators) -> Option<String> {
    let owed = sound(baseline).min(measured.desired);
    // A rollout of its own is not the act's.
    let excused = u32::from(!measured.rolled_out);
    if measured.available + excused < owed {
        return Some(format!(
            "{} replicas are available, {owed} were sound before the act",
            measured.available
        ));
    }
    if !measured.rolled_out || !baseline.failing.is_empty() || baseline.available < baseline.desired {
        return None;
    }
    let mut new = restarted(measured, previous);
    new.extend(measured.failing.iter().map(|failing| format!("failing: {failing}")));
    (!new.is_empty()).then(|| new.join(", "))
}

/// Harm to dependants is the act's if the workload served them before, and if it lasts.
fn lasting(suffering: &[String], measured: &Measurement, standard: &Standard<'_>) -> Option<String> {
    let since = standard.suffering_since?;
    let served = sound(standard.baseline) > 0;
    let lasts = Period::between(since, measured.own.taken_at) >= FINDS_BACK;
    (served && lasts && !suffering.is_empty()).then(|| suffering.join("; "))
}

/// Whether the workload was itself in trouble: then its old fields are nothing to go back to for lack of success.
pub fn was_failing(baseline: &Indicators) -> bool {
    !baseline.failing.is_empty()
        || baseline.available < baseline.desired
        || baseline.desired == 0
        || baseline.restarts.values().any(|restarts| *restarts > 0)
}

fn ailments(measured: &Indicators, before: &Indicators) -> Vec<String> {
    let mut ailments = Vec::new();
    if measured.desired == 0 {
        ailments.push("no replica is wanted, so none can be seen to work".into());
    } else if measured.available < measured.desired {
        ailments.push(format!("{} of {} replicas are available", measured.available, measured.desired));
    }
    if !measured.rolled_out {
        ailments.push("the rollout is not complete".into());
    }
    if !measured.failing.is_empty() {
        ailments.push(format!("failing: {}", measured.failing.join(", ")));
    }
    ailments.extend(restarted(measured, before));
    ailments
}

/// A container that was not known before counts from zero.
fn restarted(measured: &Indicators, before: &Indicators) -> Vec<String> {
    let risen = measured.restarts.iter().filter_map(|(container, restarts)| {
        let known = before.restarts.get(container).copied().unwrap_or(0);
        (*restarts > known).then(|| format!("restarts of {container} rose from {known} to {restarts}"))
    });
    risen.collect()
}

fn stale(measured: &Indicators, acted_at: Timestamp) -> Option<String> {
    match measured.newest_sample {
        None => Some("no sample of the workload: nobody measures it, so it is not called healthy".into()),
        Some(newest) if newest <= acted_at => {
            Some(format!("the newest sample ({newest}) is older than the act ({acted_at})"))
        }
        Some(newest) if Period::between(newest, measured.taken_at) > FRESH_FOR => {
            Some(format!("the newest sample ({newest}) is older than {FRESH_FOR}"))
        }
        Some(_) => None,
    }
}

fn is_rolling(measured: &Indicators, standard: &Standard<'_>) -> bool {
    !measured.rolled_out && measured.taken_at < standard.patient_until
}

fn harm(measured: &Indicators, standard: &Standard<'_>) -> Option<String> {
    let baseline = standard.baseline;
    let rolling = is_rolling(measured, standard);
    // One pod may always be on its way while a rollout goes on.
    let excused = if rolling { standard.disruption.max(1) } else { 0 };
    // Fewer available because fewer are wanted is nobody's harm.
    let owed = sound(baseline).min(measured.desired);
    if measured.available + excused < owed {
        let available = measured.available;
        return Some(format!("{available} replicas are available, {owed} were sound before the act"));
    }
    if rolling || was_failing(baseline) {
        return None; // trouble that was there before is not harm, however it shows now
    }
    let new = if measured.failing.is_empty() {
        restarted(measured, standard.previous.map_or(baseline, |previous| &previous.own))
    } else {
        measured.failing.clone()
    };
    (!new.is_empty()).then(|| format!("nothing failed before the act, now: {}", new.join(", ")))
}

/// Replicas that were available and not merely between two crashes. The pods tell that, too: the workload's own count
/// may lag behind them.
fn sound(baseline: &Indicators) -> u32 {
    fn pod(container: &str) -> &str {
        container.split(['/', ':']).next().unwrap_or(container)
    }
    let restarts = || baseline.restarts.iter();
    let failing = || baseline.failing.iter().map(|text| pod(text));
    let troubled = |pods: BTreeSet<&str>| pods.len() as u32;
    let shaky = restarts().filter(|(_, restarts)| **restarts > 0).map(|(container, _)| pod(container));
    let running = shaky.clone().filter(|shaky| failing().all(|pod| pod != *shaky)).collect();
    let counted = baseline.available.saturating_sub(troubled(running));
    let all: BTreeSet<&str> = restarts().map(|(container, _)| pod(container)).chain(failing()).collect();
    let well = all.len() as u32 - troubled(shaky.chain(failing()).collect());
    // Where not every pod is known, their number says nothing.
    if (all.len() as u32) < baseline.available.max(baseline.desired) { counted } else { counted.min(well) }
}

#[cfg(test)]
mod tests;
