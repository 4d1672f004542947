//! Plans from proposals. What a model names is found among the offers, lowered again and judged as a whole by the very
//! rules that candidates are judged by. Nothing of the proposal but its order, its amounts and its words is in the plan.

use kubewise_core::guard::Guard;
use kubewise_core::plan::{Author, EvidenceItem, Mode, RemediationPlan};

use super::{Decision, Declined, Maker, NO_PLAYBOOK, told};
use crate::author::{self, Objection, Offer, Proposal};
use crate::playbook::{Playbook, Scope};
use crate::policy::Refusal;

impl Maker<'_> {
    /// Every candidate of the playbooks that match, in their order, each once.
    pub(super) fn offers(&self, matching: &[&Playbook], scope: &Scope) -> Vec<Offer> {
        let mut offers: Vec<Offer> = Vec::new();
        for playbook in matching {
            for candidate in playbook.candidates.iter().filter(|candidate| candidate.applies(scope)) {
                let Ok(serde_json::Value::Object(parameters)) = candidate.parameters(scope) else { continue };
                let action = candidate.action;
                if offers
                    .iter()
                    .any(|offer| offer.action.name == action.name && offer.parameters == parameters)
                {
                    continue;
                }
                let judged = self.try_candidate(playbook, candidate, scope);
                offers.push(Offer {
                    playbook: playbook.name.clone(),
                    max_mode: playbook.max_mode,
                    action,
                    target: self.object.clone(),
                    parameters,
                    judged: judged.map(|allowed| allowed.steps).map_err(|declined| declined.refusals),
                });
            }
        }
        offers
    }

    pub(super) fn propose(
        &self,
        proposal: &Proposal,
        author: &str,
        matching: &[&Playbook],
        scope: &Scope,
    ) -> Decision {
        let offers = self.offers(matching, scope);
        let items = author::evidence(self.evidence, self.revisions, &offers, self.options.guards);
        let cited: Vec<EvidenceItem> =
            items.into_iter().filter(|item| proposal.root_cause.evidence.contains(&item.id)).collect();
        let refuse = |refusals: Vec<Refusal>| told_first(self.decide(matching, scope), refusals);
        // Some of what was shown when the model was asked may be over by now.
        let ids: Vec<String> = cited.iter().map(|item| item.id.clone()).collect();
        let mut proposal = proposal.clone();
        if self.options.guards.stands(Guard::CitedEvidence) {
            proposal.root_cause.evidence.clone_from(&ids);
        }
        let proposal = &proposal;
        if let Err(objection) = proposal.holds(&offers, &ids, self.options.guards) {
            return refuse(vec![refusal(author, objection)]);
        }
        if proposal.hand_over {
            return self.hand_over_as_proposed(proposal, author, cited, matching, scope);
        }
        match self.arrange(proposal, author, cited, &offers, matching) {
            Ok(plan) => Decision::Plan { plan: Box::new(plan), refused: Vec::new() },
            Err(refusals) => refuse(refusals),
        }
    }

    fn arrange(
        &self,
        proposal: &Proposal,
        author: &str,
        cited: Vec<EvidenceItem>,
        offers: &[Offer],
        matching: &[&Playbook],
    ) -> Result<RemediationPlan, Vec<Refusal>> {
        let id = self.id(author, &format!("{:?}", proposal.actions));
        let (mut steps, mut max_mode, mut playbook) = (Vec::new(), Mode::Auto, None);
        for proposed in &proposal.actions {
            let (offer, parameters) = author::find(offers, proposed, self.options.guards)
                .map_err(|objection| vec![refusal(author, objection)])?;
            let lowered = self.lower(offer.action, &parameters, &id);
            steps.extend(lowered.map_err(|unmet| Declined::unmet(offer.action.name, unmet.0).refusals)?);
            max_mode = max_mode.min(offer.max_mode);
            playbook = playbook.or(matching.iter().copied().find(|one| one.name == offer.playbook));
        }
        // What it cures is what the first step is for: cooldown and escalation count by it.
        let cause = playbook.map_or(NO_PLAYBOOK, |playbook| playbook.name.as_str());
        let what = format!("the proposal of {author}");
        let allowed = self.judge(id, steps, cause, &what).map_err(|declined| declined.refusals)?;
        let reasoning = format!("{} So: {}.", proposal.reasoning, told(&allowed.steps).join(", then "));
        let base = self.base(cause, proposal.root_cause.text.clone(), playbook);
        let base = worded(RemediationPlan { reasoning, ..base }, proposal, author, cause, cited);
        Ok(self.acting(base, allowed, max_mode))
    }

    /// The model would do nothing. If playbooks have nothing either, its words are told to the person who takes over;
    /// if one knows a repair that every rule allows, that is done all the same, since whoever can write a log line could
    /// else keep KubeWise from repairing.
    fn hand_over_as_proposed(
        &self,
        proposal: &Proposal,
        author: &str,
        cited: Vec<EvidenceItem>,
        matching: &[&Playbook],
        scope: &Scope,
    ) -> Decision {
        let decision = self.decide(matching, scope);
        let Decision::Plan { mut plan, refused } = decision else { return decision };
        if !plan.actions.is_empty() && self.options.guards.stands(Guard::NoVeto) {
            plan.reasoning = format!("{} {author} would hand over: {}", plan.reasoning, proposal.reasoning);
            let finding =
                format!("a playbook knows a repair that every rule allows; {author} would hand over");
            let refusals = vec![refusal(author, Objection::new(Guard::NoVeto, finding))];
            return told_first(Decision::Plan { plan, refused }, refusals);
        }
        let cause = plan.author.cause().to_owned();
        let reasoning = format!("{} {}", proposal.reasoning, plan.reasoning);
        let base = self.base(&cause, proposal.root_cause.text.clone(), matching.first().copied());
        let id = self.id(author, NO_PLAYBOOK);
        let safety_constraints = plan.safety_constraints.clone();
        let patches =
            plan.evidence.iter().filter(|item| base.evidence.iter().all(|known| known.id != item.id));
        let cited = patches.cloned().chain(cited).collect();
        let base = RemediationPlan { id, reasoning, safety_constraints, ..base };
        let plan = Box::new(worded(base, proposal, author, &cause, cited));
        Decision::Plan { plan, refused }
    }
}

/// The plan with the words of a proposal.
fn worded(
    plan: RemediationPlan,
    proposal: &Proposal,
    author: &str,
    cause: &str,
    cited: Vec<EvidenceItem>,
) -> RemediationPlan {
    let mut plan = plan;
    plan.author = Author::Model { name: author.into(), playbook: cause.into() };
    plan.priority = proposal.priority;
    plan.evidence.extend(cited);
    plan.verification.checks.extend(proposal.verification.iter().cloned());
    plan
}

fn refusal(author: &str, objection: Objection) -> Refusal {
    let what = format!("the proposal of {author}");
    Refusal { what, rule: objection.rule, finding: objection.finding, temporary: false }
}

/// The playbooks' decision, with what became of the proposal told first.
fn told_first(decision: Decision, first: Vec<Refusal>) -> Decision {
    let with = |refused: Vec<Refusal>| first.into_iter().chain(refused).collect();
    match decision {
        Decision::Plan { plan, refused } => Decision::Plan { plan, refused: with(refused) },
        Decision::Wait { until, reason, refused } => Decision::Wait { until, reason, refused: with(refused) },
        Decision::Nothing { reason } => Decision::Nothing { reason },
    }
}
