//! From raw series, as a scrape gives them, to the answers of the catalogue's queries.
//!
//! A dump holds what PromQL would be asked about, and there is no PromQL here. So each query of the built-in
//! catalogue has a recipe that says the same in the few steps that they need: a series as it stands, its rate over
//! five minutes, its slope over fifteen, or one over another. Which labels name the object, the unit and the metric
//! type are the query's own. A query of the user whose PromQL is a bare name is read as it stands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use kubewise_core::metric::{MetricQuery, NormalizedMetric};
use kubewise_core::record::SchemaVersion;
use kubewise_core::{ObjectRef, Period, Timestamp};

const RATE_WINDOW: Period = Period::from_mins(5);
const TREND_WINDOW: Period = Period::from_mins(15);
/// Points of one window: one each second of fifteen minutes.
const MAX_POINTS: usize = 900;
/// A divisor is scraped as often as what it divides; one this old belongs to an object that is gone.
const DIVISOR_LASTS: Period = Period::from_mins(10);

/// Series of a name, of which some labels have these values (`!` in front: not these).
#[derive(Clone, Copy, Debug)]
struct Input(&'static str, &'static [(&'static str, &'static str)]);

#[derive(Clone, Copy, Debug)]
enum Recipe {
    Is(&'static [Input]),
    /// Only while it is above zero.
    Holds(&'static [Input]),
    Rate(Input),
    Slope(Input),
    Ratio(Input, Input),
    RateRatio(Input, Input),
    RateOver(Input, Input),
    /// Leaves out what the second says is over.
    Unless(Input, &'static [Input]),
}

const CONTAINERS: &[(&str, &str)] = &[("container", "!"), ("container", "!POD")];
const CPU: Input = Input("container_cpu_usage_seconds_total", CONTAINERS);
const MEMORY: Input = Input("container_memory_working_set_bytes", CONTAINERS);
const LIMITS: &str = "kube_pod_container_resource_limits";
const REQUESTS: &str = "kube_pod_container_resource_requests";
const PHASE: &str = "kube_pod_status_phase";

const RECIPES: &[(&str, Recipe)] = &[
    (
        "container_restarts",
        Recipe::Is(&[
            Input("kube_pod_container_status_restarts_total", &[]),
            Input("kube_pod_init_container_status_restarts_total", &[]),
        ]),
    ),
    (
        "container_waiting",
        Recipe::Holds(&[
            Input("kube_pod_container_status_waiting_reason", &[]),
            Input("kube_pod_init_container_status_waiting_reason", &[]),
        ]),
    ),
    (
        "container_terminated",
        Recipe::Holds(&[
            Input("kube_pod_container_status_last_terminated_reason", &[]),
            Input("kube_pod_init_container_status_last_terminated_reason", &[]),
        ]),
    ),
    (
        "pod_ready",
        Recipe::Unless(
            Input("kube_pod_status_ready", &[("condition", "true")]),
            &[Input(PHASE, &[("phase", "Succeeded")]), Input(PHASE, &[("phase", "Failed")])],
        ),
    ),
    ("container_cpu", Recipe::Rate(CPU)),
    ("container_cpu_of_request", Recipe::RateOver(CPU, Input(REQUESTS, &[("resource", "cpu")]))),
    ("container_cpu_of_limit", Recipe::RateOver(CPU, Input(LIMITS, &[("resource", "cpu")]))),
    (
        "container_cpu_throttling",
        Recipe::RateRatio(
            Input("container_cpu_cfs_throttled_periods_total", CONTAINERS),
            Input("container_cpu_cfs_periods_total", CONTAINERS),
        ),
    ),
    ("container_memory", Recipe::Is(&[MEMORY])),
    ("container_memory_of_limit", Recipe::Ratio(MEMORY, Input(LIMITS, &[("resource", "memory")]))),
    ("container_memory_trend", Recipe::Slope(MEMORY)),
    ("deployment_desired", Recipe::Is(&[Input("kube_deployment_spec_replicas", &[])])),
    ("deployment_available", Recipe::Is(&[Input("kube_deployment_status_replicas_available", &[])])),
    ("statefulset_desired", Recipe::Is(&[Input("kube_statefulset_replicas", &[])])),
    ("statefulset_available", Recipe::Is(&[Input("kube_statefulset_status_replicas_available", &[])])),
    ("daemonset_desired", Recipe::Is(&[Input("kube_daemonset_status_desired_number_scheduled", &[])])),
    ("daemonset_available", Recipe::Is(&[Input("kube_daemonset_status_number_available", &[])])),
    (
        "autoscaler_saturation",
        Recipe::Ratio(
            Input("kube_horizontalpodautoscaler_status_current_replicas", &[]),
            Input("kube_horizontalpodautoscaler_spec_max_replicas", &[]),
        ),
    ),
    ("node_condition", Recipe::Is(&[Input("kube_node_status_condition", &[("status", "true")])])),
    (
        "volume_usage",
        Recipe::Ratio(
            Input("kubelet_volume_stats_used_bytes", &[]),
            Input("kubelet_volume_stats_capacity_bytes", &[]),
        ),
    ),
    (
        "quota_usage",
        Recipe::Ratio(
            Input("kube_resourcequota", &[("type", "used")]),
            Input("kube_resourcequota", &[("type", "hard")]),
        ),
    ),
];

/// What a series does in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Its samples become those of the answer.
    Subject,
    /// It divides, or says that something is over.
    Other,
}

#[derive(Clone, Debug)]
struct Use {
    query: usize,
    only: &'static [(&'static str, &'static str)],
    part: Part,
}

/// A point of a raw series, seen by one query.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) time: Timestamp,
    value: f64,
    query: usize,
    part: Part,
    series: Series,
}

impl Raw {
    /// By time; at one time, what divides comes before what it divides.
    pub(crate) fn order(&self) -> (Timestamp, bool) {
        (self.time, self.part == Part::Subject)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    object: ObjectRef,
    container: Option<Arc<str>>,
    detail: Option<Arc<str>>,
}

/// Which series the queries of a catalogue rest on.
#[derive(Debug)]
pub(crate) struct Rules {
    queries: Vec<(MetricQuery, Recipe)>,
    uses: BTreeMap<String, Vec<Use>>,
    names: BTreeSet<Arc<str>>,
}

impl Rules {
    pub(crate) fn new(catalogue: &[MetricQuery]) -> Self {
        let mut rules = Rules { queries: Vec::new(), uses: BTreeMap::new(), names: BTreeSet::new() };
        for query in catalogue {
            let known = RECIPES.iter().find(|(name, _)| *name == query.name).map(|(_, recipe)| *recipe);
            let index = rules.queries.len();
            let mut uses = |input: Input, part| {
                let one = Use { query: index, only: input.1, part };
                rules.uses.entry(input.0.into()).or_default().push(one);
            };
            let recipe = match known {
                Some(recipe @ (Recipe::Is(inputs) | Recipe::Holds(inputs))) => {
                    for input in inputs {
                        uses(*input, Part::Subject);
                    }
                    recipe
                }
                Some(recipe @ (Recipe::Rate(input) | Recipe::Slope(input))) => {
                    uses(input, Part::Subject);
                    recipe
                }
                Some(
                    recipe @ (Recipe::Ratio(over, under)
                    | Recipe::RateRatio(over, under)
                    | Recipe::RateOver(over, under)),
                ) => {
                    uses(over, Part::Subject);
                    uses(under, Part::Other);
                    recipe
                }
                Some(recipe @ Recipe::Unless(input, others)) => {
                    uses(input, Part::Subject);
                    for other in others {
                        uses(*other, Part::Other);
                    }
                    recipe
                }
                None => {
                    let one = Use { query: index, only: &[], part: Part::Subject };
                    rules.uses.entry(query.promql.trim().into()).or_default().push(one);
                    Recipe::Is(&[])
                }
            };
            rules.queries.push((query.clone(), recipe));
        }
        rules
    }

