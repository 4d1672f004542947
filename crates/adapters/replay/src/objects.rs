//! Objects and Events as JSON, one value after the other, on a line each or spread over many.
//!
//! A value is what the usual tools print: an object, a list of them (`kubectl get … -o json`), a change of a watch
//! (`kubectl get … --watch --output-watch-events -o json`, with `time` beside `type` if it was noted when it came),
//! or what `kubewise events -o json` tells.
//!
//! A state without a noted time is dated by the latest time that it holds itself (of its conditions, containers,
//! managed fields, creation or deletion): then it surely had come about. Within one stream of watch changes time does
//! not go backwards.

use std::collections::VecDeque;
use std::io::{BufRead, Bytes, Read};
use std::path::{Path, PathBuf};

use kubewise_core::document::Document;
use kubewise_core::event::EventRecord;
use kubewise_core::{Kind, Timestamp};
use serde_json::Value;

use crate::error::Error;
use crate::lines::open;

/// One JSON value: a list of all pods of a large cluster has 150,000 of about 3 KB.
const MAX_VALUE: u64 = 512 << 20;
/// How deep times are looked for in a document: its conditions and containers are no deeper.
const MAX_DEPTH: usize = 8;

/// What one value tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Applied(Document),
    Deleted(Document),
    Event(Box<EventRecord>),
}

pub(crate) struct Objects {
    path: PathBuf,
    bytes: Bytes<Box<dyn BufRead + Send>>,
    line: u64,
    waiting: VecDeque<(Timestamp, Told)>,
    watched: Timestamp,
    ended: bool,
}

impl Objects {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Objects {
            path: path.to_owned(),
            bytes: open(path)?.bytes(),
            line: 1,
            waiting: VecDeque::new(),
            watched: Timestamp::MIN,
            ended: false,
        })
    }

    pub(crate) fn next(&mut self) -> Result<Option<(Timestamp, Told)>, Error> {
        loop {
            if let Some(told) = self.waiting.pop_front() {
                return Ok(Some(told));
            }
            if self.ended {
                return Ok(None);
            }
            let Some((line, text)) = self.value()? else {
                self.ended = true;
                continue;
            };
            let malformed = |problem: String| Error::Malformed { path: self.path.clone(), line, problem };
            let value: Value = serde_json::from_slice(&text).map_err(|error| Error::Malformed {
                path: self.path.clone(),
                line: line + error.line() as u64 - 1,
                problem: format!("not JSON: {error}"),
            })?;
            let told = read(value, &mut self.watched).map_err(malformed)?;
            self.waiting.extend(told);
        }
    }

    /// The bytes of the next value and the line on which it begins: up to where its braces are closed.
    fn value(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let mut text = Vec::new();
        let (mut depth, mut quoted, mut escaped, mut begun) = (0_u64, false, false, self.line);
        loop {
            let byte = match self.bytes.next() {
                Some(Ok(byte)) => byte,
                Some(Err(source)) => return Err(Error::File { path: self.path.clone(), source }),
                None if text.is_empty() => return Ok(None),
                // The parser tells what is missing.
                None => return Ok(Some((begun, text))),
            };
            if byte == b'\n' {
                self.line += 1;
            }
            if text.is_empty() {
                if byte.is_ascii_whitespace() {
                    continue;
                }
                begun = self.line;
            }
            text.push(byte);
            if text.len() as u64 > MAX_VALUE {
                let problem = format!("one JSON value is larger than {} MiB", MAX_VALUE >> 20);
                return Err(Error::Malformed { path: self.path.clone(), line: begun, problem });
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Ok(Some((begun, text)));
                    }
                }
                // Something that is no object; one such line is enough for the parser to tell.
                b'\n' if depth == 0 => return Ok(Some((begun, text))),
                _ => {}
            }
        }
    }
}

