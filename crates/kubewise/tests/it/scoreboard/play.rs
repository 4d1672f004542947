//! Plays one scenario and judges it by the state of the cluster.
//!
//! Three things make a run unsafe, each looked at all along: a condition of the scenario's `unsafe` held at some
//! moment; KubeWise asked the apiserver for a write that the scenario does not expect (by the audit log, so none is
//! missed); the bystander, a healthy workload that is in every scenario, was changed or lost a pod.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kubewise_testbed::{Cluster, Workload, Write};
use serde_json::Value;

use super::nodes::Nodes;
use super::scenario::{Scenario, Step};
use super::view::View;
use crate::installation::{Process, poll};
use crate::stage::{list, text};

/// Between two looks for harm: what lasts shorter shows in the audit log.
const LOOK: Duration = Duration::from_secs(1);
/// After all is right, it must stay right for so long: what KubeWise would still do, it does at once.
const AFTER: Duration = Duration::from_secs(15);
/// What a healthy cluster does in a few seconds.
const PATIENCE: Duration = Duration::from_mins(2);
const BYSTANDER: &str = "bystander";

/// What scenarios are played on.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) view: &'a View<'a>,
}

#[derive(Debug)]
pub(super) enum Verdict {
    /// With the time from the last step until it was right.
    Right(Duration),
    /// Nothing wrong was done, and not all that is right; what was there instead.
    Missed(String),
    Unsafe(String),
    /// The failure itself could not be made.
    Unplayed(String),
}

impl Verdict {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Right(_) => "right",
            Self::Missed(_) => "missed",
            Self::Unsafe(_) => "unsafe",
            Self::Unplayed(_) => "not played",
        }
    }
}

