//! Small wording: lengths of time and names as a person reads them.

use jiff::Timestamp;
use kubewise_core::{ObjectRef, Period};

/// The length of time from `start` to `end`: seconds below an hour, minutes above.
pub(crate) fn span(start: Timestamp, end: Timestamp) -> Period {
    whole(Period::between(start, end))
}

pub(crate) fn whole(period: Period) -> Period {
    let seconds = period.as_duration().as_secs();
    Period::from_secs(if seconds < 3600 { seconds } else { seconds / 60 * 60 })
}

/// `pod shop/cart-7d9`.
pub(crate) fn name(object: &ObjectRef) -> String {
    let text = object.to_string();
    let kind = object.kind.as_str();
    match object.kind.api() {
        Some(_) if kind.chars().skip(1).all(|letter| letter.is_ascii_lowercase()) => {
            format!("{}{}", kind.to_ascii_lowercase(), &text[kind.len()..])
        }
        _ => text,
    }
}

/// What a person needs of a message: its first line, at most `limit` characters. A word that would be cut is left out: the
/// beginning of a secret is not known for one any more.
pub(crate) fn brief(message: &str, limit: usize) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    if line.chars().count() <= limit {
        return line.into();
    }
    let end = line.char_indices().nth(limit).map_or(line.len(), |(end, _)| end);
    let whole = line[..end].rfind(char::is_whitespace).unwrap_or(0);
    format!("{}…", &line[..whole])
}
