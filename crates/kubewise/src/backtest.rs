//! `kubewise backtest`: the pipeline of `run` lives through a history in virtual time, and nothing is touched.
//!
//! A history is files, or what Prometheus still holds, which is fetched into files first. It is read once to be
//! checked, then replayed as fast as it goes: the same detector, planner and policy as in `run`, over a clock that
//! jumps from one thing to do to the next. What came of it is gathered from the records that `run` would have kept.
//! The same history gives the same bytes.

mod fetch;
mod live;
mod outcome;
mod page;
mod plot;
mod score;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use kubewise_core::metric::MetricQuery;
use kubewise_core::{Period, Timestamp};
use kubewise_replay::{History, read_labels};

use crate::cli::{BacktestArgs, BacktestFormat};
use crate::exit::{Ended, Exit};
use crate::settings_commands;
use crate::terminal::say;

/// Of Prometheus, unless told otherwise: a day shows a daily course, and is fetched within minutes.
const DEFAULT_AGE: Period = Period::from_mins(24 * 60);

/// The stretch of time that is lived through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

pub(crate) fn backtest(args: &BacktestArgs) -> Result<()> {
    let loaded = settings_commands::load(&args.sources())?;
    let labels = args.labels.as_deref().map(read_labels).transpose().map_err(usage)?;
    let catalogue = loaded.settings.catalogue.queries();
    // Lives as long as what was fetched is read.
    let mut fetched = None;
    let (history, window) = if args.prometheus.is_some() {
        let window = window(args, Timestamp::now(), None)?;
        let folder = tempfile::tempdir().context("no room for what is fetched")?;
        fetch::fetch(&loaded.settings.prometheus, &catalogue, window, folder.path())?;
        let history = open(&[folder.path().to_owned()], &catalogue)?;
        fetched = Some(folder);
        (history, window)
    } else {
        let history = open(&args.from, &catalogue)?;
        let summary = history.summary();
        let (Some(first), Some(last)) = (summary.first, summary.last) else {
            return Err(usage_text("the files hold nothing that could be replayed"));
        };
        let window = window(args, last, Some(first))?;
        (history, window)
    };
    let history = Arc::new(history);
    let mut lived = live::live(loaded, &history, window)?;
    if let Some(labels) = &labels {
        lived.outcome.scores = Some(score::score(&lived.outcome, labels));
    }
    if let Some(path) = &args.report {
        let plots = plot::plots(&history, &lived)?;
        let page = page::page(&lived.outcome, &plots, labels.as_deref().unwrap_or_default());
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match args.output {
        BacktestFormat::Table => say!("{}", table::table(&lived.outcome)),
        BacktestFormat::Json => say!("{}", serde_json::to_string_pretty(&lived.outcome)?),
    }
    drop(fetched);
    Ok(())
}

fn open(paths: &[PathBuf], catalogue: &[MetricQuery]) -> Result<History> {
    History::open(paths, catalogue).map_err(usage)
}

fn window(args: &BacktestArgs, end: Timestamp, first: Option<Timestamp>) -> Result<Window> {
    let moment = |flag: &str, text: &str, end: Timestamp| {
        text.parse::<Timestamp>().or_else(|_| text.parse::<Period>().map(|age| age.before(end))).map_err(
            |_| {
                usage_text(&format!(
                    "{flag}: `{text}` is no time like 2026-01-05T08:00:00Z and no age like 7d"
                ))
            },
        )
    };
    let until = args.until.as_deref().map(|text| moment("--until", text, end)).transpose()?.unwrap_or(end);
    let since = args.since.as_deref().map(|text| moment("--since", text, until)).transpose()?;
    let since = since.or(first).unwrap_or_else(|| DEFAULT_AGE.before(until));
    if since >= until {
        return Err(usage_text(&format!("nothing lies between {since} and {until}")));
    }
    Ok(Window { since, until })
}

fn usage(error: impl std::error::Error) -> anyhow::Error {
    usage_text(&kubewise_core::failure::chain(&error))
}

fn usage_text(message: &str) -> anyhow::Error {
    Ended::error(Exit::Usage, message)
}
