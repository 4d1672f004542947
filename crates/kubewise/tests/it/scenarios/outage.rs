//! What KubeWise depends on goes away for a while.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use kubewise_testbed::Proxy;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::crash::check_journal;
use super::modes::as_account;
use super::{kubeconfig, own_installation, with_own};
use crate::installation::{END, poll};
use crate::stage::{PATIENCE, REPAIR, Stage, chapters, list, text, told};

/// Longer than from an incident to the act, and than the store's own patience.
const STORELESS: Duration = Duration::from_secs(20);
/// From the act until a repair is proven at the earliest: 30 s to the first verdict, 60 s to settle, and some more.
const WOULD_BE_PROVEN: Duration = Duration::from_secs(105);

pub(super) fn without_measurements_nothing_counts_as_repaired(stage: &Stage<'_>) -> Result<()> {
    let prometheus = Proxy::to(stage.cluster.prometheus_url().context("no Prometheus")?)?;
    let installation =
        own_installation(stage)?.flag("--prometheus", format!("http://{}", prometheus.address));
    let process = installation.start()?;
    with_own(stage, &process, |stage| {
        let web = stage.broken("web")?;
        stage.incident_if(&web, "acted upon", |incident| !chapters(incident, "Acted").is_empty())?;
        prometheus.cut();

        stage.rolled_out(&web)?; // it is well, only nobody can measure it
        thread::sleep(WOULD_BE_PROVEN);
        let incident = stage.records("incidents", &web)?.into_iter().next().context("no incident")?;
        ensure!(incident["status"] == "Repairing", "{}", told(&incident));
        let health = stage.kubewise.ask(&["status"])?["health"].clone();
        ensure!(health["dependencies"]["prometheus"]["status"] == "Unhealthy", "{health:#}");
        ensure!(health["status"] != "Healthy", "{health:#}");

        prometheus.mend();
        stage.repaired(&web, "RolloutUndo").map(drop)
    })
}

/// Held by another program, the store takes no entry: KubeWise can read what it did and note nothing.
pub(super) fn without_a_journal_nothing_is_done(stage: &Stage<'_>) -> Result<()> {
    let installation = own_installation(stage)?;
    let process = installation.start()?;
    let lock = || -> Result<Connection> {
        let other = Connection::open(installation.store())?;
        other.busy_timeout(PATIENCE)?;
        other.execute_batch("BEGIN IMMEDIATE")?;
        Ok(other)
    };
    with_own(stage, &process, |stage| {
        let web = stage.broken("web")?;
        let held = lock()?;
        stage.kubewise.await_log(&["incident opened", stage.namespace], REPAIR)?;
        thread::sleep(STORELESS);
        stage.untouched(&web, 2)?;
        drop(held);

        poll("the act once it can be noted", REPAIR, || {
            Ok((stage.deployment(&web)?["metadata"]["generation"] == 3).then_some(()))
        })?;
        let held = lock()?;
        thread::sleep(STORELESS);
        drop(held);
        poll("the store to be asked again", PATIENCE, || {
            Ok((stage.kubewise.get("/api/v1/incidents")?.0 == 200).then_some(()))
        })?;
        stage.repaired(&web, "RolloutUndo")?;
        ensure!(stage.deployment(&web)?["metadata"]["generation"] == 3, "not one undo");
        let actions = stage.records("actions", &web)?;
        let saga = actions.first().map(|action| text(&action["saga"])).context("no action")?;
        ensure!(stage.kubewise.terminate(END)?.success(), "it does not end in order");
        check_journal(&installation, &saga)
    })
}

pub(super) fn a_forbidden_account_is_told_and_tried_again(stage: &Stage<'_>) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), as_account(stage, "default")?.to_string())?;
    let installation = own_installation(stage)?.flag("--kubeconfig", file.path());
    let process = installation.start()?;
    with_own(stage, &process, |stage| {
        poll("the refusal to be told", PATIENCE, || {
            let health = stage.kubewise.ask(&["status"])?["health"].clone();
            ensure!(health["status"] != "Healthy", "without having seen anything: {health:#}");
            let said = text(&health["components"]["watch"]["message"]).contains("forbidden");
            Ok(said.then_some(()))
        })?;
        let (status, body) = stage.kubewise.get("/health")?;
        ensure!(body["status"] != "Healthy", "{status}: {body:#}");

        let subject = format!("--serviceaccount={}:default", stage.namespace);
        let binding =
            ["create", "clusterrolebinding", stage.namespace, "--clusterrole=cluster-admin", &subject];
        stage.cluster.kubectl(&binding)?;
        poll("the watch to work once it may", PATIENCE, || {
            let status = stage.kubewise.ask(&["status"])?;
            let watch = &status["health"]["components"]["watch"];
            Ok((watch["status"] == "Healthy" && status["workloads"] != 0).then_some(()))
        })
    })
}

pub(super) fn events_during_a_cut_are_neither_lost_nor_doubled(stage: &Stage<'_>) -> Result<()> {
    let mut config = kubeconfig(stage.cluster, stage.cluster.kubeconfig())?;
    let proxy = Proxy::to_api_server(stage.cluster)?;
    proxy.redirect(&mut config);
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), config.to_string())?;
    let installation = own_installation(stage)?.flag("--kubeconfig", file.path());
    let process = installation.start()?;
    with_own(stage, &process, |stage| {
        let web = stage.workload("web");
        stage.deploy(&web)?;
        stage.rolled_out(&web)?;
        let mut expected = BTreeSet::new();
        let object = &stage.deployment(&web)?["metadata"];
        let mut happen = |numbers: Range<u32>, count: u32| -> Result<()> {
            let events: Vec<Value> = numbers.clone().map(|number| event(object, number, count)).collect();
            stage.cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": events}).to_string())?;
            expected.extend(numbers.map(|number| format!("{number} × {count}")));
            Ok(())
        };
        happen(0..10, 1)?;
        poll("the first Events", PATIENCE, || Ok((seen(stage)?.len() == 10).then_some(())))?;

        proxy.cut();
        happen(5..10, 2)?;
        happen(10..30, 1)?;
        // The place where the watch stood is forgotten, so it cannot just go on.
        stage.cluster.compact()?;
        proxy.mend();
        happen(30..35, 1)?;

        let seen = poll("the Events during the cut", PATIENCE, || {
            Ok(Some(seen(stage)?).filter(|seen| seen.len() >= expected.len()))
        })?;
        let distinct: BTreeSet<String> = seen.iter().cloned().collect();
        ensure!(distinct == expected, "not {expected:?} but {distinct:?}");
        ensure!(seen.len() == expected.len(), "doubled: {seen:?}");
        Ok(())
    })
}

/// An Event about a Deployment: applied again with a higher count it has occurred again.
fn event(object: &Value, number: u32, count: u32) -> Value {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": format!("event-{number}"), "namespace": object["namespace"]},
        "involvedObject": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": object["name"],
            "namespace": object["namespace"],
            "uid": object["uid"],
        },
        "type": "Warning",
        "reason": "Rehearsed",
        "message": number.to_string(),
        "count": count,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": "rehearsal"},
    })
}

/// The Events above as KubeWise has them.
fn seen(stage: &Stage<'_>) -> Result<Vec<String>> {
    let path = format!("/api/v1/events?workload=deployment/{}/web&limit=500", stage.namespace);
    let (status, body) = stage.kubewise.get(&path)?;
    ensure!(status == 200, "{body}");
    let ours = list(&body["items"]).iter().filter(|event| event["reason"] == "Rehearsed");
    Ok(ours.map(|event| format!("{} × {}", text(&event["message"]), event["count"])).collect())
}
