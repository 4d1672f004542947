//! After the last step: measure until the outcome is proven or the time is up.
//!
//! `Improved` is given twice: provisionally, and again after the settle time, through which no measurement may
//! have found an ailment and after which nothing may fire. `Worse` needs two measurements in a row, since one may fall into a moment. What is
//! neither until the limit is kept and handed over: undo is for harm, not for lack of success.

use kubewise_core::guard::Guard;
use kubewise_core::journal::{JournalBody, Outcome, VerificationPhase};
use kubewise_core::plan::{self, Measurement, Verdict};
use kubewise_core::{Failure, Period, Timestamp};

use super::{Next, Saga};
use crate::verify::{self, Standard};

/// Between two measurements: the shortest interval at which the catalogue asks.
const MEASURE_EVERY: Period = Period::from_secs(15);

/// What the measurements so far say together.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    previous: Option<Measurement>,
    was_worse: bool,
    /// Since when every measurement found dependants that suffer.
    suffering_since: Option<Timestamp>,
    /// Since when every measurement was without ailment, within the settle phase.
    well_since: Option<Timestamp>,
}

impl Saga {
    /// Begins to measure, or goes on.
    pub(super) fn watch(&mut self, now: Timestamp) {
        let earliest = self.plan.verification.provisional_after.after(self.progress.acted_at);
        if earliest > now {
            self.pause(earliest, Next::Measure);
        } else {
            self.go_on(Next::Measure, now);
        }
    }

    pub(super) fn measured(&mut self, result: Result<Measurement, Failure>, now: Timestamp) {
        let verification = &self.plan.verification;
        let (verdict, reasons) = match result {
            Err(failure) => (Verdict::Inconclusive, vec![format!("could not be measured: {failure}")]),
            Ok(measured) => {
                let acted_at = self.progress.acted_at;
                let half = verification.deadline.as_duration() / 2;
                let standard = Standard {
                    baseline: &verification.baseline,
                    dependants: &verification.dependants,
                    suffering_since: self.watch.suffering_since,
                    settled: self.settled_at().is_some_and(|settled| settled <= now),
                    previous: self.watch.previous.as_ref(),
                    acted_at,
                    guards: self.guards,
                    disruption: plan::disruption(&self.plan.actions),
                    patient_until: Period::from(half).after(acted_at),
                };
                let judgement = verify::judge(&measured, &standard);
                if !judgement.healthy {
                    self.watch.well_since = None;
                } else if self.progress.improved_at.is_some() {
                    self.watch.well_since.get_or_insert(now);
                }
                if judgement.suffering {
                    self.watch.suffering_since.get_or_insert(now);
                } else {
                    self.watch.suffering_since = None;
                }
                self.watch.previous = Some(measured);
                (judgement.verdict, judgement.reasons)
            }
        };
        let worse_before = std::mem::replace(&mut self.watch.was_worse, verdict == Verdict::Worse);
        match verdict {
            Verdict::Worse if worse_before || !self.stands(Guard::WorseTwice) => {
                self.conclude(verdict, reasons, now);
            }
            Verdict::Worse => self.pause(MEASURE_EVERY.after(now), Next::Measure),
            Verdict::Improved if self.progress.improved_at.is_none() || self.has_settled(now) => {
                self.conclude(verdict, reasons, now);
            }
            Verdict::Improved if now >= self.limit() => {
                let reason = "it did not stay well, and measured, for the settle time".into();
                self.conclude(Verdict::Inconclusive, vec![reason], now);
            }
            Verdict::Inconclusive if now >= self.limit() => {
                let harmless = self.stands(Guard::UndoOnlyForHarm);
                self.conclude(if harmless { verdict } else { Verdict::Worse }, reasons, now);
            }
            Verdict::Improved | Verdict::Inconclusive => {
                let next = MEASURE_EVERY.after(now);
                let settled = self.settled_at().filter(|settled| *settled > now);
                self.pause(settled.map_or(next, |settled| settled.min(next)), Next::Measure);
            }
        }
    }

    fn settled_at(&self) -> Option<Timestamp> {
        Some(self.plan.verification.settle.after(self.watch.well_since?))
    }

    /// Well for the whole settle time, and somebody still measured in its second half.
    fn has_settled(&self, now: Timestamp) -> bool {
        if !self.stands(Guard::SettleTime) {
            return true;
        }
        let Some(settled) = self.settled_at().filter(|settled| *settled <= now) else { return false };
        let half = Period::from(self.plan.verification.settle.as_duration() / 2);
        let newest = self.watch.previous.as_ref().and_then(|measured| measured.own.newest_sample);
        newest >= Some(half.before(settled)) || !self.stands(Guard::FreshSample)
    }

    /// A provisional verdict must come by the deadline; the settle time may begin anew once after it.
    fn limit(&self) -> Timestamp {
        let verification = &self.plan.verification;
        let deadline = verification.deadline.after(self.progress.acted_at);
        let settle = |from| verification.settle.after(verification.settle.after(from));
        self.progress.improved_at.map_or(deadline, |from| deadline.max(settle(from)))
    }

    fn conclude(&mut self, verdict: Verdict, reasons: Vec<String>, now: Timestamp) {
        let phase = if self.progress.improved_at.is_none() {
            VerificationPhase::Provisional
        } else {
            VerificationPhase::Settled
        };
        self.append(JournalBody::Verified { phase, verdict, reasons }, now);
    }

    pub(super) fn verified(&mut self, phase: VerificationPhase, verdict: Verdict, now: Timestamp) {
        match (verdict, phase) {
            (Verdict::Worse, _) => self.unwind(now),
            (Verdict::Improved, VerificationPhase::Settled) => {
                self.close(Outcome::Succeeded, "the trouble is gone and stayed gone".into(), now);
            }
            (Verdict::Improved, VerificationPhase::Provisional) => {
                self.watch.well_since = self.progress.improved_at;
                let settled = self.settled_at().unwrap_or(now);
                self.pause(MEASURE_EVERY.after(now).min(settled), Next::Measure);
            }
            (Verdict::Inconclusive, _) if now >= self.limit() => {
                let reason = "kept, since it did no harm, but it is not proven to have helped".into();
                let proven = !self.stands(Guard::InconclusiveNeverCloses);
                self.close(if proven { Outcome::Succeeded } else { Outcome::HandedOver }, reason, now);
            }
            (Verdict::Inconclusive, _) => self.go_on(Next::Measure, now),
        }
    }
}
