//! How many samples of a large answer are read in a second.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kubewise_core::{Period, Timestamp};
use kubewise_prometheus::{Bounds, default_catalogue, normalise};

const SERIES: usize = 100_000;

/// An answer as Prometheus writes it: 100 namespaces of 500 pods with two containers each.
fn answer(now: Timestamp) -> String {
    let mut text = String::from(r#"{"status":"success","data":{"resultType":"vector","result":["#);
    let time = now.as_millisecond() as f64 / 1000.0;
    for index in 0..SERIES {
        let (pod, container) = (index / 2, ["app", "istio-proxy"][index % 2]);
        let value = 1e8 + index as f64 * 4096.125;
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"metric":{{"container":"{container}","namespace":"team-{}","pod":"service-{pod}-7d4b9c6f5d-x2x9z"}},"value":[{time},"{value}"]}}"#,
            pod % 100,
        );
    }
    text.push_str("]}}");
    text
}

fn bench(criterion: &mut Criterion) {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a timestamp");
    let catalogue = default_catalogue();
    let query = catalogue.iter().find(|query| query.name == "container_memory").expect("in the catalogue");
    let bounds = Bounds { staleness: Period::from_mins(5), max_samples: SERIES };
    let body = answer(now);
    let read = || normalise(black_box(body.as_bytes()), query, &bounds, now).expect("readable");
    assert_eq!(read().samples.len(), SERIES);
    let mut group = criterion.benchmark_group("normalise");
    group.throughput(Throughput::Elements(SERIES as u64)).sample_size(20);
    group.bench_function("100,000 series", |bencher| bencher.iter(read));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
