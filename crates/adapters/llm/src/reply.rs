//! What it means when a provider, or what stands before it, does not answer with a text.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::fmt::rfc2822;
use kubewise_core::failure::chain;
use kubewise_core::{Failure, Rejection, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use secrecy::{ExposeSecret as _, SecretString};

use crate::protocol::{Refusal, Unreadable};

/// Characters of a foreign text that are shown: enough for a provider's sentence, or to recognise a page by its title.
const SHOWN: usize = 300;

/// Status and headers of a reply; what it was, should its body not be what was hoped for.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What no message may repeat.
    pub(crate) key: Option<SecretString>,
    /// When it came.
    pub(crate) time: Timestamp,
}

impl Reply {
    /// Whether the body says of itself that it is what every provider answers with.
    pub(crate) fn is_json(&self) -> bool {
        let kind = self.header(&CONTENT_TYPE).unwrap_or_default();
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    }

    /// A reply whose status is not a success.
    pub(crate) fn failure(&self, body: &[u8]) -> Failure {
        let refusal = Refusal::of(body);
        let message = match &refusal {
            Some(refusal) => format!("{}: {}", self.status, self.shown(&refusal.message)),
            None => self.foreign(body),
        };
        let rejected = |reason, message| Failure::Rejected { reason, message };
        let retry_after =
            self.retry_after().or_else(|| refusal.as_ref().and_then(|refusal| refusal.retry_after));
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => {
                rejected(Rejection::Forbidden, format!("{message}; check author.api_key"))
            }
            _ if refusal.is_some_and(|refusal| refusal.bad_key) => {
                rejected(Rejection::Forbidden, format!("{message}; check author.api_key"))
            }
            StatusCode::NOT_FOUND => {
                rejected(Rejection::NotFound, format!("{message}; check author.model and author.endpoint"))
            }
            StatusCode::TOO_MANY_REQUESTS => Failure::RateLimited { retry_after, message },
            // One that says when to come again asks to wait.
            status if status.is_server_error() && retry_after.is_some() => {
                Failure::RateLimited { retry_after, message }
            }
            StatusCode::REQUEST_TIMEOUT => Failure::Unavailable { message },
            status if status.is_server_error() => Failure::Unavailable { message },
            _ => rejected(Rejection::Invalid, message),
        }
    }

    /// A body that could not be read although the status promised one.
    pub(crate) fn unreadable(&self, unreadable: &Unreadable, body: &[u8]) -> Failure {
        let mut message = self.shown(&chain(unreadable));
        match unreadable {
            Unreadable::Incomplete => {
                let _ = write!(message, ", after {} bytes", body.len());
            }
            Unreadable::Foreign { .. } => {
                let _ = write!(message, "; is author.endpoint right?");
            }
            Unreadable::Empty(_) | Unreadable::Ending(_) | Unreadable::Refused(_) => {}
        }
        Failure::Rejected { reason: Rejection::Invalid, message }
    }

    /// Success or not, this is no provider's reply.
    pub(crate) fn foreign(&self, body: &[u8]) -> String {
        let kind = self.header(&CONTENT_TYPE).unwrap_or("no content type");
        let mut message =
            format!("answered {} with {}, not as a provider does", self.status, self.shown(kind));
        if let Some(place) = self.header(&LOCATION).filter(|_| self.status.is_redirection()) {
            // Its query may hold a ticket.
            let place = place.split(['?', '#']).next().unwrap_or_default();
            let _ = write!(message, ", and sends to {}", self.shown(place));
        }
        message.push_str("; is author.endpoint right?");
        if !body.is_empty() {
            let text = String::from_utf8_lossy(&body[..body.len().min(64 * SHOWN)]);
            let _ = write!(message, " It begins: {}", self.shown(&text));
        }
        message
    }

    /// Seconds, or a date, which is held against the clock of the server that wrote it.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.header(&RETRY_AFTER)?;
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let now = self.header(&DATE).and_then(date).unwrap_or(self.time);
        Some(Duration::try_from(date(text)?.duration_since(now)).unwrap_or_default())
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A foreign text on one line, without our key and control characters, at most `SHOWN` characters.
    fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(key) = &self.key {
            text = text.replace(key.expose_secret(), "********");
        }
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .collect();
        words.join(" ").chars().take(SHOWN).collect()
    }
}

fn date(text: &str) -> Option<Timestamp> {
    rfc2822::parse(text).ok().map(|date| date.timestamp())
}
