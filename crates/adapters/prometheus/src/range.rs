//! The past of a query: range queries, in pieces that the server and this process can bear.
//!
//! A piece has at most [`MAX_POINTS`] moments. How many series it has is known only when it has come, so a piece that
//! holds more samples than one answer may is asked for again at half its length; that is no repetition of a request
//! that failed, but another request.

use std::collections::BTreeMap;

use kubewise_core::metric::{DroppedSamples, MetricAnswer, MetricQuery, NormalizedMetric};
use kubewise_core::record::SchemaVersion;
use kubewise_core::{Failure, ObjectRef, Period, Rejection, Timestamp};
use serde::Deserialize;
use serde::de::Error as _;

use crate::answer::{Bounds, Unreadable};
use crate::connection::Call;
use crate::prometheus::{Answered, Prometheus};

/// Prometheus refuses more points for each series of one range query.
const MAX_POINTS: u32 = 11_000;

/// The history of one query, oldest piece first. Each is asked for once.
#[derive(Debug)]
pub struct Range<'p> {
    source: &'p Prometheus,
    query: MetricQuery,
    /// Where the next piece begins; `None` once all was asked for.
    next: Option<Timestamp>,
    until: Timestamp,
    step: Period,
    points: u32,
}

impl Prometheus {
    /// What the query would have answered at every `step` from `since` to `until`, both included. A step of zero
    /// counts as a millisecond.
    pub fn range(&self, query: &MetricQuery, since: Timestamp, until: Timestamp, step: Period) -> Range<'_> {
        Range {
            source: self,
            query: query.clone(),
            next: (since <= until).then_some(since),
            until,
            step: step.max(Period::from_millis(1)),
            points: MAX_POINTS,
        }
    }
}

impl Range<'_> {
    /// The next piece, its samples in order of time; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<MetricAnswer>, Failure> {
        while let Some(start) = self.next {
            let length = self.step.as_duration().saturating_mul(self.points.saturating_sub(1));
            let end = Period::from(length).after(start).min(self.until);
            let call = Call::Span { start, end, step: self.step };
            let answered = self.source.ask(&self.query.promql, call, Timestamp::now()).await;
            let read = match answered {
                Ok(Answered { reply, body, .. }) => {
                    let (bounds, query) = (self.source.bounds(), self.query.clone());
                    let read =
                        tokio::task::spawn_blocking(move || (normalise_range(&body, &query, &bounds), body));
                    let (answer, body) = read.await.map_err(|error| Failure::unavailable(&error))?;
                    match answer {
                        Err(Unreadable::TooMany { .. }) if self.points > 1 => None,
                        answer => Some(answer.map_err(|error| reply.unreadable(&error, &body))?),
                    }
                }
                Err(Failure::Rejected { reason: Rejection::Invalid, message })
                    if self.points > 1 && message == self.source.too_long() =>
                {
                    None
                }
                Err(failure) => return Err(failure),
            };
            let Some(answer) = read else {
                self.points = self.points.div_ceil(2);
                continue;
            };
            self.next = Some(self.step.after(end)).filter(|next| *next <= self.until);
            return Ok(Some(answer));
        }
        Ok(None)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    status: String,
    data: Option<Data>,
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    /// Absent where a series is a native histogram.
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// Brings the body of a range query's answer to samples in base units, in order of time. Labels name the object as
/// they do in [`normalise`](crate::normalise).
pub fn normalise_range(
    body: &[u8],
    query: &MetricQuery,
    bounds: &Bounds,
) -> Result<MetricAnswer, Unreadable> {
    let foreign = |source| Unreadable::Foreign { source };
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| if error.is_eof() { Unreadable::Incomplete } else { foreign(error) })?;
    let data = match (body.status.as_str(), body.data) {
        ("success", Some(data)) => data,
        ("error", _) => {
            return Err(Unreadable::Refused {
                error_type: body.error_type.unwrap_or_else(|| "error".into()),
                message: body.error.unwrap_or_else(|| "no message".into()),
            });
        }
        _ => return Err(foreign(serde_json::Error::custom("`status` is neither `success` nor `error`"))),
    };
    if data.result_type != "matrix" {
        let advice = "a range query gives a matrix of series";
        return Err(Unreadable::WrongType { found: data.result_type, advice });
    }
    if data.result.iter().map(|series| series.values.len()).sum::<usize>() > bounds.max_samples {
        return Err(Unreadable::TooMany { limit: bounds.max_samples });
    }
    let mut dropped = DroppedSamples::default();
    let mut samples: BTreeMap<(Timestamp, ObjectRef, [Option<String>; 2]), NormalizedMetric> =
        BTreeMap::new();
    for series in data.result {
        let label =
            |name: &str| series.metric.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let Some(named) = query.labels.named(label) else {
            dropped.unidentified += series.values.len() as u64;
            continue;
        };
        let object = ObjectRef {
            kind: query.labels.kind.clone(),
            namespace: named.namespace.map(Into::into),
            name: named.name.into(),
        };
        let (container, detail) = (named.container.map(Into::into), named.detail.map(Into::into));
        for (seconds, value) in series.values {
            let value = value.parse::<f64>().map_or(f64::NAN, |value| value * query.unit.factor);
            let time = Timestamp::from_millisecond((seconds * 1000.0).round() as i64);
            let Ok(time) = time else {
                dropped.stale += 1; // no time that any clock shows
                continue;
            };
            if value.is_nan() {
                dropped.not_a_number += 1;
                continue;
            }
            if value.is_infinite() {
                dropped.infinite += 1;
                continue;
            }
            let sample = NormalizedMetric {
                version: SchemaVersion::default(),
                object: object.clone(),
                container: container.clone(),
                detail: detail.clone(),
                metric_type: query.metric_type.clone(),
                unit: query.unit.base,
                value,
                time,
            };
            let identity = [named.container, named.detail].map(|text| text.map(str::to_owned));
            if samples.insert((time, object.clone(), identity), sample).is_some() {
                dropped.duplicate += 1;
            }
        }
    }
    Ok(MetricAnswer { samples: samples.into_values().collect(), dropped, warnings: body.warnings })
}
