//! Lines of a file, plain or gzip, each within a bound.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::Error;

/// A line of samples is some hundred bytes; labels may be long, but a longer line is another kind of file.
const MAX_LINE: usize = 1 << 20;
/// What a file begins with if it is gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Opens a file and looks at its first bytes, not at its name.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead + Send>, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut plain = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    let packed = plain.fill_buf().map_err(failed)?.starts_with(&GZIP);
    Ok(if packed {
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(plain)))
    } else {
        Box::new(plain)
    })
}

pub(crate) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Lines { path: path.to_owned(), reader: open(path)?, line: Vec::new(), number: 0 })
    }

    /// The next line without its end; `None` after the last.
    pub(crate) fn next(&mut self) -> Result<Option<&str>, Error> {
        self.line.clear();
        let mut limited = (&mut self.reader).take(MAX_LINE as u64 + 1);
        let read = limited.read_until(b'\n', &mut self.line);
        let length = read.map_err(|source| Error::File { path: self.path.clone(), source })?;
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.len() > MAX_LINE {
            return Err(self.malformed(format!("the line is longer than {MAX_LINE} bytes")));
        }
        while self.line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            self.line.pop();
        }
        match std::str::from_utf8(&self.line) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.malformed("the line is not UTF-8 text".into())),
        }
    }

    pub(crate) fn malformed(&self, problem: String) -> Error {
        Error::Malformed { path: self.path.clone(), line: self.number, problem }
    }
}
