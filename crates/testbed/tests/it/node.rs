use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kubewise_testbed::{Behaviour, Program, Tier, Workload, shared, wait_for};

/// Covers a container's start, two restarts and the scrape that sees them, on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

#[test]
fn workloads_fail_as_they_are_told_to() -> Result<()> {
    let Some(cluster) = shared(Tier::Node) else { return Ok(()) };
    let namespace = cluster.namespace("fail")?;
    let workload = |name, behaviour| Workload { behaviour, ..Workload::new(&namespace, name) };
    let healthy = Workload { replicas: 2, ..workload("healthy", Behaviour::Healthy) };
    let crash = workload("crash", Behaviour::Crash);
    let memory = workload("memory", Behaviour::Memory(48));
    let enough = Workload { memory_limit_mebibytes: 64, ..workload("enough", Behaviour::Memory(48)) };
    let image = workload("image", Behaviour::BadImage);
    let unready = workload("unready", Behaviour::NeverReady);
    for each in [&healthy, &crash, &memory, &enough, &image, &unready] {
        cluster.deploy(each)?;
    }

    cluster.await_rollout(&healthy)?;
    cluster.await_rollout(&enough)?;
    cluster.await_waiting_reason(&image, "ImagePullBackOff")?;
    cluster.await_waiting_reason(&crash, "CrashLoopBackOff")?;
    wait_for("an OOM kill", LIMIT, || {
        let pods = cluster.pods(&memory)?;
        let state = &pods.first().context("no pod")?["status"]["containerStatuses"][0];
        ensure!(state["lastState"]["terminated"]["reason"] == "OOMKilled", "{state}");
        Ok(())
    })?;
    wait_for("a pod that runs and is not ready", LIMIT, || {
        let pods = cluster.pods(&unready)?;
        let status = &pods.first().context("no pod")?["status"];
        ensure!(status["phase"] == "Running", "{status}");
        ensure!(status["containerStatuses"][0]["ready"] == false, "{status}");
        Ok(())
    })?;

    let main = |pods| format!("namespace='{namespace}',container='main',pod=~'{pods}.*'");
    let mebibyte = 1024 * 1024;
    for (series, expected) in [
        (
            format!(
                "kube_deployment_status_replicas_available{{namespace='{namespace}',deployment='healthy'}}"
            ),
            2.0,
        ),
        (
            format!(
                "kube_pod_container_status_waiting_reason{{{},reason='CrashLoopBackOff'}}",
                main("crash")
            ),
            1.0,
        ),
        (format!("count(container_memory_working_set_bytes{{{}}} > 45 * {mebibyte})", main("enough")), 1.0),
        (format!("container_spec_memory_limit_bytes{{{}}} / {mebibyte}", main("enough")), 64.0),
        (format!("count(rate(container_cpu_usage_seconds_total{{{}}}[20s]))", main("healthy")), 2.0),
    ] {
        wait_for(&series, LIMIT, || {
            let result = cluster.query(&series)?;
            let value = result.first().context("no series")?["value"][1].as_str().context("no value")?;
            ensure!(value.parse() == Ok(expected), "{value}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_paused_prometheus_answers_nothing_until_it_is_resumed() -> Result<()> {
    let Some(cluster) = shared(Tier::Node) else { return Ok(()) };
    let ask = || cluster.query("up == 1").map(|up| up.len());
    assert_eq!(ask()?, 5);
    cluster.pause(Program::Prometheus)?;
    let paused = ask();
    cluster.resume(Program::Prometheus)?;
    assert!(paused.is_err(), "{paused:?}");
    wait_for("Prometheus", LIMIT, || ask().map(drop))
}

#[test]
fn a_command_inside_reaches_a_pod() -> Result<()> {
    let Some(cluster) = shared(Tier::Node) else { return Ok(()) };
    let workload = Workload::new(&cluster.namespace("reach")?, "web");
    cluster.deploy(&workload)?;
    cluster.await_rollout(&workload)?;
    let pods = cluster.pods(&workload)?;
    let address = pods[0]["status"]["podIP"].as_str().context("the pod has no address")?;
    let output = cluster.command("busybox").args(["ping", "-c", "1", "-W", "5", address]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
