//! A step forward: from the check to its result.

use kubewise_core::document::Document;
use kubewise_core::guard::Guard;
use kubewise_core::journal::{BeforeImage, JournalBody, Outcome};
use kubewise_core::plan::{FieldChange, Operation};
use kubewise_core::request::Performed;
use kubewise_core::state::ANNOTATION_PREFIX;
use kubewise_core::{Failure, Period, Rejection, Timestamp};
use serde_json::Value;

use super::patch::{guarded_patch, value_at};
use super::progress::Rest;
use super::{Doing, Effect, Forbidden, Next, Purpose, Saga, lost_race, superseded, words};

/// A plan that was made, or approved by a person, longer ago than this speaks of a cluster that is no more.
const OLDEST: Period = Period::from_mins(60);
/// Times that a request whose answer never came is sent.
const MAX_ATTEMPTS: u32 = 3;

impl Saga {
    /// Policy is asked before every act, also before one that is repeated.
    pub(super) fn check(&mut self, step: usize, now: Timestamp) {
        if Period::between(self.plan.updated_at, now) > OLDEST && self.stands(Guard::PlanAge) {
            let message = format!("the plan is older than {OLDEST}");
            self.decline(step, Failure::Rejected { reason: Rejection::Forbidden, message }, now);
        } else {
            self.ask(Effect::Check { step }, Doing::Checking(step));
        }
    }

    pub(super) fn checked(&mut self, step: usize, result: Result<(), Forbidden>, now: Timestamp) {
        if let Some(found) = result.err().filter(|_| self.stands(Guard::CheckBeforeAct)) {
            // What was begun waits for its turn as it does for a budget of Kubernetes: evictions are many.
            let evicts = step > 0 && self.plan.actions[step].operation.is_eviction();
            if found.temporary && evicts {
                let failure = Failure::RateLimited { retry_after: None, message: found.finding };
                if !self.retry(&failure, Next::Check(step), now) {
                    self.decline(step, failure, now);
                }
                return;
            }
            let failure = Failure::Rejected { reason: Rejection::Forbidden, message: found.finding };
            self.decline(step, failure, now);
        } else if self.progress.rest == Rest::Prepared(step) {
            self.proceed(now);
        } else if self.progress.rest == Rest::Started(step) {
            self.act_again(step, now);
        } else if self.plan.actions[step].operation.writes().is_some() {
            self.look(Purpose::Prepare(step));
        } else {
            self.append(JournalBody::Prepared { step, before: BeforeImage::default() }, now);
        }
    }

    /// Does not do the step (any more). Surely nothing of it was applied.
    pub(super) fn decline(&mut self, step: usize, failure: Failure, now: Timestamp) {
        if self.progress.rest == Rest::Opened {
            self.close(Outcome::Aborted, failure.to_string(), now);
        } else {
            self.append(JournalBody::Failed { step, failure }, now);
        }
    }

    /// Holds the object against the plan's premise, then lets the server judge the step.
    pub(super) fn prepare(&mut self, step: usize, document: Option<&Document>, now: Timestamp) {
        let operation = &self.plan.actions[step].operation;
        let premise = match (operation, document) {
            (Operation::Write { object, .. }, None) => Err(format!("{object} is gone or was replaced")),
            (Operation::Write { changes, .. }, Some(document)) => premise(changes, document),
            (Operation::Evict { pod, .. }, document) => {
                let there = document.is_some_and(|found| !is_leaving(found));
                if !there && step > 0 {
                    // It went by itself, and that is all that was wanted; the answer to the request will say so.
                    return self.append(JournalBody::Prepared { step, before: self.image(step) }, now);
                }
                if there { Ok(()) } else { Err(format!("{pod} is gone already")) }
            }
            (Operation::Create { object, .. }, Some(_)) => Err(format!("{object} is there already")),
            (Operation::Create { .. }, None) | (Operation::Notify { .. }, _) => Ok(()),
        };
        match premise {
            Err(finding) => self.decline(step, superseded(finding), now),
            Ok(()) => match guarded_patch(operation, &self.image(step), self.epoch, self.guards) {
                Some(_) if !self.stands(Guard::DryRun) => {
                    let before = self.image(step);
                    self.capture(step, before, now);
                }
                Some(request) => self.ask(Effect::Perform { request, dry_run: true }, Doing::Trying(step)),
                None => self.tell(step),
            },
        }
    }

