//! Speed of the learners, one core. `bench/river.py` does the same work in River.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on should stop there")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kubewise_learn::adaptive_forest::{self, AdaptiveForest};
use kubewise_learn::adwin::{self, Adwin};
use kubewise_learn::half_space_trees::{self, HalfSpaceTrees};
use kubewise_learn::mersenne::Mersenne;

const POINTS: usize = 20_000;
const DIMENSIONS: usize = 8;

fn points(dimensions: usize) -> Vec<Vec<f64>> {
    let mut rng = Mersenne::new(7);
    (0..POINTS).map(|_| (0..dimensions).map(|_| rng.random()).collect()).collect()
}

/// Nine numbers; the class is whether two of them sum to more than a limit, which moves every 5,000 rows.
fn labelled() -> Vec<(Vec<f64>, u16)> {
    let mut rng = Mersenne::new(7);
    let limits = [0.8, 0.9, 0.7, 0.95];
    let row = |at: usize| {
        let row: Vec<f64> = (0..9).map(|_| rng.random()).collect();
        let label = (row[0] + row[1] > limits[at / 5000 % 4]) != (rng.random() < 0.1);
        (row, u16::from(label))
    };
    (0..POINTS).map(row).collect()
}

fn half_space_trees(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("half_space_trees");
    group.throughput(Throughput::Elements(POINTS as u64));
    let points = points(DIMENSIONS);
    for (trees, height) in [(10, 8), (25, 15)] {
        let options = half_space_trees::Options { trees, height, ..half_space_trees::Options::default() };
        let mut model = HalfSpaceTrees::new(options).unwrap();
        group.sample_size(20);
        group.bench_function(format!("{trees}x{height}"), |bencher| {
            bencher.iter(|| {
                points.iter().map(|point| model.score_and_learn(&point[..]).unwrap()).fold(0.0, f64::max)
            });
        });
    }
    group.finish();
}

fn adwin(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adwin");
    group.throughput(Throughput::Elements(POINTS as u64));
    let values: Vec<f64> = points(1).into_iter().flatten().collect();
    let mut model = Adwin::new(adwin::Options::default()).unwrap();
    group.bench_function("clock 32", |bencher| {
        bencher.iter(|| values.iter().filter(|value| model.update(**value).unwrap()).count());
    });
    group.finish();
}

fn adaptive_forest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adaptive_forest");
    group.throughput(Throughput::Elements(POINTS as u64)).sample_size(10);
    let rows = labelled();
    group.bench_function("10 trees", |bencher| {
        bencher.iter(|| {
            let mut model = AdaptiveForest::new(adaptive_forest::Options::new(9, 2, 42)).unwrap();
            for (row, label) in &rows {
                black_box(model.predict_and_learn(row, *label).unwrap());
            }
            model.drifts()
        });
    });
    group.finish();
}

criterion_group!(learners, half_space_trees, adwin, adaptive_forest);
criterion_main!(learners);
