//! KubeWise: the index of what the program can do.

mod audit;
mod backtest;
mod cli;
mod client;
mod config;
#[cfg(debug_assertions)]
mod crash_points;
mod demo;
mod eval;
mod exit;
mod late_cluster;
mod logging;
mod playbook_commands;
mod playbooks;
mod recording;
mod run;
mod settings_commands;
mod signals;
mod terminal;
mod wiring;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command};

/// Loops wait far more than they compute; two threads keep one long judgement from holding up the API.
const WORKER_THREADS: usize = 2;

fn main() -> ExitCode {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return ExitCode::FAILURE; // something chose another provider before main: a build fault
    }
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            exit::code(&error)
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    match command {
        Command::Completions { shell } => {
            let mut command = Cli::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "kubewise", &mut script);
            // A closed pipe, as of `| head`, is no fault.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
        }
        Command::Config(command) => settings_commands::config(command)?,
        Command::Backtest(args) => backtest::backtest(&args)?,
        Command::Eval(args) => eval::eval(&args)?,
        Command::Audit(command) => audit::audit(command)?,
        Command::Playbook(command) => playbook_commands::playbook(command)?,
        Command::Demo(args) => return demo::demo(&args),
        Command::Run(args) => executor()?.block_on(run::run(args.config))?,
        Command::Status(args) => executor()?.block_on(client::status(&args))?,
        Command::Incidents(args) => executor()?.block_on(client::records("incidents", &args))?,
        Command::Anomalies(args) => executor()?.block_on(client::records("anomalies", &args))?,
        Command::Plans(args) => executor()?.block_on(client::plans(&args))?,
        Command::Plan(args) => executor()?.block_on(client::try_plan(&args))?,
        Command::Explain(args) => executor()?.block_on(client::explain(&args))?,
        Command::Spend(args) => executor()?.block_on(client::spend(&args))?,
        Command::Actions(args) => executor()?.block_on(client::records("actions", &args))?,
        Command::Events(args) => executor()?.block_on(client::records("events", &args))?,
        Command::Approve(args) => executor()?.block_on(client::approve(&args))?,
        Command::Release(args) => executor()?.block_on(client::release(&args))?,
        Command::Feedback(args) => executor()?.block_on(client::feedback(&args))?,
        Command::Suppressions(args) => executor()?.block_on(client::suppressions(&args))?,
        Command::Reject(args) => executor()?.block_on(client::reject(&args))?,
        Command::Autonomy(args) => executor()?.block_on(client::autonomy(&args))?,
        Command::Pause(args) => executor()?.block_on(client::pause(&args))?,
        Command::Resume(args) => executor()?.block_on(client::resume(&args))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn executor() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .context("the executor cannot start")
}

#[expect(clippy::print_stderr, reason = "errors of a command line go to standard error")]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
