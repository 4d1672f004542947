//! Whether a workload is better, worse, or whether that cannot be told.
//!
//! *Better* needs proof: every indicator is well **and** a sample newer than the act says that somebody still
//! measures. *Worse* needs proof too, since it leads to an undo: what surely served before no longer does, and no
//! rollout under way explains it. Everything else is inconclusive, and inconclusive is never undone.

use std::collections::{BTreeMap, BTreeSet};

use kubewise_core::document::Document;
use kubewise_core::guard::{Guard, Guards};
use kubewise_core::metric::NormalizedMetric;
use kubewise_core::plan::{Indicators, Verdict};
use kubewise_core::service::ServingService;
use kubewise_core::state::{StateDetail, condition};
use kubewise_core::{Kind, Period, Timestamp, quantity};
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
    /// The measurement before this one, if any since the act.
    pub previous: Option<&'a Indicators>,
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
}

/// Holds a measurement against its standard. A `Worse` is to be believed only when the next one agrees.
pub fn judge(measured: &Indicators, standard: &Standard<'_>) -> Judgement {
    let ailments = ailments(measured, standard.previous.unwrap_or(standard.baseline));
    let healthy = ailments.is_empty();
    let (verdict, reasons) = if let Some(harm) = harm(measured, standard) {
        (Verdict::Worse, vec![harm])
    } else if !healthy {
        (Verdict::Inconclusive, ailments)
    } else if let Some(stale) =
        stale(measured, standard.acted_at).filter(|_| standard.guards.stands(Guard::FreshSample))
    {
        (Verdict::Inconclusive, vec![stale])
    } else {
        let well = format!(
            "{} of {} replicas are available, nothing fails or restarts, and fresh samples confirm it",
            measured.available, measured.desired
        );
        (Verdict::Improved, vec![well])
    };
    Judgement { verdict, reasons, healthy }
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

fn harm(measured: &Indicators, standard: &Standard<'_>) -> Option<String> {
    let baseline = standard.baseline;
    let rolling = !measured.rolled_out && measured.taken_at < standard.patient_until;
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
        restarted(measured, standard.previous.unwrap_or(baseline))
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
