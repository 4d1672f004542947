//! The kinds of failure of `scenarios/`, played on a real cluster, and the scoreboard of what KubeWise made of them.
//!
//! A file there says what happens, what is right and what is unsafe; here they are played: side by side, each in a
//! namespace of its own, and afterwards those that disturb others, one at a time. What kills KubeWise, cuts it off or
//! needs a look at its records is told in Rust, in `scenarios.rs`: kinds of failure are data, faults of KubeWise's own
//! surroundings are code.
//!
//! KubeWise has an account of its own with the rights of docs/permissions.md and no more.

mod condition;
mod nodes;
mod play;
mod scenario;
mod view;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::mpsc::channel;
use std::sync::{Mutex, OnceLock};
use std::thread;

use anyhow::{Context, Error, Result, ensure};
use kubewise_testbed::{Cluster, Tier, shared};
use serde_json::{Value, json};

use self::play::{Ground, Verdict};
use self::scenario::{Scenario, Step};
use self::view::View;
use crate::installation::{END, Installation, Process};
use crate::scenarios::SETTINGS;

/// Numbers or names of scenarios, with commas between them, or `all`: these are played. Without it the quick ones are,
/// since back-off is real time and all take many minutes.
const ONLY: &str = "KUBEWISE_ONLY";
/// So many at one time: more would make two cores late, and late answers look like failures.
const SIDE_BY_SIDE: usize = 12;
/// What a failed scenario shows of KubeWise's log.
const TAIL: usize = 40;

/// What its documentation asks for.
const RIGHTS: &str = include_str!("scoreboard/rights.yaml");

#[test]
fn scenarios_end_as_the_scoreboard_claims() -> Result<()> {
    let only = std::env::var(ONLY).unwrap_or_default();
    let only: BTreeSet<&str> = only.split(',').filter(|one| !one.is_empty()).collect();
    let Some(cluster) = shared(Tier::Node) else { return Ok(()) };
    let mut chosen = scenario::all(cluster.image(), &std::process::id().to_string())?;
    ensure!(chosen.iter().all(|one| !(one.quick && one.alone)), "a quick scenario disturbs nobody");
    chosen.retain(|one| match only.len() {
        0 => one.quick,
        _ => ["all", &one.number.to_string(), &one.name].iter().any(|word| only.contains(word)),
    });
    ensure!(!chosen.is_empty(), "no scenario has one of the numbers or names {only:?}");
    judge(&play(cluster, &chosen)?)
}

/// Gives the account its rights, once for all tests on the shared cluster: they run at one time.
pub(crate) fn grant(cluster: &Cluster) -> Result<()> {
    static GRANTED: OnceLock<Result<(), String>> = OnceLock::new();
    let granted = GRANTED.get_or_init(|| cluster.apply(RIGHTS).map_err(|error| format!("{error:#}")));
    granted.clone().map_err(Error::msg)
}

/// A scenario and its verdict, with what KubeWise logged about it.
struct Played<'a> {
    scenario: &'a Scenario,
    verdict: Verdict,
    log: String,
}

fn play<'a>(cluster: &Cluster, chosen: &'a [Scenario]) -> Result<Vec<Played<'a>>> {
    grant(cluster)?;
    let namespace = |scenario: &Scenario| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scenario.namespace}});
    let items: Vec<Value> = chosen.iter().map(namespace).collect();
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
    let view = View::of(cluster)?;
    let ground = Ground { cluster, view: &view };

    let (alone, together): (Vec<_>, Vec<_>) = chosen.iter().partition(|scenario| scenario.alone);
    let mut played = side_by_side(&ground, &together)?;
    for scenario in alone {
        played.push(with_own(&ground, scenario));
        mend(cluster, scenario);
        forget(cluster, scenario);
    }
    played.sort_by_key(|one| (one.scenario.number, &one.scenario.name));
    Ok(played)
}

fn side_by_side<'a>(ground: &Ground<'_>, together: &[&'a Scenario]) -> Result<Vec<Played<'a>>> {
    if together.is_empty() {
        return Ok(Vec::new());
    }
    let sharing: Vec<_> = together.iter().copied().filter(|one| !one.has_own_kubewise()).collect();
    let installation = installation(ground.cluster, "scoreboard", SETTINGS.parse()?, &sharing)?;
    let shared = installation.start()?;
    let (sender, receiver) = channel();
    let queue = Mutex::new(together.iter());
    let next = || queue.lock().ok()?.next().copied();
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            let sender = sender.clone();
            let (shared, next) = (&shared, &next);
            scope.spawn(move || {
                while let Some(scenario) = next() {
                    let played = if scenario.has_own_kubewise() {
                        with_own(ground, scenario)
                    } else {
                        one(ground, scenario, shared)
                    };
                    forget(ground.cluster, scenario);
                    // The receiver outlives the scope.
                    let _ = sender.send(played);
                }
            });
        }
    });
    drop(sender);
    Ok(receiver.iter().collect())
}

fn with_own<'a>(ground: &Ground<'_>, scenario: &'a Scenario) -> Played<'a> {
    let play = || -> Result<Played<'a>> {
        let installation = own(ground.cluster, scenario)?;
        let kubewise = installation.start()?;
        let played = one(ground, scenario, &kubewise);
        kubewise.terminate(END)?;
        Ok(played)
    };
    play().unwrap_or_else(|error| Played {
        scenario,
        verdict: Verdict::Unplayed(format!("{error:#}")),
        log: String::new(),
    })
}