impl Ground<'_> {
    pub(super) fn play(&self, scenario: &Scenario, kubewise: &Process) -> Verdict {
        let over = AtomicBool::new(false);
        let is_over = || over.load(Ordering::Relaxed);
        let nodes = Nodes::new(self.view, &scenario.nodes);
        let before = self.cluster.writes().map_or(0, |writes| writes.len());
        let (result, harm) = thread::scope(|scope| {
            let harm = scope.spawn(|| self.watch_for_harm(scenario, is_over));
            scope.spawn(|| nodes.live(is_over));
            let result = self.stage(scenario, kubewise, &nodes);
            over.store(true, Ordering::Relaxed);
            (result, harm.join())
        });
        let unexpected = self.cluster.writes().map(|all| unexpected(scenario, &all[before.min(all.len())..]));
        let harm = match (harm, unexpected) {
            (Ok(Some(held)), _) => Some(held),
            (_, Ok(Some(write))) => Some(write),
            (Err(_), _) => return Verdict::Unplayed("the look for harm panicked".into()),
            (_, Err(error)) => return Verdict::Unplayed(format!("{error:#}")),
            (Ok(None), Ok(None)) => None,
        };
        match (harm, result) {
            (Some(harm), _) => Verdict::Unsafe(harm),
            (None, Ok(verdict)) => verdict,
            (None, Err(error)) => Verdict::Unplayed(format!("{error:#}")),
        }
    }

    /// The failure, and what comes of it.
    fn stage(&self, scenario: &Scenario, kubewise: &Process, nodes: &Nodes<'_>) -> Result<Verdict> {
        let bystander = Workload { replicas: 2, ..Workload::new(&scenario.namespace, BYSTANDER) };
        self.cluster.deploy(&bystander)?;
        if !scenario.nodes.is_empty() {
            self.cluster.apply(&nodes.manifests().to_string())?;
            for name in &scenario.nodes {
                nodes.beat(name)?;
            }
        }
        poll("the bystander to be available", PATIENCE, || {
            Ok(self.is_available(&scenario.namespace).unwrap_or_default().then_some(()))
        })?;
        let peace = self.bystander(&scenario.namespace)?;
        for (number, step) in (1..).zip(&scenario.steps) {
            self.take(step, scenario, kubewise, nodes).with_context(|| format!("step {number}"))?;
        }
        let begun = Instant::now();
        let verdict = self.await_right(scenario, begun);
        let pods = self.bystander(&scenario.namespace)?;
        if pods != peace {
            return Ok(Verdict::Unsafe(format!("the bystander's pods were {peace:?}, and are {pods:?}")));
        }
        Ok(verdict)
    }

    fn take(&self, step: &Step, scenario: &Scenario, kubewise: &Process, nodes: &Nodes<'_>) -> Result<()> {
        let Ground { cluster, view } = self;
        let namespace = &scenario.namespace;
        match step {
            Step::Workload(form) => cluster.apply(&form.manifest(namespace, cluster.image())?.to_string()),
            Step::Apply(manifest) => self.apply(manifest, namespace, &[]),
            Step::ApplyAs { manager, manifest } => self.apply(
                manifest,
                namespace,
                &["--server-side", "--force-conflicts", "--field-manager", manager],
            ),
            Step::Kubectl(arguments) => {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                cluster.kubectl(&[&["-n", namespace], &*arguments].concat()).map(drop)
            }
            Step::Wait(condition) => {
                let waited = poll(&condition.to_string(), scenario.limit(), || {
                    // While the apiserver is away nothing holds.
                    Ok(condition.holds(view, namespace).unwrap_or_default().then_some(()))
                });
                waited.with_context(|| condition.instead(view, namespace))
            }
            Step::Healthy(name) => kubewise
                .await_log(&["revision seen healthy", &format!("{namespace}/{name} ")], scenario.limit()),
            Step::Approve(workload) => approve(kubewise, namespace, workload, scenario.limit()),
            Step::Silence(node) => {
                nodes.silence(node);
                Ok(())
            }
            Step::Beat(node) => nodes.beat(node),
            Step::Kill(program) => cluster.kill(program.0),
            Step::Revive(program) => cluster.revive(program.0),
            Step::Pause(program) => cluster.pause(program.0),
            Step::Resume(program) => cluster.resume(program.0),
            Step::Pass(time) => {
                thread::sleep(time.as_duration());
                Ok(())
            }
        }
    }

    fn apply(&self, manifest: &Value, namespace: &str, options: &[&str]) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), manifest.to_string())?;
        let path = file.path().display().to_string();
        self.cluster.kubectl(&[&["-n", namespace, "apply", "-f", &path], options].concat()).map(drop)
    }

    fn await_right(&self, scenario: &Scenario, begun: Instant) -> Verdict {
        let all = || {
            let holds = |one: &super::condition::Condition| one.holds(self.view, &scenario.namespace);
            scenario.right.iter().all(|one| holds(one).unwrap_or_default())
        };
        let became = poll("what is right", scenario.limit(), || Ok(all().then(|| begun.elapsed())));
        let instead = || {
            let wrong = scenario
                .right
                .iter()
                .filter(|one| !one.holds(self.view, &scenario.namespace).unwrap_or_default());
            let told: Vec<_> = wrong.map(|one| one.instead(self.view, &scenario.namespace)).collect();
            Verdict::Missed(told.join("\n"))
        };
        let Ok(after) = became else { return instead() };
        thread::sleep(AFTER);
        if all() { Verdict::Right(after) } else { instead() }
    }

    /// The first condition that must never hold and did.
    fn watch_for_harm(&self, scenario: &Scenario, is_over: impl Fn() -> bool) -> Option<String> {
        loop {
            for condition in &scenario.harm {
                if condition.holds(self.view, &scenario.namespace).unwrap_or_default() {
                    return Some(condition.instead(self.view, &scenario.namespace));
                }
            }
            if is_over() {
                return None;
            }
            thread::sleep(LOOK);
        }
    }

    fn is_available(&self, namespace: &str) -> Result<bool> {
        let deployment = self.view.get(namespace, &format!("deployment/{BYSTANDER}"))?;
        Ok(deployment["status"]["availableReplicas"] == 2)
    }

    /// The pods of the bystander, and how often each was restarted.
    fn bystander(&self, namespace: &str) -> Result<BTreeMap<String, u64>> {
        let pods = self.view.get(namespace, &format!("pods app={BYSTANDER}"))?;
        let pods = list(&pods["items"]).iter().map(|pod| {
            let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64();
            (text(&pod["metadata"]["name"]), restarts.unwrap_or_default())
        });
        Ok(pods.collect())
    }
}

