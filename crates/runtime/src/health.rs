//! What the loops know of themselves, for health, status and readiness.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kubewise_core::failure::Failure;
use kubewise_core::health::{ComponentHealth, HealthReport, HealthStatus, QueryStatus};
use kubewise_core::metric::{MetricAnswer, MetricQuery};
use kubewise_core::port::WatchItem;
use kubewise_core::{Kind, Period, Timestamp};
use kubewise_detector::Stats;

use crate::dependency::Dependency;

/// A detector that was not heard of for this long is not at work.
const DETECTOR_SILENT: Period = Period::from_secs(30);

/// The name of the guard around the author.
const AUTHOR: &str = "author";

#[derive(Debug)]
pub(crate) struct Health {
    dependencies: Vec<Dependency>,
    started_at: Timestamp,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// In the order of the catalogue.
    queries: Vec<QueryStatus>,
    /// Kinds whose watch is broken, with the other side's words.
    interrupted: BTreeMap<Kind, (String, Timestamp)>,
    synced: Option<Timestamp>,
    watch_ended: Option<Timestamp>,
    stats: Stats,
    detected_at: Option<Timestamp>,
}

impl Health {
    pub(crate) fn new(dependencies: Vec<Dependency>, catalogue: &[MetricQuery], now: Timestamp) -> Self {
        let queries = catalogue
            .iter()
            .map(|query| QueryStatus {
                name: query.name.clone(),
                last_success: None,
                samples: 0,
                dropped: 0,
                error: None,
                warnings: Vec::new(),
            })
            .collect();
        let state = State {
            queries,
            interrupted: BTreeMap::new(),
            synced: None,
            watch_ended: None,
            stats: Stats::default(),
            detected_at: None,
        };
        Health { dependencies, started_at: now, state: Mutex::new(state) }
    }

    pub(crate) fn query_answered(&self, name: &str, answer: &MetricAnswer, now: Timestamp) {
        if let Some(query) = self.lock().queries.iter_mut().find(|query| query.name == name) {
            query.last_success = Some(now);
            query.samples = answer.samples.len() as u64;
            query.dropped = answer.dropped.total();
            query.error = None;
            query.warnings.clone_from(&answer.warnings);
        }
    }

    pub(crate) fn query_failed(&self, name: &str, failure: &Failure) {
        if let Some(query) = self.lock().queries.iter_mut().find(|query| query.name == name) {
            query.error = Some(failure.to_string());
        }
    }

    pub(crate) fn watched(&self, item: &WatchItem, now: Timestamp) {
        match item {
            WatchItem::Interrupted { kind, failure } => {
                self.lock().interrupted.insert(kind.clone(), (failure.to_string(), now));
            }
            WatchItem::Synced(kind) => {
                let mut state = self.lock();
                state.interrupted.remove(kind);
                state.synced = Some(now);
            }
            WatchItem::Applied(object) => {
                if !self.lock().interrupted.is_empty() {
                    self.lock().interrupted.remove(&object.object.kind);
                }
            }
            WatchItem::Event(_) | WatchItem::Deleted { .. } => {}
        }
    }

    pub(crate) fn watch_ended(&self, now: Timestamp) {
        self.lock().watch_ended = Some(now);
    }

    pub(crate) fn detected(&self, stats: Stats, now: Timestamp) {
        let mut state = self.lock();
        state.stats = stats;
        state.detected_at = Some(now);
    }

    pub(crate) fn queries(&self) -> Vec<QueryStatus> {
        self.lock().queries.clone()
    }

    pub(crate) fn workloads(&self) -> usize {
        self.lock().stats.workloads
    }

    pub(crate) fn workloads_with_incident(&self) -> usize {
        self.lock().stats.workloads_with_incident
    }

    pub(crate) fn series(&self) -> usize {
        self.lock().stats.series
    }

