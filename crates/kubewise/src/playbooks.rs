//! Playbooks from the binary and from the user's directory.

use std::path::Path;

use anyhow::{Context, Result};
use kubewise_remediation::playbook::Playbooks;

use crate::exit::{Ended, Exit};

/// A directory with more files than this is not one of playbooks.
const MAX_FILES: usize = 200;

/// The built-in playbooks and those of `directory`. All faults at once.
pub(crate) fn load(directory: Option<&Path>) -> Result<Playbooks> {
    let Some(directory) = directory else { return Ok(Playbooks::builtin()) };
    let named = || format!("playbooks.directory {}", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(named)? {
        let path = entry.with_context(named)?.path();
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && path.is_file() {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            files.push((path.display().to_string(), text));
        }
    }
    if files.len() > MAX_FILES {
        let message = format!("{} holds {} files; {MAX_FILES} playbooks are the most", named(), files.len());
        return Err(Ended::error(Exit::Usage, message));
    }
    files.sort();
    let borrowed: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Playbooks::load(&borrowed).map(Playbooks::with_builtin).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        Ended::error(Exit::Usage, format!("the playbooks have {} faults:{}", faults.len(), lines.concat()))
    })
}
