//! Series that are off now: what a person reads of them, and whose they are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kubewise_core::anomaly::{Reason, Severity};
use kubewise_core::unit::Unit;
use kubewise_core::{ObjectRef, Period, quantity};
use kubewise_learn::scorer::{Feature, Verdict};

use crate::models::{Models, Opinion, Row};
use crate::series::SeriesKey;
use crate::symptom::{Measure, Symptom};
use crate::text;
use crate::work::Standstill;

/// What is known of some series, by workload, so that a workload's are found at once.
#[derive(Debug)]
pub(crate) struct ByWorkload<T>(BTreeMap<ObjectRef, BTreeMap<SeriesKey, T>>);

/// A series that left its level.
#[derive(Clone, Debug)]
pub(crate) struct Off {
    pub(crate) since: Timestamp,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    pub(crate) news: Verdict,
    pub(crate) threshold: f64,
    /// What the series looked like when it was first off: what a label will be about.
    pub(crate) row: Option<Row>,
    /// How far it was off then.
    pub(crate) size: f64,
    /// It is lower, not higher.
    pub(crate) is_fall: bool,
    /// It lasts or grew so that it is told whatever labels say.
    pub(crate) is_overdue: bool,
    /// It was told, if only once.
    pub(crate) was_told: bool,
}

/// A series that stands still.
#[derive(Clone, Debug)]
pub(crate) struct Still {
    pub(crate) stands: Standstill,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
    pub(crate) usual: f64,
    pub(crate) points: u32,
    /// The latest sample.
    pub(crate) time: Timestamp,
    /// Since when it stands for too long.
    pub(crate) told_at: Timestamp,
}

impl<T> Default for ByWorkload<T> {
    fn default() -> Self {
        ByWorkload(BTreeMap::new())
    }
}

impl<T> ByWorkload<T> {
    pub(crate) fn insert(&mut self, key: &SeriesKey, one: T) -> Option<T> {
        self.0.entry(key.workload.clone()).or_default().insert(key.clone(), one)
    }

    pub(crate) fn get(&self, key: &SeriesKey) -> Option<&T> {
        self.0.get(&key.workload)?.get(key)
    }

    pub(crate) fn remove(&mut self, key: &SeriesKey) -> Option<T> {
        let of_workload = self.0.get_mut(&key.workload)?;
        let one = of_workload.remove(key);
        if of_workload.is_empty() {
            self.0.remove(&key.workload);
        }
        one
    }

    /// In order of their keys.
    pub(crate) fn of(&self, workload: &ObjectRef) -> impl Iterator<Item = (&SeriesKey, &T)> {
        self.0.get(workload).into_iter().flatten()
    }
}

impl Off {
    pub(crate) fn opinion(&self, key: &SeriesKey, models: &Models) -> Opinion {
        self.row.as_ref().map_or(Opinion::Unsure, |row| models.opinion(&key.metric_type, row))
    }

    pub(crate) fn symptom(&self, key: &SeriesKey, opinion: Opinion) -> Symptom {
        let usual = self.news.expected;
        let text = format!(
            "{} {} {} {} since {:.0}, {} {} (a chance of about 1 in {}){}{}",
            key.metric_type.as_str().replace('_', " "),
            key.whose(),
            if self.is_fall { "fell to" } else { "is" },
            amount(self.value, self.unit),
            self.since,
            usually(self.news.feature),
            amount(usual, self.unit),
            odds(self.news.p),
            if self.is_fall { ", with replicas and revision as they were" } else { "" },
            if opinion == Opinion::Trouble { ", and others like it were called trouble" } else { "" }
        );
        let severity =
            if self.is_fall || self.unit == Unit::Ratio { Severity::Warning } else { Severity::Info };
        let mut symptom = Symptom::new(Reason::Deviation, &key.object, self.since, text)
            .severity(severity)
            .feature(key.metric_type.as_str(), self.value, Some(usual))
            .feature("chance", self.news.p, None);
        symptom.features.extend(self.row.iter().flat_map(Row::features));
        symptom.is_less = self.is_fall;
        about(symptom, key, self.news.score.max(self.threshold), self.threshold)
    }
}

impl Still {
    pub(crate) fn symptom(&self, key: &SeriesKey) -> Symptom {
        let Standstill { since, longest } = self.stands;
        let before = if longest == Period::ZERO {
            "no two samples were alike before".to_owned()
        } else {
            format!("it never stood for longer than {} before", text::whole(longest))
        };
        let text = format!(
            "{} {} stands still at {} since {since:.0}, usually about {}; {before}, in {} samples",
            key.metric_type.as_str().replace('_', " "),
            key.whose(),
            amount(self.value, self.unit),
            amount(self.usual, self.unit),
            self.points
        );
        let stood = Period::between(since, self.time).as_secs_f64();
        let symptom = Symptom::new(Reason::Flatline, &key.object, self.told_at, text)
            .severity(Severity::Warning)
            .feature(key.metric_type.as_str(), self.value, Some(self.usual))
            .feature("still_seconds", stood, Some(longest.as_secs_f64()))
            .feature("chance", 1.0 / f64::from(self.points.max(1)), None);
        let mut symptom = about(symptom, key, stood / (stood + longest.as_secs_f64()), 0.5);
        symptom.is_less = self.value < self.usual;
        symptom
    }
}

fn about(mut symptom: Symptom, key: &SeriesKey, score: f64, threshold: f64) -> Symptom {
    symptom.container = key.container.as_deref().map(Into::into);
    symptom.measure = Some(Measure { metric_type: key.metric_type.clone(), score, threshold });
    symptom
}

/// What the expectation rests on.
fn usually(feature: Feature) -> &'static str {
    match feature {
        Feature::Level => "usually",
        Feature::Season => "at this hour usually",
        Feature::Shift | Feature::Trend => "lately",
    }
}

/// The reciprocal of a chance, to its power of ten.
fn odds(p: f64) -> String {
    let power = -p.max(1e-9).log10();
    if power < 3.0 { format!("{:.0}", 1.0 / p.max(1e-9)) } else { format!("10^{power:.0}") }
}

fn amount(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => quantity::mebibytes(value),
        Unit::BytesPerSecond => format!("{}/s", quantity::mebibytes(value)),
        Unit::Cores => quantity::millicores(value),
        Unit::Ratio => format!("{:.0}%", value * 100.0),
        Unit::Seconds => format!("{value:.2}s"),
        Unit::Count => format!("{value:.0}"),
        Unit::PerSecond => format!("{value:.2}/s"),
    }
}
