//! Where the programs are: those built from `tools/` first, then `PATH`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{Program, Tier};

/// What stands between this machine and a test cluster.
#[derive(Clone, Debug)]
pub struct Missing(Vec<String>);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no test cluster here: missing {}; scripts/setup installs the programs", self.0.join(", "))
    }
}

impl std::error::Error for Missing {}

/// The value of `PATH` under which every program is found.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) path: OsString,
}

impl Tools {
    /// `Err` with a [`Missing`] inside when something a cluster of this tier needs is not there.
    pub(crate) fn find(tier: Tier) -> Result<Self> {
        let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/setup");
        let output =
            Command::new(&setup).arg("path").output().with_context(|| setup.display().to_string())?;
        ensure!(
            output.status.success(),
            Missing(vec![String::from_utf8_lossy(&output.stderr).trim().to_owned()])
        );
        let mut directories: Vec<PathBuf> =
            String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect();
        directories.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));

        let mut missing: Vec<String> = wanted(tier)
            .filter(|program| !directories.iter().any(|directory| directory.join(program).is_file()))
            .map(str::to_owned)
            .collect();
        if fs::metadata("/proc/self")?.uid() != 0 {
            missing.push("root (network namespaces need it)".to_owned());
        }
        ensure!(missing.is_empty(), Missing(missing));
        Ok(Self { path: std::env::join_paths(directories)? })
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("PATH", &self.path);
        // kubectl remembers an address's kinds for hours; the next cluster there may have others.
        command.env("KUBECACHEDIR", "/dev/null");
        command
    }
}

fn wanted(tier: Tier) -> impl Iterator<Item = &'static str> {
    let node: &[&str] = match tier {
        Tier::ControlPlane => &[],
        Tier::Node => {
            &["ctr", "containerd-shim-runc-v2", "runc", "/usr/lib/cni/ptp", "busybox", "tar", "sha256sum"]
        }
    };
    let programs = tier.programs().iter().copied().map(Program::name);
    ["kubectl", "ip", "nsenter", "flock"].into_iter().chain(programs).chain(node.iter().copied())
}