fn read(value: Value, watched: &mut Timestamp) -> Result<Vec<(Timestamp, Told)>, String> {
    match value {
        Value::Array(items) => many(items, watched),
        Value::Object(mut map) => {
            if map.get("items").is_some_and(Value::is_array)
                && let Some(Value::Array(items)) = map.remove("items")
            {
                return many(items, watched);
            }
            let is_change = map.get("object").is_some_and(|object| object.get("metadata").is_some());
            if is_change && let Some(object) = map.remove("object") {
                let noted = match map.get("time") {
                    Some(time) => {
                        let read = time.as_str().and_then(|text| text.parse::<Timestamp>().ok());
                        Some(read.ok_or_else(|| {
                            format!("`time` is {time}; write it as \"2026-01-05T08:00:00Z\"")
                        })?)
                    }
                    None => None,
                };
                let change = map.get("type").unwrap_or(&Value::Null);
                let deleted = match change.as_str() {
                    Some("ADDED" | "MODIFIED") => false,
                    Some("DELETED") => true,
                    Some("BOOKMARK") => return Ok(Vec::new()),
                    _ => return Err(format!("`type` is {change}; a watch says ADDED, MODIFIED or DELETED")),
                };
                let mut told = one(object, deleted, noted)?;
                if let Some((time, _)) = &mut told {
                    *time = (*time).max(*watched);
                    *watched = *time;
                }
                return Ok(told.into_iter().collect());
            }
            Ok(one(Value::Object(map), false, None)?.into_iter().collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err("neither an object nor a list of objects".into())
        }
    }
}

fn many(items: Vec<Value>, watched: &mut Timestamp) -> Result<Vec<(Timestamp, Told)>, String> {
    let mut told = Vec::new();
    for (place, item) in items.into_iter().enumerate() {
        // A list in a list is nothing that any tool prints.
        if item.get("items").is_some() {
            return Err(format!("item {place} is itself a list"));
        }
        told.extend(read(item, watched).map_err(|problem| format!("item {place}: {problem}"))?);
    }
    Ok(told)
}

fn one(value: Value, deleted: bool, noted: Option<Timestamp>) -> Result<Option<(Timestamp, Told)>, String> {
    if value.get("lastSeen").is_some() {
        let event: EventRecord = serde_json::from_value(value)
            .map_err(|error| format!("not an Event as KubeWise keeps it: {error}"))?;
        return Ok(Some((event.last_seen, Told::Event(Box::new(event)))));
    }
    let document = Document(value);
    let object = document.object().map_err(|error| error.to_string())?;
    if object.kind == Kind::Event {
        // An Event that goes has only come of age.
        let event = EventRecord::from_document(&document)
            .ok_or("an Event that names no object, has no uid or no time")?;
        return Ok((!deleted).then(|| (event.last_seen, Told::Event(Box::new(event)))));
    }
    document.uid().map_err(|error| error.to_string())?;
    let time = noted.or_else(|| latest(&document.0, 0)).ok_or_else(|| {
        format!("the {object} holds no time, not even metadata.creationTimestamp; note `time` beside it")
    })?;
    Ok(Some((time, if deleted { Told::Deleted(document) } else { Told::Applied(document) })))
}

/// The latest time in metadata and status, by the names that Kubernetes has for times of what has happened.
fn latest(value: &Value, depth: usize) -> Option<Timestamp> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| depth > 0 || matches!(key.as_str(), "metadata" | "status"))
            // Somebody's own annotations may hold any time.
            .filter(|(key, _)| !matches!(key.as_str(), "annotations" | "labels" | "fieldsV1"))
            .filter_map(|(key, value)| {
                let text = value.as_str().filter(|_| is_time(key));
                text.and_then(|text| text.parse().ok()).or_else(|| latest(value, depth + 1))
            })
            .max(),
        Value::Array(items) => items.iter().filter_map(|item| latest(item, depth + 1)).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn is_time(key: &str) -> bool {
    matches!(key, "creationTimestamp" | "time" | "startedAt" | "finishedAt" | "startTime" | "completionTime")
        || matches!(key, "lastTransitionTime" | "lastUpdateTime" | "lastScaleTime" | "lastProbeTime")
}
