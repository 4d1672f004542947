//! The series around each incident, thinned to what a plot can show.

use std::collections::BTreeMap;

use anyhow::Result;
use kubewise_core::anomaly::Reason;
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::unit::Unit;
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use kubewise_replay::History;

use crate::backtest::live::Lived;
use crate::backtest::outcome::Told;

/// Shown before and after an incident.
const AROUND: Period = Period::from_mins(30);
/// An incident that lasts longer is shown by its beginning.
const LONGEST: Period = Period::from_mins(6 * 60);
/// Columns of a plot: two points each, the least and the greatest, keep every spike.
const COLUMNS: f64 = 300.0;
/// Lines that one plot can hold and still be read.
const MAX_LINES: usize = 12;
/// Incidents with plots: a page of more is not read to its end.
const MAX_INCIDENTS: usize = 100;

/// What one metric type did around an incident.
#[derive(Debug)]
pub(crate) struct Plot {
    pub(crate) metric_type: MetricType,
    pub(crate) unit: Unit,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    /// By what they are of.
    pub(crate) lines: BTreeMap<String, Vec<(Timestamp, f64)>>,
    /// Lines that there was no room for.
    pub(crate) left_out: usize,
    /// What was expected, if the anomaly says so.
    pub(crate) expected: Option<f64>,
}

/// The plots of each incident, by its id.
pub(crate) fn plots(history: &History, lived: &Lived) -> Result<BTreeMap<String, Vec<Plot>>> {
    let workloads = lived.replay.workloads();
    let mut sheets: Vec<Sheet<'_>> =
        lived.outcome.incidents.iter().take(MAX_INCIDENTS).map(Sheet::new).collect();
    let mut by_workload: BTreeMap<&ObjectRef, Vec<usize>> = BTreeMap::new();
    for (index, sheet) in sheets.iter().enumerate() {
        by_workload.entry(&sheet.incident.workload).or_default().push(index);
    }
    let Some(end) = sheets.iter().map(|sheet| sheet.until).max() else { return Ok(BTreeMap::new()) };
    history.each_sample(|sample| {
        let workload = workloads.get(&sample.object).unwrap_or(&sample.object);
        for index in by_workload.get(workload).into_iter().flatten() {
            sheets[*index].add(sample);
        }
        sample.time <= end
    })?;
    Ok(sheets.into_iter().map(|sheet| (sheet.incident.id.clone(), sheet.finish())).collect())
}

struct Sheet<'a> {
    incident: &'a Told,
    since: Timestamp,
    until: Timestamp,
    wanted: Vec<MetricType>,
    units: BTreeMap<MetricType, Unit>,
    lines: BTreeMap<(MetricType, String), Vec<Column>>,
}

/// Least and greatest of a column, each with its time.
struct Column {
    number: u64,
    least: (Timestamp, f64),
    greatest: (Timestamp, f64),
}

impl<'a> Sheet<'a> {
    fn new(incident: &'a Told) -> Self {
        let end = incident.over_at.unwrap_or(Timestamp::MAX).min(LONGEST.after(incident.opened_at));
        let mut wanted: Vec<MetricType> = Vec::new();
        for anomaly in &incident.anomalies {
            let types = match &anomaly.metric_type {
                Some(metric_type) => vec![metric_type.clone()],
                None => telling(anomaly.reason).to_vec(),
            };
            wanted.extend(types.into_iter().filter(|one| !wanted.contains(one)).collect::<Vec<_>>());
        }
        Sheet {
            since: AROUND.before(incident.opened_at),
            until: AROUND.after(end),
            incident,
            wanted,
            units: BTreeMap::new(),
            lines: BTreeMap::new(),
        }
    }

    fn add(&mut self, sample: &NormalizedMetric) {
        let time = sample.time;
        if time < self.since || time > self.until || !self.wanted.contains(&sample.metric_type) {
            return;
        }
        let column = Period::between(self.since, self.until).as_secs_f64() / COLUMNS;
        let number = (Period::between(self.since, time).as_secs_f64() / column) as u64;
        self.units.insert(sample.metric_type.clone(), sample.unit);
        let key = (sample.metric_type.clone(), name(sample));
        let columns = self.lines.entry(key).or_default();
        let point = (time, sample.value);
        match columns.last_mut() {
            Some(last) if last.number == number => {
                if sample.value < last.least.1 {
                    last.least = point;
                }
                if sample.value > last.greatest.1 {
                    last.greatest = point;
                }
            }
            Some(_) | None => columns.push(Column { number, least: point, greatest: point }),
        }
    }

