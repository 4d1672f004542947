//! Is a container killed at its limit because it needs more, or because it leaks?

use std::collections::BTreeMap;
use std::sync::Arc;

use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::state::{ContainerState, ObjectState};
use kubewise_core::{ObjectRef, Timestamp, quantity};
use serde_json::Value;

use super::MemoryFacts;
use crate::evidence::Evidence;
use crate::policy::{Options, memory_cap};
use crate::revision::Revisions;

/// A drop of the working set to below this share is a new run of the container.
const NEW_RUN_SHARE: f64 = 0.7;
/// Fewer samples, or a shorter time (seconds), say nothing about growth: every program grows when it starts.
const MIN_SAMPLES: usize = 6;
const MIN_SPAN_SECONDS: i64 = 300;
/// Growth over the window, as a share of the limit, and its correlation with time, from which on it is a leak.
const LEAK_GROWTH: f64 = 0.05;
const LEAK_CORRELATION: f64 = 0.8;
/// A container that reaches its limit sooner than this after its start (seconds) needs more than the limit.
const SOON_SECONDS: i64 = 600;

pub(super) fn of(
    evidence: &Evidence,
    pods: &[ObjectState],
    options: &Options,
    crashed: &str,
    revisions: &Revisions,
) -> MemoryFacts {
    let containers = || pods.iter().filter_map(|state| state.pod()).flat_map(|pod| &pod.containers);
    let killed = containers()
        .find(|container| container.terminated.as_ref().is_some_and(|ended| &*ended.reason == "OOMKilled"))
        .or_else(|| containers().find(|container| &*container.name == crashed));
    let named = evidence.firing().find_map(|anomaly| anomaly.container.clone());
    let is_named = |container: &&ContainerState| named.as_deref() == Some(&*container.name);
    let Some(container) = killed.or_else(|| containers().find(is_named)) else {
        // Its pod is gone; the anomaly still names it.
        return MemoryFacts {
            container: named.unwrap_or_else(|| "unknown".into()),
            ..MemoryFacts::default()
        };
    };
    // The template holds the limit that counts: a pod may have been resized in place.
    let limit = evidence
        .workload
        .as_ref()
        .and_then(|workload| workload.0.pointer("/spec/template"))
        .and_then(|template| limit_in(template, &container.name))
        .or(container.memory_limit)
        .unwrap_or(0.0);
    let runs = runs(evidence, &container.name);
    let leak = runs.values().any(|run| leaks(run, limit));
    let measured = runs.values().any(is_long);
    let soon = containers().any(|other| other.name == container.name && died_soon(other));
    let healthy_limit =
        revisions.last_healthy().and_then(|revision| limit_in(&revision.template, &container.name));
    MemoryFacts {
        container: container.name.to_string(),
        limit,
        request: container.memory_request.unwrap_or(0.0),
        working_set: runs.values().filter_map(|run| run.last()).map(|(_, value)| *value).fold(0.0, f64::max),
        leak,
        steady: !leak && (measured || soon),
        limit_lowered: healthy_limit.is_some_and(|healthy| healthy > limit),
        cap: memory_cap(evidence, options, &container.name, limit),
    }
}

pub(crate) fn limit_in(template: &Value, container: &str) -> Option<f64> {
    let containers = template.pointer("/spec/containers")?.as_array()?;
    let found = containers.iter().find(|spec| spec.get("name").and_then(Value::as_str) == Some(container))?;
    quantity::parse(found.pointer("/resources/limits/memory")?.as_str()?)
}

fn died_soon(container: &ContainerState) -> bool {
    let Some(ended) = &container.terminated else { return false };
    let life = ended.finished_at.zip(ended.started_at);
    life.is_some_and(|(finished, started)| finished.duration_since(started).as_secs() <= SOON_SECONDS)
}

type Run = Vec<(Timestamp, f64)>;

/// The longest run of the container in each pod.
fn runs(evidence: &Evidence, container: &Arc<str>) -> BTreeMap<ObjectRef, Run> {
    let of_container = |sample: &&NormalizedMetric| {
        sample.metric_type == MetricType::MemoryWorkingSet && sample.container.as_ref() == Some(container)
    };
    let mut series: BTreeMap<ObjectRef, Run> = BTreeMap::new();
    for sample in evidence.samples.iter().filter(of_container) {
        series.entry(sample.object.clone()).or_default().push((sample.time, sample.value));
    }
    for samples in series.values_mut() {
        let mut longest = Run::new();
        let mut run = Run::new();
        for (time, value) in samples.drain(..) {
            if run.last().is_some_and(|(_, before)| value < before * NEW_RUN_SHARE) {
                longest = longer(longest, std::mem::take(&mut run));
            }
            run.push((time, value));
        }
        *samples = longer(longest, run);
    }
    series
}

fn longer(one: Run, other: Run) -> Run {
    if span(&other) >= span(&one) { other } else { one }
}

fn span(run: &Run) -> i64 {
    run.first().zip(run.last()).map_or(0, |(first, last)| last.0.duration_since(first.0).as_secs())
}

fn is_long(run: &Run) -> bool {
    run.len() >= MIN_SAMPLES && span(run) >= MIN_SPAN_SECONDS
}

/// Growth that goes on and on: the last two thirds of a run (its start aside) rise with time.
fn leaks(run: &Run, limit: f64) -> bool {
    if !is_long(run) || limit <= 0.0 {
        return false;
    }
    let run = &run[run.len() / 3..];
    let Some((start, _)) = run.first() else { return false };
    let points: Vec<(f64, f64)> =
        run.iter().map(|(time, value)| (time.duration_since(*start).as_secs_f64(), *value)).collect();
    let count = points.len() as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in &points {
        xx += (x - mean_x) * (x - mean_x);
        yy += (y - mean_y) * (y - mean_y);
        xy += (x - mean_x) * (y - mean_y);
    }
    if xx <= 0.0 || yy <= 0.0 {
        return false;
    }
    let growth = xy / xx * points.last().map_or(0.0, |point| point.0);
    xy / (xx * yy).sqrt() >= LEAK_CORRELATION && growth >= LEAK_GROWTH * limit
}
