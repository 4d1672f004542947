//! Which files are read, and as what.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    OpenMetrics,
    Json,
}

const ENDINGS: [(&str, Format); 7] = [
    (".csv", Format::Csv),
    (".om", Format::OpenMetrics),
    (".prom", Format::OpenMetrics),
    (".txt", Format::OpenMetrics),
    (".json", Format::Json),
    (".jsonl", Format::Json),
    (".ndjson", Format::Json),
];

fn format(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| *format)
}

/// The files among `paths` and directly in the folders among them, by name.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Format)>, Error> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            let format = format(path).ok_or_else(|| Error::Format { path: path.clone() })?;
            found.push((path.clone(), format));
            continue;
        }
        let failed = |source| Error::File { path: path.clone(), source };
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if let Some(format) = format(&file).filter(|_| file.is_file()) {
                inside.push((file, format));
            }
        }
        if inside.is_empty() {
            return Err(Error::Nothing { path: path.clone() });
        }
        inside.sort_by(|a, b| a.0.cmp(&b.0));
        found.extend(inside);
    }
    Ok(found)
}
