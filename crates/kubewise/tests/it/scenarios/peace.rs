//! What is not trouble.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use kubewise_testbed::{Behaviour, Workload};
use serde_json::json;

use crate::stage::Stage;

/// Beside other scenarios' troubles, longer than any rule's patience here.
const WATCHED: Duration = Duration::from_mins(1);

pub(super) fn healthy_workloads_are_left_alone(stage: &Stage<'_>) -> Result<()> {
    let steady = Workload { replicas: 2, ..stage.workload("steady") };
    let rolled = Workload { replicas: 2, ..stage.workload("rolled") };
    let scaled = stage.workload("scaled");
    let ample =
        Workload { behaviour: Behaviour::Memory(40), memory_limit_mebibytes: 64, ..stage.workload("ample") };
    for workload in [&steady, &rolled, &scaled, &ample] {
        stage.deploy(workload)?;
    }
    for workload in [&steady, &rolled, &scaled, &ample] {
        stage.known_healthy(workload)?;
    }

    stage.deploy_as(&rolled, |manifest| {
        manifest["spec"]["template"]["metadata"]["annotations"] = json!({"version": "2"});
    })?;
    stage.kubectl(&["scale", "deployment/scaled", "--replicas=3"])?;
    stage.rolled_out(&rolled)?;
    stage.rolled_out(&Workload { replicas: 3, ..scaled.clone() })?;
    stage.kubectl(&["scale", "deployment/scaled", "--replicas=1"])?;
    thread::sleep(WATCHED);

    for (workload, generation) in [(&steady, 1), (&rolled, 2), (&scaled, 3), (&ample, 1)] {
        for collection in ["anomalies", "incidents", "plans", "actions"] {
            let records = stage.records(collection, workload)?;
            ensure!(records.is_empty(), "{} has {collection}: {records:#?}", workload.name);
        }
        ensure!(stage.told(workload)?.is_empty(), "{} has Events by kubewise", workload.name);
        stage.untouched(workload, generation)?;
    }
    Ok(())
}
