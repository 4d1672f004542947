//! Plans that leave the trouble to a person: there is nothing safe to do, or a playbook or a model says so.

use kubewise_core::plan::{EvidenceItem, PlanStep, RemediationPlan, SafetyConstraint};

use super::{Maker, NO_PLAYBOOK, so};
use crate::action::hand_over;
use crate::playbook::{Playbook, Scope};
use crate::policy::Refusal;

/// What is left when no candidate can be done, now or later.
#[derive(Default)]
pub(super) struct Exhausted {
    pub(super) refused: Vec<Refusal>,
    /// For whoever owns the fields.
    pub(super) patches: Vec<String>,
}

impl Maker<'_> {
    /// The step that hands over, with the reason that the first playbook gives, if it gives one.
    pub(super) fn hand_over_step(&self, matching: &[&Playbook], scope: &Scope) -> PlanStep {
        let Some(playbook) = matching.first() else {
            return hand_over::step(self.object, "no playbook knows a safe repair for this");
        };
        let mut candidates = playbook.candidates(scope);
        let given = candidates.find(|candidate| candidate.action.hands_over());
        let given = given.and_then(|given| self.try_candidate(playbook, given, scope).ok()?.steps.pop());
        given.unwrap_or_else(|| hand_over::step(self.object, "nothing that would repair it can be done here"))
    }

    /// A person is told what is known, and what was refused why.
    pub(super) fn hand_over(
        &self,
        matching: &[&Playbook],
        scope: &Scope,
        left: &Exhausted,
        step: PlanStep,
    ) -> RemediationPlan {
        let summary = &self.evidence.incident.summary;
        let playbook = matching.first().copied();
        let (name, root_cause, mut reasoning) = match playbook {
            Some(playbook) => {
                (playbook.name.as_str(), playbook.root_cause.told(scope), playbook.reasoning.told(scope))
            }
            None => (NO_PLAYBOOK, summary.clone(), format!("{summary}.")),
        };
        let permanent = left.refused.iter().filter(|refusal| !refusal.temporary);
        reasoning.extend(permanent.map(|refusal| {
            format!(" Not done: {}, because {} ({}).", refusal.what, refusal.finding, refusal.rule)
        }));
        let constraint = |refusal: &Refusal| SafetyConstraint {
            rule: refusal.rule.clone(),
            finding: format!("refused {}: {}", refusal.what, refusal.finding),
        };
        let mut evidence = self.evidence.items();
        if !left.patches.is_empty() {
            reasoning.push_str(" The patch for whoever owns the fields is in the evidence of this plan.");
        }
        evidence.extend((1..).zip(&left.patches).map(|(number, text)| EvidenceItem {
            id: format!("patch-{number}"),
            source: "KubeWise".into(),
            text: text.clone(),
        }));
        let actions = vec![step];
        RemediationPlan {
            reasoning: so(&reasoning, &actions),
            evidence,
            actions,
            safety_constraints: left.refused.iter().map(constraint).collect(),
            ..self.base(name, root_cause, playbook)
        }
    }
}
