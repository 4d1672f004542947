//! The processes of one cluster in the network namespace of its slot.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::image::{self, run};
use crate::program::{Layout, NODE};
use crate::slot::Slot;
use crate::tools::Tools;
use crate::{Program, Tier, http, pki};

/// Far more than any program needs on two busy cores.
const START_LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);
/// Of a program's log, in an error.
const LOG_TAIL: u64 = 3000;

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) layout: Layout,
    pub(crate) tools: Tools,
    tier: Tier,
    slot: Option<Slot>,
    children: Mutex<BTreeMap<Program, Child>>,
}

impl Machine {
    pub(crate) fn start(tier: Tier, tools: Tools, event_ttl: Duration) -> Result<Self> {
        let slot = Slot::claim()?;
        let layout =
            Layout { directory: slot.directory(), name: slot.name(), address: slot.address(), event_ttl };
        let gateway = slot.gateway().to_string();
        let machine = Self { layout, tools, tier, slot: Some(slot), children: Mutex::default() };
        machine.build_network(&gateway)?;
        machine.layout.write()?;
        if tier == Tier::Node {
            create_groups(&machine.layout.name)?;
        }
        machine.start_programs()?;
        Ok(machine)
    }

    pub(crate) fn keep(mut self, note: &str) -> Result<()> {
        // Children that are not waited for go to init when this process ends.
        std::mem::take(&mut *self.children());
        self.slot.take().context("a cluster owns its slot until it ends")?.keep(note)
    }

