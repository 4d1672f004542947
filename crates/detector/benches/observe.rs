//! Samples judged in a second, with 10,000 series.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use kubewise_core::document::Document;
use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::port::WatchItem;
use kubewise_core::record::SchemaVersion;
use kubewise_core::unit::Unit;
use kubewise_core::{Kind, ObjectRef};
use kubewise_detector::{Detector, Observation, Options};
use serde_json::json;

const PODS: usize = 2_500;
const MEASURES: [(MetricType, Unit, f64); 4] = [
    (MetricType::CpuUsage, Unit::Cores, 0.25),
    (MetricType::CpuThrottling, Unit::Ratio, 0.05),
    (MetricType::MemoryWorkingSet, Unit::Bytes, 2e8),
    (MetricType::MemoryLimitRatio, Unit::Ratio, 0.6),
];

fn pods(detector: &mut Detector) {
    for number in 0..PODS {
        let (workload, set) = (format!("w{}", number / 5), format!("w{}-7d9f", number / 5));
        let owned = |kind: &str, name: &str, owner: &str, of: &str| {
            Document(json!({ "kind": kind, "metadata": {
                "name": name, "namespace": "shop", "uid": name,
                "ownerReferences": [{ "kind": owner, "name": of, "uid": of, "controller": true }],
            }}))
        };
        let pod = owned("Pod", &format!("{set}-{number}"), "ReplicaSet", &set);
        for document in [owned("ReplicaSet", &set, "Deployment", &workload), pod] {
            let state = document.state().expect("an object");
            let _ = detector
                .observe(&Observation::Watch(WatchItem::Applied(Box::new(state))), Timestamp::UNIX_EPOCH);
        }
    }
}

/// One scrape of everything.
fn scrape() -> Vec<Observation> {
    let sample = |number: usize, (metric_type, unit, value): &(MetricType, Unit, f64)| NormalizedMetric {
        version: SchemaVersion::CURRENT,
        object: ObjectRef::namespaced(Kind::Pod, "shop", format!("w{}-7d9f-{number}", number / 5)),
        container: Some("app".into()),
        detail: None,
        metric_type: metric_type.clone(),
        unit: *unit,
        value: value * (1.0 + 0.01 * (number % 7) as f64),
        time: Timestamp::UNIX_EPOCH,
    };
    let each = |number| MEASURES.iter().map(move |measure| Observation::Metric(sample(number, measure)));
    (0..PODS).flat_map(each).collect()
}

fn observe(criterion: &mut Criterion) {
    let mut detector = Detector::new(Options::default());
    pods(&mut detector);
    let mut samples = scrape();
    let mut round = 0;
    let mut group = criterion.benchmark_group("observe");
    group.throughput(Throughput::Elements(samples.len() as u64));
    group.bench_function("10,000 series", |bencher| {
        bencher.iter(|| {
            round += 15;
            let now = Timestamp::from_second(round).expect("a time");
            for observation in &mut samples {
                if let Observation::Metric(sample) = observation {
                    sample.time = now;
                }
                std::hint::black_box(detector.observe(observation, now));
            }
        });
    });
    group.finish();
    assert_eq!(detector.stats().series, PODS * MEASURES.len());
}

criterion_group!(benches, observe);
criterion_main!(benches);
