//! Reads amounts and counts off objects.

use kubewise_core::document::Document;
use kubewise_core::quantity;
use serde_json::Value;

/// A quantity, which JSON may hold as text or as a number.
pub(crate) fn quantity(value: Option<&Value>) -> Option<f64> {
    let value = value?;
    value.as_f64().or_else(|| quantity::parse(value.as_str()?))
}

pub(crate) fn count(document: &Document, pointer: &str) -> u32 {
    document.number(pointer).unwrap_or(0) as u32
}

/// A number or a percentage of `total` (`2`, `25%`).
pub(crate) fn share(value: Option<&Value>, total: u32, round_up: bool) -> Option<u32> {
    let value = value?;
    if let Some(number) = value.as_u64() {
        return Some(number as u32);
    }
    let percent: f64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    let exact = f64::from(total) * percent / 100.0;
    Some(if round_up { exact.ceil() } else { exact.floor() } as u32)
}

/// Whether labels hold every pair of a `matchLabels`.
pub(crate) fn selects(match_labels: Option<&Value>, labels: Option<&Value>) -> bool {
    let Some(wanted) = match_labels.and_then(Value::as_object) else { return false };
    wanted.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}
