//! The execution of one plan: a machine of values that says what to do next and is told what came of it.
//!
//! Nothing is done that is not first in the journal; nothing is undone that somebody else changed. The machine is
//! a fold of its journal (`progress`) plus what it is doing just now (`Doing`): after each durable entry the
//! fold alone says what comes next, so a saga taken up by another process goes the same way.
//!
//! A step: check policy → read, and hold the object against the plan's premise → dry run → save what it takes down → `Prepared` → `Started`
//! → act → `Succeeded` or `Failed` (`forward`). Then the outcome is measured (`verification`), and harm is
//! undone (`undo`). Every write tests what it rests on (`patch`).

mod forward;
mod look;
mod patch;
mod progress;
mod replay;
mod undo;
mod verification;
mod words;

use kubewise_core::action::ExecutedActionRecord;
use kubewise_core::document::Document;
use kubewise_core::guard::{Guard, Guards};
use kubewise_core::id::{PlanId, SagaId};
use kubewise_core::incident::{Chapter, StoryEntry};
use kubewise_core::journal::{BeforeImage, Epoch, JournalBody, JournalEntry, Outcome};
use kubewise_core::plan::{Measurement, RemediationPlan};
use kubewise_core::request::{ClusterRequest, Performed};
use kubewise_core::{Failure, ObjectRef, Period, Rejection, Timestamp};

pub use patch::guarded_patch;
pub use replay::Corrupt;

use crate::policy::Refusal;
use patch::Fence;
use progress::{Progress, Rest};
use verification::Watch;

/// Transient failures in a row before a step gives up; with the back-off below about seven minutes, longer than
/// an API server needs to come back.
const MAX_TRIES: u32 = 12;
/// The longest pause between two tries, also if the other side asks for more.
const LONGEST_PAUSE: Period = Period::from_secs(60);

/// What the saga wants done, one at a time. Each is answered by exactly one [`Input`].
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append to the journal and wait until it is durable. Answered by `Input::Appended`.
    Append(JournalEntry),
    /// Hold the plan (or, from the second step on, the step) against policy with fresh evidence. By
    /// `Input::Checked`.
    Check { step: usize },
    /// Hold the undo of a step against ownership and protection. By `Input::UndoChecked`.
    CheckUndo { step: usize },
    /// Read an object. By `Input::Read`.
    Read { object: ObjectRef },
    /// Perform once. By `Input::Performed`.
    Perform { request: ClusterRequest, dry_run: bool },
    /// Save what a step takes down, durably. By `Input::Captured`.
    Capture { step: usize },
    /// Measure the workload and those that need it. By `Input::Measured`.
    Measure,
    /// Tell people. By `Input::Notified`.
    Notify { message: String },
    /// Do nothing until then. By `Input::Elapsed`.
    Wait { until: Timestamp },
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Appended(Result<(), Failure>),
    /// `Err` tells of the rule that forbids it.
    Checked(Result<(), Forbidden>),
    /// The finding of the rule that forbids it, if one does.
    UndoChecked(Result<Option<String>, Failure>),
    Read(Result<Option<Document>, Failure>),
    Performed(Result<Performed, Failure>),
    Captured(Result<(), Failure>),
    Measured(Result<Measurement, Failure>),
    Notified(Result<(), Failure>),
    Elapsed,
}

/// What policy found against a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbidden {
    pub finding: String,
    /// It may pass: a budget that has no room now.
    pub temporary: bool,
}

impl From<Refusal> for Forbidden {
    fn from(refusal: Refusal) -> Self {
        let Refusal { rule, finding, temporary, .. } = refusal;
        Forbidden { finding: format!("{rule}: {finding}"), temporary }
    }
}

/// What the saga has to tell, in order, for the story, the records and the end. Taken after each input.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    Story { chapter: Chapter, text: String },
    Action(Box<ExecutedActionRecord>),
    Finished { outcome: Outcome, reason: String },
}