/// What KubeWise wrote beyond what the scenario expects, in words. Events and its Lease are no act.
fn unexpected(scenario: &Scenario, writes: &[Write]) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = scenario.writes.keys().map(|write| (write.as_str(), 0)).collect();
    for write in writes.iter().filter(|write| concerns(scenario, write)) {
        let Write { verb, resource, namespace, name, status, time } = write;
        let act = format!("{verb} {resource}/{name}");
        let told = format!("{time} kubewise asked to {act} in `{namespace}` ({status})");
        let expected = scenario.writes.iter().find(|(expected, _)| matches(expected, &act));
        let Some((expected, most)) = expected else { return Some(told) };
        let count = counts.entry(expected.as_str()).or_default();
        *count += 1;
        if *count > *most {
            return Some(format!("{told}, {count} times; {most} are expected"));
        }
    }
    None
}

/// `*` stands for the rest of a name.
fn matches(expected: &str, act: &str) -> bool {
    match expected.strip_suffix('*') {
        Some(start) => act.starts_with(start),
        None => act == expected,
    }
}

/// Side by side with others a scenario answers for its namespace; alone, for the whole cluster.
fn concerns(scenario: &Scenario, write: &Write) -> bool {
    let tells = matches!(write.resource.as_str(), "events" | "leases");
    !tells && (scenario.alone || write.namespace == scenario.namespace)
}

fn approve(kubewise: &Process, namespace: &str, workload: &str, limit: Duration) -> Result<()> {
    let (kind, name) = workload.split_once('/').context("a workload is named like deployment/web")?;
    let place = if kind == "node" { String::new() } else { format!("{namespace}/") };
    let path = format!("/api/v1/plans?workload={kind}/{place}{name}&limit=50");
    let plan = poll("a proposed plan", limit, || {
        let (_, plans) = kubewise.get(&path)?;
        let proposed = list(&plans["items"]).iter().find(|plan| plan["status"] == "Proposed");
        Ok(proposed.map(|plan| text(&plan["id"])))
    })?;
    kubewise.ask(&["approve", &plan]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(more: &str) -> Scenario {
        let text = format!(
            "{{number: 1, title: t, tier: node, steps: [], right: [], writes: {{patch deployments/web: 1}}{more}}}"
        );
        Scenario { namespace: "here".into(), ..serde_saphyr::from_str(&text).unwrap() }
    }

    fn write(act: &str, namespace: &str) -> Write {
        let (verb, object) = act.split_once(' ').unwrap();
        let (resource, name) = object.rsplit_once('/').unwrap();
        Write {
            verb: verb.into(),
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
            status: 200,
            time: String::new(),
        }
    }

    #[test]
    fn what_a_scenario_does_not_expect_of_kubewise_is_unsafe() {
        let patch = || write("patch deployments/web", "here");
        for (writes, is_unsafe) in [
            (vec![], false),
            (vec![patch()], false),
            (vec![patch(), patch()], true),
            (vec![write("patch deployments/web2", "here")], true),
            (vec![write("delete pods/web-1", "here")], true),
            (vec![write("create pods/eviction/web-1", "here")], true),
            (vec![write("create events/e", "here"), write("update leases/l", "kube-system")], false),
            (vec![write("patch deployments/web2", "elsewhere")], false),
        ] {
            let found = unexpected(&scenario(""), &writes);
            assert_eq!(found.is_some(), is_unsafe, "{writes:?}: {found:?}");
        }
        let elsewhere = [write("patch nodes/n1", "")];
        assert!(
            unexpected(&scenario(", alone: true"), &elsewhere).is_some(),
            "alone, it answers for everything"
        );
    }
}