    /// A command that runs inside the namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        enter(&self.tools, &self.layout.name, program)
    }

    pub(crate) fn start_program(&self, program: Program) -> Result<()> {
        self.spawn(program)?;
        self.await_ready(program)
    }

    pub(crate) fn kill(&self, program: Program) -> Result<()> {
        let mut child = self.children().remove(&program).with_context(|| not_running(program))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// `signal` as `kill` names it.
    pub(crate) fn signal(&self, program: Program, signal: &str) -> Result<()> {
        let id = self.children().get(&program).with_context(|| not_running(program))?.id();
        run(Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &id.to_string()]))?;
        Ok(())
    }

    fn start_programs(&self) -> Result<()> {
        for &program in self.tier.programs() {
            match program {
                // The controllers and the kubelet give up when there is no apiserver yet.
                Program::ControllerManager => self.await_ready(Program::ApiServer)?,
                Program::ApiServer => self.await_ready(Program::Etcd)?,
                Program::Scheduler
                | Program::Kubelet
                | Program::KubeStateMetrics
                | Program::Etcd
                | Program::Containerd
                | Program::Prometheus => {}
            }
            self.spawn(program)?;
            if program == Program::ApiServer && self.tier == Tier::Node {
                // It takes seconds to start; the image is made meanwhile.
                let archive = image::write(&self.tools, &self.layout.directory)?;
                self.await_ready(Program::Containerd)?;
                self.import(&archive)?;
            }
        }
        for &program in self.tier.programs() {
            self.await_ready(program)?;
        }
        Ok(())
    }

    fn import(&self, archive: &Path) -> Result<()> {
        let socket = self.layout.containerd_socket();
        let mut command = self.tools.command("ctr");
        command.args(["--address", &socket, "--namespace", "k8s.io", "images", "import"]).arg(archive);
        run(&mut command)?;
        Ok(())
    }

    fn spawn(&self, program: Program) -> Result<()> {
        ensure!(!self.children().contains_key(&program), "{} is running already", program.name());
        ensure!(self.tier.programs().contains(&program), "{:?} has no {}", self.tier, program.name());
        let log = File::options().create(true).append(true).open(self.layout.log(program))?;
        let mut command = self.command(program.name());
        command.args(program.arguments(&self.layout)).current_dir(&self.layout.directory);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Ctrl-C is for the tests alone; their watchdog ends the programs.
        let child = command.process_group(0).spawn().with_context(|| program.name())?;
        self.children().insert(program, child);
        Ok(())
    }

    /// An error names the program and shows the end of its log.
    fn await_ready(&self, program: Program) -> Result<()> {
        let started = Instant::now();
        loop {
            let Err(last) = self.probe(program) else { return Ok(()) };
            let ended = match self.children().get_mut(&program) {
                Some(child) => child.try_wait()?.map(|status| format!("ended with {status}")),
                None => bail!("{}", not_running(program)),
            };
            let late = started.elapsed() >= START_LIMIT;
            if let Some(why) = ended.or_else(|| late.then(|| format!("is not ready: {last:#}"))) {
                let log = self.layout.log(program);
                bail!("{} {why}; its log ends:\n{}", program.name(), tail(&log)?);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn probe(&self, program: Program) -> Result<()> {
        let address = self.layout.address;
        match program {
            Program::Etcd => {
                let health = http::fetch(&format!("http://{address}:2379/health"), None)?;
                ensure!(health.contains("\"true\""), "{health}");
            }
            Program::ApiServer => drop(self.kubectl(&["get", "--raw", "/readyz"])?),
            // Without its account a namespace admits no pod.
            Program::ControllerManager => drop(self.kubectl(&["get", "serviceaccount", "default"])?),
            Program::Scheduler => {}
            Program::Containerd => {
                let socket = self.layout.containerd_socket();
                run(self.tools.command("ctr").args(["--address", &socket, "version"]))?;
            }
            Program::Kubelet => {
                let ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
                let status = self.kubectl(&["get", "node", NODE, "-o", ready])?;
                ensure!(status == "True", "node {NODE} has Ready={status}");
            }
            Program::KubeStateMetrics => drop(http::fetch(&format!("http://{address}:8080/healthz"), None)?),
            Program::Prometheus => {
                let answer = http::fetch(&format!("http://{address}:9090/api/v1/targets"), None)?;
                let answer: Value = serde_json::from_str(&answer)?;
                let targets = answer["data"]["activeTargets"].as_array().context("no targets")?;
                let down = targets.iter().find(|target| target["health"] != "up");
                if let Some(target) = down {
                    bail!("{} is {}: {}", target["scrapePool"], target["health"], target["lastError"]);
                }
                ensure!(!targets.is_empty(), "no target yet");
            }
        }
        Ok(())
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.tools.command("kubectl");
        command.arg("--kubeconfig").arg(self.layout.admin_kubeconfig()).arg("--request-timeout=5s");
        run(command.args(arguments))
    }

    fn build_network(&self, gateway: &str) -> Result<()> {
        let Layout { name, address, .. } = &self.layout;
        let ip = |line: &str| run(self.tools.command("ip").args(line.split(' ')));
        ip(&format!("netns add {name}"))?;
        ip(&format!("link add {name} type veth peer name kw1 netns {name}"))?;
        ip(&format!("address add {gateway}/24 dev {name}"))?;
        ip(&format!("link set {name} up"))?;
        for line in [
            "link set lo up",
            "link add kw0 type bridge",
            "link set kw1 master kw0",
            &format!("address add {address}/24 dev kw0"),
            &format!("address add {}/32 dev kw0", pki::SERVICE_ADDRESS),
            "link set kw0 up",
            "link set kw1 up",
            &format!("route add default via {gateway}"),
        ] {
            ip(&format!("-n {name} {line}"))?;
        }
        run(self.command("sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]))?;
        Ok(())
    }

    fn children(&self) -> MutexGuard<'_, BTreeMap<Program, Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.slot.take());
        for child in self.children().values_mut() {
            let _ = child.wait();
        }
    }
}

/// `nsenter`, not `ip netns exec`: that one mounts another /sys, without the control groups.
pub(crate) fn enter(tools: &Tools, namespace: &str, program: &str) -> Command {
    let mut command = tools.command("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).arg("--").arg(program);
    command
}

/// The kubelet wants its own root to exist in every hierarchy.
fn create_groups(name: &str) -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return Ok(fs::create_dir_all(root.join(name))?);
    }
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.join("cgroup.procs").exists() && !path.is_symlink() {
            let group = path.join(name);
            fs::create_dir_all(&group).with_context(|| group.display().to_string())?;
        }
    }
    Ok(())
}

fn tail(log: &Path) -> Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn not_running(program: Program) -> String {
    format!("{} is not running", program.name())
}
