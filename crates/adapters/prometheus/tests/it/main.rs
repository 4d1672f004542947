//! The crate at its face: what is read from an answer, what is told when none comes, and a real Prometheus.

mod answers;
mod fuzz;
mod http;
mod options;
mod range;
mod real;
mod server;
mod tls;

use kubewise_core::metric::{MetricAnswer, MetricQuery, MetricType, ObjectLabels};
use kubewise_core::{Kind, Period};
use kubewise_prometheus::{Error, Options, Prometheus};

/// A source as a process would make it.
fn source(options: Options) -> Result<Prometheus, Error> {
    // The second test of the process finds the first one's provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Prometheus::new(options)
}

fn at(url: impl Into<String>) -> Options {
    Options { url: url.into(), ..Options::default() }
}

/// Asks for containers' waiting reasons, in `unit`.
fn query(promql: &str, unit: &str) -> MetricQuery {
    let label = |name: &str| Some(name.to_owned());
    MetricQuery {
        name: "example".into(),
        promql: promql.into(),
        metric_type: MetricType::Waiting,
        unit: unit.parse().expect("a unit"),
        interval: Period::from_secs(15),
        labels: ObjectLabels {
            kind: Kind::Pod,
            namespace: label("namespace"),
            name: "pod".into(),
            container: label("container"),
            detail: label("reason"),
        },
    }
}

/// One sample a line: object, container, detail, value.
fn told(answer: &MetricAnswer) -> Vec<String> {
    let mut lines: Vec<String> = answer
        .samples
        .iter()
        .map(|sample| {
            let named =
                [Some(sample.object.to_string().into()), sample.container.clone(), sample.detail.clone()];
            let named: Vec<_> = named.into_iter().flatten().collect();
            format!("{} = {}", named.join(" "), (sample.value * 1000.0).round() / 1000.0)
        })
        .collect();
    lines.sort();
    lines
}
