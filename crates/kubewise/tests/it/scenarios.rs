//! Trouble on a real cluster, and what KubeWise makes of it.
//!
//! What kinds of failure are repaired, and how, is told in `scenarios/`; here is what needs a hand on KubeWise itself, a
//! person's word, or a look at its records.
//!
//! Crash-loop back-off and verification take real minutes, so all scenarios run at once, each in a namespace of its
//! own. Most share one KubeWise, which observes except where its configuration says more. Those that kill it or cut
//! it off have their own, which observes everywhere but in their namespace and has its own Lease.

mod crash;
mod modes;
mod outage;
mod outcome;

use std::fmt::Write as _;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, ensure};
use kubewise_testbed::{Cluster, Tier, shared};
use serde_json::{Value, json};

use crate::installation::{Installation, Process};
use crate::stage::Stage;

/// Runs only the scenarios whose name contains the text.
const FILTER: &str = "KUBEWISE_SCENARIO";

/// All kinds of trouble at once on one node would rightly be a storm. Grace times are short, since nothing here
/// passes by itself; verification and back-off are as in production. The cap is for `OOM`.
pub(crate) const SETTINGS: &str = r#"
[policy]
max_running = 100
disruption_budget = 100
storm_minimum = 1000
memory_limit_cap_bytes = 67108864

[runtime.workers]
execute = 100

[detector.rules]
image_pull_grace = "5s"
scaled_to_zero_grace = "5s"
healthy_after = "5s"
"#;

struct Scenario {
    name: &'static str,
    /// Of the shared KubeWise in the scenario's namespace.
    mode: &'static str,
    play: fn(&Stage<'_>) -> Result<()>,
}

const fn scenario(name: &'static str, mode: &'static str, play: fn(&Stage<'_>) -> Result<()>) -> Scenario {
    Scenario { name, mode, play }
}

const SCENARIOS: &[Scenario] = &[
    scenario("approve", "propose", modes::an_approved_plan_repairs),
    scenario("reject", "propose", modes::a_rejected_plan_does_nothing),
    scenario("observe", "observe", modes::observing_writes_nothing),
    scenario("no-help-undo", "auto", outcome::an_undo_that_does_not_help_is_kept),
    scenario("no-help-limit", "auto", outcome::a_limit_that_does_not_help_is_kept),
    scenario("harm", "auto", outcome::a_repair_that_harms_is_undone),
    scenario("edit", "auto", outcome::an_edit_between_act_and_undo_stays),
    scenario("prometheus-stopped", "observe", outage::without_measurements_nothing_counts_as_repaired),
    scenario("watch-cut", "observe", outage::events_during_a_cut_are_neither_lost_nor_doubled),
    scenario("forbidden", "observe", outage::a_forbidden_account_is_told_and_tried_again),
    scenario("store-locked", "observe", outage::without_a_journal_nothing_is_done),
    scenario("end", "observe", crash::end),
    scenario("panic", "observe", crash::panic),
    scenario("stopped", "observe", crash::stopped_beyond_its_lease),
    scenario("late", "observe", crash::late_write),
    scenario("crash-1", "observe", |stage| crash::crash(stage, "after:1")),
    scenario("crash-2", "observe", |stage| crash::crash(stage, "after:2")),
    scenario("crash-3", "observe", |stage| crash::crash(stage, "after:3")),
    // Between the act and its entry: the only place where the journal does not know what happened.
    scenario("crash-in-act", "observe", |stage| crash::crash(stage, "before:4")),
    scenario("crash-4", "observe", |stage| crash::crash(stage, "after:4")),
    scenario("crash-5", "observe", |stage| crash::crash(stage, "after:5")),
    scenario("crash-6", "observe", |stage| crash::crash(stage, "after:6")),
    scenario("crash-7", "observe", |stage| crash::crash(stage, "after:7")),
];

#[test]
fn kubewise_keeps_its_promises_on_a_real_cluster() -> Result<()> {
    let Some(cluster) = shared(Tier::Node) else { return Ok(()) };
    let wanted = std::env::var(FILTER).unwrap_or_default();
    let chosen = |(scenario, _): &(&'static Scenario, String)| scenario.name.contains(&wanted);
    // Unique, as an existing cluster may hold those of an earlier run.
    let name = |scenario: &Scenario| format!("{}-{}", scenario.name, std::process::id());
    let chosen: Vec<_> = SCENARIOS.iter().map(|one| (one, name(one))).filter(chosen).collect();
    create_namespaces(cluster, chosen.iter().map(|(_, namespace)| namespace))?;

    let modes = chosen.iter().map(|(scenario, namespace)| (namespace.as_str(), scenario.mode));
    let installation = installation(cluster, "shared", modes)?;
    let shared = installation.start()?;
    let play = |(scenario, namespace): &(&Scenario, String)| -> Result<()> {
        let stage = Stage { cluster, kubewise: &shared, namespace };
        (scenario.play)(&stage).with_context(|| format!("kubewise said:\n{}", shared.tail(namespace, 30)))
    };
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = chosen.iter().map(|one| (one.0.name, scope.spawn(|| play(one)))).collect();
        threads.into_iter().map(|(name, thread)| (name, thread.join())).collect()
    });

    let mut failures = String::new();
    for (name, result) in results {
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => write!(failures, "\n\n=== {name}: {error:#}")?,
            Err(_) => write!(failures, "\n\n=== {name}: panicked")?,
        }
    }
    ensure!(failures.is_empty(), "{failures}");
    Ok(())
}

fn create_namespaces<'a>(cluster: &Cluster, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let namespace = |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let items: Vec<Value> = names.map(namespace).collect();
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

/// A KubeWise with the settings above, in these modes by namespace, with its own Lease.
fn installation<'a>(
    cluster: &Cluster,
    lease: &str,
    modes: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Installation> {
    let mut config = SETTINGS.to_owned();
    write!(config, "\n[kubernetes.lease]\nname = \"{lease}-{}\"\n\n[policy.modes]\n", std::process::id())?;
    for (namespace, mode) in modes {
        writeln!(config, "{namespace} = \"{mode}\"")?;
    }
    let prometheus = cluster.prometheus_url().context("no Prometheus")?;
    Ok(Installation::new(&config)?
        .flag("--kubeconfig", cluster.kubeconfig())
        .flag("--prometheus", prometheus)
        .flag("--poll-interval", "5s"))
}

/// A KubeWise of a scenario's own, which acts in its namespace and only there.
fn own_installation(stage: &Stage<'_>) -> Result<Installation> {
    installation(stage.cluster, stage.namespace, [(stage.namespace, "auto")].into_iter())
}

/// Plays with another KubeWise than the shared one; a failure tells what that one said.
fn with_own(
    stage: &Stage<'_>,
    kubewise: &Process,
    play: impl FnOnce(&Stage<'_>) -> Result<()>,
) -> Result<()> {
    let namespace = stage.namespace;
    play(&Stage { kubewise, ..*stage })
        .with_context(|| format!("its own kubewise said:\n{}", kubewise.tail(namespace, 30)))
}

/// A kubeconfig of the cluster as JSON, to be changed; it stands for the same account.
fn kubeconfig(cluster: &Cluster, file: &Path) -> Result<Value> {
    let file = file.display().to_string();
    let view = ["--kubeconfig", &file, "config", "view", "--raw", "--flatten", "-o", "json"];
    Ok(serde_json::from_str(&cluster.kubectl(&view)?)?)
}
