//! Asking the author about incidents: beside the planning, never in its way.
//!
//! A planning round that comes to a plan consults the author before it is taken. An incident is asked about once for each
//! plan, and the same trouble, known by its fingerprint, once for all: what came of it is taken up at once. Otherwise
//! the question is put in the queue, and the round is put off: until the answer is there, at the latest until the
//! deadline, while other incidents are planned. An answer is read against the case as it is when it is used, not as it
//! was when it was sent.
//!
//! Whatever does not end in a proposal (no answer in time, a cap, an open breaker, an answer that is refused twice)
//! leaves the plan to the playbooks, as if there were no author, and is told in the story.

mod call;
mod findings;
mod ledger;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kubewise_core::author::{AuthorCall, CallOutcome, Purpose, Spending};
use kubewise_core::id::{CallId, IncidentId, PlanId};
use kubewise_core::incident::Incident;
use kubewise_core::port::PlanAuthor;
use kubewise_core::record::{Record, RecordKind, RecordQuery};
use kubewise_core::{Failure, Period, Timestamp};
use kubewise_remediation::author::{self, Draft, Proposal};
use kubewise_remediation::evidence::Evidence;
use kubewise_remediation::policy::Surroundings;
use tokio::sync::Notify;

pub(crate) use call::{Question, Silence, close, send};
use findings::{Finding, Findings};
use ledger::Ledger;

use crate::options::AuthorOptions;
use crate::outbox::Outbox;
use crate::runtime::{Ports, Shared};
use crate::shutdown::Phase;
use crate::telemetry::Telemetry;

/// Questions that wait for their turn, about 40 KB each. With more, most would wait beyond the deadline.
const QUEUE: usize = 256;
/// A refused answer is sent back with the reason once.
const ATTEMPTS: u32 = 2;
/// What failed for now is not asked again before: an author that is down costs nothing, but neither shall it be pestered.
const ASK_AGAIN: Period = Period::from_mins(15);
/// Incidents whose latest question is remembered; the one that was asked about the longest ago gives way.
const MOST_ROUNDS: usize = 2_000;

/// The questions to the author, and what came of them.
pub(crate) struct Correspondence {
    port: Option<Arc<dyn PlanAuthor>>,
    options: AuthorOptions,
    telemetry: Telemetry,
    state: Mutex<State>,
    to_ask: Notify,
}

struct State {
    ledger: Ledger,
    findings: Findings,
    /// The question that was put for the latest plan of an incident.
    rounds: BTreeMap<IncidentId, Round>,
    queue: VecDeque<Sought>,
}

struct Round {
    /// As the plan's attempt.
    number: u32,
    fingerprint: String,
    asked_at: Timestamp,
}

/// A proposal that is sought.
struct Sought {
    incident: Incident,
    draft: Draft,
    until: Timestamp,
}

/// What the author has to say to a planning round.
pub(crate) enum Consulted {
    Proposal {
        proposal: Box<Proposal>,
        call: CallId,
        author: String,
    },
    /// It is being asked: come back then at the latest.
    Wait(Timestamp),
    /// Nothing; the playbooks decide. With the reason, if it was to be asked.
    Nothing(Option<Silence>),
}

impl Correspondence {
    /// Takes up what earlier processes asked and spent, from the store.
    pub(crate) async fn restored(
        ports: &Ports,
        options: AuthorOptions,
        outbox: &Outbox,
        telemetry: Telemetry,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let mut state = State {
            ledger: Ledger::new(options.caps, options.prices),
            findings: Findings::default(),
            rounds: BTreeMap::new(),
            queue: VecDeque::new(),
        };
        for mut call in earlier_calls(ports, now).await? {
            if call.outcome == CallOutcome::Asked {
                call.outcome = CallOutcome::Unknown;
                call.detail = "the process ended before an answer came".into();
                call.ended_at = Some(now);
                outbox.put(Record::Call(call.clone()));
            }
            state.ledger.restore(&call);
            if let (Purpose::Proposal, Some(fingerprint)) = (call.purpose, &call.fingerprint) {
                let round =
                    Round { number: call.round, fingerprint: fingerprint.clone(), asked_at: call.asked_at };
                state.keep(call.incident.clone(), round);
            }
            state.findings.restore(call);
        }
        let state = Mutex::new(state);
        Ok(Correspondence { port: ports.author.clone(), options, telemetry, state, to_ask: Notify::new() })
    }