    /// The fields as planned, under the fence as read.
    fn image(&self, step: usize) -> BeforeImage {
        match &self.plan.actions[step].operation {
            Operation::Write { changes, .. } => self.fence.image(changes.clone()),
            Operation::Evict { .. } | Operation::Create { .. } | Operation::Notify { .. } => {
                BeforeImage::default()
            }
        }
    }

    /// What came of the dry run.
    pub(super) fn tried(&mut self, step: usize, result: Result<Performed, Failure>, now: Timestamp) {
        let mut before = self.image(step);
        match result {
            Ok(Performed::Patched(document)) => {
                // What the server makes of our values is what we will find there.
                for field in before.fields.iter_mut().filter(|field| field.before != field.after) {
                    field.after = value_at(&document, &field.path).cloned();
                }
                if before.fields.iter().all(|field| field.before == field.after) {
                    let message = "the API server would keep the former values".into();
                    self.decline(step, Failure::Rejected { reason: Rejection::Invalid, message }, now);
                } else {
                    self.capture(step, before, now);
                }
            }
            Ok(Performed::Evicted | Performed::Created(_)) => self.capture(step, before, now),
            Err(failure) => {
                if !failure.is_transient() || !self.retry(&failure, Next::Check(step), now) {
                    self.decline(step, failure, now);
                }
            }
        }
    }

    /// What a step takes down is saved before it is begun; a step that takes nothing down is begun at once.
    fn capture(&mut self, step: usize, before: BeforeImage, now: Timestamp) {
        if self.plan.actions[step].takes_down() && self.stands(Guard::Capture) {
            self.go_on(Next::Capture { step, before: Box::new(before) }, now);
        } else {
            self.append(JournalBody::Prepared { step, before }, now);
        }
    }

    pub(super) fn captured(
        &mut self,
        step: usize,
        before: Box<BeforeImage>,
        result: Result<(), Failure>,
        now: Timestamp,
    ) {
        let Err(failure) = result else {
            return self.append(JournalBody::Prepared { step, before: *before }, now);
        };
        if !failure.is_transient() || !self.retry(&failure, Next::Capture { step, before }, now) {
            let message = format!("what it takes down could not be saved: {failure}");
            self.decline(step, Failure::Unavailable { message }, now);
        }
    }

    /// Sends the request of a step whose `Started` is durable.
    pub(super) fn act(&mut self, step: usize) {
        self.in_doubt = false;
        let before = self.fence.image(self.progress.steps[step].before.fields.clone());
        match guarded_patch(&self.plan.actions[step].operation, &before, self.epoch, self.guards) {
            Some(request) => self.ask(Effect::Perform { request, dry_run: false }, Doing::Acting(step)),
            None => self.tell(step),
        }
    }

    /// The object was found as it was before the step.
    fn act_again(&mut self, step: usize, now: Timestamp) {
        let attempts = self.progress.steps[step].attempts;
        if !self.in_doubt {
            self.act(step);
        } else if attempts < MAX_ATTEMPTS || !self.stands(Guard::SentThrice) {
            self.append(JournalBody::Started { step, attempt: attempts + 1 }, now);
        } else {
            let message = format!("sent {attempts} times, and no answer came");
            self.append(JournalBody::Failed { step, failure: Failure::Unknown { message } }, now);
        }
    }

    pub(super) fn acted(&mut self, step: usize, result: Result<Performed, Failure>, now: Timestamp) {
        let Err(failure) = result else { return self.succeeded(step, "", now) };
        self.in_doubt = matches!(failure, Failure::Unknown { .. });
        if self.in_doubt && !self.stands(Guard::ReadBack) {
            let failure = Failure::Unavailable { message: failure.to_string() };
            return self.append(JournalBody::Failed { step, failure }, now);
        }
        let lasting = !failure.is_transient() && !lost_race(&failure);
        if lasting || !self.retry(&failure, Next::Read(Purpose::Resolve(step)), now) {
            self.append(JournalBody::Failed { step, failure }, now);
        }
    }

