//! Back: undo is for harm, newest step first, and only what is still ours.

use kubewise_core::document::Document;
use kubewise_core::guard::Guard;
use kubewise_core::journal::{JournalBody, Outcome};
use kubewise_core::plan::Operation;
use kubewise_core::request::Performed;
use kubewise_core::{Failure, Rejection, Timestamp};

use super::patch::{undo_patch, value_at};
use super::progress::{StepState, Trouble};
use super::{Doing, Effect, Next, Purpose, Saga, lost_race, words};
use crate::verify;

impl Saga {
    /// A step did not come about: those before it are unwound, unless somebody else is at work on the object or
    /// the step may yet have been applied.
    pub(super) fn failed(&mut self, failure: &Failure, now: Timestamp) {
        let hands_off = failure.is(Rejection::Superseded) || matches!(failure, Failure::Unknown { .. });
        if hands_off {
            self.close(Outcome::HandedOver, failure.to_string(), now);
        } else {
            self.unwind(now);
        }
    }

    /// The next step to undo, or the end.
    pub(super) fn unwind(&mut self, now: Timestamp) {
        let applied = self.progress.steps.iter().rposition(|step| step.state == StepState::Done);
        match applied {
            None => self.unwound(now),
            Some(step) => match self.kept_for(step) {
                Some(reason) => self.append(JournalBody::UndoSkipped { step, reason }, now),
                None => self.append(JournalBody::UndoStarted { step }, now),
            },
        }
    }

    fn kept_for(&self, step: usize) -> Option<String> {
        let undone = &self.plan.actions[step];
        let of_workload = undone.operation.writes() == Some(&self.plan.workload);
        let harmful = matches!(self.progress.trouble, Some(Trouble::Harm(_)));
        if !undone.reversible || !matches!(undone.operation, Operation::Write { .. }) {
            Some("it cannot be undone".into())
        } else if !harmful
            && of_workload
            && verify::was_failing(&self.plan.verification.baseline)
            && self.stands(Guard::KeepForFailing)
        {
            Some("it did no harm, and what it replaced was itself failing".into())
        } else {
            None
        }
    }

    fn unwound(&mut self, now: Timestamp) {
        let steps = &self.progress.steps;
        let why = match &self.progress.trouble {
            Some(Trouble::Harm(reason)) => format!("it did harm: {reason}"),
            Some(Trouble::Failure(reason)) => format!("a step failed: {reason}"),
            None => "it was given up".into(),
        };
        let kept: Vec<String> = (1..)
            .zip(steps)
            .filter_map(|(number, step)| {
                let StepState::Kept(reason) = &step.state else { return None };
                Some(format!("step {number} stays: {reason}"))
            })
            .collect();
        if !kept.is_empty() {
            self.close(Outcome::HandedOver, format!("{why}; {}", kept.join("; ")), now);
        } else if steps.iter().any(|step| step.state == StepState::Undone) {
            self.close(Outcome::RolledBack, format!("{why}; everything was put back"), now);
        } else {
            self.close(Outcome::Aborted, format!("{why}; nothing was applied"), now);
        }
    }

    /// Whose the fields are may have changed since they were written; what belongs to another by now stays.
    pub(super) fn check_undo(&mut self, step: usize) {
        self.ask(Effect::CheckUndo { step }, Doing::CheckingUndo(step));
    }

    pub(super) fn undo_checked(
        &mut self,
        step: usize,
        result: Result<Option<String>, Failure>,
        now: Timestamp,
    ) {
        match result {
            Ok(Some(reason)) if self.stands(Guard::CheckBeforeUndo) => {
                self.append(JournalBody::UndoSkipped { step, reason }, now);
            }
            Ok(_) => self.look(Purpose::Undo(step)),
            Err(failure) => {
                if !failure.is_transient() || !self.retry(&failure, Next::CheckUndo(step), now) {
                    self.append(JournalBody::UndoFailed { step, failure }, now);
                }
            }
        }
    }

    /// Puts back the fields that still hold our value.
    pub(super) fn put_back(&mut self, step: usize, document: Option<&Document>, now: Timestamp) {
        let Some(document) = document else {
            let reason = "the object is gone or was replaced".into();
            return self.append(JournalBody::UndoSkipped { step, reason }, now);
        };
        let fields = self.progress.steps[step].before.fields.iter().cloned();
        let (meant, mut fields): (Vec<_>, Vec<_>) = fields.partition(|field| field.before == field.after);
        // What was only tested says whose the fields are, such as the container that an index means.
        let moved = meant.iter().filter(|field| value_at(document, &field.path) != field.before.as_ref());
        let moved = words::paths(moved);
        if !moved.is_empty() && self.stands(Guard::UndoMeantOnly) {
            let writer = words::latest_writer(document).unwrap_or("somebody else");
            let reason = format!("Superseded by {writer}, who changed {moved}");
            return self.append(JournalBody::UndoSkipped { step, reason }, now);
        }
        if !self.stands(Guard::UndoOnlyOurs) {
            for field in &mut fields {
                field.after = value_at(document, &field.path).cloned();
            }
        }
        let (ours, others): (Vec<_>, Vec<_>) =
            fields.into_iter().partition(|field| value_at(document, &field.path) == field.after.as_ref());
        let foreign = others.iter().filter(|field| value_at(document, &field.path) != field.before.as_ref());
        let foreign = words::paths(foreign);
        let left = (!foreign.is_empty()).then(|| {
            let writer = words::latest_writer(document).unwrap_or("somebody else");
            format!("Superseded by {writer}, who changed {foreign}")
        });
        if ours.is_empty() {
            return self.ended(step, left, now);
        }
        let back: Vec<_> = meant.into_iter().chain(ours.iter().cloned()).collect();
        match undo_patch(&self.plan.actions[step].operation, &back, &self.fence, self.epoch, self.guards) {
            Some(request) => {
                let left = left.map(|left| format!("{left}; {} was put back", words::paths(&ours)));
                self.ask(Effect::Perform { request, dry_run: false }, Doing::Undoing { step, left });
            }
            None => self.ended(step, left, now),
        }
    }

    pub(super) fn undone(
        &mut self,
        step: usize,
        left: Option<String>,
        result: Result<Performed, Failure>,
        now: Timestamp,
    ) {
        let Err(failure) = result else { return self.ended(step, left, now) };
        // Whatever came of it, the object tells.
        let lasting = !failure.is_transient() && !lost_race(&failure);
        if lasting || !self.retry(&failure, Next::Read(Purpose::Undo(step)), now) {
            self.append(JournalBody::UndoFailed { step, failure }, now);
        }
    }

    fn ended(&mut self, step: usize, left: Option<String>, now: Timestamp) {
        self.append(
            match left {
                Some(reason) => JournalBody::UndoSkipped { step, reason },
                None => JournalBody::Undone { step },
            },
            now,
        );
    }
}
