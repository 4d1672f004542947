//! The latest samples of each workload, for evidence and verification.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::{ObjectRef, Period, Timestamp};

/// Samples in all, about 150 bytes each; beyond, the workload that was silent the longest gives way.
const MOST: usize = 300_000;
/// Whether memory grows without an end shows over half an hour, at one sample in 30 s, however often it is asked for. Of
/// everything else the newest sample tells that it is measured.
const OF_MEMORY: usize = 60;
const APART: Period = Period::from_secs(30);
const OF_OTHERS: usize = 1;

#[derive(Debug, Default)]
pub(crate) struct Recent {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    workloads: BTreeMap<ObjectRef, BTreeMap<Series, VecDeque<NormalizedMetric>>>,
    samples: usize,
}

/// Object, container, type and detail.
type Series = (ObjectRef, Option<Arc<str>>, MetricType, Option<Arc<str>>);

impl Recent {
    pub(crate) fn add(&self, workload: &ObjectRef, sample: &NormalizedMetric) {
        let series = (
            sample.object.clone(),
            sample.container.clone(),
            sample.metric_type.clone(),
            sample.detail.clone(),
        );
        let most = if sample.metric_type == MetricType::MemoryWorkingSet { OF_MEMORY } else { OF_OTHERS };
        let mut kept = self.lock();
        let samples = kept.workloads.entry(workload.clone()).or_default().entry(series).or_default();
        let before = samples.len();
        // The newest is always kept, and stays only if it is far enough from the one before.
        if let (Some(older), Some(newest)) = (samples.iter().nth_back(1), samples.back())
            && APART.after(older.time) > newest.time
        {
            samples.pop_back();
        }
        samples.push_back(sample.clone());
        if samples.len() > most {
            samples.pop_front();
        }
        let more = samples.len() - before;
        kept.samples += more;
        if kept.samples > MOST {
            kept.forget_most_silent();
        }
    }

    /// Oldest first.
    pub(crate) fn of(&self, workload: &ObjectRef) -> Vec<NormalizedMetric> {
        let kept = self.lock();
        let series = kept.workloads.get(workload).into_iter().flat_map(BTreeMap::values);
        let mut samples: Vec<NormalizedMetric> = series.flatten().cloned().collect();
        samples.sort_by_key(|sample| sample.time);
        samples
    }

    /// Lets series go whose newest sample is older: their objects are gone.
    pub(crate) fn forget_before(&self, oldest: Timestamp) {
        let mut kept = self.lock();
        for series in kept.workloads.values_mut() {
            series.retain(|_, samples| samples.back().is_some_and(|sample| sample.time >= oldest));
        }
        kept.workloads.retain(|_, series| !series.is_empty());
        kept.samples = kept.workloads.values().flat_map(BTreeMap::values).map(VecDeque::len).sum();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget_most_silent(&mut self) {
        let newest = |series: &BTreeMap<Series, VecDeque<NormalizedMetric>>| {
            series.values().filter_map(VecDeque::back).map(|sample| sample.time).max()
        };
        let silent = self.workloads.iter().min_by_key(|(_, series)| newest(series));
        if let Some(silent) = silent.map(|(workload, _)| workload.clone())
            && let Some(series) = self.workloads.remove(&silent)
        {
            self.samples -= series.values().map(VecDeque::len).sum::<usize>();
        }
    }
}

#[cfg(test)]
mod tests {
    use kubewise_core::Kind;
    use kubewise_core::record::SchemaVersion;
    use kubewise_core::unit::Unit;

    use super::{MetricType, NormalizedMetric, ObjectRef, Period, Recent, Timestamp};

    #[test]
    fn half_an_hour_of_memory_is_kept_however_often_it_is_asked_for() {
        let workload = ObjectRef::namespaced(Kind::Deployment, "shop", "cart");
        for every in [5_u64, 30] {
            let recent = Recent::default();
            for step in 0..3600 / every {
                let sample = NormalizedMetric {
                    version: SchemaVersion::CURRENT,
                    time: Period::from_secs(step * every).after(Timestamp::UNIX_EPOCH),
                    metric_type: MetricType::MemoryWorkingSet,
                    unit: Unit::Bytes,
                    value: 1.0,
                    object: ObjectRef::namespaced(Kind::Pod, "shop", "cart-1"),
                    container: Some("app".into()),
                    detail: None,
                };
                recent.add(&workload, &sample);
            }
            let kept = recent.of(&workload);
            let (first, last) = (kept.first().unwrap().time, kept.last().unwrap().time);
            assert_eq!(
                last,
                Period::from_secs(3600 - every).after(Timestamp::UNIX_EPOCH),
                "the newest is there"
            );
            assert!(
                Period::between(first, last) >= Period::from_mins(29),
                "every {every} s: {first} to {last}"
            );
            assert!(kept.len() <= 60);
        }
    }
}
