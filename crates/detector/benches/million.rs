//! Memory and speed with very many series: how many bytes each takes, all told, and whether a sample costs more when
//! there are more of them. Prints; criterion cannot measure memory.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod fixture;

use std::time::Instant;

use fixture::{Kept, add, sample};
use jiff::{SignedDuration, Timestamp};
use kubewise_core::metric::MetricType;
use kubewise_core::unit::Unit;
use kubewise_detector::{Detector, Observation, Options};

/// Of a container, as the default catalogue asks; one in seven grows towards a wall.
const MEASURES: [Kept; 7] = [
    (MetricType::CpuUsage, Unit::Cores, 0.25),
    (MetricType::CpuRequestRatio, Unit::Ratio, 0.5),
    (MetricType::CpuLimitRatio, Unit::Ratio, 0.2),
    (MetricType::CpuThrottling, Unit::Ratio, 0.05),
    (MetricType::MemoryWorkingSet, Unit::Bytes, 2e8),
    (MetricType::MemoryLimitRatio, Unit::Ratio, 0.6),
    (MetricType::MemoryTrend, Unit::BytesPerSecond, 0.0),
];
/// Half an hour of samples 30 s apart: every state is filled as far as it will be, but for the weekly profile.
const ROUNDS: u32 = 60;

fn main() {
    for series in [10_000, 100_000, 1_000_000] {
        let before = resident();
        let pods = series / MEASURES.len() + 1;
        let mut detector = Detector::new(Options::default());
        let mut now = Timestamp::from_second(1_700_000_000).unwrap();
        (0..pods).for_each(|number| add(&mut detector, number, now));
        let objects = resident();
        let rounds = if series > 500_000 { ROUNDS / 6 } else { ROUNDS };
        let mut samples = 0_u64;
        let mut spent = 0.0;
        for round in 0..rounds {
            now += SignedDuration::from_secs(30);
            for number in 0..pods {
                let batch: Vec<Observation> =
                    MEASURES.iter().map(|one| sample(number, one, round, now)).collect();
                let started = Instant::now();
                for observation in &batch {
                    let _ = detector.observe(observation, now);
                }
                spent += started.elapsed().as_secs_f64();
                samples += batch.len() as u64;
            }
        }
        let followed = detector.stats().series as f64;
        println!(
            "{followed:>9} series: {:>7.0} samples/s, {:>5.0} bytes a series, {:>6.0} MiB in all with {pods} pods",
            samples as f64 / spent,
            (resident() - objects) / followed,
            (resident() - before) / 1_048_576.0,
        );
    }
}

/// Bytes of this process in memory.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}
