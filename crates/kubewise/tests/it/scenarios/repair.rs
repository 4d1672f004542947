//! Known troubles, repaired in auto.

use anyhow::{Result, ensure};
use kubewise_testbed::{Behaviour, Workload};

use crate::stage::{Stage, list};

pub(super) fn a_crashing_revision_is_undone(stage: &Stage<'_>) -> Result<()> {
    // Without a readiness probe the new pods count as available until they crash, so the old ones go: only the
    // record of what was healthy leads back.
    let good = Workload { replicas: 2, ..stage.workload("web") };
    undone(stage, &good, &Workload { behaviour: Behaviour::Crash, ..good.clone() })
}

pub(super) fn a_bad_image_is_undone(stage: &Stage<'_>) -> Result<()> {
    let good = Workload { replicas: 2, ..stage.workload("web") };
    undone(stage, &good, &Workload { behaviour: Behaviour::BadImage, ..good.clone() })
}

pub(super) fn a_stuck_rollout_is_undone(stage: &Stage<'_>) -> Result<()> {
    let good = Workload { progress_deadline_seconds: 10, ..stage.workload("web") };
    undone(stage, &good, &Workload { behaviour: Behaviour::NeverReady, ..good.clone() })
}

fn undone(stage: &Stage<'_>, good: &Workload, bad: &Workload) -> Result<()> {
    stage.deploy(good)?;
    stage.known_healthy(good)?;
    let before = stage.deployment(good)?;
    stage.deploy(bad)?;

    stage.repaired(good, "RolloutUndo")?;
    let after = stage.deployment(good)?;
    ensure!(after["spec"]["template"] == before["spec"]["template"], "{:#}", after["spec"]["template"]);
    ensure!(after["metadata"]["generation"] == 3, "two rollouts and one undo: {}", after["metadata"]);
    ensure!(after["status"]["availableReplicas"] == good.replicas, "{}", after["status"]);
    Ok(())
}

pub(super) fn a_crash_without_an_earlier_revision_is_handed_over(stage: &Stage<'_>) -> Result<()> {
    let bad = Workload { behaviour: Behaviour::Crash, ..stage.workload("web") };
    stage.deploy(&bad)?;

    let incident = stage.incident(&bad, "HandedOver")?;
    let plan = stage.plan(&incident)?;
    ensure!(plan["disposition"] == "HandOver" && list(&plan["actions"]).is_empty(), "{plan:#}");
    ensure!(stage.records("actions", &bad)?.is_empty(), "something was done");
    let told = stage.told(&bad)?;
    ensure!(told.iter().any(|reason| reason == "HandedOver"), "{told:?}");
    stage.untouched(&bad, 1)
}

pub(super) fn a_limit_that_is_too_low_is_raised_once(stage: &Stage<'_>) -> Result<()> {
    // Half as much again would be 66 MiB; the cap of the settings is 64.
    let bad =
        Workload { behaviour: Behaviour::Memory(50), memory_limit_mebibytes: 44, ..stage.workload("hungry") };
    stage.deploy(&bad)?;

    stage.repaired(&bad, "SetResources")?;
    let deployment = stage.deployment(&bad)?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    ensure!(container["resources"]["limits"]["memory"] == "64Mi", "{container:#}");
    ensure!(deployment["metadata"]["generation"] == 2, "raised once: {}", deployment["metadata"]);
    let pods = stage.cluster.pods(&bad)?;
    let restarts: Vec<_> =
        pods.iter().map(|pod| &pod["status"]["containerStatuses"][0]["restartCount"]).collect();
    ensure!(restarts == [0], "it does not stay up: restarts {restarts:?}");
    Ok(())
}
