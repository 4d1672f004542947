//! Plans from proposals. What a model names is found among the offers, lowered again and judged as a whole by the very
//! rules that candidates are judged by. Nothing of the proposal but its order, its amounts and its words is in the plan.

use kubewise_core::guard::Guard;
use kubewise_core::id::PlanId;
use kubewise_core::plan::{Author, EvidenceItem, HAND_OVER, Mode, PlanStep, RemediationPlan};
use serde_json::Value;

use super::hand_over::Exhausted;
use super::{Decision, Declined, Maker, NO_PLAYBOOK, so};
use crate::action::ActionType;
use crate::author::{self, Objection, Offer, Proposal};
use crate::playbook::{Playbook, Scope};
use crate::policy::Refusal;

impl Maker<'_> {
    /// Every candidate of the playbooks that match, in their order, each once; and to hand over, always.
    pub(super) fn offers(&self, matching: &[&Playbook], scope: &Scope) -> Vec<Offer> {
        let mut offers: Vec<Offer> = Vec::new();
        for playbook in matching {
            for candidate in playbook.candidates(scope) {
                let Ok(Value::Object(parameters)) = candidate.parameters(scope) else { continue };
                let judged = self.try_candidate(playbook, candidate, scope);
                let offer = Offer {
                    playbook: playbook.name.clone(),
                    max_mode: playbook.max_mode,
                    action: candidate.action,
                    target: self.object.clone(),
                    parameters,
                    judged: judged.map(|allowed| allowed.steps).map_err(|declined| declined.refusals),
                };
                if !offers.iter().any(|known| known.named() == offer.named()) {
                    offers.push(offer);
                }
            }
        }
        let step = self.hand_over_step(matching, scope);
        if let Some(action) = ActionType::named(HAND_OVER)
            && let Value::Object(parameters) = step.action.parameters.clone()
            && !offers.iter().any(|offer| offer.action.hands_over())
        {
            offers.push(Offer {
                playbook: matching.first().map_or(NO_PLAYBOOK, |playbook| playbook.name.as_str()).into(),
                max_mode: Mode::Auto,
                action,
                target: self.object.clone(),
                parameters,
                judged: Ok(vec![step]),
            });
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
        let lowered = self.lower_proposed(proposal, author, &offers, matching);
        let arranged = lowered.and_then(|lowered| {
            if proposal.hands_over() {
                return Ok(self.hand_over_as_proposed(
                    proposal,
                    author,
                    cited,
                    lowered.steps,
                    matching,
                    scope,
                ));
            }
            let plan = Box::new(self.arrange(proposal, author, cited, lowered)?);
            Ok(Decision::Plan { plan, refused: Vec::new() })
        });
        arranged.unwrap_or_else(refuse)
    }

    fn lower_proposed<'a>(
        &self,
        proposal: &Proposal,
        author: &str,
        offers: &[Offer],
        matching: &[&'a Playbook],
    ) -> Result<Lowered<'a>, Vec<Refusal>> {
        let id = self.id(author, &format!("{:?}", proposal.actions));
        let mut lowered = Lowered { id, steps: Vec::new(), max_mode: Mode::Auto, playbook: None };
        for proposed in &proposal.actions {
            let (offer, parameters) = author::find(offers, proposed, self.options.guards)
                .map_err(|objection| vec![refusal(author, objection)])?;
            let steps = self.lower(offer.action, &parameters, &lowered.id);
            let steps = steps.map_err(|unmet| Declined::unmet(offer.action.name, unmet.0).refusals)?;
            lowered.steps.extend(steps);
            lowered.max_mode = lowered.max_mode.min(offer.max_mode);
            let named = || matching.iter().copied().find(|one| one.name == offer.playbook);
            lowered.playbook = lowered.playbook.or_else(named);
        }
        Ok(lowered)
    }

    fn arrange(
        &self,
        proposal: &Proposal,
        author: &str,
        cited: Vec<EvidenceItem>,
        lowered: Lowered<'_>,
    ) -> Result<RemediationPlan, Vec<Refusal>> {
        let Lowered { id, steps, max_mode, playbook } = lowered;
        // What it cures is what the first step is for: cooldown and escalation count by it.
        let cause = playbook.map_or(NO_PLAYBOOK, |playbook| playbook.name.as_str());
        let what = format!("the proposal of {author}");
        let allowed = self.judge(id, steps, cause, &what).map_err(|declined| declined.refusals)?;
        let reasoning = so(&proposal.reasoning, &allowed.steps);
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
        steps: Vec<PlanStep>,
        matching: &[&Playbook],
        scope: &Scope,
    ) -> Decision {
        let left = match self.repair(matching, scope) {
            Ok(Decision::Plan { mut plan, refused }) if self.options.guards.stands(Guard::NoVeto) => {
                plan.reasoning =
                    format!("{} {author} would hand over: {}", plan.reasoning, proposal.reasoning);
                let finding =
                    format!("a playbook knows a repair that every rule allows; {author} would hand over");
                let refusals = vec![refusal(author, Objection::new(Guard::NoVeto, finding))];
                return told_first(Decision::Plan { plan, refused }, refusals);
            }
            Ok(Decision::Plan { .. }) => Exhausted::default(),
            Ok(decision @ (Decision::Wait { .. } | Decision::Nothing { .. })) => return decision,
            Err(left) => left,
        };
        let step = steps.into_iter().next().unwrap_or_else(|| self.hand_over_step(matching, scope));
        let plan = self.hand_over(matching, scope, &left, step);
        let plan = RemediationPlan {
            id: self.id(author, NO_PLAYBOOK),
            reasoning: format!("{} {}", proposal.reasoning, plan.reasoning),
            root_cause: proposal.root_cause.text.clone(),
            ..plan
        };
        let cause = plan.author.cause().to_owned();
        let plan = Box::new(worded(plan, proposal, author, &cause, cited));
        Decision::Plan { plan, refused: left.refused }
    }
}

/// What a proposal comes to.
struct Lowered<'a> {
    id: PlanId,
    steps: Vec<PlanStep>,
    max_mode: Mode,
    /// Whose offer the first step is.
    playbook: Option<&'a Playbook>,
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
