//! A real Prometheus that holds twenty minutes of a small cluster's history.

use std::fmt::Write as _;

use anyhow::Result;
use kubewise_core::port::MetricSource as _;
use kubewise_core::{Rejection, Timestamp};
use kubewise_prometheus::default_catalogue;
use kubewise_testbed::Past;

use crate::{at, query, source, told};

/// Every series: its labels, its value at the start and its growth in a second.
const HISTORY: &str = include_str!("history.txt");

/// What the default catalogue makes of it.
const ANSWERS: &[(&str, &[&str])] = &[
    ("container_restarts", &["Pod shop/cart-1 app = 3", "Pod shop/cart-1 init = 1"]),
    (
        "container_waiting",
        &["Pod shop/cart-1 app CrashLoopBackOff = 1", "Pod shop/cart-2 init ImagePullBackOff = 1"],
    ),
    ("container_terminated", &["Pod shop/cart-1 app OOMKilled = 1"]),
    ("pod_ready", &["Pod shop/cart-1 = 0"]),
    ("container_cpu", &["Pod shop/cart-1 app = 0.25"]),
    ("container_cpu_of_request", &["Pod shop/cart-1 app = 2.5"]),
    ("container_cpu_of_limit", &["Pod shop/cart-1 app = 0.5"]),
    ("container_cpu_throttling", &["Pod shop/cart-1 app = 0.4"]),
    ("container_memory", &["Pod shop/cart-1 app = 2200000"]),
    ("container_memory_of_limit", &["Pod shop/cart-1 app = 0.55"]),
    ("container_memory_trend", &["Pod shop/cart-1 app = 1000"]),
    ("deployment_desired", &["Deployment shop/cart = 3"]),
    ("deployment_available", &["Deployment shop/cart = 1"]),
    ("statefulset_desired", &["StatefulSet shop/db = 2"]),
    ("statefulset_available", &["StatefulSet shop/db = 2"]),
    ("daemonset_desired", &["DaemonSet infra/agent = 5"]),
    ("daemonset_available", &["DaemonSet infra/agent = 4"]),
    ("autoscaler_saturation", &["HorizontalPodAutoscaler shop/cart = 0.9"]),
    ("node_condition", &["Node n1 DiskPressure = 0", "Node n1 Ready = 1"]),
    ("volume_usage", &["PersistentVolumeClaim shop/data-db-0 = 0.8"]),
    ("quota_usage", &["ResourceQuota shop/team pods = 0.95"]),
];

const SPAN: i64 = 20 * 60;
const STEP: usize = 30;

pub(crate) struct Running {
    past: Past,
    /// The time of the last sample.
    pub(crate) now: Timestamp,
}

impl Running {
    pub(crate) fn url(&self) -> &str {
        &self.past.url
    }
}

/// A Prometheus with the history; `None` where there is no Prometheus.
pub(crate) fn prometheus() -> Result<Option<Running>> {
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    Ok(Past::of(&history(now.as_second()))?.map(|past| Running { past, now }))
}

/// The history in OpenMetrics text, up to `end`, and two series that ended before.
fn history(end: i64) -> String {
    let mut text = String::new();
    let start = end - SPAN;
    for line in HISTORY.lines() {
        let mut parts = line.rsplitn(3, ' ');
        let mut number = || parts.next().and_then(|part| part.parse::<f64>().ok()).expect("a number");
        let (growth, first) = (number(), number());
        let name = parts.next().expect("a series");
        for time in (start..=end).step_by(STEP) {
            let _ = writeln!(text, "{name} {} {time}", first + growth * (time - start) as f64);
        }
    }
    for (pod, age) in [("recent", 120), ("old", 360)] {
        let _ = writeln!(text, "ended{{namespace=\"shop\",pod=\"{pod}\"}} 1 {}", end - age);
    }
    text.push_str("# EOF\n");
    text
}

#[tokio::test]
async fn the_default_catalogue_is_understood() -> Result<()> {
    let Some(prometheus) = prometheus()? else { return Ok(()) };
    let source = source(at(prometheus.url()))?;
    let catalogue = default_catalogue();
    let names: Vec<&str> = catalogue.iter().map(|query| query.name.as_str()).collect();
    assert_eq!(names, ANSWERS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (query, (name, expect)) in catalogue.iter().zip(ANSWERS) {
        let answer = source.sample(query, prometheus.now).await?;
        assert_eq!(told(&answer), *expect, "{name}");
        assert_eq!((answer.dropped.total(), answer.warnings.len()), (0, 0), "{name}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn its_own_message_is_shown_and_old_samples_are_not() -> Result<()> {
    let Some(prometheus) = prometheus()? else { return Ok(()) };
    let source = source(at(prometheus.url()))?;
    let ask = async |promql: &str| source.sample(&query(promql, "count"), prometheus.now).await;
    for (promql, expect) in [
        ("rate(", r#"bad_data: invalid parameter "query": 1:6: parse error: unclosed left parenthesis"#),
        ("kube_resourcequota * on (namespace) kube_pod_status_ready", "execution: found duplicate series"),
        ("ended[5m]", "the query gives a matrix"),
        ("'text'", "the query gives a string"),
    ] {
        let failure = ask(promql).await.expect_err(promql);
        assert!(
            failure.is(Rejection::Invalid) && failure.message().starts_with(expect),
            "{promql}: {failure}"
        );
    }
    assert_eq!(ask("scalar(ended)").await?.dropped.unidentified, 1);
    assert_eq!(told(&ask("ended").await?), ["Pod shop/recent = 1"], "six minutes are too old");
    Ok(())
}
