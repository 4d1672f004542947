//! A dump, read by the rules of the built-in catalogue, says what PromQL says of the same series.
//!
//! The same history and answers are put to a real Prometheus in the tests of its adapter.

use std::fmt::Write as _;
use std::fs;

use kubewise_core::metric::{MetricQuery, NormalizedMetric};
use kubewise_replay::History;
use serde::Deserialize;

/// Every series: its labels, its value at the start and its growth in a second.
const SERIES: &str = include_str!("../../../prometheus/tests/it/history.txt");

/// As they stand after twenty minutes.
const ANSWERS: &[&str] = &[
    "autoscaler_saturation HorizontalPodAutoscaler shop/cart = 0.9",
    "cpu_limit_ratio Pod shop/cart-1 app = 0.5",
    "cpu_request_ratio Pod shop/cart-1 app = 2.5",
    "cpu_throttling Pod shop/cart-1 app = 0.4",
    "cpu_usage Pod shop/cart-1 app = 0.25",
    "memory_limit_ratio Pod shop/cart-1 app = 0.55",
    "memory_trend Pod shop/cart-1 app = 1000",
    "memory_working_set Pod shop/cart-1 app = 2200000",
    "node_condition Node n1 DiskPressure = 0",
    "node_condition Node n1 Ready = 1",
    "quota_usage ResourceQuota shop/team pods = 0.95",
    "ready Pod shop/cart-1 = 0",
    "replicas_available DaemonSet infra/agent = 4",
    "replicas_available Deployment shop/cart = 1",
    "replicas_available StatefulSet shop/db = 2",
    "replicas_desired DaemonSet infra/agent = 5",
    "replicas_desired Deployment shop/cart = 3",
    "replicas_desired StatefulSet shop/db = 2",
    "restarts Pod shop/cart-1 app = 3",
    "restarts Pod shop/cart-1 init = 1",
    "terminated Pod shop/cart-1 app OOMKilled = 1",
    "volume_usage PersistentVolumeClaim shop/data-db-0 = 0.8",
    "waiting Pod shop/cart-1 app CrashLoopBackOff = 1",
    "waiting Pod shop/cart-2 init ImagePullBackOff = 1",
];

#[derive(Deserialize)]
struct Document {
    catalogue: Section,
}

#[derive(Deserialize)]
struct Section {
    queries: Vec<MetricQuery>,
}

#[test]
fn a_dump_says_what_promql_would() {
    const END: u32 = 1200;
    let text = include_str!("../../../prometheus/src/catalogue.toml");
    let document: Document = toml::from_str(text).expect("the built-in catalogue");
    let mut dump = String::new();
    for line in SERIES.lines() {
        let mut parts = line.rsplitn(3, ' ');
        let mut number = || parts.next().and_then(|part| part.parse::<f64>().ok()).expect("a number");
        let (growth, first) = (number(), number());
        let name = parts.next().expect("a series");
        for time in (0..=END).step_by(30) {
            let _ = writeln!(dump, "{name} {} {time}", first + growth * f64::from(time));
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("dump.om");
    fs::write(&path, dump).expect("written");
    let history = History::open(&[path], &document.catalogue.queries).expect("readable");
    let mut answers = Vec::new();
    let mut unanswered: Vec<&MetricQuery> = document.catalogue.queries.iter().collect();
    let line = |sample: &NormalizedMetric| {
        let named = [Some(sample.object.to_string().into()), sample.container.clone(), sample.detail.clone()];
        let named: Vec<_> = named.into_iter().flatten().collect();
        format!("{} {} = {}", sample.metric_type, named.join(" "), (sample.value * 1000.0).round() / 1000.0)
    };
    history
        .each_sample(|sample| {
            unanswered.retain(|query| {
                query.metric_type != sample.metric_type || query.labels.kind != sample.object.kind
            });
            if sample.time.as_second() == i64::from(END) {
                answers.push(line(sample));
            }
            true
        })
        .expect("readable");
    assert!(unanswered.is_empty(), "no recipe, or no series here: {unanswered:#?}");
    answers.sort();
    assert_eq!(answers, ANSWERS);
    assert_eq!(history.summary().unasked.len(), 0, "{:?}", history.summary().unasked);
}
