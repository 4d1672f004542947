//! The one way by which text leaves for a model.
//!
//! A [`Line`] is made of our own words, of numbers, of names, of free text and of fields of documents, and there is no
//! other way to add to it. Free text is made plain and loses its secrets; of a document only fields leave that stand on
//! a list of [`super::fields`]. What is on no list (values of variables, arguments, annotations, labels, commands of
//! probes) stays, however harmless it looks.

use std::fmt::{self, Display, Write as _};
use std::sync::LazyLock;

use kubewise_core::anomaly::{Reason, Severity};
use kubewise_core::guard::{Guard, Guards};
use kubewise_core::metric::MetricType;
use kubewise_core::{ObjectRef, Period, Timestamp};
use regex::Regex;
use serde_json::Value;

use super::fields::{List, Show};
use super::redact::redact;

/// Characters of one free text that are told; of an Event's 1,024 the first say it.
const MAX_TEXT: usize = 400;
/// Bytes of it that are looked at. More than is told, so that no secret is cut in two and then not known.
const MAX_LOOKED_AT: usize = 2_048;
/// The longest name in Kubernetes.
const MAX_NAME: usize = 253;
/// Longer than any name of a flag that a person types.
const MAX_FLAG: usize = 40;
/// Deeper than any object of Kubernetes.
const MAX_DEPTH: usize = 32;
/// Begins each further line of one item, so that none can pass for an item or for the end of the data.
const FURTHER_LINE: &str = "\n  | ";

/// Where lines are begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Egress {
    guards: Guards,
}

/// Text that may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    text: String,
    guards: Guards,
}

/// A value whose text is ours: a number, a time, a word of our own.
pub(super) trait Ours: Display + Copy {}
macro_rules! ours { ($($kind:ty),*) => { $(impl Ours for $kind {})* }; }
ours!(u32, u64, i64, usize, Timestamp, Period, Reason, Shortly, Word);

/// A number as people write it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shortly(pub(super) f64);

impl Display for Shortly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortly(value) = self;
        if value.fract() == 0.0 { write!(f, "{value:.0}") } else { write!(f, "{value:.2}") }
    }
}

/// A word of one of our enums, such as `Critical`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word(&'static str);

impl Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl From<Severity> for Word {
    fn from(severity: Severity) -> Self {
        Word(match severity {
            Severity::Info => "Info",
            Severity::Warning => "Warning",
            Severity::Critical => "Critical",
        })
    }
}

impl Egress {
    pub(super) fn new(guards: Guards) -> Self {
        Egress { guards }
    }

    pub(super) fn line(self) -> Line {
        Line { text: String::new(), guards: self.guards }
    }

    /// Text of many lines without its secrets, to be told line by line. Secrets may go over several lines.
    pub(super) fn lines(self, text: &str) -> Vec<String> {
        clean(text, self.guards).lines().map(str::to_owned).collect()
    }

    /// The fields of a list that a document has, by path, and how to tell them.
    pub(super) fn listed<'a>(self, document: &'a Value, lists: &[List]) -> Vec<(String, Show, &'a Value)> {
        let mut fields = Vec::new();
        leaves(document, &mut Vec::new(), &mut |path, value| {
            let listed = lists.iter().flat_map(|list| *list).find(|(pattern, _)| matches(pattern, path));
            let unlisted = (!self.guards.stands(Guard::EgressAllowList)).then_some(Show::Text);
            if let Some(show) = unlisted.or(listed.map(|(_, show)| *show)) {
                fields.push((path.join("."), show, value));
            }
        });
        fields
    }
}

impl Line {
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn ours(mut self, words: &'static str) -> Self {
        self.text.push_str(words);
        self
    }

    pub(super) fn value(mut self, value: impl Ours) -> Self {
        let _ = write!(self.text, "{value}"); // to a String: cannot fail
        self
    }

    /// A name as Kubernetes knows them; any other character is told as `?`.
    pub(super) fn name(mut self, name: &str) -> Self {
        let known = |c: char| if is_of_names(c) { c } else { '?' };
        self.text.extend(name.chars().take(MAX_NAME).map(known));
        self
    }

    pub(super) fn object(self, object: &ObjectRef) -> Self {
        let line = self.name(object.kind.as_str()).ours(" ");
        let line = match &object.namespace {
            Some(namespace) => line.name(namespace).ours("/"),
            None => line,
        };
        line.name(&object.name)
    }

    pub(super) fn metric(self, metric_type: &MetricType) -> Self {
        self.name(metric_type.as_str())
    }

