//! What a sample is worth: its time, and samples of kube-state-metrics as stand-ins for the watch.
//!
//! A sample that is dated later than now, or was under way for too long, tells nothing of now and would put its series
//! out of step: it is counted and left out.
//!
//! The watch is the truth while it speaks. While the watch of a kind is broken, or when samples go on to say
//! something else long after its last word about an object, they are taken for the object's state, so that the
//! same rules see them.

use std::sync::Arc;

use jiff::Timestamp;
use kubewise_core::Period;
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::state::{Condition, ContainerState, StateDetail, Termination, Waiting};

use crate::history::{ContainerHistory, History};
use crate::world::Known;

/// Clocks may differ by so much before their samples are left out: about a scrape interval.
pub(crate) const CLOCK_SKEW: Period = Period::from_secs(30);
/// A sample that is older than this was under way for longer than any source calls fresh (Prometheus: 5 minutes).
const TOO_OLD: Period = Period::from_mins(10);
/// A sample may be as old as a scrape interval (30 s is usual), so it can contradict newer news of the watch.
pub(crate) const LAG: Period = Period::from_secs(45);
/// A reason for waiting that no sample has named for this long is over: its series ended.
const WAITING_LASTS: Period = Period::from_mins(2);

/// Whether a sample's time is near enough to now.
pub(crate) fn is_dated_well(sample: &NormalizedMetric, now: Timestamp) -> bool {
    sample.time <= CLOCK_SKEW.after(now) && TOO_OLD.after(sample.time) >= now
}

/// Whether samples of this type speak of states.
pub(crate) fn is_state(metric_type: &MetricType) -> bool {
    matches!(
        metric_type,
        MetricType::Waiting
            | MetricType::Terminated
            | MetricType::Restarts
            | MetricType::Ready
            | MetricType::ReplicasDesired
            | MetricType::ReplicasAvailable
            | MetricType::NodeCondition
    )
}

/// Takes a sample for the object's state. Returns whether that changed anything.
pub(crate) fn stand_in(known: &mut Known, sample: &NormalizedMetric) -> bool {
    let yes = sample.value >= 0.5;
    let count = sample.value.clamp(0.0, f64::from(u32::MAX)) as u32;
    let detail = sample.detail.as_deref().unwrap_or_default();
    match (&mut known.state.detail, &sample.metric_type) {
        (StateDetail::Pod(pod), MetricType::Ready) => set(&mut pod.ready, yes),
        (StateDetail::Pod(pod), metric_type) => {
            let wanted = sample.container.as_deref().unwrap_or_default();
            let Some(container) = pod.containers.iter_mut().find(|one| &*one.name == wanted) else {
                return false;
            };
            let History::Pod(history) = &mut known.history else { return false };
            let past = history.containers.entry(container.name.clone()).or_default();
            of_container(container, past, metric_type, detail, yes, count, sample.time)
        }
        (StateDetail::Workload(state), MetricType::ReplicasDesired) => set(&mut state.desired, count),
        (StateDetail::Workload(state), MetricType::ReplicasAvailable) => set(&mut state.available, count),
        (StateDetail::Node(node), MetricType::NodeCondition) => {
            let status = if yes { "True" } else { "False" };
            match node.conditions.iter_mut().find(|condition| &*condition.kind == detail) {
                Some(condition) if &*condition.status != status => {
                    condition.status = status.into();
                    condition.reason = "".into();
                    condition.message = "as kube-state-metrics says".into();
                    true
                }
                Some(_) => false,
                None => {
                    node.conditions.push(Condition {
                        kind: detail.into(),
                        status: status.into(),
                        reason: "".into(),
                        message: "as kube-state-metrics says".into(),
                        since: None,
                    });
                    true
                }
            }
        }
        _ => false,
    }
}

fn of_container(
    container: &mut ContainerState,
    past: &mut ContainerHistory,
    metric_type: &MetricType,
    detail: &str,
    yes: bool,
    count: u32,
    time: Timestamp,
) -> bool {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most measures speak of no state")]
    match metric_type {
        MetricType::Waiting => {
            let waits = container.waiting.as_ref().is_some_and(|waiting| &*waiting.reason == detail);
            if yes {
                past.waits_by_sample = Some(time);
                if !waits {
                    container.waiting = Some(Waiting { reason: detail.into(), message: String::new() });
                    container.ready = false;
                }
            } else if waits {
                container.waiting = None;
            }
            waits != yes
        }
        MetricType::Terminated if yes => {
            let same = container.terminated.as_ref().is_some_and(|ended| &*ended.reason == detail);
            if !same {
                let (reason, exit_code) = (Arc::from(detail), i64::from(detail != "Completed"));
                let ended = Termination { reason, exit_code, started_at: None, finished_at: None };
                container.terminated = Some(ended);
            }
            !same
        }
        // Fewer restarts than known are an old sample.
        MetricType::Restarts if count > container.restarts => set(&mut container.restarts, count),
        _ => false,
    }
}

fn set<T: PartialEq>(slot: &mut T, value: T) -> bool {
    let changed = *slot != value;
    *slot = value;
    changed
}

/// Whether a sample stands in for the watch in some container of this pod.
pub(crate) fn stood_in(known: &Known) -> bool {
    known
        .pod()
        .is_some_and(|(_, history)| history.containers.values().any(|one| one.waits_by_sample.is_some()))
}

/// Ends waiting that samples told of and tell of no more. Returns whether that changed anything.
pub(crate) fn expire(known: &mut Known, now: Timestamp) -> bool {
    let (StateDetail::Pod(pod), History::Pod(history)) = (&mut known.state.detail, &mut known.history) else {
        return false;
    };
    let mut changed = false;
    for container in &mut pod.containers {
        let past = history.containers.get(&container.name);
        if past.and_then(|past| past.waits_by_sample).is_some_and(|at| WAITING_LASTS.after(at) < now) {
            container.waiting = None;
            changed = true;
        }
    }
    changed
}
