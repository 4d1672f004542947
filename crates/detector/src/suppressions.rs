//! What people said is to be expected: held back until its end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kubewise_core::ObjectRef;
use kubewise_core::feedback::{Feedback, Shown};
use kubewise_core::id::FeedbackId;

use crate::symptom::Symptom;

/// By workload; what is over goes when the workload's are next asked for.
#[derive(Debug, Default)]
pub(crate) struct Suppressions {
    by_workload: BTreeMap<ObjectRef, BTreeMap<FeedbackId, Feedback>>,
}

impl Suppressions {
    /// Takes in what was said; saying it again with an earlier end is how a suppression ends early.
    pub(crate) fn learn(&mut self, feedback: &Feedback) {
        if feedback.until.is_some() {
            let said = self.by_workload.entry(feedback.workload.clone()).or_default();
            said.insert(feedback.id.clone(), feedback.clone());
        }
    }

    /// Leaves out what is expected. Returns when the first of the rest may count again.
    pub(crate) fn apply(
        &mut self,
        workload: &ObjectRef,
        symptoms: &mut Vec<Symptom>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let said = self.by_workload.get_mut(workload)?;
        said.retain(|_, feedback| feedback.until.is_some_and(|until| now < until));
        let mut ends = None;
        symptoms.retain(|symptom| {
            let metric_type = symptom.measure.as_ref().map(|measure| measure.metric_type.clone());
            let shown = Shown { reason: symptom.reason, metric_type };
            let until =
                said.values().filter(|one| one.suppresses(&shown, now)).filter_map(|one| one.until).max();
            ends = [ends, until].into_iter().flatten().min();
            until.is_none()
        });
        if said.is_empty() {
            self.by_workload.remove(workload);
        }
        ends
    }
}
