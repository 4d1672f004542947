//! What an object's states so far tell that its present state does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kubewise_core::Period;
use kubewise_core::state::{
    Condition, ContainerState, NodeState, ObjectState, PodState, StateDetail, WorkloadState, condition,
};

/// Restarts remembered of a container, and falls of a node: enough for a rate and for the longest back-off.
const MOMENTS: usize = 8;

#[derive(Clone, Debug)]
pub(crate) enum History {
    Pod(PodHistory),
    Workload(WorkloadHistory),
    Node(NodeHistory),
    None,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct NodeHistory {
    ready: bool,
    pub(crate) unready_since: Option<Timestamp>,
    pub(crate) cordoned_since: Option<Timestamp>,
    /// Since when it is under any pressure.
    pub(crate) pressed_since: Option<Timestamp>,
    /// When it stopped being ready, oldest first; not while it was cordoned, since then somebody is at work on it.
    falls: Vec<Timestamp>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct PodHistory {
    pub(crate) containers: BTreeMap<Arc<str>, ContainerHistory>,
    /// The last moment at which it was ready.
    pub(crate) ready_at: Option<Timestamp>,
    pub(crate) ready: bool,
    pub(crate) unschedulable_since: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ContainerHistory {
    restarts: u32,
    /// Restarts by error, oldest first.
    moments: Vec<Timestamp>,
    pub(crate) image_since: Option<Timestamp>,
    pub(crate) config_since: Option<Timestamp>,
    /// When a sample, and not the watch, last said that it waits.
    pub(crate) waits_by_sample: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct WorkloadHistory {
    /// What the spec asks for: generation, replicas, pods of the current revision.
    wish: Option<(u64, u32, u32)>,
    /// When the wish last changed.
    pub(crate) changed_at: Option<Timestamp>,
    /// When the spec last changed in anything but the replicas, and when it last asked for more of these.
    pub(crate) revised_at: Option<Timestamp>,
    pub(crate) scaled_up_at: Option<Timestamp>,
    /// Since when fewer replicas are available than wanted, without progress.
    pub(crate) short_since: Option<Timestamp>,
    most_ready: u32,
    was_available: bool,
    /// The replicas it had before it was scaled to zero, and when that happened.
    pub(crate) scaled_from: Option<(u32, Timestamp)>,
    pub(crate) failed_create: Option<FailedCreate>,
    pub(crate) healthy_since: Option<Timestamp>,
    /// The revision that was told as healthy, and when.
    pub(crate) told: Option<(String, Timestamp)>,
}

/// What Events say about pods that cannot be created.
#[derive(Clone, Debug)]
pub(crate) struct FailedCreate {
    pub(crate) since: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) message: String,
}

impl History {
    pub(crate) fn new(detail: &StateDetail) -> Self {
        match detail {
            StateDetail::Pod(_) => History::Pod(PodHistory::default()),
            StateDetail::Workload(_) => History::Workload(WorkloadHistory::default()),
            StateDetail::Node(_) => History::Node(NodeHistory::default()),
            StateDetail::ReplicaSet(_)
            | StateDetail::Job(_)
            | StateDetail::Autoscaler(_)
            | StateDetail::Service(_)
            | StateDetail::Other => History::None,
        }
    }

    pub(crate) fn update(&mut self, state: &ObjectState, window: Period, now: Timestamp) {
        match (self, &state.detail) {
            (History::Pod(history), StateDetail::Pod(pod)) => {
                let young = state.created.filter(|created| window.after(*created) > now);
                history.update(pod, young, window, now);
            }
            (History::Workload(history), StateDetail::Workload(workload)) => {
                history.update(state.generation, workload, now);
            }
            (History::Node(history), StateDetail::Node(node)) => history.update(node, now),
            _ => {}
        }
    }
}

/// A condition that says that a node runs out of something.
pub(crate) fn is_pressure(condition: &Condition) -> bool {
    matches!(&*condition.kind, "DiskPressure" | "MemoryPressure" | "PIDPressure")
        && &*condition.status == "True"
}

impl NodeHistory {
    fn update(&mut self, node: &NodeState, now: Timestamp) {
        self.cordoned_since = node.unschedulable.then(|| self.cordoned_since.unwrap_or(now));
        let status = condition(&node.conditions, "Ready").map(|ready| &*ready.status);
        let unready = status.is_some_and(|status| status != "True");
        if self.ready && unready && !node.unschedulable {
            self.falls.push(now);
            let surplus = self.falls.len().saturating_sub(MOMENTS);
            self.falls.drain(..surplus);
        }
        self.ready = status == Some("True");
        self.unready_since = unready.then(|| self.unready_since.unwrap_or(now));
        let pressed = node.conditions.iter().any(is_pressure);
        self.pressed_since = pressed.then(|| self.pressed_since.unwrap_or(now));
    }

    /// When it stopped being ready since `start`, oldest first.
    pub(crate) fn falls_since(&self, start: Timestamp) -> &[Timestamp] {
        let first = self.falls.partition_point(|fall| *fall < start);
        self.falls.get(first..).unwrap_or_default()
    }
}

impl PodHistory {
    fn update(&mut self, pod: &PodState, young: Option<Timestamp>, window: Period, now: Timestamp) {
        if pod.ready || self.ready {
            self.ready_at = Some(now);
        }
        self.ready = pod.ready;
        self.unschedulable_since =
            pod.unschedulable.as_ref().map(|_| self.unschedulable_since.unwrap_or(now));
        for container in &pod.containers {
            if let Some(history) = self.containers.get_mut(&container.name) {
                history.update(container, now);
            } else {
                let history = ContainerHistory::first(container, young, window, now);
                self.containers.insert(container.name.clone(), history);
            }
        }
    }
}

impl ContainerHistory {
    /// A container met for the first time may have restarted before: all restarts of a young pod are recent, of
    /// an older one at most the last is.
    fn first(container: &ContainerState, young: Option<Timestamp>, window: Period, now: Timestamp) -> Self {
        let mut history = ContainerHistory { restarts: container.restarts, ..Self::default() };
        let ended =
            container.terminated.as_ref().and_then(|ended| ended.finished_at).map(|ended| ended.min(now));
        if container.restarts > 0 && by_error(container) {
            if let Some(created) = young {
                let earlier = (container.restarts as usize - 1).min(MOMENTS - 1);
                history.moments = vec![created.min(now); earlier];
                history.moments.push(ended.unwrap_or(now));
            } else if let Some(ended) = ended.filter(|ended| window.after(*ended) > now) {
                history.moments.push(ended);
            }
        }
        history.update(container, now);
        history
    }

    fn update(&mut self, container: &ContainerState, now: Timestamp) {
        if container.restarts > self.restarts && by_error(container) {
            let new = (container.restarts - self.restarts) as usize;
            self.moments.extend(std::iter::repeat_n(now, new.min(MOMENTS)));
            let surplus = self.moments.len().saturating_sub(MOMENTS);
            self.moments.drain(..surplus);
        } else if container.restarts < self.restarts {
            self.moments.clear(); // another container under the same name
        }
        self.restarts = container.restarts;
        let waits = container.waiting.as_ref().map_or("", |waiting| &*waiting.reason);
        self.image_since = is_image_trouble(waits).then(|| self.image_since.unwrap_or(now));
        self.config_since = (waits == "CreateContainerConfigError").then(|| self.config_since.unwrap_or(now));
        if container.waiting.is_none() {
            self.waits_by_sample = None;
        }
    }

    /// Restarts by error since `start`, oldest first.
    pub(crate) fn restarts_since(&self, start: Timestamp) -> &[Timestamp] {
        let first = self.moments.partition_point(|moment| *moment < start);
        self.moments.get(first..).unwrap_or_default()
    }

    pub(crate) fn last_restart(&self) -> Option<Timestamp> {
        self.moments.last().copied()
    }

    /// The restarts by error that are remembered, oldest first.
    pub(crate) fn moments(&self) -> &[Timestamp] {
        &self.moments
    }

    /// The longest time between two of the restarts remembered.
    pub(crate) fn interval(&self) -> Option<Period> {
        self.moments.windows(2).filter_map(|pair| Some(Period::between(*pair.first()?, *pair.last()?))).max()
    }
}

/// A container that ended in success and runs again is no failure.
fn by_error(container: &ContainerState) -> bool {
    container.terminated.as_ref().is_none_or(|ended| ended.exit_code != 0 || &*ended.reason == "OOMKilled")
}

pub(crate) fn is_image_trouble(reason: &str) -> bool {
    matches!(
        reason,
        "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "RegistryUnavailable"
    )
}

impl WorkloadHistory {
    /// Takes in an Event; one that comes within `lasts` of the last goes on with the same trouble.
    pub(crate) fn create_failed(&mut self, at: Timestamp, lasts: Period, message: &str) {
        let before = self.failed_create.take().filter(|before| lasts.after(before.last) > at);
        let since = before.as_ref().map_or(at, |before| before.since);
        let last = before.map_or(at, |before| before.last.max(at));
        self.failed_create = Some(FailedCreate { since, last, message: message.into() });
    }

    /// An earlier process saw it scaled to zero from `before` replicas.
    pub(crate) fn scaled_earlier(&mut self, state: &ObjectState, before: u32, now: Timestamp) {
        if matches!(&state.detail, StateDetail::Workload(workload) if workload.desired == 0) {
            self.scaled_from.get_or_insert((before, now));
        }
    }

    fn update(&mut self, generation: u64, state: &WorkloadState, now: Timestamp) {
        let wish = (generation, state.desired, state.updated);
        let changed = self.wish.is_some_and(|before| before != wish);
        if changed {
            self.changed_at = Some(now);
        }
        if let Some((old_generation, old_desired, _)) = self.wish {
            if state.desired > old_desired {
                self.scaled_up_at = Some(now);
            } else if generation > old_generation && state.desired == old_desired {
                self.revised_at = Some(now);
            }
        }
        if let Some((_, before @ 1.., _)) = self.wish
            && state.desired == 0
            && self.was_available
        {
            self.scaled_from = Some((before, now));
        }
        if state.desired > 0 {
            self.scaled_from = None;
            self.was_available |= state.available > 0;
        }
        self.wish = Some(wish);
        if state.available >= state.desired {
            self.short_since = None;
            self.most_ready = 0;
        } else if self.short_since.is_none() || changed || state.ready > self.most_ready {
            self.short_since = Some(now);
        }
        self.most_ready = self.most_ready.max(state.ready);
    }
}
