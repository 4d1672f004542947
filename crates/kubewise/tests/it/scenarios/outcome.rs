//! What becomes of a repair that does not work out.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kubewise_testbed::{Behaviour, Workload};
use serde_json::{Value, json};

use crate::installation::poll;
use crate::stage::{PATIENCE, REPAIR, Stage, chapters, list, text, told};

/// Half of it is how long a rollout excuses missing pods, so it is short.
const PROGRESS_DEADLINE: u32 = 20;
const MEMORY_LIMIT: &str = "/spec/template/spec/containers/0/resources/limits/memory";

pub(super) fn an_undo_that_does_not_help_is_kept(stage: &Stage<'_>) -> Result<()> {
    let good = Workload { progress_deadline_seconds: PROGRESS_DEADLINE, ..stage.workload("web") };
    stage.kubectl(&["create", "configmap", "settings", "--from-literal=key=value"])?;
    stage.deploy_as(&good, |manifest| {
        at_once(manifest);
        manifest["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
            json!([{"configMapRef": {"name": "settings"}}]);
    })?;
    stage.known_healthy(&good)?;
    let healthy = stage.deployment(&good)?["spec"]["template"].clone();
    // By now nothing can start from it; its replacement crashes all the same.
    stage.kubectl(&["delete", "configmap", "settings"])?;
    stage.deploy_as(&Workload { behaviour: Behaviour::Crash, ..good.clone() }, at_once)?;

    let incident = kept(stage, &good)?;
    let deployment = stage.deployment(&good)?;
    ensure!(deployment["spec"]["template"] == healthy, "the broken revision is back: {}", told(&incident));
    ensure!(deployment["metadata"]["generation"] == 3, "{}", deployment["metadata"]);
    Ok(())
}

pub(super) fn a_limit_that_does_not_help_is_kept(stage: &Stage<'_>) -> Result<()> {
    let bad = Workload {
        behaviour: Behaviour::Memory(300),
        progress_deadline_seconds: PROGRESS_DEADLINE,
        ..stage.workload("insatiable")
    };
    stage.deploy(&bad)?;

    let incident = kept(stage, &bad)?;
    let deployment = stage.deployment(&bad)?;
    let limit = deployment.pointer(MEMORY_LIMIT);
    ensure!(limit == Some(&json!("48Mi")), "the limit is {limit:?}: {}", told(&incident));
    ensure!(deployment["metadata"]["generation"] == 2, "{}", deployment["metadata"]);
    Ok(())
}

/// No pod of the old revision outlives a rollout, whatever becomes of the new one's.
fn at_once(manifest: &mut Value) {
    manifest["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}});
}

/// One action, no undo, and a person is told.
fn kept(stage: &Stage<'_>, workload: &Workload) -> Result<Value> {
    // A kill for memory may first show as a crash that nothing explains, which is handed over for the moment.
    let incident = poll("a repair that is handed over", REPAIR, || {
        let tried =
            |incident: &Value| incident["status"] == "HandedOver" && !list(&incident["actions"]).is_empty();
        Ok(stage.records("incidents", workload)?.into_iter().find(tried))
    })?;
    let actions = stage.records("actions", workload)?;
    ensure!(actions.len() == 1 && actions[0]["direction"] == "Act", "{actions:#?}");
    ensure!(chapters(&incident, "Undone").is_empty(), "{}", told(&incident));
    let reasons = stage.told(workload)?;
    ensure!(reasons.iter().any(|reason| reason == "HandedOver"), "{reasons:?}");
    Ok(incident)
}

pub(super) fn a_repair_that_harms_is_undone(stage: &Stage<'_>) -> Result<()> {
    let web = harmed(stage)?;
    let what = "rolled back";
    let incident = stage.incident_if(&web, what, |incident| !chapters(incident, "Undone").is_empty())?;
    poll("the plan to be rolled back", PATIENCE, || {
        Ok((stage.plan(&incident)?["status"] == "RolledBack").then_some(()))
    })?;

    // `kubectl rollout status` would give up at once: the deadline that the harmful rollout missed still stands there.
    let deployment = poll("three available pods", PATIENCE, || {
        let deployment = stage.deployment(&web)?;
        Ok((deployment["status"]["availableReplicas"] == 3).then_some(deployment))
    })?;
    let limit = deployment.pointer(MEMORY_LIMIT);
    ensure!(limit == Some(&json!("32Mi")), "the limit is {limit:?}: {}", told(&incident));
    ensure!(deployment["metadata"]["generation"] == 3, "one act, one undo: {}", deployment["metadata"]);
    let mut directions: Vec<String> = stage
        .records("actions", &web)?
        .iter()
        .map(|action| format!("{} {}", text(&action["direction"]), text(&action["status"])))
        .collect();
    directions.sort();
    ensure!(directions == ["Act Succeeded", "Undo Succeeded"], "{directions:?}");
    let reasons = stage.told(&web)?;
    ensure!(reasons.iter().any(|reason| reason == "Undone"), "{reasons:?}");
    Ok(())
}

pub(super) fn an_edit_between_act_and_undo_stays(stage: &Stage<'_>) -> Result<()> {
    let web = harmed(stage)?;
    // The same field, to another value that harms as well.
    stage.kubectl(&["set", "resources", "deployment/web", "--limits=memory=52Mi"])?;

    let incident = stage.incident(&web, "HandedOver")?;
    let left = chapters(&incident, "Undone");
    ensure!(left.iter().any(|text| text.contains("kubectl")), "who superseded it: {}", told(&incident));
    thread::sleep(Duration::from_secs(5)); // an undo would be sent by now
    let deployment = stage.deployment(&web)?;
    let limit = deployment.pointer(MEMORY_LIMIT);
    ensure!(limit == Some(&json!("52Mi")), "the limit is {limit:?}: {}", told(&incident));
    ensure!(deployment["metadata"]["generation"] == 3, "one act, one edit: {}", deployment["metadata"]);
    Ok(())
}

/// A Deployment of three, of which one pod was killed for memory once. Its limit was raised, and the cluster admits
/// no pod with the new one, so all of them are gone.
fn harmed(stage: &Stage<'_>) -> Result<Workload> {
    admit_no_pod_above(stage, "40Mi")?;
    let web = Workload { replicas: 3, progress_deadline_seconds: PROGRESS_DEADLINE, ..stage.workload("web") };
    stage.deploy_as(&web, |manifest| {
        at_once(manifest);
        // Told to, it takes more than it may, once: a new container has no such file.
        manifest["spec"]["template"]["spec"]["containers"][0]["command"] = json!([
            "/bin/sh",
            "-c",
            "while [ ! -e /tmp/eat ]; do sleep 0.2; done; \
             mkfifo /tmp/pipe; sleep 999999 </tmp/pipe & exec dd if=/dev/zero of=/tmp/pipe bs=300M"
        ]);
    })?;
    stage.known_healthy(&web)?;
    let pods = stage.cluster.pods(&web)?;
    let pod = pods.first().map(|pod| text(&pod["metadata"]["name"])).context("no pod")?;
    stage.kubectl(&["exec", &pod, "--", "touch", "/tmp/eat"])?;

    stage.incident_if(&web, "acted upon", |incident| !chapters(incident, "Acted").is_empty())?;
    let limit = stage.deployment(&web)?.pointer(MEMORY_LIMIT).cloned();
    ensure!(limit == Some(json!("48Mi")), "the limit is {limit:?}");
    Ok(web)
}

/// The API server refuses pods of the stage's namespace with a higher memory limit.
fn admit_no_pod_above(stage: &Stage<'_>, limit: &str) -> Result<()> {
    let name = stage.namespace;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
            ]},
            "validations": [{"expression": format!(
                "object.spec.containers.all(c, quantity(c.resources.limits['memory']).compareTo(quantity('{limit}')) <= 0)"
            )}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}},
        },
    });
    stage
        .cluster
        .apply(&json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}).to_string())?;
    // It takes effect a moment later.
    let probe = Workload { memory_limit_mebibytes: 64, ..stage.workload("probe") };
    let template = probe.manifest(stage.cluster.image())["spec"]["template"].clone();
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "namespace": name},
        "spec": template["spec"],
    });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), pod.to_string())?;
    let path = file.path().display().to_string();
    poll("the admission policy", PATIENCE, || {
        let tried = stage.kubectl(&["create", "--dry-run=server", "-f", &path]);
        Ok(tried.is_err_and(|error| error.to_string().contains("ValidatingAdmissionPolicy")).then_some(()))
    })?;
    ensure!(list(&policy["spec"]["validations"]).len() == 1, "one rule");
    Ok(())
}
