//! A cluster that a person starts, uses and ends from a shell.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::machine::enter;
use crate::tools::Tools;
use crate::{Cluster, Tier, slot};

/// Starts a cluster that outlives this process, unless there is one; returns shell lines that lead
/// other programs to it.
pub fn up(tier: Tier) -> Result<String> {
    match slot::kept().into_iter().next() {
        Some((_, exports)) => Ok(exports),
        None => Cluster::start(tier)?.keep(),
    }
}

/// Ends what [`up`] started and returns how many clusters that were.
pub fn down() -> Result<usize> {
    let kept = slot::kept();
    for (number, _) in &kept {
        slot::take_down(*number)?;
    }
    Ok(kept.len())
}

/// Becomes the command, inside the cluster's network namespace; returns only an error.
pub fn exec(command: &[OsString]) -> Result<()> {
    let (number, exports) = slot::kept().into_iter().next().context("no cluster is up")?;
    let (program, arguments) = command.split_first().context("no command given")?;
    let program = program.to_str().context("the program's name is not UTF-8")?;
    let mut entered = enter(&Tools::find(Tier::ControlPlane)?, &slot::name_of(number), program);
    for line in exports.lines() {
        if let Some((name, value)) = line.trim_start_matches("export ").split_once('=') {
            entered.env(name, value);
        }
    }
    Err(entered.args(arguments).exec().into())
}
