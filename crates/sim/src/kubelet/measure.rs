//! What containers use, and what happens when it is too much.

use std::collections::{BTreeMap, VecDeque};

use kubewise_core::{ObjectRef, Period, Timestamp};
use rand::RngExt;

use super::{ContainerRun, Phase};
use crate::behaviour::{Behaviour, memory_step};
use crate::cluster::{App, Cluster, Task};

/// Load, CPU and memory are followed at this interval, the memory limit enforced.
const EVERY: Period = Period::from_secs(5);
/// Noise keeps this share of itself from one measurement to the next.
const NOISE_MEMORY: f64 = 0.8;
/// CPU is averaged with this weight, about the five minutes of a rate.
const CPU_WEIGHT: f64 = 0.1;
/// Points of working set kept for its trend: one a minute for a quarter of an hour.
const TREND_EVERY: Period = Period::from_secs(60);
const TREND_POINTS: usize = 16;

/// What a container uses now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Use {
    /// Cores, averaged.
    pub(crate) cpu: f64,
    /// Share of periods throttled, averaged.
    pub(crate) throttled: f64,
    pub(crate) memory: f64,
    noise: f64,
    history: VecDeque<(Timestamp, f64)>,
}

impl Use {
    pub(super) fn at_start(behaviour: &Behaviour) -> Self {
        Use { memory: behaviour.memory_at_start(), ..Use::default() }
    }

    /// Growth of memory in bytes a second over the last quarter of an hour, by least squares; `None` before two
    /// points are known.
    pub(crate) fn trend(&self) -> Option<f64> {
        let (start, _) = *self.history.front()?;
        let count = self.history.len() as f64;
        if count < 2.0 {
            return None;
        }
        let points =
            || self.history.iter().map(|(time, memory)| (time.duration_since(start).as_secs_f64(), *memory));
        let mean_x = points().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points().map(|(_, y)| y).sum::<f64>() / count;
        let xy: f64 = points().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let xx: f64 = points().map(|(x, _)| (x - mean_x) * (x - mean_x)).sum();
        (xx > 0.0).then(|| xy / xx)
    }
}

impl ContainerRun {
    /// Follows the load for one interval. `true` if memory is above the limit.
    fn follow(&mut self, load: f64, behaviour: &Behaviour, now: Timestamp, memory_step: f64) -> bool {
        let Phase::Running { since } = self.phase else { return false };
        let draw = self.random.random::<f64>() * 2.0 - 1.0;
        self.used.noise = NOISE_MEMORY * self.used.noise + (1.0 - NOISE_MEMORY) * draw;
        let load = (load * (1.0 + 3.0 * behaviour.noise * self.used.noise)).max(0.0);
        let demand = behaviour.cpu(load);
        let granted = self.cpu_limit.map_or(demand, |limit| demand.min(limit));
        let denied = if demand > 0.0 { 1.0 - granted / demand } else { 0.0 };
        self.used.cpu += CPU_WEIGHT * (granted - self.used.cpu);
        self.used.throttled += CPU_WEIGHT * (denied - self.used.throttled);
        let age = now.duration_since(since).as_secs_f64();
        let wanted = behaviour.memory(load, &self.flaws, age);
        self.used.memory += (wanted - self.used.memory) * memory_step;
        if self.used.history.back().is_none_or(|(time, _)| TREND_EVERY.after(*time) <= now) {
            self.used.history.push_back((now, self.used.memory));
            if self.used.history.len() > TREND_POINTS {
                self.used.history.pop_front();
            }
        }
        self.memory_limit.is_some_and(|limit| self.used.memory > limit)
    }
}

impl Cluster {
    pub(crate) fn measure(&mut self) {
        let now = self.now;
        let mut serving: BTreeMap<&ObjectRef, f64> = BTreeMap::new();
        for pod in self.pods.values().filter(|pod| pod.ready && pod.deleted.is_none()) {
            *serving.entry(&pod.workload).or_default() += 1.0;
        }
        // What one serving pod of a workload gets.
        let load = |workload: &ObjectRef, app: &App| {
            let serving = serving.get(workload).copied().unwrap_or(1.0);
            app.growth * app.behaviour.daily_load(now) * app.nominal / serving
        };
        let loads: BTreeMap<ObjectRef, f64> =
            self.apps.iter().map(|(workload, app)| (workload.clone(), load(workload, app))).collect();
        let step = memory_step(EVERY.as_secs_f64());
        let fallback = Behaviour::default();
        let mut killed = Vec::new();
        for (object, pod) in &mut self.pods {
            if pod.node.as_ref().is_none_or(|node| self.lost_nodes.contains(node)) || pod.deleted.is_some() {
                continue;
            }
            let behaviour = self.apps.get(&pod.workload).map_or(&fallback, |app| &app.behaviour);
            let share = loads.get(&pod.workload).copied().unwrap_or(1.0);
            // Traffic comes only to who is ready; a Job works without any.
            let load = if pod.ready || pod.once { share } else { 0.0 };
            for (index, container) in pod.containers.iter_mut().enumerate() {
                if container.follow(load, behaviour, now, step) {
                    killed.push((object.clone(), index));
                }
            }
        }
        for (pod, index) in killed {
            self.exit(&pod, index, 137, "OOMKilled");
            self.write_pod(&pod);
        }
        self.after(EVERY, Task::Measure);
    }
}