    /// Free text, on one line.
    pub(super) fn text(mut self, text: &str) -> Self {
        let end = text.floor_char_boundary(MAX_LOOKED_AT);
        // A word that is cut may be a secret that is not known any more.
        let whole = if end < text.len() { text[..end].rfind(char::is_whitespace).unwrap_or(0) } else { end };
        let clean = clean(&text[..whole], self.guards);
        let clean = clean.trim();
        let cut = clean.char_indices().nth(MAX_TEXT).map_or(clean.len(), |(at, _)| at);
        if self.guards.stands(Guard::Fence) {
            self.text.extend(clean[..cut].chars().map(|c| if c == '\n' { ' ' } else { c }));
        } else {
            self.text.push_str(&clean[..cut]);
        }
        if cut < clean.len() || whole < text.len() {
            self.text.push('…');
        }
        self
    }

    /// Lines of [`Egress::lines`] below this one.
    pub(super) fn below(mut self, lines: &[String]) -> Self {
        let begin = if self.guards.stands(Guard::Fence) { FURTHER_LINE } else { "\n" };
        for line in lines {
            self.text.push_str(begin);
            let cut = line.char_indices().nth(MAX_TEXT).map_or(line.len(), |(at, _)| at);
            self.text.push_str(&line[..cut]);
        }
        self
    }

    /// The listed fields of a document, `path=value` each.
    pub(super) fn fields(mut self, document: &Value, list: List) -> Self {
        for (number, (path, show, value)) in
            Egress::new(self.guards).listed(document, &[list]).into_iter().enumerate()
        {
            self = self.ours(if number == 0 { "" } else { ", " }).name(&path).ours("=").shown(show, value);
        }
        self
    }

    /// One field in the way in which its list tells it.
    pub(super) fn shown(self, show: Show, value: &Value) -> Self {
        match (show, value) {
            (Show::Flags, Value::Array(words)) => {
                let flags = words.iter().filter_map(Value::as_str).filter_map(flag);
                flags
                    .enumerate()
                    .fold(self.ours("["), |line, (number, flag)| {
                        line.ours(if number == 0 { "" } else { " " }).name(flag)
                    })
                    .ours("]")
            }
            (Show::Hidden | Show::Flags, _) => self.ours("(not shown)"),
            (Show::Name, Value::String(name)) => self.name(name),
            (Show::Text, Value::String(text)) => self.text(text),
            (Show::Name | Show::Text, Value::Null) => self.ours("null"),
            (Show::Name | Show::Text, Value::Bool(true)) => self.ours("true"),
            (Show::Name | Show::Text, Value::Bool(false)) => self.ours("false"),
            (Show::Name, Value::Number(number)) => self.name(&number.to_string()),
            (Show::Text | Show::Name, other) => self.text(&other.to_string()),
        }
    }
}

/// The name of a flag, without what may be glued to it; `None` for a value. `-psecret` is a flag and its value.
fn flag(argument: &str) -> Option<&str> {
    let name = argument.strip_prefix("--");
    let is_of_flags = |c: char| c.is_ascii_lowercase() || c == '-';
    let (begin, name, most) = match name {
        Some(name) => (2, name, MAX_FLAG),
        None => (1, argument.strip_prefix('-')?, 1),
    };
    let length = name.find(|c| !is_of_flags(c)).unwrap_or(name.len()).min(most);
    (length > 0).then(|| &argument[..begin + length])
}

fn is_of_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '@' | '+' | '-' | '%' | '#' | '[' | ']')
}

fn clean(text: &str, guards: Guards) -> String {
    let plain = plain(text);
    if guards.stands(Guard::Redaction) { redact(&plain).into_owned() } else { plain }
}

/// Without escapes of terminals and characters that are not seen or turn the order of what is read.
pub(super) fn plain(text: &str) -> String {
    static ESCAPE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])").expect("a literal")
    });
    let unseen = |c: char| {
        matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    let breaks = |c: char| matches!(c, '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let text = ESCAPE.replace_all(text, "").replace("\r\n", "\n");
    let seen = text.chars().filter_map(|c| match c {
        '\t' => Some(' '),
        '\n' => Some('\n'),
        c if breaks(c) => Some('\n'),
        c if c.is_control() || unseen(c) => None,
        c => Some(c),
    });
    seen.collect()
}

/// Every field that holds no other fields. A list of plain values is one field; an element of another list goes by
/// its name.
fn leaves<'a>(value: &'a Value, path: &mut Vec<String>, tell: &mut impl FnMut(&[String], &'a Value)) {
    if path.len() > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                path.push(key.clone());
                leaves(value, path, tell);
                path.pop();
            }
        }
        Value::Array(elements)
            if elements.iter().any(|element| element.is_object() || element.is_array()) =>
        {
            for (index, element) in elements.iter().enumerate() {
                let key = ["name", "type", "key"].iter().find_map(|key| element.get(key)?.as_str());
                path.push(key.map_or_else(|| index.to_string(), str::to_owned));
                leaves(element, path, tell);
                path.pop();
            }
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            tell(path, value);
        }
    }
}

fn matches(pattern: &str, path: &[String]) -> bool {
    let mut tokens = pattern.split('/');
    path.iter().all(|key| tokens.next().is_some_and(|token| token == "*" || token == key))
        && tokens.next().is_none()
}
