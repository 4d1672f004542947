//! Every metric that KubeWise tells about itself, in one place. docs/metrics.md lists the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kubewise_core::Period;
use kubewise_core::anomaly::Reason;
use kubewise_core::author::{CallOutcome, Usage};
use kubewise_core::failure::Failure;
use kubewise_core::health::BreakerState;
use kubewise_core::incident::IncidentStatus;
use kubewise_core::journal::Outcome;
use kubewise_core::money::Money;
use kubewise_core::plan::PlanStatus;
use kubewise_detector::Stats;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::author::Silence;

/// Handles to all metrics; cheap to clone.
#[derive(Clone, Debug)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dependency {
    dependency: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    dependency: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    queue: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Action {
    action: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDirection {
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCallOutcome {
    outcome: &'static str,
}

type Ratio = Gauge<f64, AtomicU64>;
type Sum = Counter<f64, AtomicU64>;

#[derive(Debug)]
struct Metrics {
    registry: Registry,
    /// Name and help of each, in the order of registration.
    listing: Vec<(String, &'static str)>,
    dependency_calls: Family<Call, Counter>,
    dependency_call_seconds: Family<Dependency, Histogram>,
    breaker_state: Family<Dependency, Gauge>,
    queue_length: Family<Queue, Gauge>,
    queue_displaced: Family<Queue, Counter>,
    samples: Counter,
    samples_dropped: Counter,
    watch_items: Counter,
    series: Gauge,
    samples_not_learnt: Family<ByCause, Counter>,
    series_begun_anew: Counter,
    deviations_held_back: Counter,
    anomalies: Family<ByReason, Counter>,
    incidents: Family<ByStatus, Counter>,
    incidents_open: Gauge,
    plans: Family<ByStatus, Counter>,
    sagas: Family<ByOutcome, Counter>,
    sagas_running: Gauge,
    actions: Family<Action, Counter>,
    author_calls: Family<ByCallOutcome, Counter>,
    author_tokens: Family<ByDirection, Counter>,
    author_cost: Sum,
    author_silent: Family<ByReason, Counter>,
    records_saved: Counter,
    records_displaced: Counter,
    leading: Gauge,
    resident_bytes: Gauge,
    detect_busy_ratio: Ratio,
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry::new()
    }
}

impl Telemetry {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("kubewise");
        let seconds = || Histogram::new(exponential_buckets(0.001, 4.0, 8)); // 1 ms to 16 s
        let call_seconds = Family::<Dependency, Histogram>::new_with_constructor(seconds);
        let mut listing = Vec::new();
        macro_rules! register {
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                listing.push((format!("kubewise_{}", $name), $help));
                registry.register($name, $help, metric.clone());
                metric
            }};
        }
        let metrics = Metrics {
            dependency_calls: register!(
                "dependency_calls",
                "Calls to outside systems by result",
                Family::default()
            ),
            dependency_call_seconds: register!(
                "dependency_call_seconds",
                "Time of calls to outside systems",
                call_seconds
            ),
            breaker_state: register!(
                "breaker_state",
                "Circuit breaker: 0 closed, 1 half-open, 2 open",
                Family::default()
            ),
            queue_length: register!("queue_length", "Items waiting in a queue", Family::default()),
            queue_displaced: register!(
                "queue_displaced",
                "Items that gave way in a full queue",
                Family::default()
            ),
            samples: register!("samples", "Samples taken in", Counter::default()),
            samples_dropped: register!("samples_dropped", "Samples left out as unusable", Counter::default()),
            watch_items: register!("watch_items", "Events and object states taken in", Counter::default()),
            series: register!("series", "Series that the detector follows", Gauge::default()),
            samples_not_learnt: register!(
                "samples_not_learnt",
                "Samples that the detector did not learn: of unknown objects, not newer than the last, misdated",
                Family::default()
            ),
            series_begun_anew: register!(
                "series_begun_anew",
                "Series whose unit changed, counter was reset or clock was put back",
                Counter::default()
            ),
            deviations_held_back: register!(
                "deviations_held_back",
                "Deviations held back because of labels",
                Counter::default()
            ),
            anomalies: register!("anomalies", "Anomalies by reason", Family::default()),
            incidents: register!("incidents", "Incidents by the status they reached", Family::default()),
            incidents_open: register!("incidents_open", "Incidents that are not closed", Gauge::default()),
            plans: register!("plans", "Plans by the status they reached", Family::default()),
            sagas: register!("sagas", "Sagas by outcome", Family::default()),
            sagas_running: register!("sagas_running", "Sagas that run", Gauge::default()),
            actions: register!("actions", "Executed actions by result", Family::default()),
            author_calls: register!(
                "author_calls",
                "Calls to the plans' author by outcome",
                Family::default()
            ),
            author_tokens: register!(
                "author_tokens",
                "Tokens that the author was charged for, or may have been",
                Family::default()
            ),
            author_cost: register!(
                "author_cost",
                "What these cost, in the currency of the configured prices",
                Sum::default()
            ),
            author_silent: register!(
                "author_silent",
                "Questions that left the plan to the playbooks, by reason",
                Family::default()
            ),
            records_saved: register!("records_saved", "Records written to the store", Counter::default()),
            records_displaced: register!(
                "records_displaced",
                "Records that gave way while the store could not be written",
                Counter::default()
            ),
            leading: register!("leading", "1 while this process may act", Gauge::default()),
            resident_bytes: register!("resident_bytes", "Resident memory of the process", Gauge::default()),
            detect_busy_ratio: register!(
                "detect_busy_ratio",
                "Share of time the detector was at work",
                Ratio::default()
            ),
            registry,
            listing,
        };
        Telemetry { metrics: Arc::new(metrics) }
    }

    /// Name and help of every metric.
    pub fn listing(&self) -> &[(String, &'static str)] {
        &self.metrics.listing
    }

    /// All metrics in OpenMetrics text.
    pub fn encode(&self) -> String {
        self.metrics.resident_bytes.set(resident_bytes());
        let mut text = String::new();
        // Writing to a String cannot fail; should it ever, a cut answer without `# EOF` is refused by scrapers.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.metrics.registry);
        text
    }

    pub(crate) fn dependency_call(&self, dependency: &'static str, failure: Option<&Failure>, took: Period) {
        let result = match failure {
            None => "success",
            Some(Failure::Rejected { .. }) => "rejected",
            Some(Failure::Unknown { .. }) => "unknown",
            Some(Failure::RateLimited { .. }) => "rate_limited",
            Some(Failure::Unavailable { .. }) => "unavailable",
        };
        self.metrics.dependency_calls.get_or_create(&Call { dependency, result }).inc();
        let seconds = self.metrics.dependency_call_seconds.get_or_create(&Dependency { dependency });
        seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn breaker(&self, dependency: &'static str, state: BreakerState) {
        let level = match state {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        self.metrics.breaker_state.get_or_create(&Dependency { dependency }).set(level);
    }

    pub(crate) fn queue(&self, queue: &'static str, length: usize, newly_displaced: u64) {
        self.metrics.queue_length.get_or_create(&Queue { queue }).set(length as i64);
        self.metrics.queue_displaced.get_or_create(&Queue { queue }).inc_by(newly_displaced);
    }

    pub(crate) fn samples(&self, taken: usize, dropped: u64) {
        self.metrics.samples.inc_by(taken as u64);
        self.metrics.samples_dropped.inc_by(dropped);
    }

    pub(crate) fn watch_item(&self) {
        self.metrics.watch_items.inc();
    }

    /// The detector counts by itself, so its totals are taken over.
    pub(crate) fn detected(&self, stats: &Stats) {
        let Metrics { series, samples_not_learnt, series_begun_anew, deviations_held_back, .. } =
            &*self.metrics;
        series.set(stats.series as i64);
        let causes = [
            ("unidentified", stats.unidentified),
            ("not_newer", stats.ignored),
            ("misdated", stats.misdated),
        ];
        for (cause, total) in causes {
            samples_not_learnt.get_or_create(&ByCause { cause }).inner().store(total, Ordering::Relaxed);
        }
        series_begun_anew.inner().store(stats.begun_anew, Ordering::Relaxed);
        deviations_held_back.inner().store(stats.held_back, Ordering::Relaxed);
    }

    pub(crate) fn detect_busy(&self, share: f64) {
        self.metrics.detect_busy_ratio.set(share);
    }

    pub(crate) fn anomaly(&self, reason: Reason) {
        self.metrics.anomalies.get_or_create(&ByReason { reason: reason.as_str() }).inc();
    }

    pub(crate) fn incident(&self, status: IncidentStatus, open: usize) {
        self.metrics.incidents.get_or_create(&ByStatus { status: status.to_string() }).inc();
        self.metrics.incidents_open.set(open as i64);
    }

    pub(crate) fn plan(&self, status: PlanStatus) {
        self.metrics.plans.get_or_create(&ByStatus { status: status.to_string() }).inc();
    }

    pub(crate) fn saga_finished(&self, outcome: Outcome) {
        self.metrics.sagas.get_or_create(&ByOutcome { outcome: outcome.to_string() }).inc();
    }

    pub(crate) fn sagas_running(&self, running: usize) {
        self.metrics.sagas_running.set(running as i64);
    }

    pub(crate) fn action(&self, action: &str, succeeded: bool) {
        let result = if succeeded { "success" } else { "failure" };
        self.metrics.actions.get_or_create(&Action { action: action.into(), result }).inc();
    }

    pub(crate) fn author_call(&self, outcome: CallOutcome, usage: Usage, cost: Money) {
        let outcome = ByCallOutcome { outcome: outcome.as_str() };
        self.metrics.author_calls.get_or_create(&outcome).inc();
        for (direction, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
            self.metrics.author_tokens.get_or_create(&ByDirection { direction }).inc_by(tokens);
        }
        self.metrics.author_cost.inc_by(cost.as_f64());
    }

    pub(crate) fn author_silent(&self, silence: &Silence) {
        self.metrics.author_silent.get_or_create(&ByReason { reason: silence.reason() }).inc();
    }

    pub(crate) fn saved(&self, records: usize) {
        self.metrics.records_saved.inc_by(records as u64);
    }

    pub(crate) fn records_displaced(&self, records: u64) {
        self.metrics.records_displaced.inc_by(records);
    }

    pub(crate) fn leading(&self, leading: bool) {
        self.metrics.leading.set(i64::from(leading));
    }
}

/// Resident memory by the kernel's account; 0 where there is no /proc.
fn resident_bytes() -> i64 {
    const PAGE: i64 = 4096; // of every platform that KubeWise is built for
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<i64>().ok()).unwrap_or(0) * PAGE
}