/// One plan under execution.
#[derive(Clone, Debug)]
pub struct Saga {
    plan: RemediationPlan,
    guards: Guards,
    locks: Vec<ObjectRef>,
    epoch: Epoch,
    /// The number of the next entry.
    sequence: u32,
    progress: Progress,
    doing: Doing,
    effect: Option<Effect>,
    reports: Vec<Report>,
    past: Vec<StoryEntry>,
    /// Transient failures since the last durable entry.
    tries: u32,
    /// Whether the latest attempt may have been applied without our knowing.
    in_doubt: bool,
    /// An earlier leader's write may still be under way: the object's fence is raised before anything else.
    fence_first: bool,
    /// Of the object that the present step writes, as last read.
    fence: Fence,
    watch: Watch,
}

/// What the outstanding effect is for.
#[derive(Clone, Debug)]
enum Doing {
    Appending(Box<JournalEntry>),
    Pausing(Next),
    Checking(usize),
    CheckingUndo(usize),
    Reading(Purpose),
    /// Raises the fence, then goes on with the purpose.
    Fencing(Purpose),
    Trying(usize),
    Capturing {
        step: usize,
        before: Box<BeforeImage>,
    },
    Acting(usize),
    Telling(usize),
    Measuring,
    Undoing {
        step: usize,
        /// Fields that somebody else changed, and that stay.
        left: Option<String>,
    },
    CallingForHelp(String),
    Finished,
    /// Not ours any more, or the journal cannot be written: recovery takes it up again.
    Suspended(String),
}

#[derive(Clone, Debug)]
enum Next {
    Append(Box<JournalEntry>),
    Check(usize),
    CheckUndo(usize),
    Read(Purpose),
    Capture { step: usize, before: Box<BeforeImage> },
    Tell(usize),
    Measure,
    CallForHelp(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To hold the object against the plan's premise before a step begins.
    Prepare(usize),
    /// To learn whether a step that was begun took effect.
    Resolve(usize),
    Undo(usize),
}

impl Saga {
    /// Begins to execute a plan. Its first entry takes the locks: every object that a step writes.
    pub fn open(plan: RemediationPlan, guards: Guards, epoch: Epoch, now: Timestamp) -> Self {
        let mut locks: Vec<ObjectRef> =
            plan.actions.iter().filter_map(|step| step.operation.writes()).cloned().collect();
        locks.sort();
        locks.dedup();
        if !guards.stands(Guard::Locks) {
            locks.clear();
        }
        let body = JournalBody::Opened { plan: Box::new(plan.clone()), locks: locks.clone() };
        let mut saga = Saga::at_rest(plan, guards, locks, epoch, now);
        saga.append(body, now);
        saga
    }

    /// The id of the saga that executes a plan.
    pub fn id_of(plan: &PlanId) -> SagaId {
        SagaId::derive(&[plan])
    }

    fn at_rest(
        plan: RemediationPlan,
        guards: Guards,
        locks: Vec<ObjectRef>,
        epoch: Epoch,
        opened_at: Timestamp,
    ) -> Self {
        Saga {
            progress: Progress::new(Saga::id_of(&plan.id), &plan, opened_at),
            plan,
            guards,
            locks,
            epoch,
            sequence: 0,
            doing: Doing::Finished,
            effect: None,
            reports: Vec::new(),
            past: Vec::new(),
            tries: 0,
            in_doubt: false,
            fence_first: false,
            fence: Fence::default(),
            watch: Watch::default(),
        }
    }

    /// The next thing to do. `None` while one is outstanding, when finished, and when suspended.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effect.take()
    }

