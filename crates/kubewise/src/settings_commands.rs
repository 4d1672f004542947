//! `config check` and `config print`.

use anyhow::{Context, Result};

use crate::cli::{ConfigCommand, ConfigFormat};
use crate::config::{self, Loaded, Sources};
use crate::exit::{Ended, Exit};
use crate::playbooks;
use crate::terminal::say;

pub(crate) fn config(command: ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Check { config } => {
            let loaded = load(&config.sources())?;
            playbooks::load(loaded.settings.playbooks.directory.as_deref())?;
            let queries = loaded.settings.catalogue.queries().len();
            say!("the configuration is sound: {} keys set, {queries} queries", loaded.origins.len());
            for (key, origin) in &loaded.origins {
                say!("  {key}  ({origin})");
            }
        }
        ConfigCommand::Print { config, output } => {
            let effective = load(&config.sources())?.effective;
            let text = match output {
                ConfigFormat::Toml => {
                    toml::to_string_pretty(&effective).context("cannot be written as TOML")?
                }
                ConfigFormat::Json => serde_json::to_string_pretty(&effective)? + "\n",
                ConfigFormat::Yaml => {
                    serde_saphyr::to_string(&effective).context("cannot be written as YAML")?
                }
            };
            say!("{}", text.trim_end());
        }
    }
    Ok(())
}

/// A faulty configuration ends the program with the exit code for wrong usage.
pub(crate) fn load(sources: &Sources) -> Result<Loaded> {
    config::load(sources).map_err(|faults| Ended::error(Exit::Usage, faults))
}
