//! Observe writes nothing, propose waits for a person.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kubewise_testbed::Workload;
use serde_json::{Value, json};

use super::{installation, kubeconfig, with_own};
use crate::installation::{END, kubewise, poll};
use crate::stage::{PATIENCE, Stage, chapters, list, text};

/// After the plan is made; whatever else it would do comes at once.
const WATCHED: Duration = Duration::from_secs(20);

pub(super) fn an_approved_plan_repairs(stage: &Stage<'_>) -> Result<()> {
    let web = stage.broken("web")?;
    let id = proposed(stage, &web)?;
    let complaint = stage.kubewise.refused(&["approve", "p-000000000000"], 3)?;
    ensure!(complaint.contains("p-000000000000"), "{complaint}");
    // Without the token.
    let server = stage.kubewise.url();
    let output = kubewise().args(["approve", &id, "--server", &server]).output()?;
    ensure!(output.status.code() == Some(5), "{output:?}");

    let approved = stage.kubewise.ask(&["approve", &id, "--by", "ada"])?;
    ensure!(approved["id"] == *id && approved["decidedBy"] == "ada", "{approved:#}");
    let incident = stage.repaired(&web, "RolloutUndo")?;
    let approval = chapters(&incident, "Plan").iter().any(|text| text.contains("approved by ada"));
    ensure!(approval, "the story does not tell who approved");
    ensure!(stage.deployment(&web)?["metadata"]["generation"] == 3, "not one undo");
    stage.kubewise.refused(&["approve", &id], 6).map(drop)
}

pub(super) fn a_rejected_plan_does_nothing(stage: &Stage<'_>) -> Result<()> {
    let web = stage.broken("web")?;
    let id = proposed(stage, &web)?;

    let rejected = stage.kubewise.ask(&["reject", &id, "--reason", "we know of it"])?;
    ensure!(rejected["status"] == "Rejected", "{rejected:#}");
    let incident = stage.incident(&web, "HandedOver")?;
    let told = chapters(&incident, "Refused").iter().any(|text| text.contains("we know of it"));
    ensure!(told, "{incident:#}");
    stage.kubewise.refused(&["approve", &id], 6)?;
    stage.kubewise.refused(&["release", &text(&incident["id"]), "--reason", "nothing is stuck"], 6)?;
    thread::sleep(WATCHED);
    ensure!(stage.records("actions", &web)?.is_empty(), "something was done");
    stage.untouched(&web, 2)
}

/// Waits for the proposal, and checks that it is all there is: an Event and the Lease. The plan's id.
fn proposed(stage: &Stage<'_>, workload: &Workload) -> Result<String> {
    let incident = stage.incident(workload, "Proposed")?;
    let plan = stage.plan(&incident)?;
    ensure!(plan["status"] == "Proposed" && plan["mode"] == "propose", "{plan:#}");
    ensure!(plan["actions"][0]["action"]["name"] == "RolloutUndo", "{plan:#}");
    poll("the Event about the proposal", PATIENCE, || {
        let told = stage.told(workload)?;
        ensure!(told.iter().all(|reason| reason == "Proposed"), "{told:?}");
        Ok((!told.is_empty()).then_some(()))
    })?;
    let status = stage.kubewise.ask(&["status"])?;
    ensure!(status["leadership"]["state"] == "leading", "{}", status["leadership"]);
    stage.untouched(workload, 2)?;
    Ok(text(&plan["id"]))
}

pub(super) fn observing_writes_nothing(stage: &Stage<'_>) -> Result<()> {
    // It may not write, and is none the worse for it. It is the only one without a raised mode anywhere.
    let reader = reader(stage)?;
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), reader.to_string())?;
    let lease = stage.namespace;
    let installation =
        installation(stage.cluster, lease, std::iter::empty())?.flag("--kubeconfig", file.path());
    let process = installation.start()?;
    with_own(stage, &process, |stage| {
        let web = stage.broken("web")?;
        let plan = stage.plan_with(&web, "Observed")?;
        ensure!(plan["mode"] == "observe", "{plan:#}");
        ensure!(plan["actions"][0]["action"]["name"] == "RolloutUndo", "{plan:#}");
        thread::sleep(WATCHED);

        stage.untouched(&web, 2)?;
        ensure!(stage.told(&web)?.is_empty(), "an Event was written");
        ensure!(stage.records("actions", &web)?.is_empty(), "something was done");
        let leases = stage.cluster.kubectl(&["get", "leases", "-A", "-o", "name"])?;
        ensure!(!leases.contains(lease), "a Lease was written: {leases}");
        let status = stage.kubewise.ask(&["status"])?;
        ensure!(status["leadership"]["state"] == "notSought", "{}", status["leadership"]);
        // It never was refused a write, so it never tried one.
        ensure!(status["health"]["status"] == "Healthy", "{:#}", status["health"]);
        let ended = process.terminate(END)?;
        ensure!(ended.success(), "after SIGTERM: {ended}");
        Ok(())
    })?;
    an_annotation_raises_the_mode(stage)
}

/// Now that no observer is disturbed: every KubeWise heeds an annotation, so nothing but proposing may follow.
fn an_annotation_raises_the_mode(stage: &Stage<'_>) -> Result<()> {
    let mut idle = stage.workload("idle");
    idle.annotations.insert("kubewise.dev/mode".into(), "auto".into());
    stage.deploy(&idle)?;
    stage.known_healthy(&idle)?;
    stage.kubectl(&["scale", "deployment/idle", "--replicas=0"])?;

    // Auto, but what may have been meant is only ever proposed.
    let incident = stage.incident(&idle, "Proposed")?;
    let plan = stage.plan(&incident)?;
    ensure!(plan["mode"] == "propose", "{plan:#}");
    ensure!(plan["actions"][0]["action"]["name"] == "ScaleWorkload", "{plan:#}");
    stage.untouched(&idle, 2)
}

/// A kubeconfig of an account that may read everything and write nothing.
fn reader(stage: &Stage<'_>) -> Result<Value> {
    let namespace = stage.namespace;
    let named = |kind: &str, rest: Value| {
        let mut object = json!({"kind": kind, "metadata": {"name": namespace, "namespace": namespace}});
        if let (Some(object), Some(rest)) = (object.as_object_mut(), rest.as_object()) {
            object.extend(rest.clone());
        }
        object
    };
    let items = [
        named("ServiceAccount", json!({"apiVersion": "v1"})),
        named(
            "ClusterRole",
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}],
            }),
        ),
        named(
            "ClusterRoleBinding",
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace},
                "subjects": [{"kind": "ServiceAccount", "name": namespace, "namespace": namespace}],
            }),
        ),
    ];
    stage.cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
    as_account(stage, namespace)
}

/// The cluster's kubeconfig with the token of a service account of the stage's namespace.
pub(super) fn as_account(stage: &Stage<'_>, account: &str) -> Result<Value> {
    let token = stage.kubectl(&["create", "token", account])?;
    let mut config = kubeconfig(stage.cluster, stage.cluster.kubeconfig())?;
    let context = text(&config["current-context"]);
    let used = list(&config["contexts"]).iter().find(|one| one["name"] == *context);
    let user = used.map(|one| one["context"]["user"].clone()).context("no current context")?;
    let users = config["users"].as_array_mut().context("no users")?;
    for entry in users.iter_mut().filter(|entry| entry["name"] == user) {
        entry["user"] = json!({"token": token.trim()});
    }
    Ok(config)
}
