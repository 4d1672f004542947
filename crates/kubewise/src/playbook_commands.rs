//! `playbook check`, `playbook test` and `playbook explain`.

use anyhow::Result;
use kubewise_core::anomaly::Reason;
use kubewise_core::plan::HAND_OVER;
use kubewise_remediation::playbook;

use crate::cli::PlaybookCommand;
use crate::exit::{Ended, Exit};
use crate::playbooks;
use crate::terminal::say;

pub(crate) fn playbook(command: PlaybookCommand) -> Result<()> {
    match command {
        PlaybookCommand::Check { directory } => {
            let count = playbooks::load(Some(&directory))?.list().count();
            say!("the playbooks are sound: {count} with the built-in ones");
        }
        PlaybookCommand::Test { reason, directory } => {
            let known = Reason::ALL.iter().find(|known| known.as_str() == reason).copied();
            let reason = known.ok_or_else(|| {
                let all: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
                Ended::error(Exit::Usage, format!("`{reason}` is not a reason; there are {}", all.join(", ")))
            })?;
            test(&playbooks::load(directory.as_deref())?, reason);
        }
        PlaybookCommand::Explain { name, directory } => {
            explain(&playbooks::load(directory.as_deref())?, name.as_deref())?;
        }
    }
    Ok(())
}

fn test(playbooks: &playbook::Playbooks, reason: Reason) {
    let trials = playbooks.trial(reason);
    if trials.is_empty() {
        say!("no playbook speaks of the example of {reason}: it would be handed over");
    }
    for trial in trials {
        say!("{}", trial.playbook);
        if trial.candidates.is_empty() {
            say!("  none of its candidates applies: it would be handed over");
        }
        for (action, parameters) in trial.candidates {
            match parameters {
                Ok(parameters) => say!("  {action} {parameters}"),
                Err(fault) => say!("  {action}: {fault}"),
            }
        }
    }
}

fn explain(playbooks: &playbook::Playbooks, name: Option<&str>) -> Result<()> {
    let wanted = |known: &str| name.is_none_or(|name| name == known);
    let mut found = false;
    for explanation in playbooks.explain().iter().filter(|one| wanted(&one.name)) {
        found = true;
        let reasons: Vec<String> = explanation.reasons.iter().map(ToString::to_string).collect();
        let actions = match explanation.actions.as_slice() {
            [HAND_OVER] => HAND_OVER.into(),
            actions => format!("{}, at most in mode {}", actions.join(", else "), explanation.max_mode),
        };
        say!("{}  ({})\n  {}\n  {actions}", explanation.name, reasons.join(", "), explanation.description);
    }
    for action in playbook::actions().iter().filter(|action| wanted(action.name)) {
        found = true;
        say!("{}\n  {}\n  risk {}", action.name, action.description, action.risk);
        for (parameter, schema) in action.parameters.as_object().into_iter().flatten() {
            let told = schema.get("description").and_then(serde_json::Value::as_str).unwrap_or_default();
            say!("  {parameter}  {}", told.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    for variable in playbook::variables().iter().filter(|variable| wanted(&variable.name)) {
        found = true;
        say!("{}\n  {}", variable.name, variable.description);
        for (field, kind, told) in &variable.fields {
            say!("{}", format!("  {}.{field} ({kind})  {told}", variable.name).trim_end());
        }
    }
    if found {
        return Ok(());
    }
    let message = format!("there is no playbook, action or variable {}", name.unwrap_or_default());
    Err(Ended::error(Exit::NotFound, message))
}
