//! What people know of a history: when which workload really was in trouble.

use std::path::Path;

use kubewise_core::{Kind, ObjectRef, Timestamp};

use crate::csv::{fields, time};
use crate::error::Error;
use crate::lines::Lines;

/// A trouble that there was, from `start` to `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub workload: ObjectRef,
    pub start: Timestamp,
    pub end: Timestamp,
    /// In the words of whoever labelled it.
    pub reason: Option<String>,
}

/// People write labels by hand, so more are another kind of file.
const MAX_LABELS: usize = 100_000;
const COLUMNS: [&str; 6] = ["namespace", "kind", "name", "start", "end", "reason"];

/// Reads a CSV file with the columns namespace, kind, name, start, end and, if wanted, reason.
pub fn read_labels(path: &Path) -> Result<Vec<Label>, Error> {
    let mut lines = Lines::open(path)?;
    let expected =
        format!("the first line names the columns: `{}` (the last may be absent)", COLUMNS.join(","));
    let header = match lines.next()?.map(|line| fields(line.trim_start_matches('\u{feff}'))) {
        Some(Ok(header)) => header,
        Some(Err(problem)) => return Err(lines.malformed(problem.into())),
        None => return Err(lines.malformed(format!("the file is empty; {expected}"))),
    };
    let place = |column: &str| header.iter().position(|name| name.trim() == column);
    if let Some(absent) = COLUMNS[..5].iter().find(|column| place(column).is_none()) {
        return Err(lines.malformed(format!("there is no column `{absent}`; {expected}")));
    }
    let mut labels = Vec::new();
    loop {
        let Some(line) = lines.next()? else { return Ok(labels) };
        if line.trim().is_empty() {
            continue;
        }
        let read = fields(line).map_err(String::from).and_then(|fields| {
            if fields.len() != header.len() {
                return Err(format!("{} fields where the header has {}", fields.len(), header.len()));
            }
            label(|column| place(column).map_or("", |place| fields[place].trim()))
        });
        labels.push(read.map_err(|problem| lines.malformed(problem))?);
        if labels.len() > MAX_LABELS {
            return Err(lines.malformed(format!("more than {MAX_LABELS} labels")));
        }
    }
}

fn label<'a>(field: impl Fn(&str) -> &'a str) -> Result<Label, String> {
    let moment = |column: &str| {
        let text = field(column);
        time(text).ok_or_else(|| {
            format!("{column} is `{text}`; write a time like `2026-01-05T08:00:00Z` or seconds since 1970")
        })
    };
    let (kind, name, namespace) = (field("kind"), field("name"), field("namespace"));
    if kind.is_empty() || name.is_empty() {
        return Err("kind and name of the workload are needed, such as `Deployment,cart`".into());
    }
    let (start, end) = (moment("start")?, moment("end")?);
    if end < start {
        return Err("it ends before it starts".into());
    }
    let namespace = (!namespace.is_empty()).then(|| namespace.into());
    let reason = Some(field("reason")).filter(|reason| !reason.is_empty()).map(Into::into);
    Ok(Label {
        workload: ObjectRef { kind: Kind::from(kind), namespace, name: name.into() },
        start,
        end,
        reason,
    })
}
