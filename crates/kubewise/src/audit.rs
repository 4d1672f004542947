//! `audit verify`.

use anyhow::{Context, Result, bail};
use kubewise_sqlite::audit;

use crate::cli::AuditCommand;
use crate::terminal::say;

pub(crate) fn audit(command: AuditCommand) -> Result<()> {
    let AuditCommand::Verify { store, noted } = command;
    let what = || format!("store {}", store.display());
    let verified = audit::verify(&store, noted.as_deref()).with_context(what)?;
    if verified.noted == Some(false) {
        bail!(
            "the chain holds in itself, but the noted hash is not in it: its end was cut off or written anew"
        );
    }
    say!("{} entries, unchanged\n{}", verified.entries, verified.tip);
    Ok(())
}