    pub(crate) fn report(&self, now: Timestamp) -> HealthReport {
        let mut dependencies: BTreeMap<String, ComponentHealth> =
            self.dependencies.iter().map(|guard| (guard.name().to_owned(), guard.health())).collect();
        let components: BTreeMap<String, ComponentHealth> = {
            let state = self.lock();
            [
                ("collect", state.collect(self.started_at)),
                ("watch", state.watch(self.started_at)),
                ("detect", state.detect(self.started_at, now)),
            ]
            .into_iter()
            .map(|(name, health)| (name.to_owned(), health))
            .collect()
        };
        // While nothing had to be read, the watch alone tells how the cluster answers.
        if let Some(kubernetes) = dependencies.get_mut("kubernetes")
            && kubernetes.status == HealthStatus::Unknown
        {
            *kubernetes = ComponentHealth { breaker: kubernetes.breaker, ..components["watch"].clone() };
        }
        // The author is asked when there is an incident; until then nothing is known of it, and nothing is missing.
        let needed = dependencies
            .iter()
            .filter(|(name, one)| *name != AUTHOR || one.status != HealthStatus::Unknown)
            .map(|(_, one)| one);
        let worst = components.values().chain(needed).map(|one| one.status).max();
        let mut status = worst.unwrap_or(HealthStatus::Unknown);
        // A missing dependency leaves KubeWise at work on what it has.
        if status == HealthStatus::Unhealthy
            && components.values().all(|one| one.status != HealthStatus::Unhealthy)
        {
            status = HealthStatus::Degraded;
        }
        HealthReport { status, components, dependencies }
    }

    /// What is wrong with the telemetry, if so much that no outcome could be measured. Before the first answer that
    /// is not known, and nothing was noticed either.
    pub(crate) fn blind(&self, now: Timestamp) -> Option<String> {
        let state = self.lock();
        let parts =
            [("queries", state.collect(self.started_at)), ("detector", state.detect(self.started_at, now))];
        let missing = state.stats.missing.len() * 2 >= state.queries.len().max(1);
        parts.into_iter().find_map(|(part, health)| {
            let broken = health.status == HealthStatus::Unhealthy || (part == "detector" && missing);
            broken.then(|| format!("{part}: {}", health.message))
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn collect(&self, since: Timestamp) -> ComponentHealth {
        let failing: Vec<String> = self
            .queries
            .iter()
            .filter_map(|query| query.error.as_ref().map(|error| format!("{}: {error}", query.name)))
            .collect();
        let last_success = self.queries.iter().filter_map(|query| query.last_success).max();
        let status = match (failing.len(), last_success) {
            (0, None) => HealthStatus::Unknown,
            (0, Some(_)) => HealthStatus::Healthy,
            (failing, _) if failing == self.queries.len() => HealthStatus::Unhealthy,
            _ => HealthStatus::Degraded,
        };
        component(status, failing.join("; "), since, last_success)
    }

    fn watch(&self, since: Timestamp) -> ComponentHealth {
        let broken: Vec<String> =
            self.interrupted.iter().map(|(kind, (message, _))| format!("{kind}: {message}")).collect();
        let status = if self.watch_ended.is_some() {
            HealthStatus::Unhealthy
        } else if !broken.is_empty() {
            HealthStatus::Degraded
        } else if self.synced.is_some() {
            HealthStatus::Healthy
        } else {
            HealthStatus::Unknown
        };
        let since = self.interrupted.values().map(|(_, at)| *at).min().unwrap_or(since);
        component(status, broken.join("; "), since, self.synced)
    }

    fn detect(&self, since: Timestamp, now: Timestamp) -> ComponentHealth {
        let (status, message) = match self.detected_at {
            None => (HealthStatus::Unknown, "has not run yet".into()),
            Some(at) if Period::between(at, now) > DETECTOR_SILENT => {
                (HealthStatus::Unhealthy, "does not run".into())
            }
            Some(_) if self.stats.missing.is_empty() => (HealthStatus::Healthy, String::new()),
            Some(_) => (HealthStatus::Degraded, format!("no news from {}", self.stats.missing.join(", "))),
        };
        component(status, message, since, self.detected_at)
    }
}

fn component(
    status: HealthStatus,
    message: String,
    since: Timestamp,
    last_success: Option<Timestamp>,
) -> ComponentHealth {
    ComponentHealth { status, message, since, last_success, breaker: None }
}
