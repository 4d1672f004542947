//! What tests hold.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::image::{IMAGE, run};
use crate::machine::Machine;
use crate::tools::{Missing, Tools};
use crate::{Program, Tier, Workload, Write, audit, existing, http, wait_for};

/// Kubernetes' own default.
const EVENT_TTL: Duration = Duration::from_hours(1);
/// What `kubectl` may take, in seconds, while the apiserver is paused or dead.
const KUBECTL_LIMIT: &str = "60";
/// For what a healthy cluster does in a few seconds, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What to start.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub tier: Tier,
    /// How long the apiserver keeps Events.
    pub event_ttl: Duration,
}

impl Options {
    pub fn new(tier: Tier) -> Self {
        Self { tier, event_ttl: EVENT_TTL }
    }
}

/// A running Kubernetes. Dropping it ends it and removes its traces, unless it was there before.
#[derive(Debug)]
pub struct Cluster {
    kubeconfig: PathBuf,
    prometheus: Option<String>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Own(Machine),
    Existing { _directory: tempfile::TempDir },
}

impl Cluster {
    /// The error is a [`Missing`] (`error.is::<Missing>()`) when this machine lacks what it takes.
    pub fn start(tier: Tier) -> Result<Self> {
        Self::start_with(Options::new(tier))
    }

    pub fn start_with(options: Options) -> Result<Self> {
        if std::env::var("KUBEWISE_TESTBED").is_ok_and(|value| value == "existing") {
            return Self::existing();
        }
        let tools = Tools::find(options.tier)?;
        let machine = Machine::start(options.tier, tools, options.event_ttl)?;
        let prometheus =
            (options.tier == Tier::Node).then(|| format!("http://{}:9090", machine.layout.address));
        Ok(Self { kubeconfig: machine.layout.admin_kubeconfig(), prometheus, place: Place::Own(machine) })
    }

    fn existing() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        Ok(Self {
            kubeconfig: existing::kubeconfig(directory.path())?,
            prometheus: std::env::var("KUBEWISE_PROMETHEUS_URL").ok(),
            place: Place::Existing { _directory: directory },
        })
    }

    /// Of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Of the account [`USER`](crate::USER), which may do nothing until a role is bound to it.
    pub fn user_kubeconfig(&self) -> Result<PathBuf> {
        Ok(self.machine()?.layout.user_kubeconfig())
    }

    /// Every write that the account [`USER`](crate::USER) ever asked for, oldest first, as the apiserver noted it.
    pub fn writes(&self) -> Result<Vec<Write>> {
        audit::writes(&self.machine()?.layout.audit_log())
    }

    /// `None` in [`Tier::ControlPlane`].
    pub fn prometheus_url(&self) -> Option<&str> {
        self.prometheus.as_deref()
    }

    /// Where a program's output goes.
    pub fn log(&self, program: Program) -> Result<PathBuf> {
        Ok(self.machine()?.layout.log(program))
    }

    /// Leaves the cluster running after this process, for [`crate::by_hand`].
    pub(crate) fn keep(self) -> Result<String> {
        let prometheus = self.prometheus.iter().map(|url| format!("export KUBEWISE_PROMETHEUS_URL={url}\n"));
        let kubeconfig = format!("export KUBECONFIG={}\n", self.kubeconfig.display());
        let exports: String = std::iter::once(kubeconfig).chain(prometheus).collect();
        match self.place {
            Place::Own(machine) => machine.keep(&exports)?,
            Place::Existing { .. } => return Err(not_ours()),
        }
        Ok(exports)
    }
}

