//! The history of the catalogue's queries, from Prometheus into files.
//!
//! Files, since a week of a cluster does not fit into memory: each query's answers are in order of time and go to a
//! file of their own, which is then streamed. Whose a pod is, is asked as well: nothing else tells it here.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use kubewise_core::metric::{MetricQuery, ObjectLabels};
use kubewise_core::unit::{SourceUnit, Unit};
use kubewise_core::{Failure, Kind, Period, Rejection};
use kubewise_prometheus::{Options, Prometheus};
use kubewise_replay::SampleFile;

use crate::backtest::Window;
use crate::exit::{Ended, Exit};

/// A range query reads thousands of times what an instant query does.
const PATIENCE: Period = Period::from_mins(2);
/// Owners do not change; within this a pod is seen, since the query looks back as far.
const OWNERS_EVERY: Period = Period::from_mins(5);

pub(crate) fn fetch(
    options: &Options,
    catalogue: &[MetricQuery],
    window: Window,
    folder: &Path,
) -> Result<()> {
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    executor.context("the executor cannot start")?.block_on(all(options, catalogue, window, folder))
}

async fn all(options: &Options, catalogue: &[MetricQuery], window: Window, folder: &Path) -> Result<()> {
    let options = Options { timeout: options.timeout.max(PATIENCE), ..options.clone() };
    let prometheus = Prometheus::new(options)
        .map_err(|error| Ended::error(Exit::Usage, kubewise_core::failure::chain(&error)))?;
    let queries: Vec<_> = owners().into_iter().chain(catalogue.iter().cloned()).collect();
    let bar = ProgressBar::new(queries.len() as u64);
    let style = ProgressStyle::with_template("fetching {wide_bar} {msg} {pos}/{len}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    for (number, query) in queries.iter().enumerate() {
        bar.set_message(query.name.clone());
        let path = folder.join(format!("{number:03}.csv.gz"));
        let mut file = SampleFile::create(&path)?;
        let mut range = prometheus.range(query, window.since, window.until, query.interval);
        let mut owned = BTreeSet::new();
        while let Some(answer) = range.next().await.map_err(|failure| refused(query, &failure))? {
            for sample in &answer.samples {
                // An owner once is enough.
                if query.metric_type.as_str() != "owner" || owned.insert(sample.object.clone()) {
                    file.write(sample)?;
                }
            }
        }
        file.finish()?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

fn refused(query: &MetricQuery, failure: &Failure) -> anyhow::Error {
    let exit = match failure {
        Failure::Unavailable { .. } | Failure::Unknown { .. } | Failure::RateLimited { .. } => {
            Exit::Unreachable
        }
        Failure::Rejected { reason: Rejection::Forbidden, .. } => Exit::Forbidden,
        Failure::Rejected { .. } => Exit::Failed,
    };
    Ended::error(exit, format!("Prometheus, asked for {}: {failure}", query.name))
}

/// Who owns pods and what owns them, as kube-state-metrics tells it.
fn owners() -> Vec<MetricQuery> {
    let owners = [
        (Kind::Pod, "kube_pod_owner", "pod"),
        (Kind::ReplicaSet, "kube_replicaset_owner", "replicaset"),
        (Kind::Job, "kube_job_owner", "job_name"),
    ];
    let query = |(kind, metric, name): (Kind, &str, &str)| MetricQuery {
        name: metric.into(),
        promql: format!(
            "label_join(max by (namespace, {name}, owner_kind, owner_name) \
             (last_over_time({metric}{{owner_kind!=\"\",owner_kind!=\"<none>\"}}[5m])), \
             \"owner\", \"/\", \"owner_kind\", \"owner_name\")"
        ),
        metric_type: "owner".into(),
        unit: SourceUnit { base: Unit::Count, factor: 1.0 },
        interval: OWNERS_EVERY,
        labels: ObjectLabels {
            kind,
            namespace: Some("namespace".into()),
            name: name.into(),
            container: None,
            detail: Some("owner".into()),
        },
    };
    owners.map(query).into()
}
