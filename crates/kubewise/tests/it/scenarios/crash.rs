//! KubeWise dies in the middle of a repair and is started again.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::{Context, Result, ensure};
use kubewise_core::id::SagaId;
use kubewise_core::journal::JournalBody;
use kubewise_core::port::Journal;
use kubewise_sqlite::Sqlite;
use serde_json::Value;

use super::{own_installation, with_own};
use crate::installation::{END, Installation};
use crate::stage::{REPAIR, Stage, chapters, list, text};

/// Of a saga with one step that goes well.
const ENTRIES: [&str; 7] = ["opened", "prepared", "started", "succeeded", "verified", "verified", "closed"];

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

/// It is stopped between the entry and its act, for longer than the Lease lasts. Its successor, which was given the same
/// volume, does the repair; then it goes on, and may not act any more.
pub(super) fn stopped_beyond_its_lease(stage: &Stage<'_>) -> Result<()> {
    let installation = own_installation(stage)?;
    let old = installation.start_with(&[("KUBEWISE_CRASH_POINT", "stop:3")])?;
    let web = stage.workload("web");
    with_own(stage, &old, |stage| {
        stage.broken("web")?;
        stage.kubewise.await_stop(REPAIR)?;
        stage.untouched(&web, 2)
    })?;
    let successor = own_installation(stage)?;
    for part in ["kubewise.db", "kubewise.db-wal"] {
        fs::copy(installation.directory().join(part), successor.directory().join(part))?;
    }
    let new = successor.start()?;
    with_own(stage, &new, |stage| {
        stage.repaired(&web, "RolloutUndo")?;
        let before = stage.deployment(&web)?["metadata"].clone();
        let annotations = &before["annotations"];
        ensure!(annotations["deployment.kubernetes.io/revision"] == "3", "not one undo: {annotations:#}");
        ensure!(annotations["kubewise.dev/fence"] == "2", "not the successor's fence: {annotations:#}");
        old.signal("CONT")?;
        old.await_log(&["no longer the leader; the saga rests"], REPAIR)?;
        ensure!(old.terminate(END)?.success(), "the old one does not end in order");
        let after = stage.deployment(&web)?["metadata"].clone();
        ensure!(after == before, "written after it went on: {after:#}");
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
