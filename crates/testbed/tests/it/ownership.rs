use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kubewise_testbed::{Options, Tier, for_test, wait_for};

/// Set for the copy of this test binary that plays the owner.
const OWNER: &str = "KUBEWISE_TESTBED_TEST_OWNER";
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_killed_owner_leaves_nothing() -> Result<()> {
    let Some(mut owner) = Owner::start("ownership::a_killed_owner_leaves_nothing")? else { return Ok(()) };
    owner.kill()?;
    wait_for("the watchdog", LIMIT, || {
        let found = owner.traces.found();
        ensure!(found.is_empty(), "{found:?}");
        Ok(())
    })
}

#[test]
fn what_owner_and_watchdog_leave_is_swept_at_the_next_start() -> Result<()> {
    let name = "ownership::what_owner_and_watchdog_leave_is_swept_at_the_next_start";
    let Some(mut owner) = Owner::start(name)? else { return Ok(()) };
    let lock = owner.traces.directory.with_extension("lock");
    let watchdog = run("pgrep", &["-f", &format!("^flock {}", lock.display())])?;
    run("kill", &["-KILL", watchdog.trim()])?;
    owner.kill()?;
    let leftovers = owner.traces.processes();
    ensure!(!leftovers.is_empty(), "the programs should have outlived their owner");

    let Some(cluster) = for_test(Options::new(Tier::ControlPlane)) else { return Ok(()) };
    let living = owner.traces.processes();
    let survivors: Vec<_> = leftovers.iter().filter(|process| living.contains(process)).collect();
    assert_eq!(survivors, Vec::<&String>::new());
    cluster.kubectl(&["get", "--raw", "/readyz"]).map(drop)
}

/// What may remain of a cluster.
pub(crate) struct Traces {
    directory: PathBuf,
    name: String,
}

impl Traces {
    pub(crate) fn of(kubeconfig: &Path) -> Self {
        let directory = kubeconfig.ancestors().nth(2).unwrap_or(kubeconfig).to_owned();
        let number = directory.file_name().unwrap_or_default().to_string_lossy();
        Self { name: format!("kubewise-{number}"), directory }
    }

    pub(crate) fn found(&self) -> Vec<String> {
        let mut found = self.processes();
        let mut paths =
            vec![Path::new("/run/netns").join(&self.name), Path::new("/sys/class/net").join(&self.name)];
        paths.push(self.directory.clone());
        found.extend(paths.iter().filter(|path| path.exists()).map(|path| path.display().to_string()));
        found
    }

    /// Number and arguments of each process that names the cluster's directory, the watchdog aside.
    fn processes(&self) -> Vec<String> {
        let listing = run("pgrep", &["-af", &format!("{}/", self.directory.display())]).unwrap_or_default();
        listing.lines().map(str::to_owned).collect()
    }
}

/// Another process that owns a cluster and waits.
struct Owner {
    child: Child,
    traces: Traces,
}

impl Owner {
    /// In the copy, owns a cluster until the copy is killed. `None` where there can be no cluster.
    fn start(test: &str) -> Result<Option<Self>> {
        if std::env::var_os(OWNER).is_some() {
            let cluster = for_test(Options::new(Tier::ControlPlane));
            let kubeconfig = cluster.as_ref().map_or(Path::new(""), |cluster| cluster.kubeconfig());
            writeln!(std::io::stdout(), "\nowner: {}", kubeconfig.display())?;
            std::io::stdin().read_line(&mut String::new())?;
            return Ok(None);
        }
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", test, "--nocapture"])
            .env(OWNER, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        let kubeconfig = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("owner: ").map(PathBuf::from))
            .context("the owner ended without a cluster")?;
        if kubeconfig.as_os_str().is_empty() {
            child.wait()?;
            return Ok(None);
        }
        Ok(Some(Self { child, traces: Traces::of(&kubeconfig) }))
    }

    fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    Ok(String::from_utf8(Command::new(program).args(arguments).output()?.stdout)?)
}
