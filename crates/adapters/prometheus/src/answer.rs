//! Reads the answer to an instant query in one pass, keeping only the labels that the query names.
//!
//! Prometheus dates every sample of an instant query with the time it was asked for, and leaves out itself what
//! is older than `lookback_delta`; other servers give a sample's own time. Either is held against the staleness:
//!
//! - older: left out and counted;
//! - later than `now`: kept with `now` as its time, since everything else here is dated by this clock; if it is
//!   later by more than [`CLOCK_SKEW`], a warning says so.

mod visitor;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kubewise_core::metric::{DroppedSamples, MetricAnswer, MetricQuery, NormalizedMetric};
use kubewise_core::record::SchemaVersion;
use kubewise_core::{ObjectRef, Period, Timestamp};
use serde::Deserialize;
use serde::de::{DeserializeSeed as _, Error as _};
use visitor::Response;

/// Two clocks may differ by this much before anybody is told: less than one usual scrape interval changes no
/// answer.
pub(crate) const CLOCK_SKEW: Period = Period::from_secs(30);

/// Warnings kept of one answer; a source that warns more often says the same again.
const MAX_WARNINGS: usize = 10;

/// Characters kept of a warning; one may list every series that it is about.
const MAX_WARNING: usize = 500;

/// What an answer may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Samples older than this are left out.
    pub staleness: Period,
    /// More samples refuse the answer whole: a cut answer must not pass for a complete one.
    pub max_samples: usize,
}

/// Why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Ends before its JSON does.
    #[error("the answer breaks off in the middle")]
    Incomplete,
    /// Not JSON, or not the JSON of Prometheus.
    #[error("not a Prometheus API response ({source})")]
    Foreign { source: serde_json::Error },
    /// The source answered with an error.
    #[error("{error_type}: {message}")]
    Refused { error_type: String, message: String },
    /// Not an instant vector.
    #[error("the query gives a {found}; an instant vector is needed: {advice}")]
    WrongType { found: String, advice: &'static str },
    #[error("the answer has more than {limit} samples; narrow the query or raise prometheus.max_samples")]
    TooMany { limit: usize },
}

/// Brings the body of an answer to samples in base units. A container or detail label that a series lacks is left
/// out of its sample; a series without the labels that name the object is counted as unidentified.
pub fn normalise(
    body: &[u8],
    query: &MetricQuery,
    bounds: &Bounds,
    now: Timestamp,
) -> Result<MetricAnswer, Unreadable> {
    let foreign = |source| Unreadable::Foreign { source };
    let text = std::str::from_utf8(body).map_err(|error| foreign(serde_json::Error::custom(error)))?;
    let mut collector = Collector::new(query, *bounds, now);
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Response(&mut collector).deserialize(&mut json).and_then(|head| json.end().map(|()| head));
    if collector.too_many {
        return Err(Unreadable::TooMany { limit: bounds.max_samples });
    }
    let head = read.map_err(|error| if error.is_eof() { Unreadable::Incomplete } else { foreign(error) })?;
    match (head.status.as_deref(), head.result_type.as_deref()) {
        (Some("success"), Some("vector" | "scalar")) => Ok(collector.finish(head.warnings)),
        (Some("success"), Some(found)) => {
            Err(Unreadable::WrongType { found: found.into(), advice: advice(found) })
        }
        (Some("success"), None) => Err(foreign(serde_json::Error::custom("there is no `data.resultType`"))),
        (Some("error"), _) => Err(Unreadable::Refused {
            error_type: head.error_type.unwrap_or_else(|| "error".into()),
            message: head.error.unwrap_or_else(|| "no message".into()),
        }),
        _ => Err(foreign(serde_json::Error::custom("`status` is neither `success` nor `error`"))),
    }
}

fn advice(found: &str) -> &'static str {
    match found {
        "matrix" => "put the range, such as `[5m]`, into a function like rate()",
        _ => "leave the labels that name the object",
    }
}

/// What stands around the samples.
#[derive(Default)]
struct Head {
    status: Option<String>,
    result_type: Option<String>,
    error_type: Option<String>,
    error: Option<String>,
    warnings: Vec<String>,
}

/// Takes series as they are read.
struct Collector<'q, 'de> {
    query: &'q MetricQuery,
    bounds: Bounds,
    now: Timestamp,
    oldest: Timestamp,
    names: Names<'de>,
    seen: HashSet<[u32; 4]>,
    samples: Vec<NormalizedMetric>,
    dropped: DroppedSamples,
    taken: usize,
    too_many: bool,
    /// Samples of one answer share their time as a rule: the last one read and what became of it.
    last_time: Option<(f64, Option<Timestamp>)>,
    ahead: Period,
    scalar: bool,
}

