//! OpenMetrics text, as `promtool tsdb dump-openmetrics` writes it, the Prometheus text of a federation, and what
//! `promtool tsdb dump` prints.
//!
//! They differ in their times: seconds, and milliseconds. A number above 100,000,000,000 is milliseconds: as
//! seconds it would be after the year 5000.

use std::path::Path;

use kubewise_core::Timestamp;

use crate::error::Error;
use crate::lines::Lines;

const MILLISECONDS_FROM: f64 = 1e11;
/// Labels of one series; Prometheus' own usual limits are far below.
const MAX_LABELS: usize = 200;

/// One sample of a raw series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
    pub(crate) time: Timestamp,
}

pub(crate) struct OpenMetrics {
    lines: Lines,
}

impl OpenMetrics {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Ok(OpenMetrics { lines: Lines::open(path)? })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Point>, Error> {
        loop {
            let Some(line) = self.lines.next()? else { return Ok(None) };
            let line = line.trim();
            // Several answers of a federation may follow each other, so `# EOF` is not the end.
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            return point(line).map(Some).map_err(|problem| self.lines.malformed(problem));
        }
    }
}

fn point(line: &str) -> Result<Point, String> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let mut name = name.to_owned();
    let mut labels = Vec::new();
    let mut rest = rest.trim_start();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = read_labels(inside, &mut name, &mut labels)?;
    }
    if name.is_empty() {
        return Err("the line has no metric name; a sample is `name{label=\"value\"} 1 1767600000`".into());
    }
    // What follows a `#` is an exemplar.
    let mut words = rest.split('#').next().unwrap_or_default().split_whitespace();
    let value = words.next().ok_or_else(|| format!("`{name}` has no value"))?;
    let value: f64 = value.parse().map_err(|_| format!("`{value}` is no number"))?;
    let stamp = words.next().ok_or_else(|| {
        format!("the sample of `{name}` has no timestamp, so it cannot be placed in a history; dump with timestamps")
    })?;
    let time = time(stamp).ok_or_else(|| format!("`{stamp}` is no timestamp in seconds or milliseconds"))?;
    match words.next() {
        Some(word) => Err(format!("`{word}` follows the timestamp, where the line should end")),
        None => Ok(Point { name, labels, value, time }),
    }
}

fn time(stamp: &str) -> Option<Timestamp> {
    let number: f64 = stamp.parse().ok()?;
    let milliseconds = if number.abs() > MILLISECONDS_FROM { number } else { (number * 1000.0).round() };
    (milliseconds.abs() < 9e15).then(|| Timestamp::from_millisecond(milliseconds as i64).ok())?
}

/// Reads up to the closing brace and returns what follows it.
fn read_labels<'a>(
    mut rest: &'a str,
    name: &mut String,
    labels: &mut Vec<(String, String)>,
) -> Result<&'a str, String> {
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        if labels.len() >= MAX_LABELS {
            return Err(format!("more than {MAX_LABELS} labels"));
        }
        let key;
        if let Some(after) = rest.strip_prefix('"') {
            (key, rest) = text(after)?;
            // A name beyond the old alphabet stands first among the labels.
            if !rest.trim_start().starts_with('=') {
                *name = key;
                continue;
            }
        } else {
            let end = rest.find(['=', '}', ' ', '"', ',']).ok_or("the labels are not closed with `}`")?;
            if end == 0 {
                return Err(format!("no label name before `{}`", &rest[..1]));
            }
            key = rest[..end].to_owned();
            rest = &rest[end..];
        }
        let value = rest.trim_start().strip_prefix('=').map(str::trim_start);
        let value = value.and_then(|value| value.strip_prefix('"'));
        let value = value.ok_or_else(|| format!("the label `{key}` needs a value in quotes: {key}=\"…\""))?;
        let (value, after) = text(value)?;
        // `promtool tsdb dump` writes the name among the labels.
        if key == "__name__" {
            *name = value;
        } else {
            labels.push((key, value));
        }
        rest = after;
    }
}

/// A text up to its closing quote, its escapes resolved, and what follows.
fn text(rest: &str) -> Result<(String, &str), String> {
    let mut text = String::new();
    let mut characters = rest.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Ok((text, &rest[place + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, escaped)) => text.push(escaped),
                None => break,
            },
            other => text.push(other),
        }
    }
    Err("a quote is opened and not closed".into())
}