    /// The points that a line of a dump gives, one for each query that rests on it. `None` if no query does;
    /// empty if labels that would name the object are absent or say that it is of no concern.
    pub(crate) fn points(
        &mut self,
        name: &str,
        labels: &[(String, String)],
        value: f64,
        time: Timestamp,
    ) -> Option<Vec<Raw>> {
        let uses = self.uses.get(name)?;
        // To Prometheus an empty label is none.
        let label = |wanted: &str| {
            let found = labels.iter().find(|(label, _)| label == wanted);
            found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let admits = |only: &[(&str, &str)]| {
            only.iter().all(|(name, wanted)| match wanted.strip_prefix('!') {
                Some(unwanted) => label(name).unwrap_or_default() != unwanted,
                None => label(name) == Some(wanted),
            })
        };
        let mut points = Vec::new();
        for one in uses.iter().filter(|one| admits(one.only)) {
            let query = &self.queries[one.query].0;
            let Some(named) = query.labels.named(label) else { continue };
            let names = &mut self.names;
            let mut shared = |text: &str| crate::csv::shared(names, text);
            let series = Series {
                object: ObjectRef {
                    kind: query.labels.kind.clone(),
                    namespace: named.namespace.map(&mut shared),
                    name: shared(named.name),
                },
                container: named.container.map(&mut shared),
                detail: named.detail.map(&mut shared),
            };
            points.push(Raw { time, value, query: one.query, part: one.part, series });
        }
        Some(points)
    }
}

/// Points of a series within a window, oldest first.
type Window = VecDeque<(Timestamp, f64)>;

/// Turns points into samples; to be given them in order of time.
#[derive(Debug, Default)]
pub(crate) struct Kitchen {
    windows: BTreeMap<(usize, bool, Series), Window>,
    others: BTreeMap<(usize, Series), (Timestamp, f64)>,
}

impl Kitchen {
    pub(crate) fn cook(&mut self, rules: &Rules, raw: &Raw) -> Option<NormalizedMetric> {
        let (query, recipe) = &rules.queries[raw.query];
        let value = match (recipe, raw.part) {
            (Recipe::Is(_), _) => Some(raw.value),
            (Recipe::Holds(_), _) => Some(raw.value).filter(|value| *value > 0.0),
            (Recipe::Rate(_), _) => self.rate(raw),
            (Recipe::Slope(_), _) => slope(self.window(raw, TREND_WINDOW)),
            (Recipe::RateRatio(..), Part::Other) => {
                let rate = self.rate(raw)?;
                self.others.insert((raw.query, raw.series.clone()), (raw.time, rate));
                None
            }
            (Recipe::Unless(..), Part::Other) => {
                // Of several phases each has a series; only the one that holds is 1.
                if raw.value >= 1.0 {
                    self.others.insert((raw.query, raw.series.clone()), (raw.time, raw.value));
                }
                None
            }
            (Recipe::Ratio(..) | Recipe::RateOver(..), Part::Other) => {
                self.others.insert((raw.query, raw.series.clone()), (raw.time, raw.value));
                None
            }
            (Recipe::Unless(..), Part::Subject) => self.other(raw).is_none().then_some(raw.value),
            (Recipe::Ratio(..), Part::Subject) => self.over(raw, Some(raw.value)),
            (Recipe::RateOver(..) | Recipe::RateRatio(..), Part::Subject) => {
                let rate = self.rate(raw);
                self.over(raw, rate)
            }
        }?;
        Some(NormalizedMetric {
            version: SchemaVersion::CURRENT,
            object: raw.series.object.clone(),
            container: raw.series.container.clone(),
            detail: raw.series.detail.clone(),
            metric_type: query.metric_type.clone(),
            unit: query.unit.base,
            value: value * query.unit.factor,
            time: raw.time,
        })
    }

