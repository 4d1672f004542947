//! Exit codes that scripts can rely on.

use std::fmt;
use std::process::ExitCode;

/// Why a command ends without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Unreachable = 4,
    Forbidden = 5,
    Conflict = 6,
}

/// An error that knows its exit code.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Ended {
    pub(crate) fn error(exit: Exit, message: impl fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Ended { exit, message: message.to_string() })
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Ended {}

/// The code of an error: its own, or plain failure.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    let exit = error.downcast_ref::<Ended>().map_or(Exit::Failed, |ended| ended.exit);
    ExitCode::from(exit as u8)
}