    /// Provider and model, if there is an author.
    pub(crate) fn name(&self) -> Option<&str> {
        self.port.as_deref().map(PlanAuthor::name)
    }

    pub(crate) fn options(&self) -> &AuthorOptions {
        &self.options
    }

    pub(crate) fn spending(&self, now: Timestamp) -> Spending {
        let state = self.lock();
        let ledger = &state.ledger;
        Spending {
            author: self.name().map(Into::into),
            day: ledger.day(now),
            month: ledger.month(now),
            caps: ledger.caps(),
            capped: ledger.capped(None, self.options.largest(), now).map(|capped| capped.to_string()),
            incidents: ledger.by_incident(now),
        }
    }

    fn consult(&self, incident: &Incident, draft: Draft, now: Timestamp) -> Consulted {
        let mut state = self.lock();
        if let Some(known) = state.known(incident, &draft, self.options.deadline, now) {
            return known;
        }
        if state.queue.len() >= QUEUE {
            self.telemetry.author_silent(&Silence::Busy);
            return Consulted::Nothing(Some(Silence::Busy));
        }
        let until = self.options.deadline.after(now);
        state.findings.put(draft.fingerprint.clone(), Finding::Asked { until });
        let round = Round { number: round(incident), fingerprint: draft.fingerprint.clone(), asked_at: now };
        state.keep(incident.id.clone(), round);
        state.queue.push_back(Sought { incident: incident.clone(), draft, until });
        drop(state);
        self.to_ask.notify_one();
        Consulted::Wait(until)
    }

    /// What a planning round would be told now, without asking.
    pub(crate) fn known(&self, incident: &Incident, draft: &Draft, now: Timestamp) -> Consulted {
        let known = self.lock().known(incident, draft, self.options.deadline, now);
        known.unwrap_or(Consulted::Nothing(None))
    }

    fn next(&self) -> Option<Sought> {
        self.lock().queue.pop_front()
    }

