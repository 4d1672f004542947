//! What came of the questions, by the fingerprint of the trouble.

use std::collections::{BTreeMap, VecDeque};

use kubewise_core::Timestamp;
use kubewise_core::author::{Answer, AuthorCall, CallOutcome, Purpose};
use kubewise_core::id::CallId;

use super::call::Silence;

/// Distinct troubles, about 8 KB each with an answer of the default length; the oldest gives way.
const MOST: usize = 2_000;

#[derive(Debug, Default)]
pub(super) struct Findings {
    found: BTreeMap<String, Finding>,
    /// Fingerprints by the time of their first finding.
    order: VecDeque<String>,
}

#[derive(Debug)]
pub(super) enum Finding {
    /// On its way, or in the queue; no use any more after this.
    Asked { until: Timestamp },
    /// An answer that could be read.
    Answered { answer: Answer, call: CallId, author: String },
    /// Nothing of use; not asked again before this, or never.
    Nothing { silence: Silence, until: Option<Timestamp> },
}

impl Findings {
    /// What counts now.
    pub(super) fn get(&self, fingerprint: &str, now: Timestamp) -> Option<&Finding> {
        self.found.get(fingerprint).filter(|finding| match finding {
            Finding::Nothing { until, .. } => until.is_none_or(|until| now < until),
            Finding::Asked { .. } | Finding::Answered { .. } => true,
        })
    }

    pub(super) fn put(&mut self, fingerprint: String, finding: Finding) {
        if self.found.insert(fingerprint.clone(), finding).is_none() {
            self.order.push_back(fingerprint);
        }
        while self.order.len() > MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.found.remove(&oldest);
            }
        }
    }

    /// Takes up a call of an earlier process; they come oldest first. One that surely was not answered counts as not made.
    pub(super) fn restore(&mut self, call: AuthorCall) {
        let AuthorCall { id, fingerprint, answer, outcome, detail, author, .. } = call;
        let Some(fingerprint) = fingerprint.filter(|_| call.purpose == Purpose::Proposal) else { return };
        let finding = match (outcome, answer) {
            (CallOutcome::Accepted, Some(answer)) => Finding::Answered { answer, call: id, author },
            (CallOutcome::Refused | CallOutcome::Accepted, _) => {
                Finding::Nothing { silence: Silence::Refused(detail), until: None }
            }
            (CallOutcome::Unknown | CallOutcome::Asked, _) => {
                Finding::Nothing { silence: Silence::Lost, until: None }
            }
            (CallOutcome::Failed, _) => return,
        };
        self.put(fingerprint, finding);
    }
}