impl<'q, 'de> Collector<'q, 'de> {
    fn new(query: &'q MetricQuery, bounds: Bounds, now: Timestamp) -> Self {
        Collector {
            query,
            bounds,
            now,
            oldest: bounds.staleness.before(now),
            names: Names::default(),
            seen: HashSet::new(),
            samples: Vec::new(),
            dropped: DroppedSamples::default(),
            taken: 0,
            too_many: false,
            last_time: None,
            ahead: Period::ZERO,
            scalar: false,
        }
    }

    fn take(&mut self, series: Series<'de>) {
        let labels = series.labels;
        let unplaced = self.query.labels.namespace.is_some() && labels.namespace.is_none();
        let Some(name) = labels.name.filter(|_| !unplaced) else {
            self.dropped.unidentified += 1;
            return;
        };
        // A native histogram has no single value.
        let Some((seconds, Text(value))) = series.value else {
            self.dropped.not_a_number += 1;
            return;
        };
        let value = value.parse::<f64>().map_or(f64::NAN, |value| value * self.query.unit.factor);
        if value.is_nan() {
            self.dropped.not_a_number += 1;
            return;
        }
        if value.is_infinite() {
            self.dropped.infinite += 1;
            return;
        }
        let Some(time) = self.time(seconds) else {
            self.dropped.stale += 1;
            return;
        };
        let (name_number, name) = self.names.number(name);
        let (namespace_number, namespace) = self.names.number_of(labels.namespace);
        let (container_number, container) = self.names.number_of(labels.container);
        let (detail_number, detail) = self.names.number_of(labels.detail);
        if !self.seen.insert([namespace_number, name_number, container_number, detail_number]) {
            self.dropped.duplicate += 1;
            return;
        }
        self.samples.push(NormalizedMetric {
            version: SchemaVersion::default(),
            object: ObjectRef { kind: self.query.labels.kind.clone(), namespace, name },
            container,
            detail,
            metric_type: self.query.metric_type.clone(),
            unit: self.query.unit.base,
            value,
            time,
        });
    }

    /// The time of a sample, `None` if it is stale.
    fn time(&mut self, seconds: f64) -> Option<Timestamp> {
        if let Some((last, time)) = self.last_time
            && last == seconds
        {
            return time;
        }
        // Prometheus counts in milliseconds; what no timestamp can hold is stale at one end and ahead at the other.
        let beyond = if seconds < 0.0 { Timestamp::MIN } else { Timestamp::MAX };
        let measured = Timestamp::from_millisecond((seconds * 1000.0).round() as i64).unwrap_or(beyond);
        self.ahead = self.ahead.max(Period::between(self.now, measured));
        let time = (measured >= self.oldest).then(|| measured.min(self.now));
        self.last_time = Some((seconds, time));
        time
    }

    fn finish(self, warnings: Vec<String>) -> MetricAnswer {
        let cut = |warning: String| warning.chars().take(MAX_WARNING).collect();
        let mut warnings: Vec<String> = warnings.into_iter().take(MAX_WARNINGS).map(cut).collect();
        if self.ahead > CLOCK_SKEW {
            let ahead = Period::from_secs(self.ahead.as_duration().as_secs());
            warnings.push(format!(
                "samples are dated up to {ahead} later than the clock here; which clock is wrong?"
            ));
        }
        if self.scalar {
            warnings.push("the query gives a scalar, which names no object; leave the labels in".into());
        }
        MetricAnswer { samples: self.samples, dropped: self.dropped, warnings }
    }
}

/// Gives equal texts one allocation and one number; 0 stands for no text.
#[derive(Default)]
struct Names<'de> {
    known: HashMap<Cow<'de, str>, (u32, Arc<str>)>,
}

impl<'de> Names<'de> {
    fn number(&mut self, text: Cow<'de, str>) -> (u32, Arc<str>) {
        if let Some(known) = self.known.get(&text) {
            return known.clone();
        }
        let entry = (self.known.len() as u32 + 1, Arc::from(text.as_ref()));
        self.known.insert(text, entry.clone());
        entry
    }

    fn number_of(&mut self, text: Option<Cow<'de, str>>) -> (u32, Option<Arc<str>>) {
        match text {
            Some(text) => {
                let (number, shared) = self.number(text);
                (number, Some(shared))
            }
            None => (0, None),
        }
    }
}

#[derive(Default)]
struct Series<'de> {
    labels: Labels<'de>,
    value: Option<(f64, Text<'de>)>,
}

/// The labels that the query names.
#[derive(Default)]
struct Labels<'de> {
    namespace: Option<Cow<'de, str>>,
    name: Option<Cow<'de, str>>,
    container: Option<Cow<'de, str>>,
    detail: Option<Cow<'de, str>>,
}

/// A string that is borrowed from the body unless it holds escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
