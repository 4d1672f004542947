//! Units: the few that KubeWise works in, and the many that sources speak.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The base units of every [`NormalizedMetric`](crate::metric::NormalizedMetric).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Bytes,
    Seconds,
    Cores,
    /// 0 to 1 for a share; may exceed 1 where use may exceed what was asked for.
    Ratio,
    Count,
    BytesPerSecond,
    PerSecond,
}

/// A unit as a source gives it, and the factor that brings it to the base unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceUnit {
    pub base: Unit,
    pub factor: f64,
}

/// Every name a configuration may use for a unit.
pub const SOURCE_UNITS: &[(&str, SourceUnit)] = &[
    ("bytes", SourceUnit { base: Unit::Bytes, factor: 1.0 }),
    ("kibibytes", SourceUnit { base: Unit::Bytes, factor: 1024.0 }),
    ("mebibytes", SourceUnit { base: Unit::Bytes, factor: 1_048_576.0 }),
    ("gibibytes", SourceUnit { base: Unit::Bytes, factor: 1_073_741_824.0 }),
    ("seconds", SourceUnit { base: Unit::Seconds, factor: 1.0 }),
    ("milliseconds", SourceUnit { base: Unit::Seconds, factor: 1e-3 }),
    ("microseconds", SourceUnit { base: Unit::Seconds, factor: 1e-6 }),
    ("nanoseconds", SourceUnit { base: Unit::Seconds, factor: 1e-9 }),
    ("cores", SourceUnit { base: Unit::Cores, factor: 1.0 }),
    ("millicores", SourceUnit { base: Unit::Cores, factor: 1e-3 }),
    ("nanocores", SourceUnit { base: Unit::Cores, factor: 1e-9 }),
    ("ratio", SourceUnit { base: Unit::Ratio, factor: 1.0 }),
    ("percent", SourceUnit { base: Unit::Ratio, factor: 1e-2 }),
    ("count", SourceUnit { base: Unit::Count, factor: 1.0 }),
    ("bytes_per_second", SourceUnit { base: Unit::BytesPerSecond, factor: 1.0 }),
    ("per_second", SourceUnit { base: Unit::PerSecond, factor: 1.0 }),
];

/// A name that is no unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a unit; known units are {known}", known = SOURCE_UNITS.iter().map(|u| u.0).collect::<Vec<_>>().join(", "))]
pub struct UnknownUnit(String);

impl FromStr for SourceUnit {
    type Err = UnknownUnit;

    fn from_str(name: &str) -> Result<Self, UnknownUnit> {
        SOURCE_UNITS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, unit)| *unit)
            .ok_or_else(|| UnknownUnit(name.into()))
    }
}

impl Serialize for SourceUnit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SourceUnit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for SourceUnit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SourceUnit".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<_> = SOURCE_UNITS.iter().map(|(name, _)| *name).collect();
        schemars::json_schema!({ "type": "string", "enum": names })
    }
}

impl fmt::Display for SourceUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = SOURCE_UNITS.iter().find(|(_, unit)| unit == self).map_or("count", |(name, _)| *name);
        f.write_str(name)
    }
}
