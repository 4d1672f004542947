//! How far a saga has come: its journal, folded. Live and recovered sagas use the same fold, so that records and
//! story are the same whether the process lived through it or read of it.

use jiff::Timestamp;
use kubewise_core::Failure;
use kubewise_core::Rejection;
use kubewise_core::action::{ActionStatus, Direction, ExecutedActionRecord};
use kubewise_core::id::{ActionId, SagaId};
use kubewise_core::incident::Chapter;
use kubewise_core::journal::{BeforeImage, JournalBody, JournalEntry, Outcome, VerificationPhase};
use kubewise_core::plan::{FieldChange, Operation, RemediationPlan, Verdict};
use kubewise_core::record::{Extra, SchemaVersion};

use super::{Report, words};

/// What the journal ends with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rest {
    Opened,
    Prepared(usize),
    Started(usize),
    Succeeded(usize),
    Failed {
        step: usize,
        failure: Failure,
    },
    Verified(VerificationPhase, Verdict),
    UndoStarted(usize),
    /// Undone, or left as it is.
    Settled,
    UndoFailed {
        step: usize,
        failure: Failure,
    },
    Closed,
}

impl Rest {
    /// The step that may be begun from here; one past the last if all have acted.
    fn next(&self) -> Option<usize> {
        if *self == Rest::Opened {
            return Some(0);
        }
        if let Rest::Succeeded(step) = self { Some(step + 1) } else { None }
    }

    /// The step that is under way.
    pub(super) fn begun(&self) -> Option<usize> {
        if let Rest::Prepared(step) | Rest::Started(step) = self { Some(*step) } else { None }
    }

