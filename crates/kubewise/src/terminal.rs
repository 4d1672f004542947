//! Standard output. A reader that went away, as of `| head`, ends the program as it ends any other: quietly, with the
//! exit code that a shell has for SIGPIPE.

use std::fmt;
use std::io::{self, Write as _};

const SIGPIPE: i32 = 128 + 13;

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => { $crate::terminal::print(format_args!("{}\n", format_args!($($text)*))) };
}
pub(crate) use say;

pub(crate) fn print(text: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    let written = out.write_fmt(text).and_then(|()| out.flush());
    if written.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        std::process::exit(SIGPIPE);
    }
}
