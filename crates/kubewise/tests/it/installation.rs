//! KubeWise on a machine: its directory, the process that runs in it, and the commands that ask the process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// Good for every installation; long enough to be accepted.
pub(crate) const TOKEN: &str = "a-token-for-the-tests";
/// From the start of the process until its API listens, on a busy machine.
const START: Duration = Duration::from_mins(1);
/// From SIGTERM to the end: the phases, at their defaults, and the API's grace take 28 s at most.
pub(crate) const END: Duration = Duration::from_secs(35);
/// More often than any scenario starts one installation.
const MAX_STARTS: u32 = 100;
/// A request to a process on this machine.
const REQUEST: Duration = Duration::from_secs(20);
/// Often enough for people, seldom enough to leave the cores to the cluster.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks until there is an answer. An error ends the waiting at once.
pub(crate) fn poll<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().with_context(|| what.to_owned())? {
            return Ok(answer);
        }
        ensure!(started.elapsed() < limit, "waited {} s for {what}", limit.as_secs());
        thread::sleep(PAUSE);
    }
}

/// Where KubeWise keeps its things; it can be started there again and again.
#[derive(Debug)]
pub(crate) struct Installation {
    directory: TempDir,
    flags: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
}

impl Installation {
    /// With a configuration file of that text.
    pub(crate) fn new(config: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("kubewise.toml"), config)?;
        Ok(Self { directory, flags: BTreeMap::new(), environment: BTreeMap::new() })
    }

    /// With a flag of `kubewise run`, in place of an earlier value of it.
    pub(crate) fn flag(mut self, flag: &str, value: impl AsRef<Path>) -> Self {
        self.flags.insert(flag.to_owned(), value.as_ref().display().to_string());
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.directory.path().join("kubewise.db")
    }

    /// `kubewise run` in this directory, with nothing of the test's own environment.
    pub(crate) fn run(&self) -> Command {
        let mut command = kubewise();
        command
            .current_dir(self.directory.path())
            .args(["run", "--config", "kubewise.toml", "--store", "sqlite:kubewise.db"])
            .args(["--listen", "127.0.0.1:0"])
            .args(self.flags.iter().flat_map(|(flag, value)| [flag, value]))
            .env("HOME", self.directory.path())
            .env("KUBEWISE_TOKEN", TOKEN)
            .env("KUBEWISE_LOG", "info,kubewise_runtime=debug")
            .envs(&self.environment);
        command
    }

    pub(crate) fn start(&self) -> Result<Process> {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, environment: &[(&str, &str)]) -> Result<Process> {
        let mut process = Process::spawn(self.run().envs(environment.iter().copied()), self.log())?;
        process.server = poll("the API to listen", START, || {
            if let Some(ended) = process.child()?.try_wait()? {
                bail!("kubewise run ended with {ended}: {}", process.tail("", 20));
            }
            let log = fs::read_to_string(&process.log)?;
            let line = log.lines().find(|line| line.contains("kubewise runs"));
            let address = line.and_then(|line| line.split("listen=").nth(1));
            Ok(address.map(|address| address.split_whitespace().next().unwrap_or_default().to_owned()))
        })?;
        Ok(process)
    }

    fn log(&self) -> PathBuf {
        let numbered = |number: u32| self.directory.path().join(format!("{number}.log"));
        (1..=MAX_STARTS).map(numbered).find(|path| !path.exists()).unwrap_or_default()
    }
}

/// The built program, without this process's environment.
pub(crate) fn kubewise() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubewise"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A running `kubewise run`. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Mutex<Child>,
    /// Host and port of its API.
    server: String,
    log: PathBuf,
}

impl Process {
    fn spawn(command: &mut Command, log: PathBuf) -> Result<Self> {
        let file = File::create(&log)?;
        let child = command.stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Self { child: Mutex::new(child), server: String::new(), log })
    }

    fn child(&self) -> Result<std::sync::MutexGuard<'_, Child>> {
        self.child.lock().ok().context("another test thread died with this process")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server)
    }

    /// Status and body of `GET`.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, Value)> {
        let mut stream = TcpStream::connect(&self.server)?;
        stream.set_read_timeout(Some(REQUEST))?;
        // Version 1.0, so that the answer is not chunked and ends with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.server)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let value = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
        Ok((status, value))
    }

    /// A client command against this process.
    pub(crate) fn client(&self, arguments: &[&str]) -> Result<Output> {
        Ok(kubewise().args(arguments).args(["--server", &self.url(), "--token", TOKEN]).output()?)
    }

    /// What a client command prints for scripts; it must succeed.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.client(&[arguments, &["-o", "json"]].concat())?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubewise {arguments:?}: {}: {complaint}", output.status);
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("kubewise {arguments:?} printed no JSON"))
    }

    /// A client command that must end with this exit code; what it complained about.
    pub(crate) fn refused(&self, arguments: &[&str], code: i32) -> Result<String> {
        let output = self.client(arguments)?;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(code), "kubewise {arguments:?}: {}: {complaint}", output.status);
        Ok(complaint)
    }

    /// Waits until one line of the log holds every word.
    pub(crate) fn await_log(&self, words: &[&str], limit: Duration) -> Result<()> {
        poll(&format!("the log to say {words:?}"), limit, || {
            let log = fs::read_to_string(&self.log)?;
            let said = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
            Ok(said.then_some(()))
        })
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(&self, limit: Duration) -> Result<ExitStatus> {
        self.signal("TERM")?;
        self.await_end(limit)
    }

    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let id = self.child()?.id().to_string();
        ensure!(Command::new("kill").args(["-s", name, &id]).status()?.success(), "{name} was not sent");
        Ok(())
    }

    /// Waits until it is stopped as by SIGSTOP.
    pub(crate) fn await_stop(&self, limit: Duration) -> Result<()> {
        let status = format!("/proc/{}/status", self.child()?.id());
        poll("the process to be stopped", limit, || {
            Ok(fs::read_to_string(&status)?.contains("State:\tT").then_some(()))
        })
    }

    pub(crate) fn await_end(&self, limit: Duration) -> Result<ExitStatus> {
        poll("the process to end", limit, || Ok(self.child()?.try_wait()?))
    }

    /// The last lines of its log that hold a word.
    pub(crate) fn tail(&self, word: &str, lines: usize) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let told: Vec<&str> = log.lines().filter(|line| line.contains(word)).collect();
        told[told.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut() {
            let _ = child.kill(); // it may have ended already
            let _ = child.wait();
        }
    }
}
