//! Samples as CSV, one a line. A header names the columns; docs/backtest.md describes them for people.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use kubewise_core::metric::{MetricType, NormalizedMetric};
use kubewise_core::record::SchemaVersion;
use kubewise_core::unit::SourceUnit;
use kubewise_core::{Kind, ObjectRef, Timestamp};

use crate::error::Error;
use crate::lines::Lines;

/// Every column, in the order in which they are written.
pub(crate) const COLUMNS: [&str; 9] =
    ["timestamp", "metric", "value", "unit", "namespace", "kind", "name", "container", "detail"];
/// Columns that may be absent or empty.
const OPTIONAL: [usize; 3] = [4, 7, 8];

pub(crate) struct Csv {
    lines: Lines,
    /// Where each of [`COLUMNS`] stands.
    places: [Option<usize>; COLUMNS.len()],
    width: usize,
    names: BTreeSet<Arc<str>>,
}

impl Csv {
    /// Reads the header.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut lines = Lines::open(path)?;
        let expected = format!("the first line names the columns: `{}`", COLUMNS.join(","));
        let header = lines.next()?.map(|line| fields(line.trim_start_matches('\u{feff}')));
        let header = match header {
            Some(Ok(header)) => header,
            Some(Err(problem)) => return Err(lines.malformed(problem.into())),
            None => return Err(lines.malformed(format!("the file is empty; {expected}"))),
        };
        let mut places = [None; COLUMNS.len()];
        for (place, name) in header.iter().enumerate() {
            let Some(column) = COLUMNS.iter().position(|column| *column == name.trim()) else {
                return Err(lines.malformed(format!("`{name}` is no column; {expected}")));
            };
            if places[column].replace(place).is_some() {
                return Err(lines.malformed(format!("the column `{name}` is there twice")));
            }
        }
        let absent =
            (0..COLUMNS.len()).find(|column| places[*column].is_none() && !OPTIONAL.contains(column));
        if let Some(column) = absent {
            return Err(lines.malformed(format!("there is no column `{}`; {expected}", COLUMNS[column])));
        }
        Ok(Csv { width: header.len(), lines, places, names: BTreeSet::new() })
    }

    /// The next sample; its value may be no number or infinite.
    pub(crate) fn next(&mut self) -> Result<Option<NormalizedMetric>, Error> {
        loop {
            let Some(line) = self.lines.next()? else { return Ok(None) };
            if line.trim().is_empty() {
                continue;
            }
            let read = fields(line).map_err(String::from);
            let read = read.and_then(|fields| sample(&fields, self.width, &self.places, &mut self.names));
            return read.map(Some).map_err(|problem| self.lines.malformed(problem));
        }
    }
}

fn sample(
    fields: &[String],
    width: usize,
    places: &[Option<usize>; COLUMNS.len()],
    names: &mut BTreeSet<Arc<str>>,
) -> Result<NormalizedMetric, String> {
    if fields.len() != width {
        return Err(format!("{} fields where the header has {width}", fields.len()));
    }
    let field = |column: usize| places[column].map_or("", |place| fields[place].trim());
    let needed = |column: usize| {
        Some(field(column)).filter(|text| !text.is_empty()).ok_or_else(|| format!("no {}", COLUMNS[column]))
    };
    let mut shared = |text: &str| shared(names, text);
    let time = time(needed(0)?).ok_or_else(|| {
        format!("`{}` is no time; write `2026-01-05T08:00:00Z` or seconds since 1970", field(0))
    })?;
    let value = needed(2)?;
    let unit: SourceUnit = needed(3)?.parse().map_err(|error| format!("{error}"))?;
    let value: f64 =
        value.parse().map_err(|_| format!("`{value}` is no number; write it as 0.25, 1e9, NaN or Inf"))?;
    let kind = Kind::from(needed(5)?);
    let namespace = field(4);
    match kind.api() {
        Some(api) if api.namespaced && namespace.is_empty() => {
            return Err(format!("a {kind} is in a namespace, and there is none"));
        }
        Some(api) if !api.namespaced && !namespace.is_empty() => {
            return Err(format!("a {kind} is in no namespace; leave it empty"));
        }
        Some(_) | None => {}
    }
    let mut optional = |text: &str| (!text.is_empty()).then(|| shared(text));
    Ok(NormalizedMetric {
        version: SchemaVersion::CURRENT,
        object: ObjectRef {
            kind,
            namespace: optional(namespace),
            name: optional(needed(6)?).unwrap_or_default(),
        },
        container: optional(field(7)),
        detail: optional(field(8)),
        metric_type: MetricType::from(needed(1)?),
        unit: unit.base,
        value: value * unit.factor,
        time,
    })
}

/// RFC 3339, or seconds since 1970 to the millisecond.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        // Beyond this, a number cannot hold milliseconds any more.
        let milliseconds = (seconds * 1000.0).round();
        return (milliseconds.abs() < 9e15).then(|| Timestamp::from_millisecond(milliseconds as i64).ok())?;
    }
    text.parse().ok()
}

/// Equal texts share one allocation.
pub(crate) fn shared(names: &mut BTreeSet<Arc<str>>, text: &str) -> Arc<str> {
    if let Some(known) = names.get(text) {
        return known.clone();
    }
    let name: Arc<str> = text.into();
    // So many different names are no names; what is over is simply not shared.
    if names.len() < 1_000_000 {
        names.insert(name.clone());
    }
    name
}

/// Fields of one line (RFC 4180, without line breaks in quotes).
pub(crate) fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (field, after) = quoted_field(quoted)?;
            fields.push(field);
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None if after.is_empty() => return Ok(fields),
                None => return Err("something stands between a closing quote and the next comma"),
            }
        } else if let Some((field, more)) = rest.split_once(',') {
            fields.push(field.into());
            rest = more;
        } else {
            fields.push(rest.into());
            return Ok(fields);
        }
    }
}

/// The text up to the closing quote, and what comes after it.
fn quoted_field(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) =
            rest.split_once('"').ok_or("a quote is opened and not closed; one line holds one sample")?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Ok((field, after)),
        }
    }
}

/// A field as it is written.
pub(crate) fn quoted(text: &str) -> String {
    if text.contains([',', '"']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into()
    }
}
