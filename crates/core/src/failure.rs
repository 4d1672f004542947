//! How a call to the outside can fail. Adapters classify; nobody else looks at status codes.

use std::error::Error;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Each variant says what the caller may conclude about the effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Failure {
    /// Surely not applied; trying the same again gives the same answer.
    #[error("{message}")]
    Rejected { reason: Rejection, message: String },
    /// Sent, and no answer came: it may have been applied. Read back before anything else.
    #[error("outcome unknown: {message}")]
    Unknown { message: String },
    /// Surely not applied; the other side asks to wait.
    #[error("rate limited: {message}")]
    RateLimited {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<Duration>,
        message: String,
    },
    /// Surely not applied: the other side could not be reached, or said that it cannot answer now.
    #[error("unavailable: {message}")]
    Unavailable { message: String },
}

/// Why the other side refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub enum Rejection {
    NotFound,
    /// A guarded value, uid or fence was no longer what we tested for: somebody else changed it.
    Superseded,
    /// Not permitted (401, 403).
    Forbidden,
    /// Malformed, or refused by validation or admission.
    Invalid,
    /// Another holder: a lock of the journal, a newer epoch, an occupied sequence number.
    Conflict,
}

impl Failure {
    pub fn rejected(reason: Rejection, cause: &dyn Error) -> Self {
        Failure::Rejected { reason, message: chain(cause) }
    }

    pub fn unknown(cause: &dyn Error) -> Self {
        Failure::Unknown { message: chain(cause) }
    }

    pub fn unavailable(cause: &dyn Error) -> Self {
        Failure::Unavailable { message: chain(cause) }
    }

    pub fn message(&self) -> &str {
        match self {
            Failure::Rejected { message, .. }
            | Failure::Unknown { message }
            | Failure::RateLimited { message, .. }
            | Failure::Unavailable { message } => message,
        }
    }

    /// Whether the same read may succeed later. Writes are never repeated on this ground alone.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Failure::Rejected { .. })
    }

    pub fn is(&self, wanted: Rejection) -> bool {
        matches!(self, Failure::Rejected { reason, .. } if *reason == wanted)
    }
}

/// An error with its sources, outermost first, without repeating a source that the outer text already holds.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let inner = cause.to_string();
        if !text.contains(&inner) {
            text.push_str(": ");
            text.push_str(&inner);
        }
        source = cause.source();
    }
    text
}