    fn finish(self) -> Vec<Plot> {
        let Sheet { incident, since, until, wanted, units, lines } = self;
        let mut by_type: BTreeMap<MetricType, BTreeMap<String, Vec<(Timestamp, f64)>>> = BTreeMap::new();
        for ((metric_type, name), columns) in lines {
            let mut points = Vec::new();
            for Column { least, greatest, .. } in columns {
                points.push(least.min_by_time(greatest));
                if least.0 != greatest.0 {
                    points.push(least.max_by_time(greatest));
                }
            }
            by_type.entry(metric_type).or_default().insert(name, points);
        }
        let plot = |metric_type: MetricType| {
            let mut lines = by_type.remove(&metric_type)?;
            let left_out = lines.len().saturating_sub(MAX_LINES);
            keep_liveliest(&mut lines, incident);
            let told = incident.anomalies.iter().filter(|one| one.metric_type.as_ref() == Some(&metric_type));
            let features = told.flat_map(|one| &one.features);
            let expected = features
                .filter(|feature| feature.name == metric_type.as_str())
                .find_map(|feature| feature.expected);
            let unit = units.get(&metric_type).copied().unwrap_or(Unit::Count);
            Some(Plot { metric_type, unit, since, until, lines, left_out, expected })
        };
        wanted.into_iter().filter_map(plot).collect()
    }
}

trait ByTime {
    fn min_by_time(self, other: Self) -> Self;
    fn max_by_time(self, other: Self) -> Self;
}

impl ByTime for (Timestamp, f64) {
    fn min_by_time(self, other: Self) -> Self {
        if self.0 <= other.0 { self } else { other }
    }

    fn max_by_time(self, other: Self) -> Self {
        if self.0 <= other.0 { other } else { self }
    }
}

/// Those that the anomalies name, then those that move most.
fn keep_liveliest(lines: &mut BTreeMap<String, Vec<(Timestamp, f64)>>, incident: &Told) {
    if lines.len() <= MAX_LINES {
        return;
    }
    let named = |line: &str| incident.anomalies.iter().any(|one| line.starts_with(&*one.object.name));
    let swing = |points: &[(Timestamp, f64)]| {
        let values = || points.iter().map(|(_, value)| *value);
        values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min)
    };
    let mut order: Vec<_> =
        lines.iter().map(|(name, points)| (!named(name), -swing(points), name.clone())).collect();
    order.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then_with(|| a.2.cmp(&b.2)));
    for (_, _, name) in order.into_iter().skip(MAX_LINES) {
        lines.remove(&name);
    }
}

/// What shows a trouble that a rule found.
fn telling(reason: Reason) -> &'static [MetricType] {
    match reason {
        Reason::OomKilled => {
            &[MetricType::MemoryLimitRatio, MetricType::MemoryWorkingSet, MetricType::Restarts]
        }
        Reason::CrashLoopBackOff | Reason::RestartRhythm => {
            &[MetricType::Restarts, MetricType::ReplicasAvailable]
        }
        Reason::NodeNotReady | Reason::NodeFlapping | Reason::NodePressure => &[MetricType::NodeCondition],
        Reason::ImagePullBackOff
        | Reason::CreateContainerConfigError
        | Reason::Evicted
        | Reason::ProgressDeadlineExceeded
        | Reason::FailedScheduling
        | Reason::FailedCreate
        | Reason::Unavailable
        | Reason::ServiceWithoutEndpoints
        | Reason::ScaledToZero => &[MetricType::ReplicasAvailable, MetricType::Ready],
        Reason::ScalingLimited => &[MetricType::AutoscalerSaturation, MetricType::CpuRequestRatio],
        Reason::Exhaustion => {
            &[MetricType::MemoryLimitRatio, MetricType::VolumeUsage, MetricType::QuotaUsage]
        }
        Reason::BackoffLimitExceeded
        | Reason::Terminating
        | Reason::Deviation
        | Reason::Flatline
        | Reason::TelemetryMissing => &[],
    }
}

fn name(sample: &NormalizedMetric) -> String {
    let mut name = sample.object.name.to_string();
    let parts = [sample.container.as_deref(), sample.detail.as_deref()];
    for part in parts.into_iter().flatten().filter(|_| sample.object.kind != Kind::Deployment) {
        name.push(' ');
        name.push_str(part);
    }
    name
}
