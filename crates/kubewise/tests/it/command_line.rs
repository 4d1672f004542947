//! What the program says and how it ends, before there is any trouble in a cluster.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kubewise_sqlite::Sqlite;
use serde_json::Value;

use crate::installation::{END, Installation, kubewise, poll};

/// What takes no time at all, on a busy machine.
const SOON: Duration = Duration::from_mins(1);
/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Ends with this exit code, and says all of this.
fn check_refused(output: &Output, code: i32, said: &[&str]) {
    let complaint = complaint(output);
    assert_eq!(output.status.code(), Some(code), "{complaint}");
    for words in said {
        assert!(complaint.contains(words), "`{words}` is not in:\n{complaint}");
    }
}

#[test]
fn every_fault_of_the_configuration_is_told_at_once() -> Result<()> {
    let installation = Installation::new(
        "[policy]\nmod = \"auto\"\ncooldown = \"10 parsecs\"\n\n[runtime.queues]\nsamples = \"many\"\n\n[polisy]\nmode = \"auto\"\n",
    )?
    .variable("KUBEWISE_POLICY__MAX_ATTEMPS", "3")
    .variable("KUBEWISE_PORT_8470_TCP", "tcp://10.0.0.7:8470");
    let said = [
        "kubewise.toml:2:1: policy.mod: unknown key; did you mean `mode`?",
        "kubewise.toml:3:12: policy.cooldown: `10 parsecs` is not a duration",
        "kubewise.toml:6:11: runtime.queues.samples",
        "kubewise.toml:8:2: polisy: unknown key; did you mean `policy`?",
        "KUBEWISE_POLICY__MAX_ATTEMPS: policy.max_attemps: unknown key; did you mean `max_attempts`?",
        "5 faults",
    ];
    check_refused(&output(&installation)?, 2, &said);
    let mut check = installation.run();
    let check = kubewise()
        .current_dir(installation.directory())
        .args(["config", "check", "--config", "kubewise.toml"])
        .envs(check.env("X", "").get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()?;
    check_refused(&check, 2, &said);
    ensure!(!installation.store().exists(), "a store was made");
    Ok(())
}

#[test]
fn a_faulty_playbook_is_refused_where_it_is_wrong() -> Result<()> {
    let installation = Installation::new("[playbooks]\ndirectory = \"playbooks\"\n")?;
    let directory = installation.directory().join("playbooks");
    fs::create_dir(&directory)?;
    fs::write(
        directory.join("mine.yaml"),
        "name: mine\ndescription: Mine.\nreasons: [CrashLoopBackOff]\nwhen: [\"revision.toBlam\"]\n\
         candidates: [{action: HandOver, parameters: {reason: r}}]\nrootCause: none\nreasoning: none\n",
    )?;
    check_refused(&output(&installation)?, 2, &["mine.yaml:4", "toBlam"]);
    Ok(())
}

/// As the kubelet lays it out: each key a link into a directory that changes as a whole.
#[test]
fn playbooks_come_from_a_mounted_config_map() -> Result<()> {
    let mount = tempfile::tempdir()?;
    fs::create_dir(mount.path().join("..2026_11_26"))?;
    fs::write(
        mount.path().join("..2026_11_26/mine.yaml"),
        "name: mine\ndescription: Mine.\nreasons: [CrashLoopBackOff]\n\
         candidates: [{action: HandOver, parameters: {reason: r}}]\nrootCause: none\nreasoning: none\n",
    )?;
    symlink("..2026_11_26", mount.path().join("..data"))?;
    symlink("..data/mine.yaml", mount.path().join("mine.yaml"))?;
    let explain =
        kubewise().args(["playbook", "explain", "mine", "--directory"]).arg(mount.path()).output()?;
    ensure!(explain.status.success(), "{}", complaint(&explain));
    let told = String::from_utf8(explain.stdout)?;
    ensure!(told.contains("Mine."), "{told}");
    Ok(())
}

#[test]
fn secrets_are_not_printed() -> Result<()> {
    let token = "correct-horse-battery-staple";
    let printed = kubewise().args(["config", "print"]).env("KUBEWISE_TOKEN", token).output()?;
    ensure!(printed.status.success(), "{}", complaint(&printed));
    let text = String::from_utf8(printed.stdout)?;
    ensure!(text.contains("token") && !text.contains(token), "{text}");
    Ok(())
}

#[test]
fn wrong_usage_and_an_absent_server_have_their_exit_codes() -> Result<()> {
    check_refused(&kubewise().args(["rum"]).output()?, 2, &["run"]);
    check_refused(&kubewise().args(["status", "--server", NOWHERE]).output()?, 4, &[NOWHERE]);
    Ok(())
}

#[test]
fn a_store_that_cannot_be_trusted_is_refused_and_left_as_it_is() -> Result<()> {
    let installation = lonely()?;
    let process = installation.start()?;
    check_refused(&output(&installation)?, 2, &["locked by another KubeWise"]);
    ensure!(process.terminate(END)?.success(), "it does not end in order");

    // Opened and closed, so that all of it is in one file.
    drop(Sqlite::open(&kubewise_sqlite::Options { path: installation.store() })?);
    let log = installation.store().with_extension("db-wal");
    poll("the store to be closed", SOON, || Ok((!log.exists()).then_some(())))?;
    let sound = fs::read(installation.store())?;
    let with = |place: usize, bytes: &[u8]| {
        let mut store = sound.clone();
        store[place..place + bytes.len()].copy_from_slice(bytes);
        store
    };
    let newer = with(60, &99_u32.to_be_bytes()); // where SQLite keeps the schema's version
    let damaged = with(0, b"not a database!!");
    for (bytes, said) in [(newer, "newer KubeWise"), (damaged, "damaged")] {
        fs::write(installation.store(), &bytes)?;
        check_refused(&output(&installation)?, 2, &["kubewise.db", said]);
        ensure!(fs::read(installation.store())? == bytes, "{said}: the store was written");
    }
    Ok(())
}

#[test]
fn with_nothing_to_talk_to_it_stays_up_and_calls_nothing_healthy() -> Result<()> {
    let installation = lonely()?;
    let process = installation.start()?;
    let health = poll("both failures to be told", SOON, || {
        let (status, health) = process.get("/health")?;
        ensure!(health["status"] != "Healthy", "{status}: {health:#}");
        let told = |part: &str| {
            let dependency = &health["dependencies"][part];
            dependency["status"] != "Unknown" && dependency["message"] != ""
        };
        Ok((told("prometheus") && told("kubernetes")).then_some((status, health.clone())))
    })?;
    assert_eq!(health.0, 503, "{:#}", health.1);
    let shown = String::from_utf8(process.client(&["status"])?.stdout)?;
    for part in ["prometheus", "kubernetes"] {
        ensure!(shown.to_lowercase().contains(part), "{part} is not in\n{shown}");
    }
    let status: Value = process.ask(&["status"])?;
    ensure!(status["queries"].as_array().is_some_and(|all| all.iter().any(|one| one["error"].is_string())));
    ensure!(process.get("/livez")?.0 == 200, "it is alive");
    ensure!(process.get("/readyz")?.0 == 503, "it is not ready");
    ensure!(process.terminate(END)?.success(), "it does not end in order");
    Ok(())
}

/// Of a `kubewise run` that ends by itself; one that stays is ended, which shows in the exit code.
fn output(installation: &Installation) -> Result<Output> {
    let run = installation.run();
    let mut limited = Command::new("timeout");
    limited.arg(SOON.as_secs().to_string()).arg(run.get_program()).args(run.get_args()).env_clear();
    limited.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = run.get_current_dir() {
        limited.current_dir(directory);
    }
    Ok(limited.output()?)
}

/// Neither a cluster nor Prometheus.
fn lonely() -> Result<Installation> {
    Ok(Installation::new("[runtime.resilience.breaker]\nopen_for = \"5s\"\n")?
        .flag("--prometheus", NOWHERE)
        .flag("--poll-interval", "1s"))
}

/// Crash points would be a way to end it from outside.
#[test]
fn releases_are_built_without_crash_points() -> Result<()> {
    let workspace: toml::Table = include_str!("../../../../Cargo.toml").parse()?;
    let release = workspace["profile"]["release"].as_table().context("no release profile")?;
    ensure!(!release.contains_key("debug-assertions"), "they are compiled in under debug assertions");
    let main = include_str!("../../src/main.rs");
    ensure!(main.contains("#[cfg(debug_assertions)]\nmod crash_points;"), "they are compiled in everywhere");
    Ok(())
}

/// As `kubewise config print | head -1` does.
#[test]
fn a_reader_that_goes_away_ends_it_quietly() -> Result<()> {
    let mut child =
        kubewise().args(["config", "print"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    let complaint = String::from_utf8(output.stderr)?;
    ensure!(complaint.is_empty() && output.status.code() == Some(141), "{}: {complaint}", output.status);
    Ok(())
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() -> Result<()> {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    let output = kubewise().args(["config", "print"]).stdout(full).output()?;
    check_refused(&output, 1, &["standard output: ", "No space left"]);
    Ok(())
}
