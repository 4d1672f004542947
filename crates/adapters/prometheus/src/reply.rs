//! Tells what it means when Prometheus, or what stands before it, does not answer with samples.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::fmt::rfc2822;
use kubewise_core::{Failure, Rejection, Timestamp};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::answer::Unreadable;

/// Characters of a foreign text that are shown: enough to recognise a page by its title.
const SHOWN: usize = 200;

/// Characters of Prometheus' own messages that are shown. A parse error quotes the query.
const SHOWN_OF_PROMETHEUS: usize = 1000;

/// Status and headers of a reply; what it was, should its body not be what was hoped for.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) secrets: Vec<SecretString>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrometheusError {
    error_type: String,
    #[serde(default)]
    error: String,
}

impl Reply {
    /// A body that could not be read although the status promised one.
    pub(crate) fn unreadable(&self, unreadable: &Unreadable, body: &[u8]) -> Failure {
        match unreadable {
            Unreadable::Refused { error_type, message } => self.refused(error_type, message),
            Unreadable::WrongType { .. } | Unreadable::TooMany { .. } => {
                Failure::Rejected { reason: Rejection::Invalid, message: unreadable.to_string() }
            }
            Unreadable::Incomplete if !body.is_empty() => {
                Failure::Unavailable { message: format!("{unreadable}, after {} bytes", body.len()) }
            }
            Unreadable::Incomplete => Failure::Unavailable { message: self.foreign(body, None) },
            Unreadable::Foreign { source } => {
                Failure::Unavailable { message: self.foreign(body, Some(source)) }
            }
        }
    }

    /// A reply whose status is not a success. `now` is for a Retry-After that names a date.
    pub(crate) fn failure(&self, body: &[u8], now: Timestamp) -> Failure {
        let own = serde_json::from_slice::<PrometheusError>(body).ok();
        let message = match &own {
            Some(error) => self.message_of(&error.error_type, &error.error),
            None => self.foreign(body, None),
        };
        match (self.status, own) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Failure::Rejected {
                reason: Rejection::Forbidden,
                message: format!("{}; check the credentials in prometheus.*: {message}", self.status),
            },
            (StatusCode::TOO_MANY_REQUESTS, _) => {
                Failure::RateLimited { retry_after: self.retry_after(now), message }
            }
            (status, _) if status.is_server_error() => Failure::Unavailable { message },
            (_, Some(error)) => self.refused(&error.error_type, &error.error),
            (_, None) => Failure::Unavailable { message },
        }
    }

    /// The date that the server put on its reply.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        self.header(&reqwest::header::DATE).and_then(date)
    }

    fn refused(&self, error_type: &str, message: &str) -> Failure {
        let message = self.message_of(error_type, message);
        match error_type {
            "timeout" | "canceled" | "internal" | "unavailable" => Failure::Unavailable { message },
            _ => Failure::Rejected { reason: Rejection::Invalid, message },
        }
    }

    fn message_of(&self, error_type: &str, message: &str) -> String {
        self.shown(&format!("{error_type}: {message}"), SHOWN_OF_PROMETHEUS)
    }

    /// What came instead of an answer of Prometheus.
    fn foreign(&self, body: &[u8], fault: Option<&serde_json::Error>) -> String {
        let content_type = self.header(&CONTENT_TYPE).unwrap_or("no content type");
        let text = String::from_utf8_lossy(&body[..body.len().min(64 * SHOWN)]);
        let is_html = content_type.contains("html") || text.trim_start().starts_with('<');
        let mut message = String::from("answered ");
        if !self.status.is_success() {
            let _ = write!(message, "{}, ", self.status);
        }
        let kind = match (body.is_empty(), is_html) {
            (true, _) => "nothing",
            (false, true) => "HTML",
            (false, false) => "something",
        };
        let content_type = self.shown(content_type, SHOWN);
        let _ = write!(message, "{kind} ({content_type}), not a Prometheus API response");
        if let Some(place) = self.redirect() {
            let _ = write!(message, ", and sends to {}", self.shown(&place, SHOWN));
        }
        message.push_str("; is the URL right?");
        if let Some(fault) = fault.filter(|_| !is_html) {
            let _ = write!(message, " {}:", self.shown(&fault.to_string(), SHOWN));
        }
        if !body.is_empty() {
            let _ = write!(message, " It begins: {}", self.shown(&text, SHOWN));
        }
        message
    }

    /// Where a redirect points, without its query, which may hold a ticket.
    fn redirect(&self) -> Option<String> {
        let place = self.header(&LOCATION).filter(|_| self.status.is_redirection())?;
        match Url::parse(place) {
            Ok(mut url) => {
                url.set_query(None);
                url.set_fragment(None);
                Some(url.into())
            }
            Err(_) => place.split(['?', '#']).next().map(Into::into),
        }
    }

    fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.header(&RETRY_AFTER)?;
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        Some(Duration::try_from(date(text)?.duration_since(now)).unwrap_or_default())
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A foreign text on one line, without our secrets and control characters, at most `limit` characters.
    fn shown(&self, text: &str, limit: usize) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.expose_secret(), "********");
        }
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .collect();
        words.join(" ").chars().take(limit).collect()
    }
}

fn date(text: &str) -> Option<Timestamp> {
    rfc2822::parse(text).ok().map(|date| date.timestamp())
}
