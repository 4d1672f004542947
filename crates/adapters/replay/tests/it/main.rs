//! A history at the crate's face: files in, ports out.

mod catalogue;
mod fuzz;
mod ports;
mod reading;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use kubewise_core::metric::{MetricQuery, ObjectLabels};
use kubewise_core::{Kind, Period};
use kubewise_replay::{Error, History};
use tempfile::TempDir;

pub(crate) fn query(name: &str, metric_type: &str, unit: &str, detail: bool) -> MetricQuery {
    MetricQuery {
        name: name.into(),
        promql: name.into(),
        metric_type: metric_type.into(),
        unit: unit.parse().expect("a unit"),
        interval: Period::from_secs(30),
        labels: ObjectLabels {
            kind: Kind::Pod,
            namespace: Some("namespace".into()),
            name: "pod".into(),
            container: Some("container".into()),
            detail: detail.then(|| "reason".into()),
        },
    }
}

pub(crate) fn catalogue() -> Vec<MetricQuery> {
    vec![
        query("container_memory", "memory_working_set", "bytes", false),
        query("container_waiting", "waiting", "count", true),
        query("container_cpu", "cpu_usage", "cores", false),
        query("container_memory_of_limit", "memory_limit_ratio", "ratio", false),
    ]
}

/// Files by name, opened as one history.
pub(crate) fn open(files: &[(&str, &[u8])]) -> Result<(TempDir, Arc<History>), Error> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("written");
    }
    let history = History::open(&[folder.path().to_owned()], &catalogue())?;
    Ok((folder, Arc::new(history)))
}

/// What is said of a wrong file, without the folder.
pub(crate) fn complaint(name: &str, content: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join(name);
    fs::write(&path, content).expect("written");
    let error = History::open(&[path], &catalogue()).expect_err("wrong");
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}
