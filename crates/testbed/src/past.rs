//! A Prometheus that holds a past and scrapes nothing.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::{http, wait_for};

/// Replaying the blocks takes far less.
const START_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Past {
    pub url: String,
    process: Child,
    directory: TempDir,
}

impl Past {
    /// Of this OpenMetrics text, on a free port of the loopback. `None`, told on standard error, where there is no
    /// Prometheus; with `CI` set that is an error.
    pub fn of(open_metrics: &str) -> Result<Option<Self>> {
        let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
        if !there("prometheus") || !there("promtool") {
            ensure!(std::env::var_os("CI").is_none(), "prometheus or promtool is missing; run scripts/setup");
            let mut terminal = std::io::stderr();
            writeln!(terminal, "skipped: prometheus or promtool is missing; scripts/setup installs them")?;
            return Ok(None);
        }
        let directory = tempfile::tempdir()?;
        let within = |name: &str| directory.path().join(name);
        fs::write(within("history"), open_metrics)?;
        fs::write(within("configuration"), "{}")?;
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([within("history"), within("data")])
            .output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", within("configuration").display()))
            .arg(format!("--storage.tsdb.path={}", within("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let past = Self { url: format!("http://{address}"), process, directory };
        wait_for("Prometheus", START_LIMIT, || http::fetch(&format!("{}/-/ready", past.url), None))?;
        Ok(Some(past))
    }

    /// Where its blocks are, for `promtool`.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

impl Drop for Past {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