fn one<'a>(ground: &Ground<'_>, scenario: &'a Scenario, kubewise: &Process) -> Played<'a> {
    let verdict = ground.play(scenario, kubewise);
    #[expect(clippy::print_stderr, reason = "who waits for minutes sees how far it is")]
    {
        eprintln!("{}: {}", scenario.name, verdict.word());
    }
    Played { scenario, verdict, log: kubewise.tail(&scenario.namespace, TAIL) }
}

/// Whatever became of it, the next one finds every program running.
fn mend(cluster: &Cluster, scenario: &Scenario) {
    for step in &scenario.steps {
        // A program that runs already refuses to be started.
        if let Step::Kill(program) = step {
            let _ = cluster.revive(program.0);
        } else if let Step::Pause(program) = step {
            let _ = cluster.resume(program.0);
        }
    }
}

/// Makes room for the next one.
fn forget(cluster: &Cluster, scenario: &Scenario) {
    let nodes = scenario.nodes.iter().map(String::as_str);
    // What stays behind is in nobody's way; the cluster ends with the test.
    let _ = cluster.kubectl(&[&["delete", "namespace", "--wait=false", &*scenario.namespace][..]].concat());
    for node in nodes {
        let _ = cluster.kubectl(&["delete", "node", "--wait=false", node]);
    }
}

/// A KubeWise of the scenario's own, which acts in its namespace and only there.
fn own(cluster: &Cluster, scenario: &Scenario) -> Result<Installation> {
    let mut settings: toml::Table = SETTINGS.parse()?;
    merge(&mut settings, &scenario.settings);
    let installation = installation(cluster, &scenario.namespace, settings, &[scenario])?;
    let directory = installation.directory().join("playbooks");
    std::fs::create_dir_all(&directory)?;
    for (number, playbook) in (1..).zip(&scenario.playbooks) {
        std::fs::write(directory.join(format!("{number}.yaml")), playbook.to_string())?;
    }
    Ok(installation)
}

/// With its own Lease and account, in these scenarios' modes.
fn installation(
    cluster: &Cluster,
    lease: &str,
    mut settings: toml::Table,
    scenarios: &[&Scenario],
) -> Result<Installation> {
    let modes: toml::Table = scenarios
        .iter()
        .map(|scenario| (scenario.namespace.clone(), toml::Value::String(scenario.mode.clone())))
        .collect();
    let lease = format!("{lease}-{}", std::process::id());
    for (path, value) in [
        ("kubernetes.lease.name", toml::Value::String(lease)),
        ("policy.modes", toml::Value::Table(modes)),
        ("playbooks.directory", toml::Value::String("playbooks".into())),
    ] {
        let set = path
            .rsplit('.')
            .fold(value, |value, key| toml::Value::Table(toml::Table::from_iter([(key.to_owned(), value)])));
        merge(&mut settings, set.as_table().context("a table")?);
    }
    let prometheus = cluster.prometheus_url().context("no Prometheus")?;
    let installation = Installation::new(&settings.to_string())?
        .flag("--kubeconfig", cluster.user_kubeconfig()?)
        .flag("--prometheus", prometheus)
        .flag("--poll-interval", "5s");
    std::fs::create_dir_all(installation.directory().join("playbooks"))?;
    Ok(installation)
}

fn merge(into: &mut toml::Table, from: &toml::Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Prints the scoreboard. Anything unsafe, and a miss of what is claimed, fails.
fn judge(played: &[Played<'_>]) -> Result<()> {
    let mut out = String::from("| # | scenario | played on | verdict | |\n|---|---|---|---|---|\n");
    let mut failures = Vec::new();
    for Played { scenario, verdict, log } in played {
        let lacks = scenario.lacks.as_deref();
        let word = verdict.word();
        let (note, failure) = match (verdict, lacks) {
            (Verdict::Right(after), None) => (format!("after {} s", after.as_secs()), None),
            (Verdict::Right(_), Some(_)) => ("it lacks nothing any more: take out `lacks`".into(), None),
            (Verdict::Missed(_), Some(lacks)) => (lacks.to_owned(), None),
            (Verdict::Missed(why) | Verdict::Unsafe(why) | Verdict::Unplayed(why), _) => {
                ("see below".into(), Some(why))
            }
        };
        let Scenario { number, title, tier, name, .. } = scenario;
        writeln!(out, "| {number} | {title} | {} | {word} | {note} |", tier.name())?;
        failures
            .extend(failure.map(|failure| format!("=== {name}: {word}: {failure}\nkubewise said:\n{log}")));
    }
    let count = |is: fn(&Verdict) -> bool| played.iter().filter(|one| is(&one.verdict)).count();
    writeln!(
        out,
        "\n{} scenarios: {} right, {} missed, {} unsafe, {} not played",
        played.len(),
        count(|verdict| matches!(verdict, Verdict::Right(_))),
        count(|verdict| matches!(verdict, Verdict::Missed(_))),
        count(|verdict| matches!(verdict, Verdict::Unsafe(_))),
        count(|verdict| matches!(verdict, Verdict::Unplayed(_))),
    )?;
    #[expect(clippy::print_stdout, reason = "the scoreboard is for people")]
    {
        println!("{out}");
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}
