//! What one account asked the apiserver to write, from the apiserver's own audit log: no write between two looks at
//! the objects can be missed.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// The account whose writes are noted. It is for the program under test; the tests themselves are the administrator.
pub const USER: &str = "kubewise";

/// A request to write. Dry runs are left out, refused requests are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// As in a role: `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// In the plural, with the subresource: `pods/eviction`.
    pub resource: String,
    /// Empty for objects of the cluster.
    pub namespace: String,
    /// Empty where the server chooses it.
    pub name: String,
    /// The status of the answer.
    pub status: u16,
    /// When it was answered, as the apiserver wrote it.
    pub time: String,
}

pub(crate) fn policy() -> String {
    format!(
        "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: [{USER}]
  verbs: [create, update, patch, delete, deletecollection]
- level: None
"
    )
}

pub(crate) fn writes(log: &Path) -> Result<Vec<Write>> {
    let text = match fs::read_to_string(log) {
        Ok(text) => text,
        // Nothing was noted yet.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| log.display().to_string()),
    };
    // The last line may be half written; it is whole when it is looked at next.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut writes = Vec::new();
    for line in whole.lines() {
        let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        writes.extend(write(&event));
    }
    Ok(writes)
}

fn write(event: &Value) -> Option<Write> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("/stage") != "ResponseComplete" && text("/stage") != "Panic" {
        return None;
    }
    if text("/requestURI").contains("dryRun=") {
        return None;
    }
    let subresource = text("/objectRef/subresource");
    let separator = if subresource.is_empty() { "" } else { "/" };
    Some(Write {
        verb: text("/verb"),
        resource: format!("{}{separator}{subresource}", text("/objectRef/resource")),
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        status: event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default() as u16,
        time: text("/stageTimestamp"),
    })
}