    fn unwinds(&self) -> bool {
        matches!(self, Rest::Failed { .. } | Rest::Verified(_, Verdict::Worse) | Rest::Settled)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) saga: SagaId,
    pub(super) rest: Rest,
    pub(super) steps: Vec<StepProgress>,
    /// When the latest step took effect, as far as is known.
    pub(super) acted_at: Timestamp,
    /// When the provisional verdict was Improved.
    pub(super) improved_at: Option<Timestamp>,
    /// Why it unwinds: the harm, or the failed step.
    pub(super) trouble: Option<Trouble>,
    pub(super) outcome: Option<(Outcome, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Trouble {
    Harm(String),
    Failure(String),
}

#[derive(Clone, Debug, Default)]
pub(super) struct StepProgress {
    pub(super) before: BeforeImage,
    pub(super) attempts: u32,
    pub(super) state: StepState,
    act: Option<ExecutedActionRecord>,
    undo: Option<ExecutedActionRecord>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum StepState {
    #[default]
    Open,
    /// Applied, and not undone.
    Done,
    Undone,
    /// Applied, and left so for this reason.
    Kept(String),
}

impl Progress {
    pub(super) fn new(saga: SagaId, plan: &RemediationPlan, opened_at: Timestamp) -> Self {
        Progress {
            saga,
            rest: Rest::Opened,
            steps: vec![StepProgress::default(); plan.actions.len()],
            acted_at: opened_at,
            improved_at: None,
            trouble: None,
            outcome: None,
        }
    }

    /// The records of all steps so far.
    pub(super) fn records(&self) -> impl Iterator<Item = Report> {
        let records = self.steps.iter().flat_map(|step| [&step.act, &step.undo]).flatten();
        records.map(|record| Report::Action(Box::new(record.clone())))
    }

    /// Takes in an entry that is durable, and returns what it tells. `Err` says why the entry cannot follow.
    pub(super) fn apply(
        &mut self,
        plan: &RemediationPlan,
        entry: &JournalEntry,
    ) -> Result<Vec<Report>, String> {
        if !self.admits(&entry.body) {
            return Err(format!("{:?} cannot be followed by entry {}", self.rest, entry.sequence));
        }
        let time = entry.time;
        let mut told = Vec::new();
        self.rest = match &entry.body {
            JournalBody::Opened { .. } => Rest::Opened,
            JournalBody::Prepared { step, before } => {
                self.steps[*step].before = before.clone();
                Rest::Prepared(*step)
            }
            JournalBody::Started { step, attempt } => {
                self.steps[*step].attempts = *attempt;
                told.push(self.act(plan, *step, time, ActionStatus::Started, "sent"));
                Rest::Started(*step)
            }
            JournalBody::Succeeded { step, detail } => {
                self.steps[*step].state = StepState::Done;
                self.acted_at = time;
                told.push(self.act(plan, *step, time, ActionStatus::Succeeded, detail));
                told.push(story(Chapter::Acted, detail));
                Rest::Succeeded(*step)
            }
            JournalBody::Failed { step, failure } => {
                let status = if failure.is(Rejection::Superseded) {
                    ActionStatus::Superseded
                } else {
                    ActionStatus::Failed
                };
                self.trouble = Some(Trouble::Failure(failure.to_string()));
                told.push(self.act(plan, *step, time, status, &failure.to_string()));
                let deed = self.deed(plan, *step);
                told.push(story(Chapter::Refused, format!("could not {deed}: {failure}")));
                Rest::Failed { step: *step, failure: failure.clone() }
            }
            JournalBody::Verified { phase, verdict, reasons } => {
                match (phase, verdict) {
                    (VerificationPhase::Provisional, Verdict::Improved) => self.improved_at = Some(time),
                    (_, Verdict::Worse) => self.trouble = Some(Trouble::Harm(reasons.join("; "))),
                    (_, Verdict::Improved | Verdict::Inconclusive) => {}
                }
                for step in &mut self.steps {
                    if let Some(act) = step.act.as_mut().filter(|act| act.status == ActionStatus::Succeeded) {
                        act.verdict = Some(*verdict);
                        told.push(Report::Action(Box::new(act.clone())));
                    }
                }
                let phase_name = match phase {
                    VerificationPhase::Provisional => "provisionally",
                    VerificationPhase::Settled => "finally",
                };
                told.push(story(
                    Chapter::Verified,
                    format!("{verdict:?}, {phase_name}: {}", reasons.join("; ")),
                ));
                Rest::Verified(*phase, *verdict)
            }
            JournalBody::UndoStarted { step } => {
                told.push(self.undo(plan, *step, time, ActionStatus::Started, "sent"));
                Rest::UndoStarted(*step)
            }
            JournalBody::Undone { step } => {
                self.steps[*step].state = StepState::Undone;
                let text = words::undoing(&plan.actions[*step].operation, &self.steps[*step].before.fields);
                told.push(self.undo(plan, *step, time, ActionStatus::Succeeded, &text));
                told.push(story(Chapter::Undone, text));
                Rest::Settled
            }
            JournalBody::UndoSkipped { step, reason } => {
                self.steps[*step].state = StepState::Kept(reason.clone());
                if self.rest == Rest::UndoStarted(*step) {
                    told.push(self.undo(plan, *step, time, ActionStatus::Superseded, reason));
                }
                let deed = self.deed(plan, *step);
                told.push(story(Chapter::Undone, format!("left as it is ({deed}): {reason}")));
                Rest::Settled
            }
            JournalBody::UndoFailed { step, failure } => {
                told.push(self.undo(plan, *step, time, ActionStatus::Failed, &failure.to_string()));
                let deed = self.deed(plan, *step);
                told.push(story(Chapter::Undone, format!("could not undo ({deed}): {failure}")));
                Rest::UndoFailed { step: *step, failure: failure.clone() }
            }
            JournalBody::Closed { outcome, reason } => {
                self.outcome = Some((*outcome, reason.clone()));
                for record in self.steps.iter_mut().flat_map(|step| [&mut step.act, &mut step.undo]).flatten()
                {
                    record.outcome = Some(*outcome);
                    told.push(Report::Action(Box::new(record.clone())));
                }
                told.push(Report::Finished { outcome: *outcome, reason: reason.clone() });
                Rest::Closed
            }
        };
        Ok(told)
    }

    fn admits(&self, body: &JournalBody) -> bool {
        let next = self.rest.next().filter(|step| *step < self.steps.len());
        let begun = self.rest.begun();
        let applied = |step: usize| self.steps.get(step).is_some_and(|known| known.state == StepState::Done);
        let all_acted = !self.steps.is_empty() && self.rest.next() == Some(self.steps.len());
        let remeasured = matches!(&self.rest, Rest::Verified(_, verdict) if *verdict != Verdict::Worse);
        match body {
            JournalBody::Opened { .. } => false,
            JournalBody::Prepared { step, .. } => next == Some(*step),
            JournalBody::Started { step, attempt } => {
                begun == Some(*step) && *attempt == self.steps[*step].attempts + 1
            }
            JournalBody::Succeeded { step, .. } => begun == Some(*step),
            JournalBody::Failed { step, .. } => {
                begun == Some(*step) || (next == Some(*step) && self.rest != Rest::Opened)
            }
            JournalBody::Verified { .. } => all_acted || remeasured,
            JournalBody::UndoStarted { step } => self.rest.unwinds() && applied(*step),
            JournalBody::UndoSkipped { step, .. } => {
                self.rest == Rest::UndoStarted(*step) || (self.rest.unwinds() && applied(*step))
            }
            JournalBody::Undone { step } | JournalBody::UndoFailed { step, .. } => {
                self.rest == Rest::UndoStarted(*step)
            }
            JournalBody::Closed { outcome, .. } => self.rest != Rest::Closed || self.is_released_by(*outcome),
        }
    }

    /// What is stuck is a person's, and ends when that person says so.
    fn is_released_by(&self, outcome: Outcome) -> bool {
        outcome == Outcome::HandedOver && matches!(self.outcome, Some((Outcome::Stuck, _)))
    }

    fn deed(&self, plan: &RemediationPlan, step: usize) -> String {
        words::deed(&plan.actions[step].operation, self.fields(plan, step))
    }

    /// What the step writes: as prepared, or before that as planned.
    fn fields<'a>(&'a self, plan: &'a RemediationPlan, step: usize) -> &'a [FieldChange] {
        let prepared = &self.steps[step].before.fields;
        match &plan.actions[step].operation {
            Operation::Write { changes, .. } if prepared.is_empty() => changes,
            Operation::Write { .. }
            | Operation::Evict { .. }
            | Operation::Create { .. }
            | Operation::Notify { .. } => prepared,
        }
    }

    fn act(
        &mut self,
        plan: &RemediationPlan,
        step: usize,
        time: Timestamp,
        status: ActionStatus,
        detail: &str,
    ) -> Report {
        let fields = self.fields(plan, step).to_vec();
        let fresh = || record(&self.saga, plan, step, Direction::Act, fields, time);
        let mut act = self.steps[step].act.take().unwrap_or_else(fresh);
        let report = ended(&mut act, time, status, detail);
        self.steps[step].act = Some(act);
        report
    }

    fn undo(
        &mut self,
        plan: &RemediationPlan,
        step: usize,
        time: Timestamp,
        status: ActionStatus,
        detail: &str,
    ) -> Report {
        let fields = self.fields(plan, step).iter().map(words::reversed).collect();
        let fresh = || record(&self.saga, plan, step, Direction::Undo, fields, time);
        let mut undo = self.steps[step].undo.take().unwrap_or_else(fresh);
        let report = ended(&mut undo, time, status, detail);
        self.steps[step].undo = Some(undo);
        report
    }
}

fn story(chapter: Chapter, text: impl Into<String>) -> Report {
    Report::Story { chapter, text: text.into() }
}

fn ended(record: &mut ExecutedActionRecord, time: Timestamp, status: ActionStatus, detail: &str) -> Report {
    record.status = status;
    record.detail = detail.into();
    record.finished_at = (status != ActionStatus::Started).then_some(time);
    Report::Action(Box::new(record.clone()))
}

fn record(
    saga: &SagaId,
    plan: &RemediationPlan,
    step: usize,
    direction: Direction,
    changes: Vec<FieldChange>,
    time: Timestamp,
) -> ExecutedActionRecord {
    ExecutedActionRecord {
        version: SchemaVersion::CURRENT,
        id: ActionId::derive(&[saga, &step, &format_args!("{direction:?}")]),
        saga: saga.clone(),
        plan: plan.id.clone(),
        incident: plan.incident.clone(),
        anomalies: Vec::new(),
        workload: plan.workload.clone(),
        step,
        direction,
        cause: Some(plan.author.cause().into()),
        action: plan.actions[step].action.clone(),
        changes,
        status: ActionStatus::Started,
        detail: String::new(),
        verdict: None,
        outcome: None,
        started_at: time,
        finished_at: None,
        extra: Extra::new(),
    }
}
