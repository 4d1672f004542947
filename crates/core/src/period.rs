//! A length of time as people write it: `15s`, `1m 30s`, `2h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A non-negative length of time. A day is 24 hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

/// A text that is not a period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration; write a number with a unit, such as `15s`, `5m` or `1h 30m`")]
pub struct InvalidPeriod(String);

impl Period {
    pub const ZERO: Period = Period(Duration::ZERO);

    pub const fn from_secs(seconds: u64) -> Self {
        Period(Duration::from_secs(seconds))
    }

    pub const fn from_millis(milliseconds: u64) -> Self {
        Period(Duration::from_millis(milliseconds))
    }

    pub const fn from_mins(minutes: u64) -> Self {
        Period(Duration::from_secs(minutes * 60))
    }

    pub const fn as_duration(self) -> Duration {
        self.0
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// The moment this long after `start`, at most the last representable one.
    pub fn after(self, start: Timestamp) -> Timestamp {
        start.saturating_add(self.0).unwrap_or(Timestamp::MAX)
    }

    /// The moment this long before `end`, at least the first representable one.
    pub fn before(self, end: Timestamp) -> Timestamp {
        end.saturating_sub(self.0).unwrap_or(Timestamp::MIN)
    }

    /// The time from `start` to `end`; zero if the clock went backwards.
    pub fn between(start: Timestamp, end: Timestamp) -> Self {
        Period(Duration::try_from(end.duration_since(start)).unwrap_or_default())
    }
}

impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        Period(duration)
    }
}

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        text.parse::<Span>()
            .ok()
            .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
            .and_then(|signed| Duration::try_from(signed).ok())
            .map(Period)
            .ok_or_else(|| InvalidPeriod(text.into()))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signed = SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX);
        write!(f, "{signed:#}")
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration", "examples": ["15s", "1h 30m"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("0s", Some(0.0)),
            ("250ms", Some(0.25)),
            ("1h 30m", Some(5_400.0)),
            ("1h30m", Some(5_400.0)),
            ("7d", Some(604_800.0)),
            ("720h", Some(2_592_000.0)),
            ("-5m", None),
            ("1mo", None),
            ("15", None),
            ("5 parsecs", None),
            ("", None),
        ] {
            let period = text.parse::<Period>().ok();
            assert_eq!(period.map(Period::as_secs_f64), seconds, "{text}");
            if let Some(period) = period {
                assert_eq!(period.to_string().parse(), Ok(period), "what is printed can be read again");
            }
        }
    }
}
