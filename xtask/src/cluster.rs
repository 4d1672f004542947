//! `cargo xtask cluster`: a test cluster by hand.

use std::ffi::OsString;
use std::io::Write as _;

use anyhow::{Result, bail};
use kubewise_testbed::{Tier, by_hand};

const USAGE: &str = "usage: cargo xtask cluster up [--control-plane] | down | exec -- COMMAND…
  up     starts a cluster and prints the lines that lead a shell to it: eval \"$(cargo xtask cluster up)\"
  down   ends it
  exec   runs a command where the cluster's pods can be reached";

pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let mut out = std::io::stdout();
    match words.as_slice() {
        ["up"] => out.write_all(by_hand::up(Tier::Node)?.as_bytes())?,
        ["up", "--control-plane"] => out.write_all(by_hand::up(Tier::ControlPlane)?.as_bytes())?,
        ["down"] => writeln!(out, "ended: {}", by_hand::down()?)?,
        ["exec", "--", _, ..] => by_hand::exec(&arguments[2..])?,
        _ => bail!("{USAGE}"),
    }
    Ok(())
}
