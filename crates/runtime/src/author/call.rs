//! One call to the author: entered in the ledger, made durable, sent, settled.

use std::fmt;

use kubewise_core::author::{Answer, AuthorCall, CallOutcome, Ending, Prompt, Purpose, Usage};
use kubewise_core::id::CallId;
use kubewise_core::incident::Incident;
use kubewise_core::record::{Extra, Record, SchemaVersion};
use kubewise_core::{Failure, Period, Rejection, Timestamp};

use super::round;
use crate::runtime::Shared;

/// Kept and read of an answer. Eight bytes a token of the default length; whatever is longer was not what was asked for.
const MOST_OF_AN_ANSWER: usize = 16 * 1024;

/// Characters of a provider's message that a story tells; the record of the call holds all of it.
const TOLD: usize = 300;

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) incident: &'a Incident,
    pub(crate) purpose: Purpose,
    pub(crate) fingerprint: Option<&'a str>,
    pub(crate) attempt: u32,
    pub(crate) prompt: Prompt,
}

/// Why there is no proposal of the author. Told in stories, so it says nothing that differs from one time to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Nobody is there to ask.
    Nobody,
    /// Too many questions wait.
    Busy,
    /// A cap of the ledger.
    Capped(String),
    /// No answer within this.
    Late(Period),
    /// It cannot be known whether it was answered, or charged.
    Lost,
    /// It cannot be reached, or asks to wait.
    Unavailable,
    /// The provider refuses the question.
    Rejected(String),
    /// The answer is not one that can be taken.
    Refused(String),
    /// The account cannot be kept, so nothing is sent.
    Unaccounted,
}

impl Silence {
    /// Whether the same question may be answered later, and surely was not so far.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Silence::Nobody
            | Silence::Busy
            | Silence::Capped(_)
            | Silence::Unavailable
            | Silence::Unaccounted => true,
            Silence::Late(_) | Silence::Lost | Silence::Rejected(_) | Silence::Refused(_) => false,
        }
    }

    /// For a metric's label.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Silence::Nobody => "nobody",
            Silence::Busy => "busy",
            Silence::Capped(_) => "capped",
            Silence::Late(_) => "late",
            Silence::Lost => "lost",
            Silence::Unavailable => "unavailable",
            Silence::Rejected(_) => "rejected",
            Silence::Refused(_) => "refused",
            Silence::Unaccounted => "unaccounted",
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Silence::Nobody => f.write_str("no author is configured"),
            Silence::Busy => f.write_str("too many questions wait for the author"),
            Silence::Capped(cap) => write!(f, "the author is not asked: {cap}"),
            Silence::Late(deadline) => write!(f, "the author did not answer within {deadline}"),
            Silence::Lost => f.write_str("whether the author answered is not known"),
            Silence::Unavailable => f.write_str("the author cannot be asked now"),
            Silence::Rejected(message) => {
                let message: String = message.chars().take(TOLD).collect();
                write!(f, "the author's provider refuses the question: {message}")
            }
            Silence::Refused(objection) => write!(f, "the author's answer was refused: {objection}"),
            Silence::Unaccounted => f.write_str("the author is not asked: the store cannot be written"),
        }
    }
}

