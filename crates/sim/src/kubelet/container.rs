//! One container: the states it goes through.

use std::hash::Hasher;
use std::sync::Arc;

use fnv::FnvHasher;
use kubewise_core::event::EventType;
use kubewise_core::{Kind, ObjectRef, Period, Timestamp, Uid};
use rand::RngExt;
use rand_pcg::Pcg32;
use serde_json::Value;

use super::PodRun;
use super::measure::Use;
use crate::behaviour::Flaws;
use crate::cluster::{Cluster, Task};
use crate::read::quantity;

/// The kubelet's back-off, for crashes and for pulls: 10 s, 20 s, … up to five minutes.
const FIRST_BACK_OFF: Period = Period::from_secs(10);
const LONGEST_BACK_OFF: u64 = 300;
/// A run at least this long makes the kubelet forget earlier crashes: twice the longest back-off.
const FORGIVEN_AFTER: Period = Period::from_secs(600);
/// How long a crashing program lives, and an ended one shows its end before it runs again.
const CRASH_AFTER: Period = Period::from_secs(1);
const RESTART_AFTER: Period = Period::from_secs(1);
const PULL_FAILS_AFTER: Period = Period::from_secs(1);
/// From `ErrImagePull` to `ImagePullBackOff`: the kubelet's next look.
const NEXT_LOOK: Period = Period::from_secs(2);
const CONFIG_RETRY: Period = Period::from_secs(10);
const PROBE_EVERY: Period = Period::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Pull,
    Pulled,
    PullFailed,
    PullBackOff,
    Start,
    Probe,
    /// Ends with this exit code.
    Exit(i64),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    Waiting { reason: &'static str, message: String },
    Running { since: Timestamp },
    Ended(Termination),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Termination {
    pub(crate) reason: &'static str,
    pub(crate) exit_code: i64,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct ContainerRun {
    pub(crate) name: Arc<str>,
    pub(crate) image: Arc<str>,
    pub(crate) cpu_request: Option<f64>,
    pub(crate) cpu_limit: Option<f64>,
    pub(crate) memory_request: Option<f64>,
    pub(crate) memory_limit: Option<f64>,
    pub(crate) flaws: Flaws,
    pub(crate) phase: Phase,
    /// The run before this one.
    pub(crate) last: Option<Termination>,
    pub(crate) restarts: u32,
    pub(crate) ready: bool,
    pub(crate) used: Use,
    pub(crate) random: Pcg32,
    crash_back_off: Option<Period>,
    pull_back_off: Period,
    /// Only the newest planned step counts.
    turn: u64,
}

impl ContainerRun {
    pub(crate) fn new(spec: &Value, workload: &ObjectRef, pod: &str, seed: u64) -> Self {
        let text = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or_default();
        // Each container has its own chance, so that what happens to one does not change the others'.
        let mut stream = FnvHasher::default();
        stream.write(format!("{workload}/{pod}/{}", text("name")).as_bytes());
        let mut container = ContainerRun {
            name: text("name").into(),
            image: text("image").into(),
            cpu_request: None,
            cpu_limit: None,
            memory_request: None,
            memory_limit: None,
            flaws: Flaws::of(spec),
            phase: Phase::Waiting { reason: "ContainerCreating", message: String::new() },
            last: None,
            restarts: 0,
            ready: false,
            used: Use::default(),
            random: Pcg32::new(seed, stream.finish()),
            crash_back_off: None,
            pull_back_off: FIRST_BACK_OFF,
            turn: 0,
        };
        container.set_resources(spec);
        container
    }

    pub(crate) fn set_resources(&mut self, spec: &Value) {
        let amount = |pointer: &str| quantity(spec.pointer(pointer));
        self.cpu_limit = amount("/resources/limits/cpu");
        self.memory_limit = amount("/resources/limits/memory");
        // A request that is not given is the limit.
        self.cpu_request = amount("/resources/requests/cpu").or(self.cpu_limit);
        self.memory_request = amount("/resources/requests/memory").or(self.memory_limit);
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    pub(crate) fn ended(&self) -> Option<&Termination> {
        if let Phase::Ended(termination) = &self.phase { Some(termination) } else { None }
    }

    /// The newest end, whether it runs again or not.
    pub(crate) fn last_end(&self) -> Option<&Termination> {
        self.ended().or(self.last.as_ref())
    }
}

fn doubled(back_off: Period) -> Period {
    Period::from_secs((back_off.as_duration().as_secs() * 2).min(LONGEST_BACK_OFF))
}

/// `1m20s`, as Go writes it.
fn written(back_off: Period) -> String {
    let seconds = back_off.as_duration().as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

impl Cluster {
    /// Plans a container's next step; an earlier plan is void.
    pub(super) fn step_after(&mut self, period: Period, pod: &ObjectRef, index: usize, step: Step) {
        let Some(run) = self.pods.get_mut(pod) else { return };
        let uid = run.uid.clone();
        let Some(container) = run.containers.get_mut(index) else { return };
        container.turn += 1;
        let turn = container.turn;
        self.after(period, Task::Container { pod: pod.clone(), uid, index, turn, step });
    }

    pub(crate) fn container_step(&mut self, pod: &ObjectRef, uid: &Uid, index: usize, turn: u64, step: Step) {
        let Some(run) = self.pods.get(pod).filter(|run| run.uid == *uid && run.deleted.is_none()) else {
            return;
        };
        let silent = run.node.as_ref().is_some_and(|node| self.lost_nodes.contains(node));
        if silent || run.containers.get(index).is_none_or(|container| container.turn != turn) {
            return;
        }
        match step {
            Step::Pull => self.pull(pod, index),
            Step::Pulled => self.pulled(pod, index),
            Step::PullFailed => self.pull_failed(pod, index),
            Step::PullBackOff => self.pull_back_off(pod, index),
            Step::Start => {
                if let Some(container) = self.container(pod, index) {
                    container.restarts += 1;
                }
                self.pull(pod, index);
            }
            Step::Probe => self.probe(pod, index),
            Step::Exit(code) => self.exit(pod, index, code, if code == 0 { "Completed" } else { "Error" }),
        }
        self.write_pod(pod);
    }

    pub(super) fn container(&mut self, pod: &ObjectRef, index: usize) -> Option<&mut ContainerRun> {
        self.pods.get_mut(pod)?.containers.get_mut(index)
    }

    fn wait(&mut self, pod: &ObjectRef, index: usize, reason: &'static str, message: String) {
        if let Some(container) = self.container(pod, index) {
            container.phase = Phase::Waiting { reason, message };
        }
    }

    fn pull(&mut self, pod: &ObjectRef, index: usize) {
        let Some(run) = self.pods.get(pod) else { return };
        let Some(node) = run.node.clone() else { return };
        let (image, flaws) = (run.containers[index].image.clone(), run.containers[index].flaws.clone());
        if let Some(missing) = flaws.config_maps.iter().find(|name| {
            let namespace = pod.namespace_or_empty();
            let object = ObjectRef::namespaced(Kind::from("ConfigMap"), namespace, name.as_str());
            self.store.get(&object).is_none()
        }) {
            let message = format!("configmap \"{missing}\" not found");
            self.tell(pod, EventType::Warning, "Failed", format!("Error: {message}"), "kubelet");
            self.wait(pod, index, "CreateContainerConfigError", message);
            self.step_after(CONFIG_RETRY, pod, index, Step::Pull);
        } else if self.pulled.contains(&(node, image.clone())) {
            let message = format!("Container image \"{image}\" already present on machine");
            self.tell(pod, EventType::Normal, "Pulled", message, "kubelet");
            self.start(pod, index);
        } else {
            self.tell(pod, EventType::Normal, "Pulling", format!("Pulling image \"{image}\""), "kubelet");
            if flaws.missing_image {
                self.step_after(PULL_FAILS_AFTER, pod, index, Step::PullFailed);
            } else {
                let seconds =
                    self.container(pod, index).map_or(2, |container| container.random.random_range(2..6));
                self.step_after(Period::from_secs(seconds), pod, index, Step::Pulled);
            }
        }
    }

    fn pulled(&mut self, pod: &ObjectRef, index: usize) {
        let Some(run) = self.pods.get(pod) else { return };
        let Some(node) = run.node.clone() else { return };
        let image = run.containers[index].image.clone();
        self.pulled.insert((node, image.clone()));
        let message = format!("Successfully pulled image \"{image}\"");
        self.tell(pod, EventType::Normal, "Pulled", message, "kubelet");
        self.start(pod, index);
    }

    fn pull_failed(&mut self, pod: &ObjectRef, index: usize) {
        let Some(container) = self.container(pod, index) else { return };
        let image = container.image.clone();
        let message = format!("failed to pull and unpack image \"{image}\": not found");
        let told = format!("Failed to pull image \"{image}\": {message}");
        self.tell(pod, EventType::Warning, "Failed", told, "kubelet");
        self.tell(pod, EventType::Warning, "Failed", "Error: ErrImagePull", "kubelet");
        self.wait(pod, index, "ErrImagePull", message);
        self.step_after(NEXT_LOOK, pod, index, Step::PullBackOff);
    }

    fn pull_back_off(&mut self, pod: &ObjectRef, index: usize) {
        let Some(container) = self.container(pod, index) else { return };
        let back_off = container.pull_back_off;
        container.pull_back_off = doubled(back_off);
        let message = format!("Back-off pulling image \"{}\"", container.image);
        self.tell(pod, EventType::Normal, "BackOff", message.clone(), "kubelet");
        self.tell(pod, EventType::Warning, "Failed", "Error: ImagePullBackOff", "kubelet");
        self.wait(pod, index, "ImagePullBackOff", message);
        self.step_after(back_off, pod, index, Step::Pull);
    }

    fn start(&mut self, pod: &ObjectRef, index: usize) {
        let now = self.now;
        let Some(run) = self.pods.get(pod) else { return };
        let behaviour = self.apps.get(&run.workload).map(|app| app.behaviour.clone()).unwrap_or_default();
        let Some(container) = self.container(pod, index) else { return };
        if let Phase::Ended(ended) = &container.phase {
            container.last = Some(ended.clone());
        }
        container.phase = Phase::Running { since: now };
        container.used = Use::at_start(&behaviour);
        container.pull_back_off = FIRST_BACK_OFF;
        let (name, crashes) = (container.name.clone(), container.flaws.crashes);
        self.tell(pod, EventType::Normal, "Created", format!("Created container: {name}"), "kubelet");
        self.tell(pod, EventType::Normal, "Started", format!("Started container {name}"), "kubelet");
        match behaviour.runs_for {
            _ if crashes => self.step_after(CRASH_AFTER, pod, index, Step::Exit(1)),
            Some(time) => self.step_after(time, pod, index, Step::Exit(0)),
            None => self.step_after(behaviour.ready_after, pod, index, Step::Probe),
        }
    }

    fn probe(&mut self, pod: &ObjectRef, index: usize) {
        let Some(run) = self.pods.get(pod) else { return };
        let needs = run.containers.get(index).and_then(|container| container.flaws.needs.clone());
        let served = needs.as_ref().is_none_or(|needed| {
            let namespace = pod.namespace_or_empty();
            let serves = |run: &PodRun| {
                run.ready && *run.workload.name == **needed && run.workload.namespace_or_empty() == namespace
            };
            self.pods.values().any(serves)
        });
        let Some(container) = self.container(pod, index) else { return };
        if !container.is_running() {
            return;
        }
        container.ready = served && !container.flaws.never_ready;
        if container.ready {
            if needs.is_some() {
                self.step_after(PROBE_EVERY, pod, index, Step::Probe);
            }
            return;
        }
        let message = "Readiness probe failed: HTTP probe failed with statuscode: 503";
        self.tell(pod, EventType::Warning, "Unhealthy", message, "kubelet");
        self.step_after(PROBE_EVERY, pod, index, Step::Probe);
    }

    /// A container ended, by itself or because it was killed.
    pub(super) fn exit(&mut self, pod: &ObjectRef, index: usize, exit_code: i64, reason: &'static str) {
        let now = self.now;
        let Some(run) = self.pods.get_mut(pod) else { return };
        let (once, uid) = (run.once, run.uid.clone());
        let container = &mut run.containers[index];
        let Phase::Running { since } = container.phase else { return };
        let ended = Termination { reason, exit_code, started: since, finished: now };
        container.ready = false;
        container.used = Use::default();
        container.phase = Phase::Ended(ended.clone());
        if once {
            return;
        }
        if FORGIVEN_AFTER.after(since) <= now {
            container.crash_back_off = None;
        }
        let Some(back_off) = container.crash_back_off else {
            // The first end is forgiven: the container runs again at once.
            container.crash_back_off = Some(FIRST_BACK_OFF);
            self.step_after(RESTART_AFTER, pod, index, Step::Start);
            return;
        };
        container.crash_back_off = Some(doubled(back_off));
        container.last = Some(ended);
        let (name, place) =
            (container.name.clone(), format!("{}_{}({uid})", pod.name, pod.namespace_or_empty()));
        let message =
            format!("back-off {} restarting failed container={name} pod={place}", written(back_off));
        container.phase = Phase::Waiting { reason: "CrashLoopBackOff", message };
        let told = format!("Back-off restarting failed container {name} in pod {place}");
        self.tell(pod, EventType::Warning, "BackOff", told, "kubelet");
        self.step_after(back_off, pod, index, Step::Start);
    }
}
