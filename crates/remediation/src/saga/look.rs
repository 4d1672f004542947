//! Looking at an object: is it still the one that is meant, and may we still write it?

use kubewise_core::document::Document;
use kubewise_core::guard::Guard;
use kubewise_core::journal::JournalBody;
use kubewise_core::plan::Operation;
use kubewise_core::request::Performed;
use kubewise_core::{Failure, Timestamp};

use super::patch::{Fence, fence_patch};
use super::{Doing, Effect, Next, Purpose, Saga, lost_race};

impl Saga {
    pub(super) fn look(&mut self, purpose: Purpose) {
        let (Purpose::Prepare(step) | Purpose::Resolve(step) | Purpose::Undo(step)) = purpose;
        match self.plan.actions[step].operation.writes().cloned() {
            Some(object) => self.ask(Effect::Read { object }, Doing::Reading(purpose)),
            None => self.suspend(format!("step {} has no object to read", step + 1)),
        }
    }

    pub(super) fn read(
        &mut self,
        purpose: Purpose,
        result: Result<Option<Document>, Failure>,
        now: Timestamp,
    ) {
        let document = match result {
            Ok(document) => document,
            Err(failure) => {
                if !failure.is_transient() || !self.retry(&failure, Next::Read(purpose), now) {
                    self.give_up(purpose, failure, now);
                }
                return;
            }
        };
        let (Purpose::Prepare(step) | Purpose::Resolve(step) | Purpose::Undo(step)) = purpose;
        // An object of the same name with another uid is not the one the plan speaks of.
        let document = document.filter(|found| match &self.plan.actions[step].operation {
            Operation::Write { uid, .. } | Operation::Evict { uid, .. } => {
                found.uid().is_ok_and(|found| found == *uid)
            }
            Operation::Create { .. } => true,
            Operation::Notify { .. } => false,
        });
        if let (Some(document), Operation::Write { object, uid, .. }) =
            (&document, &self.plan.actions[step].operation)
        {
            self.fence = Fence::of(document);
            let raised = self.fence.epoch();
            if raised.is_some_and(|raised| raised > self.epoch) && self.stands(Guard::NewerFence) {
                self.suspend(format!("{object} is fenced by a newer leader"));
                return;
            }
            if self.fence_first && raised != Some(self.epoch) {
                let request = fence_patch(object, uid, &self.fence, self.epoch, self.guards);
                self.ask(Effect::Perform { request, dry_run: false }, Doing::Fencing(purpose));
                return;
            }
        }
        self.fence_first = false;
        match purpose {
            Purpose::Prepare(step) => self.prepare(step, document.as_ref(), now),
            Purpose::Resolve(step) => self.resolve(step, document.as_ref(), now),
            Purpose::Undo(step) => self.put_back(step, document.as_ref(), now),
        }
    }

    pub(super) fn fenced(&mut self, purpose: Purpose, result: Result<Performed, Failure>, now: Timestamp) {
        let Err(failure) = result else { return self.look(purpose) };
        let lasting = !failure.is_transient() && !lost_race(&failure);
        if lasting || !self.retry(&failure, Next::Read(purpose), now) {
            self.give_up(purpose, failure, now);
        }
    }

    /// The object can be neither read nor fenced.
    fn give_up(&mut self, purpose: Purpose, failure: Failure, now: Timestamp) {
        match purpose {
            Purpose::Prepare(step) => self.decline(step, failure, now),
            Purpose::Resolve(step) if self.in_doubt => {
                let message = format!("it may have been applied, and cannot be read back: {failure}");
                self.append(JournalBody::Failed { step, failure: Failure::Unknown { message } }, now);
            }
            Purpose::Resolve(step) => self.append(JournalBody::Failed { step, failure }, now),
            Purpose::Undo(step) => self.append(JournalBody::UndoFailed { step, failure }, now),
        }
    }
}
