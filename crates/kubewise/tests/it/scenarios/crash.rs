//! KubeWise dies in the middle of a repair and is started again.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::{Context, Result, ensure};
use kubewise_core::id::SagaId;
use kubewise_core::journal::JournalBody;
use kubewise_core::port::Journal;
use kubewise_sqlite::Sqlite;
use kubewise_testbed::{Proxy, Write};
use serde_json::Value;

use super::{kubeconfig, own_installation, with_own};
use crate::installation::{END, Installation, Process, poll};
use crate::scoreboard::grant;
use crate::stage::{PATIENCE, REPAIR, Stage, chapters, list, text};

/// Of a saga with one step that goes well.
const ENTRIES: [&str; 7] = ["opened", "prepared", "started", "succeeded", "verified", "verified", "closed"];

/// The status with which a JSON Patch is answered whose tests do not hold.
const UNPROCESSABLE: u16 = 422;

/// Kills it at one point of the journal; the cluster must end as if nothing had been.
pub(super) fn crash(stage: &Stage<'_>, point: &str) -> Result<()> {
    dies(stage, point, |ended| ended.signal() == Some(9))
}

/// A loop of it panics: it ends by itself, to be started again, instead of going on without.
pub(super) fn panic(stage: &Stage<'_>) -> Result<()> {
    dies(stage, "panic:3", |ended| ended.code() == Some(1))
}

fn dies(stage: &Stage<'_>, point: &str, as_it_should: fn(&ExitStatus) -> bool) -> Result<()> {
    let installation = own_installation(stage)?;
    let process = installation.start_with(&[("KUBEWISE_CRASH_POINT", point)])?;
    with_own(stage, &process, |stage| {
        stage.broken("web")?;
        let ended = stage.kubewise.await_end(REPAIR)?;
        ensure!(as_it_should(&ended), "at {point}: {ended}");
        Ok(())
    })?;
    resume(stage, &installation)
}

/// Asks it to end in the middle of a repair.
pub(super) fn end(stage: &Stage<'_>) -> Result<()> {
    let installation = own_installation(stage)?;
    let process = installation.start()?;
    with_own(stage, &process, |stage| {
        let web = stage.broken("web")?;
        stage.incident_if(&web, "acted upon", |incident| !chapters(incident, "Acted").is_empty())?;
        let ended = stage.kubewise.terminate(END)?;
        ensure!(ended.success(), "after SIGTERM: {ended}");
        Ok(())
    })?;
    resume(stage, &installation)
}

/// It is stopped between the entry and its act, for longer than the Lease lasts. Its successor acts; then it goes on, and
/// may not act any more.
pub(super) fn stopped_beyond_its_lease(stage: &Stage<'_>) -> Result<()> {
    let installation = own_installation(stage)?;
    let old = stopped_before_its_act(stage, &installation)?;
    succeeded(stage, &installation, || {
        let web = stage.workload("web");
        stage.rolled_out(&web)?;
        let generation = || anyhow::Ok(stage.deployment(&web)?["metadata"]["generation"].clone());
        let before = generation()?;
        old.signal("CONT")?;
        old.await_log(&["no longer the leader; the saga rests"], REPAIR)?;
        ensure!(old.terminate(END)?.success(), "the old one does not end in order");
        ensure!(generation()? == before, "it wrote after it went on");
        Ok(())
    })
}

/// Its write is held on the way until its successor has acted, and has raised the fence by that: then it arrives, and the
/// API server refuses it.
pub(super) fn late_write(stage: &Stage<'_>) -> Result<()> {
    grant(stage.cluster)?;
    let proxy = Proxy::to_api_server(stage.cluster)?;
    let mut config = kubeconfig(stage.cluster, &stage.cluster.user_kubeconfig()?)?;
    proxy.redirect(&mut config);
    let installation = own_installation(stage)?;
    let file = installation.directory().join("kubeconfig");
    fs::write(&file, config.to_string())?;
    // A server gives up what its client gave up: so the worst is a client that still waits.
    let installation =
        installation.flag("--kubeconfig", &file).variable("KUBEWISE_KUBERNETES__TIMEOUT", "2m");
    let old = stopped_before_its_act(stage, &installation)?;
    proxy.hold();
    old.signal("CONT")?;
    succeeded(stage, &installation, || {
        ensure!(patches(stage)?.is_empty(), "it came through: {:?}", patches(stage)?);
        proxy.mend();
        let arrived = poll("the late write to arrive", PATIENCE, || {
            Ok(Some(patches(stage)?).filter(|statuses| !statuses.is_empty()))
        })?;
        ensure!(arrived == [UNPROCESSABLE], "the late write was answered with {arrived:?}");
        old.await_log(&["no longer the leader; the saga rests"], REPAIR)
    })
}

