//! Logs go to standard error, so that standard output stays for what was asked.

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogOptions};

pub(crate) fn start(options: &LogOptions) -> Result<()> {
    let filter = EnvFilter::try_new(&options.level)
        .with_context(|| format!("log.level: `{}` is not a filter such as `info`", options.level))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match options.format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}
