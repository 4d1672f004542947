//! Standard output. A reader that went away, as of `| head`, ends the program as it ends any other: quietly, with the
//! exit code that a shell has for SIGPIPE. An answer that cannot be written for another reason is a failure.

use std::fmt;
use std::io::{self, Write as _};

use crate::exit::Exit;

const SIGPIPE: i32 = 128 + 13;

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => { $crate::terminal::print(format_args!("{}\n", format_args!($($text)*))) };
}
pub(crate) use say;

pub(crate) fn print(text: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    let written = out.write_fmt(text).and_then(|()| out.flush());
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(SIGPIPE),
        Err(error) => {
            let _ = writeln!(io::stderr(), "Error: standard output: {error}"); // there is no third place
            std::process::exit(Exit::Failed as i32);
        }
    }
}
