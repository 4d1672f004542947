//! The physics: what a container does with load, and what its image and environment do to it.
//!
//! What goes wrong is decided by the pod template alone, so that putting back an old template really cures, and
//! a repair that leaves the cause in place really does not.

use std::f64::consts::TAU;

use kubewise_core::document::Document;
use kubewise_core::{Period, Timestamp};
use serde_json::Value;

/// Memory follows its demand with this time constant: caches fill, they do not jump.
const MEMORY_LAG_SECONDS: f64 = 15.0;
/// A fresh process holds this share of its idle memory.
const MEMORY_AT_START: f64 = 0.5;
/// What a `leak` in the tag or environment adds.
const LEAK_PER_HOUR: f64 = 1_073_741_824.0;
/// What a `hungry` does.
const HUNGRY_FACTOR: f64 = 3.0;

/// How one workload's containers answer to load. At load 1 each replica serves its nominal share.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// Cores at no load, and more at load 1.
    pub cpu_idle: f64,
    pub cpu_at_load: f64,
    /// Bytes at no load, and more at load 1.
    pub memory_idle: f64,
    pub memory_at_load: f64,
    /// Share by which load swings around 1 over a day, and the hour (UTC) of its peak.
    pub daily: f64,
    pub peak_hour: f64,
    /// Share by which load wavers from moment to moment.
    pub noise: f64,
    /// From start to ready.
    pub ready_after: Period,
    /// Ends by itself with exit code 0, as a Job's containers do.
    pub runs_for: Option<Period>,
}

impl Behaviour {
    /// A service that uses so many cores and bytes at load 1, a third of them idle.
    pub fn service(cores: f64, bytes: f64) -> Self {
        Behaviour {
            cpu_idle: cores / 3.0,
            cpu_at_load: cores * 2.0 / 3.0,
            memory_idle: bytes * 2.0 / 3.0,
            memory_at_load: bytes / 3.0,
            daily: 0.2,
            peak_hour: 14.0,
            noise: 0.05,
            ready_after: Period::from_secs(5),
            runs_for: None,
        }
    }

    /// Load at a time of day, before growth and noise.
    pub(crate) fn daily_load(&self, now: Timestamp) -> f64 {
        let hour = (now.as_second().rem_euclid(86_400)) as f64 / 3600.0;
        1.0 + self.daily * ((hour - self.peak_hour) / 24.0 * TAU).cos()
    }

    pub(crate) fn cpu(&self, load: f64) -> f64 {
        self.cpu_idle + self.cpu_at_load * load
    }

    /// Bytes that the process would hold in the long run, `age` seconds after its start.
    pub(crate) fn memory(&self, load: f64, flaws: &Flaws, age: f64) -> f64 {
        let leak = if flaws.leaks { LEAK_PER_HOUR * age / 3600.0 } else { 0.0 };
        (self.memory_idle + self.memory_at_load * load) * flaws.memory_factor + leak
    }

    pub(crate) fn memory_at_start(&self) -> f64 {
        self.memory_idle * MEMORY_AT_START
    }
}

impl Default for Behaviour {
    /// A small, quiet service.
    fn default() -> Self {
        Behaviour::service(0.05, 64.0 * 1_048_576.0)
    }
}

/// How far memory goes towards its demand in `seconds`.
pub(crate) fn memory_step(seconds: f64) -> f64 {
    1.0 - (-seconds / MEMORY_LAG_SECONDS).exp()
}

/// What is wrong with a container by its image tag and environment: `crash` (exits with 1 after a second),
/// `missing` (no such image), `never-ready`, `leak`, `hungry` (three times the memory). In the tag anywhere
/// (`shop/cart:2-crash`); in the environment as a variable of that name in capitals (`CRASH`, `NEVER_READY`)
/// that is not `false`. A ConfigMap that a variable refers to must exist. `NEEDS` names a workload of the namespace
/// as `NAME:PORT`: without a ready pod of it, a container is not ready either.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flaws {
    pub(crate) crashes: bool,
    pub(crate) missing_image: bool,
    pub(crate) never_ready: bool,
    pub(crate) leaks: bool,
    pub(crate) memory_factor: f64,
    pub(crate) config_maps: Vec<String>,
    pub(crate) needs: Option<String>,
}

impl Flaws {
    pub(crate) fn of(container: &Value) -> Self {
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        let container = Document(container.clone());
        let environment = container.list("/env");
        let has = |word: &str| {
            let variable = word.to_uppercase().replace('-', "_");
            tag.contains(word)
                || environment.iter().any(|entry| entry["name"] == *variable && entry["value"] != "false")
        };
        let in_variables =
            environment.iter().filter_map(|entry| entry.pointer("/valueFrom/configMapKeyRef/name"));
        let whole = container.list("/envFrom").iter().filter_map(|entry| entry.pointer("/configMapRef/name"));
        Flaws {
            crashes: has("crash"),
            missing_image: tag.contains("missing"),
            never_ready: has("never-ready"),
            leaks: has("leak"),
            memory_factor: if has("hungry") { HUNGRY_FACTOR } else { 1.0 },
            needs: environment.iter().find(|entry| entry["name"] == "NEEDS").and_then(|entry| {
                let (name, _) = entry["value"].as_str()?.split_once(':')?;
                Some(name.to_owned())
            }),
            config_maps: in_variables.chain(whole).filter_map(Value::as_str).map(Into::into).collect(),
        }
    }
}
