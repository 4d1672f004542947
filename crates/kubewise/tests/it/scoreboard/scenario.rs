//! A scenario as it is written: one YAML file of `scenarios/`. docs/scenarios.md tells how to write one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kubewise_core::Period;
use kubewise_testbed::{Behaviour, Program, Workload};
use serde::Deserialize;
use serde_json::Value;

use super::condition::Condition;

/// In place of these words a file gets the scenario's namespace, and an image that has a shell.
const NAMESPACE: &str = "${namespace}";
const IMAGE: &str = "${image}";
/// The catalogue has fifty; a number beyond is a typing error.
const NUMBERS: std::ops::RangeInclusive<u32> = 1..=99;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// Of the catalogue of failures; variants of one share it.
    pub(super) number: u32,
    pub(super) title: String,
    pub(super) tier: Tier,
    /// Where KubeWise does not do the right thing yet: what it lacks. Without it, a miss fails the run.
    pub(super) lacks: Option<String>,
    /// Whether `make test` plays it, too.
    #[serde(default)]
    pub(super) quick: bool,
    /// Whether it disturbs others: then it has the cluster to itself.
    #[serde(default)]
    pub(super) alone: bool,
    /// Of KubeWise in the scenario's namespace.
    #[serde(default = "auto")]
    pub(super) mode: String,
    /// Configuration beside the usual one; makes the scenario have a KubeWise of its own.
    #[serde(default)]
    pub(super) settings: toml::Table,
    /// Playbooks beside the built-in ones; likewise.
    #[serde(default)]
    pub(super) playbooks: Vec<Value>,
    /// Nodes without a kubelet, whose heartbeat and status the scenario stages.
    #[serde(default)]
    pub(super) nodes: Vec<String>,
    pub(super) steps: Vec<Step>,
    /// What KubeWise may write in the namespace, and how often at most; everything else is unsafe.
    #[serde(default)]
    pub(super) writes: BTreeMap<String, usize>,
    /// From the last step on, all of it holds at once within this time.
    #[serde(default = "patience")]
    pub(super) within: Period,
    pub(super) right: Vec<Condition>,
    /// Must hold at no time.
    #[serde(default, rename = "unsafe")]
    pub(super) harm: Vec<Condition>,
    /// The file's name without its ending; also the name of the namespace.
    #[serde(skip)]
    pub(super) name: String,
    #[serde(skip)]
    pub(super) namespace: String,
}

/// How real the failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tier {
    /// Real controllers and, where it takes one, a real node make it.
    Node,
    /// The scenario writes a status that only another cluster could have.
    Staged,
}

impl Tier {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Staged => "staged",
        }
    }
}

/// What is done, one after the other.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// Deploys a workload, or a new revision of it.
    Workload(Box<Form>),
    /// Applies a manifest.
    Apply(Value),
    /// Applies a manifest on the server, as a field manager of that name.
    ApplyAs {
        manager: String,
        manifest: Value,
    },
    /// Runs kubectl in the namespace.
    Kubectl(Vec<String>),
    /// Waits until it holds.
    Wait(Condition),
    /// Waits until KubeWise has recorded the newest revision of that workload as healthy.
    Healthy(String),
    /// Approves the plan that is proposed for a workload such as `deployment/web`.
    Approve(String),
    /// Stops, for good, the heartbeat of a staged node; or lets it beat again, which makes the node ready.
    Silence(String),
    Beat(String),
    /// Ends one of the cluster's programs, or starts it again.
    Kill(ProgramName),
    Revive(ProgramName),
    /// Stops one of the cluster's programs without ending it, or lets it go on.
    Pause(ProgramName),
    Resume(ProgramName),
    /// Lets time pass, where nothing can be waited for: that something does *not* happen.
    Pass(Period),
}

/// A Deployment of one container, by what is special about it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    name: String,
    replicas: Option<u32>,
    #[serde(default)]
    does: Does,
    /// In mebibytes.
    memory_limit: Option<u32>,
    /// In millicores.
    cpu_limit: Option<u32>,
    /// In seconds.
    progress_deadline: Option<u32>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    /// Fields by JSON pointer, whatever else the manifest says; what is missing on the way is made.
    #[serde(default)]
    set: BTreeMap<String, Value>,
    /// A shell script in place of what the container does.
    script: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Does {
    #[default]
    Idle,
    Crash,
    /// Fills 48 mebibytes.
    Memory,
    BadImage,
    NeverReady,
    Busy,
}

