use std::time::Duration;

use anyhow::{Result, ensure};
use kubewise_testbed::{Cluster, Options, Program, Tier, Workload, for_test, wait_for};

use crate::ownership::Traces;

#[test]
fn controllers_work_and_a_dropped_cluster_leaves_nothing() -> Result<()> {
    let Some(cluster) = for_test(Options::new(Tier::ControlPlane)) else { return Ok(()) };
    let traces = Traces::of(cluster.kubeconfig());
    assert!(!traces.found().is_empty(), "a running cluster must be seen");

    a_deployment_gets_its_pods(&cluster)?;
    a_compaction_ends_old_watches_on_events(&cluster)?;
    a_killed_apiserver_comes_back_with_its_objects(&cluster)?;
    a_program_that_cannot_start_is_named_with_its_log(&cluster)?;

    drop(cluster);
    assert_eq!(traces.found(), Vec::<String>::new());
    Ok(())
}

fn a_deployment_gets_its_pods(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("plane")?;
    let workload = Workload { replicas: 2, ..Workload::new(&namespace, "web") };
    cluster.deploy(&workload)?;
    wait_for("two pods", Duration::from_secs(20), || {
        let pods = cluster.pods(&workload)?;
        ensure!(pods.len() == 2, "{} pods", pods.len());
        ensure!(pods.iter().all(|pod| pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"));
        Ok(())
    })
}

fn a_compaction_ends_old_watches_on_events(cluster: &Cluster) -> Result<()> {
    let list = cluster.kubectl(&["get", "--raw", "/api/v1/events?limit=1"])?;
    let list: serde_json::Value = serde_json::from_str(&list)?;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let watch = format!("/api/v1/events?watch=1&timeoutSeconds=1&resourceVersion={version}");
    let answer = cluster.kubectl(&["get", "--raw", &watch])?;
    ensure!(!answer.contains("\"code\":410"), "the history is still there: {answer}");

    cluster.namespace("later")?;
    cluster.compact()?;
    let answer = cluster.kubectl(&["get", "--raw", &watch])?;
    ensure!(answer.contains("\"code\":410"), "expected 410 Gone, got {answer}");
    Ok(())
}

fn a_killed_apiserver_comes_back_with_its_objects(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("kept")?;
    cluster.kill(Program::ApiServer)?;
    ensure!(cluster.get(&namespace, "serviceaccount/default").is_err(), "a dead apiserver answered");
    cluster.revive(Program::ApiServer)?;
    cluster.get(&namespace, "serviceaccount/default").map(drop)
}

fn a_program_that_cannot_start_is_named_with_its_log(cluster: &Cluster) -> Result<()> {
    cluster.kill(Program::Etcd)?;
    let state = cluster.log(Program::Etcd)?.with_file_name("../etcd/member");
    std::fs::remove_dir_all(&state)?;
    std::fs::write(&state, "not a directory")?;
    let error = cluster.revive(Program::Etcd).expect_err("etcd started without its directory").to_string();
    ensure!(error.starts_with("etcd ended with ") && error.contains("not a directory"), "{error}");
    Ok(())
}