/// Sends a question once. The record that comes back is to be closed with what was made of the answer.
pub(crate) async fn send(
    shared: &Shared,
    question: Question<'_>,
    until: Timestamp,
) -> Result<(AuthorCall, Answer), Silence> {
    let correspondence = &shared.correspondence;
    let port = correspondence.port.as_ref().ok_or(Silence::Nobody)?;
    let deadline = correspondence.options.deadline;
    if shared.clock.now() >= until {
        return Err(Silence::Busy);
    }
    let mut record = enter(shared, question, port.name())?;
    let asked = [Record::Call(record.clone())];
    tokio::select! {
        biased;
        saved = shared.ports.store.save(&asked) => if let Err(failure) = saved {
            tracing::warn!(%failure, "the author is not asked: the call cannot be recorded");
            correspondence.lock().ledger.release(&record.id);
            return Err(Silence::Unaccounted);
        },
        () = shared.clock.sleep_until(until) => {
            // The record may be durable by now; it says what is true: nobody knows.
            close(shared, record, CallOutcome::Unknown, "it could not be recorded in time".into());
            return Err(Silence::Late(deadline));
        }
    }
    let answered = tokio::select! {
        biased;
        answered = port.answer(&record.prompt) => answered,
        () = shared.clock.sleep_until(until) => {
            close(shared, record, CallOutcome::Unknown, format!("no answer within {deadline}"));
            return Err(Silence::Late(deadline));
        }
    };
    match answered {
        Ok(answer) => {
            let answer = bounded(answer);
            record.estimated = answer.usage.is_none();
            let counted = answer.usage.unwrap_or(record.usage);
            charge(shared, &mut record, counted);
            record.answer = Some(answer.clone());
            Ok((record, answer))
        }
        Err(failure) => {
            tracing::warn!(author = record.author, incident = %record.incident, %failure, "the author did not answer");
            let (silence, outcome) = match &failure {
                Failure::Unknown { .. } => (Silence::Lost, CallOutcome::Unknown),
                // What came is no answer, but it came.
                Failure::Rejected { reason: Rejection::Invalid, message } => {
                    (Silence::Rejected(message.clone()), CallOutcome::Unknown)
                }
                Failure::Rejected { message, .. } => {
                    (Silence::Rejected(message.clone()), CallOutcome::Failed)
                }
                Failure::RateLimited { .. } | Failure::Unavailable { .. } => {
                    (Silence::Unavailable, CallOutcome::Failed)
                }
            };
            if outcome == CallOutcome::Failed {
                charge(shared, &mut record, Usage::default());
            }
            close(shared, record, outcome, failure.to_string());
            Err(silence)
        }
    }
}

/// Keeps how a call ended.
pub(crate) fn close(shared: &Shared, mut record: AuthorCall, outcome: CallOutcome, detail: String) {
    record.outcome = outcome;
    record.detail = detail;
    record.ended_at = Some(shared.clock.now());
    shared.telemetry.author_call(outcome, record.usage, record.cost);
    shared.outbox.put(Record::Call(record));
}

/// Enters a call in the ledger with its estimate.
fn enter(shared: &Shared, question: Question<'_>, author: &str) -> Result<AuthorCall, Silence> {
    let Question { incident, purpose, fingerprint, attempt, prompt } = question;
    let now = shared.clock.now();
    let id = CallId::derive(&[&incident.id, &format!("{purpose:?}"), &attempt, &now]);
    let usage = prompt.estimate();
    let mut state = shared.correspondence.lock();
    let reserved = state.ledger.reserve(&id, &incident.id, usage, now);
    reserved.map_err(|capped| Silence::Capped(capped.to_string()))?;
    let cost = state.ledger.cost(usage);
    drop(state);
    Ok(AuthorCall {
        version: SchemaVersion::CURRENT,
        id,
        incident: incident.id.clone(),
        workload: incident.workload.clone(),
        round: round(incident),
        plan: None,
        purpose,
        fingerprint: fingerprint.map(Into::into),
        attempt,
        author: author.into(),
        prompt,
        answer: None,
        outcome: CallOutcome::Asked,
        detail: String::new(),
        usage,
        estimated: true,
        cost,
        asked_at: now,
        ended_at: None,
        extra: Extra::new(),
    })
}

fn charge(shared: &Shared, record: &mut AuthorCall, usage: Usage) {
    let mut state = shared.correspondence.lock();
    state.ledger.settle(&record.id, usage);
    record.usage = usage;
    record.cost = state.ledger.cost(usage);
}

/// No more of an answer than is kept of it.
fn bounded(mut answer: Answer) -> Answer {
    if answer.text.len() > MOST_OF_AN_ANSWER {
        let end = answer.text.floor_char_boundary(MOST_OF_AN_ANSWER);
        answer.text.truncate(end);
        answer.ending = Ending::Truncated;
    }
    answer
}
