//! Samples judged in a second, with 10,000 series.

mod fixture;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fixture::{Kept, add, sample};
use jiff::Timestamp;
use kubewise_core::metric::MetricType;
use kubewise_core::unit::Unit;
use kubewise_detector::{Detector, Observation, Options};

const PODS: usize = 2_500;
const MEASURES: [Kept; 4] = [
    (MetricType::CpuUsage, Unit::Cores, 0.25),
    (MetricType::CpuThrottling, Unit::Ratio, 0.05),
    (MetricType::MemoryWorkingSet, Unit::Bytes, 2e8),
    (MetricType::MemoryLimitRatio, Unit::Ratio, 0.6),
];

fn observe(criterion: &mut Criterion) {
    let mut detector = Detector::new(Options::default());
    (0..PODS).for_each(|number| add(&mut detector, number, Timestamp::UNIX_EPOCH));
    let each = |number| MEASURES.iter().map(move |one| sample(number, one, 0, Timestamp::UNIX_EPOCH));
    let mut samples: Vec<Observation> = (0..PODS).flat_map(each).collect();
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