    fn other(&self, raw: &Raw) -> Option<f64> {
        let (time, value) = self.others.get(&(raw.query, raw.series.clone()))?;
        (DIVISOR_LASTS.after(*time) >= raw.time).then_some(*value)
    }

    fn over(&self, raw: &Raw, value: Option<f64>) -> Option<f64> {
        let divisor = self.other(raw).filter(|divisor| *divisor > 0.0)?;
        Some(value? / divisor)
    }

    fn window(&mut self, raw: &Raw, length: Period) -> &Window {
        let key = (raw.query, raw.part == Part::Other, raw.series.clone());
        let window = self.windows.entry(key).or_default();
        let oldest = length.before(raw.time);
        while window.front().is_some_and(|(time, _)| *time < oldest) || window.len() >= MAX_POINTS {
            window.pop_front();
        }
        if window.back().is_none_or(|(time, _)| *time < raw.time) && raw.value.is_finite() {
            window.push_back((raw.time, raw.value));
        }
        window
    }

    /// Increase a second over the window; a counter that falls has begun anew.
    fn rate(&mut self, raw: &Raw) -> Option<f64> {
        let window = self.window(raw, RATE_WINDOW);
        let ((first, _), (last, _)) = (window.front()?, window.back()?);
        let seconds = Period::between(*first, *last).as_secs_f64();
        let pairs = window.iter().zip(window.iter().skip(1));
        let increase: f64 =
            pairs.map(|((_, before), (_, after))| if after < before { *after } else { after - before }).sum();
        (seconds > 0.0).then(|| increase / seconds)
    }
}

/// Least squares, units a second.
fn slope(window: &Window) -> Option<f64> {
    let (first, _) = window.front()?;
    let count = window.len() as f64;
    let points = || window.iter().map(|(time, value)| (Period::between(*first, *time).as_secs_f64(), *value));
    let (mean_x, mean_y) = points().fold((0.0, 0.0), |(x, y), (a, b)| (x + a / count, y + b / count));
    let (over, under) = points().fold((0.0, 0.0), |(over, under), (x, y)| {
        (over + (x - mean_x) * (y - mean_y), under + (x - mean_x) * (x - mean_x))
    });
    (under > 0.0).then(|| over / under)
}
