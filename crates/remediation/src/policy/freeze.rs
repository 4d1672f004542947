//! Change freezes: times in which nothing is begun. What was begun goes on, and harm is undone.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kubewise_core::{Period, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Case, Finding, Options, not_before};

/// A freeze that goes on for longer is looked at again then.
const LOOK_AHEAD_MINUTES: u32 = 8 * 24 * 60;

/// One freeze: the minutes that a cron expression names, or a span of dates, or those minutes within that span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, try_from = "Unchecked")]
pub struct Freeze {
    /// What people read when something waits for it.
    pub name: String,
    /// Every minute (UTC) that it matches is frozen: `* 18-23 * * 5` is Friday evening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<Cron>,
    /// Inclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Where it holds; everywhere if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Freeze")]
struct Unchecked {
    name: String,
    #[serde(default)]
    cron: Option<Cron>,
    #[serde(default)]
    from: Option<Timestamp>,
    #[serde(default)]
    until: Option<Timestamp>,
    #[serde(default)]
    namespaces: Vec<String>,
}

impl TryFrom<Unchecked> for Freeze {
    type Error = String;

    fn try_from(freeze: Unchecked) -> Result<Self, String> {
        let Unchecked { name, cron, from, until, namespaces } = freeze;
        if cron.is_none() && from.is_none() && until.is_none() {
            return Err(format!("freeze `{name}` needs `cron`, `from` or `until`: it would never end"));
        }
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            return Err(format!("freeze `{name}` ends before it begins"));
        }
        Ok(Freeze { name, cron, from, until, namespaces })
    }
}

impl Freeze {
    fn holds(&self, namespace: &str, now: Timestamp) -> bool {
        let here = self.namespaces.is_empty() || self.namespaces.iter().any(|name| name == namespace);
        here && self.from.is_none_or(|from| now >= from)
            && self.until.is_none_or(|until| now < until)
            && self.cron.as_ref().is_none_or(|cron| cron.matches(now))
    }

    /// When it does not hold any more, or is to be looked at again.
    fn over(&self, namespace: &str, now: Timestamp) -> Timestamp {
        let minute = Timestamp::from_second(now.as_second() / 60 * 60).unwrap_or(now);
        let minutes = (1..=LOOK_AHEAD_MINUTES).map(|count| Period::from_mins(count.into()).after(minute));
        let end = if self.cron.is_some() {
            minutes.into_iter().find(|minute| !self.holds(namespace, *minute))
        } else {
            self.until
        };
        let latest = Period::from_mins(LOOK_AHEAD_MINUTES.into()).after(now);
        end.unwrap_or(latest).min(self.until.unwrap_or(latest)).min(latest)
    }
}

pub(super) fn freeze(case: &Case<'_>) -> Finding {
    let namespace = case.object.namespace_or_empty();
    match in_force(case.options, namespace, case.now) {
        Some((freeze, until)) => {
            not_before(until, format!("change freeze `{}` until {until:.0}", freeze.name))
        }
        None => Ok(format!("{} change freezes, none holds now", case.options.freezes.len())),
    }
}

fn in_force<'a>(options: &'a Options, namespace: &str, now: Timestamp) -> Option<(&'a Freeze, Timestamp)> {
    let freeze = options.freezes.iter().find(|freeze| freeze.holds(namespace, now))?;
    Some((freeze, freeze.over(namespace, now)))
}

/// Minute, hour, day of the month, month and day of the week (0 and 7 are Sunday), each `*`, a number, a range, a
/// list, or one of these with a step. Where day of the month and day of the week are both given, either matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    /// One bit for each value.
    fields: [u64; 5],
    /// Of the month or of the week, as cron has it where neither begins with `*`.
    either_day: bool,
}

const FIELDS: [(&str, u32, u32); 5] = [
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
];

impl Cron {
    fn matches(&self, now: Timestamp) -> bool {
        let at: DateTime = TimeZone::UTC.to_datetime(now);
        let weekday = at.weekday().to_sunday_zero_offset();
        let has = |field: usize, value: i8| self.fields[field] & (1 << value) != 0;
        let (day, weekday) = (has(2, at.day()), has(4, weekday));
        let of_day = if self.either_day { day || weekday } else { day && weekday };
        has(0, at.minute()) && has(1, at.hour()) && has(3, at.month()) && of_day
    }
}

impl FromStr for Cron {
    type Err = NotACron;

    fn from_str(text: &str) -> Result<Self, NotACron> {
        let wrong = |reason: String| NotACron { text: text.into(), reason };
        let words: Vec<&str> = text.split_whitespace().collect();
        let words: [&str; 5] = words
            .try_into()
            .map_err(|words: Vec<_>| wrong(format!("it has {} fields, five are needed", words.len())))?;
        let mut fields = [0; 5];
        for ((word, (name, low, high)), field) in words.into_iter().zip(FIELDS).zip(&mut fields) {
            for part in word.split(',') {
                *field |= bits(part, low, high).ok_or_else(|| {
                    wrong(format!("`{part}` is no {name}: `*`, a number, a range or a step, {low} to {high}"))
                })?;
            }
        }
        if fields[4] & (1 << 7) != 0 {
            fields[4] |= 1;
        }
        let given = |word: &str| !word.starts_with('*');
        Ok(Cron { text: text.into(), fields, either_day: given(words[2]) && given(words[4]) })
    }
}

fn bits(part: &str, low: u32, high: u32) -> Option<u64> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0)?),
        None => (part, 1),
    };
    let (from, to) = match range.split_once('-') {
        _ if range == "*" => (low, high),
        Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
        None => {
            let value: u32 = range.parse().ok()?;
            (value, if part.contains('/') { high } else { value })
        }
    };
    let inside = low <= from && from <= to && to <= high;
    inside.then(|| (from..=to).step_by(step as usize).fold(0, |bits, value| bits | (1 << value)))
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a cron expression: {reason}")]
pub struct NotACron {
    pub text: String,
    pub reason: String,
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Cron {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cron".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["* 18-23 * * 5"] })
    }
}

#[cfg(test)]
mod tests;
