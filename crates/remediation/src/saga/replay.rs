//! Taking up a saga from its journal.

use jiff::Timestamp;
use kubewise_core::guard::{Guard, Guards};
use kubewise_core::id::IncidentId;
use kubewise_core::incident::{Chapter, StoryEntry};
use kubewise_core::journal::{Epoch, JournalBody, JournalEntry, Outcome};
use kubewise_core::plan::Operation;

use super::progress::{Progress, Rest};
use super::{Doing, Purpose, Report, Saga};

/// A journal from which not even the plan can be read. An illegal entry after that is no `Corrupt`: such a saga
/// ends as `Stuck`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    #[error("the journal has no entry")]
    Empty,
    #[error("the first entry of saga {saga} is not its opening")]
    NotOpened { saga: String },
    #[error("entry {found} of saga {saga} stands where {expected} should")]
    OutOfOrder { saga: String, expected: u32, found: u32 },
    #[error("an entry of saga {found} stands among those of saga {saga}")]
    Mixed { saga: String, found: String },
}

impl Saga {
    /// Takes up a saga where its journal ends, for the leader of `epoch`. Nothing of what was done is told anew
    /// as news: records come again with their former ids, and what the story may lack is in [`Saga::past`].
    pub fn replay(
        entries: &[JournalEntry],
        guards: Guards,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<Saga, Corrupt> {
        let (first, rest) = entries.split_first().ok_or(Corrupt::Empty)?;
        let JournalBody::Opened { plan, locks } = &first.body else {
            return Err(Corrupt::NotOpened { saga: first.saga.to_string() });
        };
        for (expected, entry) in (0..).zip(entries) {
            let saga = || first.saga.to_string();
            if entry.saga != first.saga {
                return Err(Corrupt::Mixed { saga: saga(), found: entry.saga.to_string() });
            }
            if entry.sequence != expected {
                return Err(Corrupt::OutOfOrder { saga: saga(), expected, found: entry.sequence });
            }
        }
        let mut saga = Saga::at_rest((**plan).clone(), guards, locks.clone(), epoch, first.time);
        saga.progress = Progress::new(first.saga.clone(), plan, first.time);
        saga.sequence = entries.len() as u32;
        let mut illegal = None;
        for entry in rest {
            match saga.progress.apply(plan, entry) {
                Ok(reports) => saga.remember(reports, entry.time),
                Err(reason) => illegal = illegal.or(Some(reason)),
            }
        }
        saga.reports = saga.progress.records().collect();
        if let Some((outcome, reason)) = saga.progress.outcome.clone() {
            saga.reports.push(Report::Finished { outcome, reason });
            return Ok(saga);
        }
        saga.reports.push(Report::Story {
            chapter: Chapter::Plan,
            text: format!("taken up again after a restart, at entry {}", saga.sequence),
        });
        match illegal {
            Some(reason) => saga.call_for_help(format!("its journal is not possible: {reason}")),
            None => saga.resume(entries.last().is_some_and(|last| last.epoch < epoch), now),
        }
        Ok(saga)
    }

    /// The entry that gives back what a saga holds that is stuck, if these are the entries of such a one for this incident.
    pub fn release(
        entries: &[JournalEntry],
        incident: &IncidentId,
        epoch: Epoch,
        reason: &str,
        now: Timestamp,
    ) -> Option<JournalEntry> {
        let (first, last) = (entries.first()?, entries.last()?);
        let is_its = matches!(&first.body, JournalBody::Opened { plan, .. } if plan.incident == *incident);
        let is_stuck = matches!(last.body, JournalBody::Closed { outcome: Outcome::Stuck, .. });
        let body = JournalBody::Closed { outcome: Outcome::HandedOver, reason: reason.into() };
        let (saga, sequence) = (first.saga.clone(), last.sequence + 1);
        (is_its && is_stuck).then_some(JournalEntry { saga, sequence, epoch, time: now, body })
    }

    fn remember(&mut self, reports: Vec<Report>, time: Timestamp) {
        for report in reports {
            if let Report::Story { chapter, text } = report {
                self.past.push(StoryEntry { time, chapter, text });
            }
        }
    }

    /// As after a durable entry, but a step that was begun is looked for first, and a write that an earlier
    /// leader may have under way is fenced off before that. Where no write was begun none can be under way: its
    /// leader would have had to journal it, and one of the two appends fails.
    fn resume(&mut self, other_leader: bool, now: Timestamp) {
        self.doing = Doing::Finished;
        self.in_doubt = matches!(self.progress.rest, Rest::Started(_));
        let writes = |step: usize| matches!(self.plan.actions[step].operation, Operation::Write { .. });
        let under_way = self.progress.rest.begun().is_some_and(writes)
            || matches!(self.progress.rest, Rest::UndoStarted(_));
        self.fence_first = other_leader && under_way && self.stands(Guard::FenceFirst);
        match self.progress.rest.begun() {
            Some(step) if matches!(self.plan.actions[step].operation, Operation::Notify { .. }) => {
                self.check(step, now);
            }
            Some(step) => self.look(Purpose::Resolve(step)),
            None => self.proceed(now),
        }
    }
}