    /// Keeps what came of a question, and returns whom it concerns.
    fn found(&self, fingerprint: &str, finding: Finding) -> Vec<IncidentId> {
        if let Finding::Nothing { silence, .. } = &finding {
            self.telemetry.author_silent(silence);
        }
        let mut state = self.lock();
        state.findings.put(fingerprint.into(), finding);
        let concerned = state.rounds.iter().filter(|(_, round)| round.fingerprint == fingerprint);
        concerned.map(|(incident, _)| incident.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What came of the question that was put for this round, even if the case has changed since, or else of the same
    /// question about another incident. `None` if nobody has asked.
    fn known(
        &self,
        incident: &Incident,
        draft: &Draft,
        deadline: Period,
        now: Timestamp,
    ) -> Option<Consulted> {
        let put = self.rounds.get(&incident.id).filter(|put| put.number == round(incident));
        let finding = put.and_then(|put| self.findings.get(&put.fingerprint, now));
        let finding = finding.or_else(|| self.findings.get(&draft.fingerprint, now))?;
        Some(match finding {
            Finding::Asked { until } if *until > now => Consulted::Wait(*until),
            Finding::Asked { .. } => Consulted::Nothing(Some(Silence::Late(deadline))),
            Finding::Nothing { silence, .. } => Consulted::Nothing(Some(silence.clone())),
            Finding::Answered { answer, call, author } => match draft.read(answer) {
                Ok(proposal) => Consulted::Proposal {
                    proposal: Box::new(proposal),
                    call: call.clone(),
                    author: author.clone(),
                },
                Err(objection) => Consulted::Nothing(Some(Silence::Refused(objection.to_string()))),
            },
        })
    }

    fn keep(&mut self, incident: IncidentId, round: Round) {
        if self.rounds.len() >= MOST_ROUNDS {
            let oldest = self.rounds.iter().min_by_key(|(_, round)| round.asked_at);
            if let Some(oldest) = oldest.map(|(incident, _)| incident.clone()) {
                self.rounds.remove(&oldest);
            }
        }
        self.rounds.insert(incident, round);
    }
}

/// The number of the plan that an incident needs now.
fn round(incident: &Incident) -> u32 {
    incident.attempts.saturating_add(1)
}

/// Asks, a few questions at one time.
pub(crate) async fn run(shared: Arc<Shared>, phase: Phase) {
    let author = &shared.correspondence;
    let mut asking = FuturesUnordered::new();
    while !phase.stop.is_cancelled() {
        while asking.len() < author.options.concurrency.max(1)
            && let Some(sought) = author.next()
        {
            asking.push(seek(&shared, sought));
        }
        tokio::select! {
            biased;
            () = phase.stop.cancelled() => {}
            Some(()) = asking.next(), if !asking.is_empty() => {}
            () = author.to_ask.notified() => {}
        }
    }
}

/// What the author says to a planning round that has come to a plan. Never waits.
pub(crate) fn consult(
    shared: &Shared,
    evidence: &Evidence,
    surroundings: &Surroundings,
    now: Timestamp,
) -> Consulted {
    let author = &shared.correspondence;
    if author.port.is_none() {
        return Consulted::Nothing(None);
    }
    match draft(shared, evidence, surroundings, now) {
        Some(draft) => author.consult(&evidence.incident, draft, now),
        None => Consulted::Nothing(None),
    }
}

/// What the author would be asked.
pub(crate) fn draft(
    shared: &Shared,
    evidence: &Evidence,
    surroundings: &Surroundings,
    now: Timestamp,
) -> Option<Draft> {
    let options = &shared.correspondence.options.prompt;
    author::draft(evidence, &shared.playbooks, &shared.policy, surroundings, options, now)
}

/// Notes in the record of a call which plan was made of it.
pub(crate) async fn note_plan(shared: &Shared, call: &CallId, plan: &PlanId) {
    let known = match shared.outbox.waiting(RecordKind::Call, call.as_str()) {
        Some(record) => Ok(Some(record)),
        None => shared.ports.store.get(RecordKind::Call, call.as_str()).await,
    };
    match known {
        // One that is not closed yet is on its way to the store, and must not be overtaken by its former state.
        Ok(Some(Record::Call(mut record))) if record.plan.is_none() && record.ended_at.is_some() => {
            record.plan = Some(plan.clone());
            shared.outbox.put(Record::Call(record));
        }
        Ok(_) => {}
        Err(failure) => {
            tracing::warn!(%call, %failure, "it could not be noted which plan was made of the answer");
        }
    }
}

/// Seeks a proposal: one question, and a second with what was wrong with the first answer.
async fn seek(shared: &Shared, sought: Sought) {
    let Sought { incident, draft, until } = sought;
    let mut prompt = draft.prompt.clone();
    let mut attempt = 1;
    let finding = loop {
        let question = Question {
            incident: &incident,
            purpose: Purpose::Proposal,
            fingerprint: Some(&draft.fingerprint),
            attempt,
            prompt: prompt.clone(),
        };
        let (record, answer) = match send(shared, question, until).await {
            Ok(answered) => answered,
            Err(silence) => {
                let until = silence.passes().then(|| ASK_AGAIN.after(shared.clock.now()));
                break Finding::Nothing { silence, until };
            }
        };
        match draft.read(&answer) {
            Ok(_) => {
                let (call, author) = (record.id.clone(), record.author.clone());
                close(shared, record, CallOutcome::Accepted, String::new());
                break Finding::Answered { answer, call, author };
            }
            Err(objection) => {
                close(shared, record, CallOutcome::Refused, objection.to_string());
                if attempt >= ATTEMPTS {
                    break Finding::Nothing { silence: Silence::Refused(objection.to_string()), until: None };
                }
                prompt = draft.second(&answer, &objection);
                attempt += 1;
            }
        }
    };
    let now = shared.clock.now();
    for incident in shared.correspondence.found(&draft.fingerprint, finding) {
        shared.incidents.look_again(&incident, now);
    }
    shared.incidents.to_plan.notify_one();
}

/// Calls of the last 30 days, oldest first.
async fn earlier_calls(ports: &Ports, now: Timestamp) -> Result<Vec<AuthorCall>, Failure> {
    /// As many as the ledger holds at the default caps, ten times over.
    const MOST: usize = 10_000;
    let mut query = RecordQuery {
        since: Some(ledger::MONTH.before(now)),
        limit: 50,
        ..RecordQuery::of(RecordKind::Call)
    };
    let mut calls = Vec::new();
    while calls.len() < MOST {
        let page = ports.store.find(&query).await?;
        for record in page.records {
            if let Record::Call(mut call) = record {
                // What was sent is not needed here, and large.
                if call.outcome != CallOutcome::Asked {
                    call.prompt.case.clear();
                }
                calls.push(call);
            }
        }
        let Some(next) = page.next else { break };
        query.cursor = Some(next);
    }
    calls.reverse();
    Ok(calls)
}