    fn succeeded(&mut self, step: usize, how: &str, now: Timestamp) {
        let fields = &self.progress.steps[step].before.fields;
        let detail = format!("{}{how}", words::deed(&self.plan.actions[step].operation, fields));
        self.append(JournalBody::Succeeded { step, detail }, now);
    }

    /// Decides by what is there whether a step that was begun took effect.
    pub(super) fn resolve(&mut self, step: usize, document: Option<&Document>, now: Timestamp) {
        const RECOGNISED: &str = " (found done when it was read back)";
        let fields = &self.progress.steps[step].before.fields;
        match (&self.plan.actions[step].operation, document) {
            (Operation::Evict { .. }, document) => {
                if document.is_some_and(|found| !is_leaving(found)) {
                    self.check(step, now);
                } else {
                    self.succeeded(step, RECOGNISED, now);
                }
            }
            (Operation::Write { object, .. }, None) => {
                let failure = superseded(format!("{object} is gone or was replaced"));
                self.append(JournalBody::Failed { step, failure }, now);
            }
            (Operation::Write { object, .. }, Some(document)) => {
                let mut touched = fields.iter().filter(|field| field.before != field.after);
                if touched.all(|field| value_at(document, &field.path) == field.after.as_ref()) {
                    self.succeeded(step, RECOGNISED, now);
                } else if fields.iter().all(|field| value_at(document, &field.path) == field.before.as_ref())
                {
                    self.check(step, now);
                } else {
                    let writer = words::latest_writer(document).unwrap_or("somebody else");
                    let failure =
                        superseded(format!("{writer} changed {object} meanwhile; it is left as it is"));
                    self.append(JournalBody::Failed { step, failure }, now);
                }
            }
            (Operation::Create { body, .. }, Some(document)) if is_ours(document, body) => {
                self.succeeded(step, RECOGNISED, now);
            }
            (Operation::Create { object, .. }, Some(_)) => {
                let failure = superseded(format!("{object} was made by somebody else"));
                self.append(JournalBody::Failed { step, failure }, now);
            }
            (Operation::Create { .. }, None) | (Operation::Notify { .. }, _) => self.check(step, now),
        }
    }

    pub(super) fn tell(&mut self, step: usize) {
        let operation = &self.plan.actions[step].operation;
        let message = words::deed(operation, &[]);
        let message = if let Operation::Notify { message } = operation { message.clone() } else { message };
        self.ask(Effect::Notify { message }, Doing::Telling(step));
    }

    pub(super) fn told(&mut self, step: usize, result: Result<(), Failure>, now: Timestamp) {
        let Err(failure) = result else { return self.succeeded(step, "", now) };
        if !failure.is_transient() || !self.retry(&failure, Next::Tell(step), now) {
            self.append(JournalBody::Failed { step, failure }, now);
        }
    }
}

/// Whether an object bears every mark of KubeWise that the body of a step has.
fn is_ours(document: &Document, body: &Value) -> bool {
    let marks = body.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten();
    let mut marks = marks.filter(|(key, _)| key.starts_with(ANNOTATION_PREFIX)).peekable();
    marks.peek().is_some() && marks.all(|(key, value)| document.annotation(key) == value.as_str())
}

fn is_leaving(pod: &Document) -> bool {
    pod.text("/metadata/deletionTimestamp").is_some()
}

/// Whether every field is as the plan found it. Else somebody else acts on the object: even one who did just
/// what was planned did it for reasons of their own, and it would not be ours to undo.
fn premise(changes: &[FieldChange], document: &Document) -> Result<(), String> {
    let Some(changed) =
        changes.iter().find(|change| value_at(document, &change.path) != change.before.as_ref())
    else {
        return Ok(());
    };
    let writer = words::latest_writer(document).unwrap_or("somebody else");
    Err(format!(
        "{writer} changed {} to {}, the plan rests on {}",
        changed.path,
        words::value(value_at(document, &changed.path)),
        words::value(changed.before.as_ref()),
    ))
}