/// Asking and changing the cluster.
impl Cluster {
    /// Standard output of `kubectl`; what it complains about is in the error.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run(self.kubectl_command().args(arguments))
    }

    /// Applies manifests in YAML or JSON.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("manifests");
        std::fs::write(&file, manifests)?;
        run(self.kubectl_command().args(["apply", "-f"]).arg(file))?;
        Ok(())
    }

    pub fn deploy(&self, workload: &Workload) -> Result<()> {
        self.apply(&workload.manifest(self.image()).to_string())
    }

    /// An image with busybox's shell and programs that the nodes can get.
    pub fn image(&self) -> &'static str {
        match self.place {
            Place::Own(_) => IMAGE,
            Place::Existing { .. } => existing::IMAGE,
        }
    }

    /// Waits until every replica of the newest revision is available.
    pub fn await_rollout(&self, workload: &Workload) -> Result<()> {
        let what = format!("the rollout of {}/{}", workload.namespace, workload.name);
        wait_for(&what, PATIENCE, || {
            let deployment = self.get(&workload.namespace, &format!("deployment/{}", workload.name))?;
            let status = &deployment["status"];
            let seen = status["observedGeneration"] == deployment["metadata"]["generation"];
            ensure!(seen, "the newest revision is not taken up yet");
            for count in ["replicas", "updatedReplicas", "availableReplicas"] {
                let found = status[count].as_u64().unwrap_or_default();
                ensure!(found == u64::from(workload.replicas), "{count} is {found}");
            }
            Ok(())
        })
    }

    /// Waits until a container of the workload waits for that reason, such as `CrashLoopBackOff`.
    pub fn await_waiting_reason(&self, workload: &Workload, reason: &str) -> Result<()> {
        let what = format!("{reason} in {}/{}", workload.namespace, workload.name);
        wait_for(&what, PATIENCE, || {
            let states: Vec<Value> = self
                .pods(workload)?
                .iter()
                .map(|pod| pod["status"]["containerStatuses"][0]["state"].clone())
                .collect();
            ensure!(states.iter().any(|state| state["waiting"]["reason"] == reason), "{states:?}");
            Ok(())
        })
    }

    /// One object, named as in `deployment/web`.
    pub fn get(&self, namespace: &str, object: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(&["-n", namespace, "get", object, "-o", "json"])?)?)
    }

    /// The workload's pods, those that are being deleted included.
    pub fn pods(&self, workload: &Workload) -> Result<Vec<Value>> {
        let label = format!("app={}", workload.name);
        let answer = self.kubectl(&["-n", &workload.namespace, "get", "pods", "-l", &label, "-o", "json"])?;
        let mut answer: Value = serde_json::from_str(&answer)?;
        serde_json::from_value(answer["items"].take()).context("kubectl listed no items")
    }

    /// Creates a namespace of that prefix and a number, and waits until it admits pods.
    pub fn namespace(&self, prefix: &str) -> Result<String> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.kubectl(&["create", "namespace", &name])?;
        wait_for("the namespace's service account", PATIENCE, || {
            self.get(&name, "serviceaccount/default").map(drop)
        })?;
        Ok(name)
    }

    /// The result vector of an instant query.
    pub fn query(&self, promql: &str) -> Result<Vec<Value>> {
        let url = self.prometheus_url().context("this cluster has no Prometheus")?;
        let url =
            format!("{}/api/v1/query?query={}", url.trim_end_matches('/'), http::percent_encode(promql));
        let mut answer: Value = serde_json::from_str(&http::fetch(&url, None)?)?;
        serde_json::from_value(answer["data"]["result"].take()).context("Prometheus answered no vector")
    }

    /// A program inside the cluster's network namespace, where pods can be reached, with `KUBECONFIG`
    /// and `KUBEWISE_PROMETHEUS_URL` set and the cluster's programs on `PATH`.
    pub fn command(&self, program: &str) -> Command {
        let mut command = match &self.place {
            Place::Own(machine) => machine.command(program),
            Place::Existing { .. } => Command::new(program),
        };
        command.env("KUBECONFIG", &self.kubeconfig);
        if let Some(url) = &self.prometheus {
            command.env("KUBEWISE_PROMETHEUS_URL", url);
        }
        command
    }

    fn kubectl_command(&self) -> Command {
        let mut command = match &self.place {
            Place::Own(machine) => machine.tools.command("timeout"),
            Place::Existing { .. } => Command::new("timeout"),
        };
        command.args([KUBECTL_LIMIT, "kubectl", "--kubeconfig"]).arg(&self.kubeconfig);
        command.stdin(Stdio::null());
        command
    }
}

/// Faults. Every one is refused for an existing cluster, whose programs are not ours.
impl Cluster {
    /// Ends a program with SIGKILL.
    pub fn kill(&self, program: Program) -> Result<()> {
        self.machine()?.kill(program)
    }

    /// Starts a killed program again and waits until it is ready.
    pub fn revive(&self, program: Program) -> Result<()> {
        self.machine()?.start_program(program)
    }

    /// Kills a program, starts it again and waits until it is ready.
    pub fn restart(&self, program: Program) -> Result<()> {
        self.kill(program)?;
        self.revive(program)
    }

    /// Stops a program with SIGSTOP: it accepts connections and answers nothing.
    pub fn pause(&self, program: Program) -> Result<()> {
        self.machine()?.signal(program, "STOP")
    }

    pub fn resume(&self, program: Program) -> Result<()> {
        self.machine()?.signal(program, "CONT")
    }

    /// Forgets all history in etcd. Events are watched in etcd itself, so a watch on them from before
    /// gets 410 Gone from now on. For other kinds the apiserver's cache still knows what happened since
    /// its start: restart it as well.
    pub fn compact(&self) -> Result<()> {
        let address = self.machine()?.layout.address;
        let ask = |path: &str, body: &Value| {
            http::fetch(&format!("http://{address}:2379/v3/kv/{path}"), Some(&body.to_string()))
        };
        // "AA==" is the smallest key; only the answer's header matters.
        let answer: Value = serde_json::from_str(&ask("range", &json!({"key": "AA=="}))?)?;
        let revision = answer["header"]["revision"].as_str().context("etcd told no revision")?;
        ask("compaction", &json!({"revision": revision, "physical": true}))?;
        Ok(())
    }

    fn machine(&self) -> Result<&Machine> {
        match &self.place {
            Place::Own(machine) => Ok(machine),
            Place::Existing { .. } => Err(not_ours()),
        }
    }
}

fn not_ours() -> anyhow::Error {
    anyhow!("this needs a cluster of the testbed's own, not KUBEWISE_TESTBED=existing")
}

/// A cluster for one test, or `None` after saying on standard error why there can be none here.
///
/// # Panics
/// When the cluster cannot start, and when `CI` is set and something is missing.
pub fn for_test(options: Options) -> Option<Cluster> {
    match Cluster::start_with(options) {
        Ok(cluster) => Some(cluster),
        Err(error) if error.is::<Missing>() && std::env::var_os("CI").is_none() => {
            #[expect(clippy::print_stderr, reason = "a skipped test says why")]
            {
                eprintln!("skipped: {error}");
            }
            None
        }
        #[expect(clippy::panic, reason = "the documented end of a test without its cluster")]
        Err(error) => panic!("{error:#}"),
    }
}

/// The cluster that all tests of one binary share, each in a [`Cluster::namespace`] of its own; else
/// as [`for_test`]. It ends with the process.
pub fn shared(tier: Tier) -> Option<&'static Cluster> {
    static CONTROL_PLANE: OnceLock<Option<Cluster>> = OnceLock::new();
    static NODE: OnceLock<Option<Cluster>> = OnceLock::new();
    let cell = match tier {
        Tier::ControlPlane => &CONTROL_PLANE,
        Tier::Node => &NODE,
    };
    cell.get_or_init(|| for_test(Options::new(tier))).as_ref()
}