    /// Takes in what came of the outstanding effect.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        let doing = std::mem::replace(&mut self.doing, Doing::Finished);
        match (doing, input) {
            (Doing::Appending(entry), Input::Appended(result)) => self.appended(*entry, result, now),
            (Doing::Pausing(next), Input::Elapsed) => self.go_on(next, now),
            (Doing::Checking(step), Input::Checked(result)) => self.checked(step, result, now),
            (Doing::CheckingUndo(step), Input::UndoChecked(result)) => self.undo_checked(step, result, now),
            (Doing::Reading(purpose), Input::Read(result)) => self.read(purpose, result, now),
            (Doing::Fencing(purpose), Input::Performed(result)) => self.fenced(purpose, result, now),
            (Doing::Trying(step), Input::Performed(result)) => self.tried(step, result, now),
            (Doing::Capturing { step, before }, Input::Captured(result)) => {
                self.captured(step, before, result, now);
            }
            (Doing::Acting(step), Input::Performed(result)) => self.acted(step, result, now),
            (Doing::Telling(step), Input::Notified(result)) => self.told(step, result, now),
            (Doing::Measuring, Input::Measured(result)) => self.measured(result, now),
            (Doing::Undoing { step, left }, Input::Performed(result)) => {
                self.undone(step, left, result, now);
            }
            (Doing::CallingForHelp(reason), Input::Notified(result)) => self.called(reason, result, now),
            (doing @ (Doing::Finished | Doing::Suspended(_)), _) => self.doing = doing,
            (doing, input) => self.suspend(format!("{doing:?} was answered by {input:?}")),
        }
    }

    /// What there is to tell since the last time.
    pub fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    pub fn plan(&self) -> &RemediationPlan {
        &self.plan
    }

    pub fn id(&self) -> &SagaId {
        &self.progress.saga
    }

    pub fn locks(&self) -> &[ObjectRef] {
        &self.locks
    }

    /// Nothing is left to do, now or after a restart; locks are held only if it ended as `Stuck`.
    pub fn is_finished(&self) -> bool {
        matches!(self.doing, Doing::Finished)
    }

    /// Why it rests although it is not finished. It goes on by [`Saga::replay`], here or elsewhere.
    pub fn suspended(&self) -> Option<&str> {
        if let Doing::Suspended(reason) = &self.doing { Some(reason) } else { None }
    }

    /// What a recovered saga had told before, with the time of each entry: a story that lost its end in a crash
    /// is completed from here.
    pub fn past(&self) -> &[StoryEntry] {
        &self.past
    }

    fn stands(&self, guard: Guard) -> bool {
        self.guards.stands(guard)
    }

    fn ask(&mut self, effect: Effect, doing: Doing) {
        self.effect = Some(effect);
        self.doing = doing;
    }

    fn suspend(&mut self, reason: String) {
        self.effect = None;
        self.doing = Doing::Suspended(reason);
    }

    fn append(&mut self, body: JournalBody, now: Timestamp) {
        self.tries = 0;
        let entry = JournalEntry {
            saga: self.progress.saga.clone(),
            sequence: self.sequence,
            epoch: self.epoch,
            time: now,
            body,
        };
        self.ask(Effect::Append(entry.clone()), Doing::Appending(Box::new(entry)));
    }

    fn close(&mut self, outcome: Outcome, reason: String, now: Timestamp) {
        self.append(JournalBody::Closed { outcome, reason }, now);
    }

    fn appended(&mut self, entry: JournalEntry, result: Result<(), Failure>, now: Timestamp) {
        let opening = self.sequence == 0;
        match result
            .or_else(|failure| if self.stands(Guard::JournalBeforeAct) { Err(failure) } else { Ok(()) })
        {
            Ok(()) => {
                self.tries = 0;
                self.in_doubt = false;
                self.sequence += 1;
                if opening {
                    self.proceed(now);
                    return;
                }
                match self.progress.apply(&self.plan, &entry) {
                    Ok(reports) => {
                        self.reports.extend(reports);
                        self.proceed(now);
                    }
                    Err(illegal) => self.call_for_help(illegal),
                }
            }
            // Nothing is in the journal: the locks or the place are another's, or the entry cannot be kept.
            Err(failure @ Failure::Rejected { .. })
                if opening && (!self.in_doubt || failure.is(Rejection::Conflict)) =>
            {
                self.never_opened(&failure);
            }
            Err(failure @ Failure::Rejected { .. }) => {
                self.suspend(format!("the journal refuses entry {}: {failure}", entry.sequence));
            }
            Err(failure) => {
                // Appending the very same entry again is harmless.
                self.in_doubt |= opening && matches!(failure, Failure::Unknown { .. });
                let sure = opening && !self.in_doubt;
                if !self.retry(&failure, Next::Append(Box::new(entry)), now) {
                    if sure {
                        self.never_opened(&failure);
                    } else {
                        self.suspend(format!("the journal cannot be written: {failure}"));
                    }
                }
            }
        }
    }

    /// Ends without an entry, as there is no journal of it.
    fn never_opened(&mut self, failure: &Failure) {
        let reason = format!("the saga could not be opened: {failure}");
        self.reports.push(Report::Finished { outcome: Outcome::Aborted, reason });
        self.doing = Doing::Finished;
    }

    /// What comes after the latest durable entry.
    fn proceed(&mut self, now: Timestamp) {
        match self.progress.rest.clone() {
            Rest::Opened if self.plan.actions.is_empty() => {
                self.close(Outcome::Aborted, "the plan has no step".into(), now);
            }
            Rest::Opened => self.check(0, now),
            Rest::Prepared(step) => self.append(JournalBody::Started { step, attempt: 1 }, now),
            Rest::Started(step) => self.act(step),
            Rest::Succeeded(step) if step + 1 < self.plan.actions.len() => self.check(step + 1, now),
            Rest::Succeeded(_) => self.watch(now),
            Rest::Verified(phase, verdict) => self.verified(phase, verdict, now),
            Rest::Failed { failure, .. } => self.failed(&failure, now),
            Rest::UndoStarted(step) => self.check_undo(step),
            Rest::Settled => self.unwind(now),
            Rest::UndoFailed { step, failure } => {
                let deed = &self.plan.actions[step].description;
                self.call_for_help(format!("could not undo step {}, {deed}: {failure}", step + 1));
            }
            Rest::Closed => self.doing = Doing::Finished,
        }
    }

    /// Keeps the locks, tells people, and waits for one. Told first: a crash in between tells twice, never not.
    fn call_for_help(&mut self, reason: String) {
        let RemediationPlan { workload, incident, .. } = &self.plan;
        let message = format!(
            "{workload} needs a person: {reason}. Nothing is done to it until `kubewise release {incident} --reason WHY`"
        );
        self.ask(Effect::Notify { message }, Doing::CallingForHelp(reason));
    }

    fn called(&mut self, reason: String, result: Result<(), Failure>, now: Timestamp) {
        let again = result.err().filter(Failure::is_transient);
        if !again.is_some_and(|failure| self.retry(&failure, Next::CallForHelp(reason.clone()), now)) {
            let locked = self.stands(Guard::StuckKeepsLocks);
            self.close(if locked { Outcome::Stuck } else { Outcome::HandedOver }, reason, now);
        }
    }

    fn go_on(&mut self, next: Next, now: Timestamp) {
        match next {
            Next::Append(entry) => self.ask(Effect::Append((*entry).clone()), Doing::Appending(entry)),
            Next::Check(step) => self.check(step, now),
            Next::CheckUndo(step) => self.check_undo(step),
            Next::Read(purpose) => self.look(purpose),
            Next::Capture { step, before } => {
                self.ask(Effect::Capture { step }, Doing::Capturing { step, before });
            }
            Next::Tell(step) => self.tell(step),
            Next::Measure => self.ask(Effect::Measure, Doing::Measuring),
            Next::CallForHelp(reason) => self.call_for_help(reason),
        }
    }

    fn pause(&mut self, until: Timestamp, next: Next) {
        self.ask(Effect::Wait { until }, Doing::Pausing(next));
    }

    /// Goes on with `next` after a pause that doubles each time. False once that was tried often enough.
    fn retry(&mut self, failure: &Failure, next: Next, now: Timestamp) -> bool {
        self.tries += 1;
        if self.tries > MAX_TRIES {
            return false;
        }
        let asked = if let Failure::RateLimited { retry_after: Some(asked), .. } = failure {
            Period::from(*asked)
        } else {
            Period::ZERO
        };
        let doubled = Period::from_secs(1 << (self.tries - 1).min(6));
        self.pause(doubled.max(asked).min(LONGEST_PAUSE).after(now), next);
        true
    }
}

/// A test failed or the object went: somebody else was there since we read it.
fn lost_race(failure: &Failure) -> bool {
    failure.is(Rejection::Superseded) || failure.is(Rejection::NotFound)
}

fn superseded(message: String) -> Failure {
    Failure::Rejected { reason: Rejection::Superseded, message }
}
