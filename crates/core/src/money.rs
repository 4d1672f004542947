//! Sums of money, exact to a millionth of whatever currency the prices are in.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MILLION: u64 = 1_000_000;
/// What a JSON number still holds to the millionth.
const MOST: f64 = 9_000_000_000.0;

/// Never negative. Written as a plain number, such as `0.3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money {
    millionths: u64,
}

impl Money {
    pub const ZERO: Money = Money { millionths: 0 };

    pub const fn from_millionths(millionths: u64) -> Self {
        Money { millionths }
    }

    /// `None` if it is negative, not finite, or beyond nine billion.
    pub fn from_number(amount: f64) -> Option<Self> {
        (0.0..=MOST).contains(&amount).then(|| Money { millionths: (amount * MILLION as f64).round() as u64 })
    }

    /// What so many tokens cost if a million of them cost `self`. Rounded up: a cap must not be passed by crumbs.
    #[must_use]
    pub fn for_tokens(self, tokens: u64) -> Self {
        let exact = (u128::from(self.millionths) * u128::from(tokens)).div_ceil(u128::from(MILLION));
        Money { millionths: u64::try_from(exact).unwrap_or(u64::MAX) }
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Money { millionths: self.millionths.saturating_add(other.millionths) }
    }

    pub fn as_f64(self) -> f64 {
        self.millionths as f64 / MILLION as f64
    }
}

impl fmt::Display for Money {
    /// Two decimals, or as many as it takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:06}", self.millionths % MILLION);
        let shown = decimals.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.millionths / MILLION, &decimals[..shown])
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amount = f64::deserialize(deserializer)?;
        Money::from_number(amount).ok_or_else(|| {
            serde::de::Error::custom(format!("{amount} is not a sum of money; write a number such as `0.3`"))
        })
    }
}

impl JsonSchema for Money {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Money".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": MOST })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_charged_to_the_millionth_and_rounded_up() {
        let price = Money::from_number(0.3).unwrap_or_default();
        for (tokens, cost) in [(0, "0.00"), (1, "0.000001"), (1_000_000, "0.30"), (4_000, "0.0012")] {
            assert_eq!(price.for_tokens(tokens).to_string(), cost, "{tokens} tokens");
        }
        assert_eq!(Money::from_number(2.5).map(|sum| sum.to_string()).as_deref(), Some("2.50"));
        assert_eq!([-0.1, f64::NAN, f64::INFINITY].map(Money::from_number), [None; 3]);
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let sum = Money::from_millionths(1_234_567);
        let text = serde_json::to_string(&sum).unwrap_or_default();
        assert_eq!((text.as_str(), serde_json::from_str(&text).ok()), ("1.234567", Some(sum)));
    }
}