/// Started, and stopped as soon as it has journalled that it begins.
fn stopped_before_its_act(stage: &Stage<'_>, installation: &Installation) -> Result<Process> {
    let process = installation.start_with(&[("KUBEWISE_CRASH_POINT", "stop:3")])?;
    with_own(stage, &process, |stage| {
        let web = stage.broken("web")?;
        stage.kubewise.await_stop(REPAIR)?;
        stage.untouched(&web, 2)
    })?;
    Ok(process)
}

/// How the API server answered each write of the noted account to the stage's Deployment.
fn patches(stage: &Stage<'_>) -> Result<Vec<u16>> {
    let about_it = |write: &Write| write.namespace == stage.namespace && write.resource == "deployments";
    Ok(stage.cluster.writes()?.into_iter().filter(about_it).map(|write| write.status).collect())
}

/// A successor, which was given the same volume, acts. Then the `old` one does what it does, and nothing comes of it.
fn succeeded(stage: &Stage<'_>, former: &Installation, old: impl FnOnce() -> Result<()>) -> Result<()> {
    let web = stage.workload("web");
    let successor = own_installation(stage)?;
    for part in ["kubewise.db", "kubewise.db-wal"] {
        fs::copy(former.directory().join(part), successor.directory().join(part))?;
    }
    let new = successor.start()?;
    with_own(stage, &new, |stage| {
        stage.incident_if(&web, "acted upon", |incident| !chapters(incident, "Acted").is_empty())?;
        old()?;
        stage.repaired(&web, "RolloutUndo")?;
        let annotations = stage.deployment(&web)?["metadata"]["annotations"].clone();
        ensure!(annotations["deployment.kubernetes.io/revision"] == "3", "not one undo: {annotations:#}");
        ensure!(annotations["kubewise.dev/fence"] == "2", "not the successor's fence: {annotations:#}");
        ensure!(stage.kubewise.terminate(END)?.success(), "the new one does not end in order");
        Ok(())
    })
}

/// Starts it again: the repair goes on, and nothing is done twice.
fn resume(stage: &Stage<'_>, installation: &Installation) -> Result<()> {
    let web = stage.workload("web");
    let process = installation.start()?;
    with_own(stage, &process, |stage| {
        stage.repaired(&web, "RolloutUndo")?;
        // Each new template is a further revision, whoever writes it.
        let annotations = stage.deployment(&web)?["metadata"]["annotations"].clone();
        ensure!(annotations["deployment.kubernetes.io/revision"] == "3", "not one undo: {annotations:#}");
        let label = format!("app={}", web.name);
        let sets: Value =
            serde_json::from_str(&stage.kubectl(&["get", "replicasets", "-l", &label, "-o", "json"])?)?;
        ensure!(list(&sets["items"]).len() == 2, "two templates, not more: {sets:#}");
        let actions = stage.records("actions", &web)?;
        let saga = actions.first().map(|action| text(&action["saga"])).context("no action")?;
        ensure!(stage.kubewise.terminate(END)?.success(), "it does not end in order");
        check_journal(installation, &saga)
    })
}

/// Every entry once; only what was sent without an answer may be sent again.
pub(super) fn check_journal(installation: &Installation, saga: &str) -> Result<()> {
    let options = kubewise_sqlite::Options { path: installation.store() };
    let store = Sqlite::open(&options)?;
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entries = executor.block_on(store.read(&SagaId::from(saga)))?;
    let mut names = Vec::new();
    for entry in &entries {
        let again = matches!(entry.body, JournalBody::Started { attempt, .. } if attempt > 1);
        if !again {
            names.push(text(&serde_json::to_value(&entry.body)?["entry"]));
        }
    }
    ensure!(names == ENTRIES, "{names:?}");
    Ok(())
}
