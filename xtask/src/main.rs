//! Chores of this repository: `cargo xtask CHORE`.
#![expect(clippy::print_stdout, reason = "a command line speaks on standard output")]

mod cluster;
mod guards;
mod house;

use std::ffi::OsString;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.split_first() {
        Some((chore, rest)) if chore == "cluster" => cluster::run(rest),
        Some((chore, [])) if chore == "check" => house::check(),
        Some((chore, [])) if chore == "prove-guards" => guards::prove(),
        _ => bail!("usage: cargo xtask check | prove-guards | cluster …"),
    }
}