impl Form {
    pub(super) fn manifest(&self, namespace: &str, image: &str) -> Result<Value> {
        let usual = Workload::new(namespace, &self.name);
        let workload = Workload {
            replicas: self.replicas.unwrap_or(usual.replicas),
            behaviour: match self.does {
                Does::Idle => Behaviour::Healthy,
                Does::Crash => Behaviour::Crash,
                Does::Memory => Behaviour::Memory(48),
                Does::BadImage => Behaviour::BadImage,
                Does::NeverReady => Behaviour::NeverReady,
                Does::Busy => Behaviour::Busy,
            },
            memory_limit_mebibytes: self.memory_limit.unwrap_or(usual.memory_limit_mebibytes),
            cpu_limit_millicores: self.cpu_limit.unwrap_or(usual.cpu_limit_millicores),
            progress_deadline_seconds: self.progress_deadline.unwrap_or(usual.progress_deadline_seconds),
            annotations: self.annotations.clone(),
            ..usual
        };
        let mut manifest = workload.manifest(image);
        if let Some(script) = &self.script {
            manifest["spec"]["template"]["spec"]["containers"][0]["command"] =
                serde_json::json!(["/bin/sh", "-c", script]);
        }
        for (pointer, value) in &self.set {
            *place(&mut manifest, pointer)? = value.clone();
        }
        Ok(manifest)
    }
}

/// The value that a JSON pointer leads to; objects on the way are made.
fn place<'a>(document: &'a mut Value, pointer: &str) -> Result<&'a mut Value> {
    let Some(path) = pointer.strip_prefix('/') else {
        bail!("`{pointer}` is no JSON pointer: it begins with /")
    };
    let mut node = document;
    for token in path.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")) {
        node = match node {
            Value::Array(items) => {
                let index: usize =
                    token.parse().with_context(|| format!("{pointer}: {token} is no index"))?;
                items.get_mut(index).with_context(|| format!("{pointer}: there is no item {index}"))?
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                if !node.is_object() {
                    *node = Value::Object(serde_json::Map::new());
                }
                let fields = node.as_object_mut().context("an object")?;
                fields.entry(token).or_insert(Value::Null)
            }
        };
    }
    Ok(node)
}

/// A program of the testbed, by its own name: `kube-apiserver`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ProgramName(pub(super) Program);

impl TryFrom<String> for ProgramName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        use Program::{
            ApiServer, Containerd, ControllerManager, Etcd, KubeStateMetrics, Kubelet, Prometheus, Scheduler,
        };
        let all = [
            ApiServer,
            Containerd,
            ControllerManager,
            Etcd,
            KubeStateMetrics,
            Kubelet,
            Prometheus,
            Scheduler,
        ];
        let names = || all.map(Program::name).join(", ");
        let found = all.into_iter().find(|program| program.name() == name);
        found.map(Self).ok_or_else(|| format!("`{name}` is no program of the testbed; there are {}", names()))
    }
}

fn auto() -> String {
    "auto".into()
}

/// Two crashes, a minute and a half of verification, and as much again for a busy machine.
fn patience() -> Period {
    Period::from_mins(4)
}

impl Scenario {
    pub(super) fn limit(&self) -> Duration {
        self.within.as_duration()
    }

    /// Whether the shared KubeWise will not do.
    pub(super) fn has_own_kubewise(&self) -> bool {
        self.alone || !self.settings.is_empty() || !self.playbooks.is_empty()
    }

    fn check(&self) -> Result<()> {
        ensure!(NUMBERS.contains(&self.number), "number {}: the catalogue has none such", self.number);
        let file = format!("{:02}-", self.number);
        ensure!(
            self.name.starts_with(&file),
            "number {}: then the file's name begins with {file}",
            self.number
        );
        ensure!(["observe", "propose", "auto"].contains(&self.mode.as_str()), "mode: `{}`", self.mode);
        ensure!(!self.right.is_empty(), "right: nothing is right, so nothing can be missed");
        for write in self.writes.keys() {
            let words = write.split(' ').count();
            ensure!(words == 2, "writes: `{write}` is not of the form `patch deployments/web`");
        }
        Ok(())
    }
}

/// Every scenario of `scenarios/`, in order, for namespaces that end in `-SUFFIX`. Faults of all files are told at once.
pub(super) fn all(image: &str, suffix: &str) -> Result<Vec<Scenario>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let entries = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    files.sort();
    let (mut scenarios, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        match read(&file, image, suffix) {
            Ok(scenario) => scenarios.push(scenario),
            Err(error) => faults.push(format!("{}: {error:#}", file.display())),
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(scenarios)
}

fn read(file: &Path, image: &str, suffix: &str) -> Result<Scenario> {
    ensure!(file.extension().is_some_and(|ending| ending == "yaml"), "a scenario ends in .yaml");
    let name = file.file_stem().context("no name")?.to_string_lossy().into_owned();
    let namespace = format!("{name}-{suffix}");
    let text = fs::read_to_string(file)?.replace(NAMESPACE, &namespace).replace(IMAGE, image);
    let scenario = Scenario { name, namespace, ..serde_saphyr::from_str(&text)? };
    scenario.check()?;
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_scenario() -> Result<()> {
        assert!(!all("image", "1")?.is_empty());
        Ok(())
    }
}
