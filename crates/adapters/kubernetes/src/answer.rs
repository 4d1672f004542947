//! What an answer, or the lack of one, says about the effect. The only place that looks at status codes.
//!
//! A write whose answer does not say that it was refused may have happened. 500, 502, 503 and 504 say nothing: the
//! API server answers 500 and 504 when its own store did not answer in time, and a proxy before it answers 503
//! after losing a connection over which the request had gone. So they are `Unknown` for a write; a read simply
//! failed.

use std::error::Error;
use std::time::Duration;

use hyper_util::client::legacy;
use kube::core::Status;
use kubewise_core::failure::chain;
use kubewise_core::{Failure, Rejection};

/// What the API server says of a JSON Patch that it could not apply: a test failed, or the place of a change is
/// missing. Which one, it does not say. Refusals by validation read differently.
const PATCH_NOT_APPLICABLE: &str = "the server rejected our request due to an error in our request";
/// Of a foreign answer, enough to recognise a proxy's page.
const EXCERPT: usize = 200;

/// What a call was meant to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    Read,
    Write,
}

impl Intent {
    /// The request was sent, and what came back does not tell what became of it.
    pub(crate) fn unanswered(self, message: String) -> Failure {
        match self {
            Intent::Read => Failure::Unavailable { message },
            Intent::Write => Failure::Unknown { message },
        }
    }
}

/// A failure, and the status code if there was an answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Option<u16>,
    pub(crate) failure: Failure,
}

impl Refusal {
    /// From an answer that is not a success.
    pub(crate) fn of_answer(
        intent: Intent,
        what: &str,
        code: u16,
        retry_after: Option<Duration>,
        body: &str,
    ) -> Self {
        let status = serde_json::from_str::<Status>(body)
            .ok()
            .filter(|status| !status.reason.is_empty() || !status.message.is_empty());
        let failure = match &status {
            Some(status) => of_status(intent, what, code, retry_after, status),
            None => of_foreign(intent, code, retry_after, not_kubernetes(what, code, body)),
        };
        Refusal { code: Some(code), failure }
    }

    /// From what kube reports instead of an answer.
    pub(crate) fn of_error(intent: Intent, what: &str, error: &kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Refusal {
                code: Some(status.code),
                failure: of_status(intent, what, status.code, None, status),
            };
        }
        let message = format!("{what}: {}", chain(error));
        let failure = if surely_not_sent(error) {
            Failure::Unavailable { message }
        } else {
            intent.unanswered(message)
        };
        Refusal { code: None, failure }
    }
}

/// An answer that did not come from an API server.
pub(crate) fn not_kubernetes(what: &str, code: u16, body: &str) -> String {
    let excerpt: String =
        body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EXCERPT).collect();
    let said = if excerpt.is_empty() { "nothing".into() } else { format!("`{excerpt}`") };
    format!("{what}: answered {code} with {said}, which is not from a Kubernetes API server")
}

fn of_status(
    intent: Intent,
    what: &str,
    code: u16,
    retry_after: Option<Duration>,
    status: &Status,
) -> Failure {
    let said = if status.message.is_empty() { &status.reason } else { &status.message };
    let message = format!("{what}: {said}");
    let reject = |reason, message| Failure::Rejected { reason, message };
    match (code, intent) {
        (404, _) | (410, Intent::Write) => reject(Rejection::NotFound, message),
        (409, _) => reject(Rejection::Conflict, message),
        (410, Intent::Read) => Failure::Unavailable { message }, // the place in a list is forgotten; a new list works
        (422, _) if said.starts_with(PATCH_NOT_APPLICABLE) => reject(
            Rejection::Superseded,
            format!("{message}: a value that the patch tests or changes is not as it was"),
        ),
        (429, _) => {
            let told =
                status.details.as_ref().map(|details| details.retry_after_seconds).filter(|told| *told > 0);
            let retry_after = retry_after.or(told.map(|seconds| Duration::from_secs(u64::from(seconds))));
            Failure::RateLimited { retry_after, message }
        }
        _ => of_foreign(intent, code, retry_after, message),
    }
}

/// Judged by the code alone.
fn of_foreign(intent: Intent, code: u16, retry_after: Option<Duration>, message: String) -> Failure {
    let reject = |reason, message| Failure::Rejected { reason, message };
    match code {
        401 | 403 => reject(Rejection::Forbidden, message),
        429 => Failure::RateLimited { retry_after, message }, // priority and fairness answers in plain text
        // A proxy's own page: the request went no further. Above all it does not say that an object is gone.
        404 | 409 | 410 => Failure::Unavailable { message },
        400..=407 | 411..=499 => reject(Rejection::Invalid, message),
        _ => intent.unanswered(message),
    }
}

/// No connection came about, or the credentials for the request could not be had.
fn surely_not_sent(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(kube::Error::Auth(_) | kube::Error::BuildRequest(_))) {
            return true;
        }
        if error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect) {
            return true;
        }
        cause = error.source();
    }
    false
}
