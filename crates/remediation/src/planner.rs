//! From evidence to a plan in which nothing is left to choose, or to the reason why there is none yet.

mod citations;
mod hand_over;
mod patch_file;
mod proposed;
mod settle;

use kubewise_core::anomaly::Reason;
use kubewise_core::document::Document;
use kubewise_core::guard::Guard;
use kubewise_core::id::PlanId;
use kubewise_core::plan::{Author, Mode, Operation, PlanStatus, PlanStep, RemediationPlan, SafetyConstraint};
use kubewise_core::record::{Extra, SchemaVersion};
use kubewise_core::{ObjectRef, Period, Timestamp, Uid};
use serde_json::Value;

use crate::action::{ActionType, Premise, Unmet};
use crate::author::{Offer, Proposal};
use crate::evidence::Evidence;
use crate::facts::Facts;
use crate::playbook::{Candidate, Playbook, Playbooks, Scope};
use crate::policy::{self, Case, Options, Refusal, Surroundings, autonomy, effective_mode};
use crate::revision::Revisions;
use hand_over::Exhausted;

/// How soon a workload whose controller lags behind its spec is looked at again.
const CONTROLLER_LAG: Period = Period::from_secs(5);
/// The author where no playbook knows the trouble.
const NO_PLAYBOOK: &str = "hand-over";

/// The rule that what a plan cites is there.
const CITATION: &str = "Citation";

/// What the planner decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// `refused` tells which candidates were not taken, and why.
    Plan { plan: Box<RemediationPlan>, refused: Vec<Refusal> },
    /// Too early to judge, or a rule says not now (cooldown, budget, storm): look again then.
    Wait { until: Timestamp, reason: String, refused: Vec<Refusal> },
    /// The trouble needs no plan (any more).
    Nothing { reason: String },
}

/// Decides about an incident: the first candidate that every rule allows, in the order of the playbooks. If only
/// rules that may pass later stand in the way, it waits; if there is nothing safe to do, it hands over.
pub fn plan(
    evidence: &Evidence,
    playbooks: &Playbooks,
    options: &Options,
    surroundings: &Surroundings,
    now: Timestamp,
) -> Decision {
    with_maker(evidence, playbooks, options, surroundings, now, |maker, matching, scope| {
        maker.decide(matching, scope)
    })
    .unwrap_or_else(|decided| decided)
}

/// Gathers what a plan is made of, and the playbooks that match; `Err` if there is nothing to plan, or it is too early.
fn with_maker<T>(
    evidence: &Evidence,
    playbooks: &Playbooks,
    options: &Options,
    surroundings: &Surroundings,
    now: Timestamp,
    make: impl FnOnce(&Maker<'_>, &[&Playbook], &Scope) -> T,
) -> Result<T, Decision> {
    let nothing = |reason: String| Err(Decision::Nothing { reason });
    let mut reasons = evidence.reasons();
    if reasons.is_empty() {
        return nothing("nothing fires any more".into());
    }
    let object = &evidence.incident.workload;
    let Some((workload, uid)) = evidence.workload.as_ref().and_then(|found| Some((found, found.uid().ok()?)))
    else {
        return nothing(format!("{object} is no longer there"));
    };
    if workload.text("/metadata/deletionTimestamp").is_some() {
        // Only that it does not go is any trouble still.
        reasons.retain(|reason| *reason == Reason::Terminating);
        if reasons.is_empty() {
            return nothing(format!("{object} is being deleted"));
        }
    }
    if let Some(reason) = lags(workload) {
        return Err(Decision::Wait { until: CONTROLLER_LAG.after(now), reason, refused: Vec::new() });
    }
    let revisions = Revisions::of(evidence);
    let scope = Scope::of(&Facts::of(evidence, options, now));
    let maker = Maker { evidence, options, surroundings, workload, object, uid, revisions: &revisions, now };
    Ok(make(&maker, &playbooks.matching(&reasons, &scope).collect::<Vec<_>>(), &scope))
}

/// As [`plan`], with what a model named `author` proposes. It is held to what playbooks offer now, lowered and judged
/// like a candidate. If it is refused, or hands over what a playbook may repair, the playbooks decide, and what became
/// of the proposal is the first of the refusals.
pub fn plan_proposed(
    evidence: &Evidence,
    playbooks: &Playbooks,
    options: &Options,
    surroundings: &Surroundings,
    proposal: &Proposal,
    author: &str,
    now: Timestamp,
) -> Decision {
    with_maker(evidence, playbooks, options, surroundings, now, |maker, matching, scope| {
        maker.propose(proposal, author, matching, scope)
    })
    .unwrap_or_else(|decided| decided)
}

/// What an author may arrange: everything that playbooks would do, with what policy says of it. `Err` if nothing can be
/// decided now, whoever decides.
pub(crate) fn offers(
    evidence: &Evidence,
    playbooks: &Playbooks,
    options: &Options,
    surroundings: &Surroundings,
    now: Timestamp,
) -> Result<Vec<Offer>, Decision> {
    with_maker(evidence, playbooks, options, surroundings, now, |maker, matching, scope| {
        maker.offers(matching, scope)
    })
}

/// Holds one step of a plan against every rule again, with fresh evidence, and its premise too: the object and
/// the fields are as they were, and the trouble is still there.
pub fn recheck(
    plan: &RemediationPlan,
    step: usize,
    fresh: &Evidence,
    options: &Options,
    surroundings: &Surroundings,
    now: Timestamp,
) -> Result<(), Refusal> {
    let refuse = |rule: &str, finding: String| {
        let what =
            plan.actions.get(step).map_or_else(|| format!("step {step}"), |step| step.description.clone());
        Err(Refusal { what, rule: rule.into(), finding, temporary: false })
    };
    let Some(planned) = plan.actions.get(step) else {
        return refuse("Premise", format!("the plan has no step {step}"));
    };
    if let Some(id) = citations::unknown(plan) {
        return refuse(CITATION, format!("its reasoning cites {id}, and there is no such evidence"));
    }
    let Some(workload) = fresh.workload.as_ref().filter(|found| found.uid().is_ok()) else {
        return refuse("Premise", format!("{} is no longer there", plan.workload));
    };
    if workload.text("/metadata/deletionTimestamp").is_some() {
        return refuse("Premise", format!("{} is being deleted", plan.workload));
    }
    if fresh.firing().next().is_none() {
        return refuse("Premise", "nothing fires any more".into());
    }
    // An object that is not known is for the rules to refuse.
    if let Operation::Write { object, uid: meant, changes, .. } = &planned.operation
        && let Some(document) = fresh.document(object)
    {
        if document.uid().is_ok_and(|found| found != *meant) {
            return refuse("Premise", format!("{object} is another object of that name now"));
        }
        let changed =
            changes.iter().find(|change| document.0.pointer(&change.path) != change.before.as_ref());
        // After a crash the step may have been done already: then the fields hold what it wrote.
        if let Some(change) = changed.filter(|_| !policy::is_done(changes, document)) {
            return refuse("Premise", format!("{} was changed meanwhile", change.path));
        }
    }
    // A pod that went by itself meanwhile, as from a node that is emptied, needs no eviction: that is found in a moment.
    if let Operation::Evict { uid, .. } = &planned.operation
        && step > 0
        && fresh.evictable(uid).is_none()
    {
        return Ok(());
    }
    // A person may lower the mode at any time; approval by a person stands above the mode, observe does not.
    let allowed = effective_mode(options, workload, fresh.namespace.as_ref());
    let (mode, earned) = autonomy::lowered(allowed, &plan.actions, fresh, options, now);
    let observes = mode == Mode::Observe && options.guards.stands(Guard::Observe);
    let undecided = mode == Mode::Propose && plan.decided_by.is_none();
    if observes || (undecided && options.guards.stands(Guard::Approval)) {
        return match earned.filter(|_| mode < allowed) {
            Some(earned) => refuse(&earned.rule, earned.finding),
            None => refuse("Mode", format!("the mode of {} is {mode} now", plan.workload)),
        };
    }
    let revisions = Revisions::of(fresh);
    // Before the first step the plan is judged as the whole that it is.
    let steps = if step == 0 { plan.actions.as_slice() } else { std::slice::from_ref(planned) };
    let case = Case {
        steps,
        evidence: fresh,
        workload,
        object: &plan.workload,
        revisions: &revisions,
        options,
        surroundings,
        plan: &plan.id,
        cause: plan.author.cause(),
        now,
    };
    // What holds for good comes before what may pass.
    match policy::judge(&case, &planned.description).refusals.into_iter().min_by_key(|one| one.temporary) {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}

/// Why a step must not be undone, if so: by now somebody else owns its fields, or its namespace is protected.
pub fn forbids_undo(
    plan: &RemediationPlan,
    step: usize,
    fresh: &Evidence,
    options: &Options,
    surroundings: &Surroundings,
    now: Timestamp,
) -> Option<String> {
    let planned = plan.actions.get(step)?;
    let Some(workload) = fresh.workload.as_ref() else {
        return Some(format!("{} is no longer there", plan.workload));
    };
    let revisions = Revisions::of(fresh);
    let case = Case {
        steps: std::slice::from_ref(planned),
        evidence: fresh,
        workload,
        object: &plan.workload,
        revisions: &revisions,
        options,
        surroundings,
        plan: &plan.id,
        cause: plan.author.cause(),
        now,
    };
    policy::forbids_undo(&case)
}

/// The reasoning with what it leads to. Many evictions are one thing.
fn so(reasoning: &str, steps: &[PlanStep]) -> String {
    const LISTED: usize = 3;
    let evictions = steps.iter().filter(|step| step.operation.is_eviction()).count();
    let listed = steps.iter().filter(|step| evictions <= LISTED || !step.operation.is_eviction());
    let mut told: Vec<String> = listed.map(|step| step.description.clone()).collect();
    if evictions > LISTED {
        told.push(format!("evict {evictions} pods, one at a time"));
    }
    format!("{reasoning} So: {}.", told.join(", then "))
}

/// Whether the status speaks of an older spec: then revision and pods do not belong together yet.
fn lags(workload: &Document) -> Option<String> {
    let spec = workload.number("/metadata/generation")?;
    let seen = workload.number("/status/observedGeneration")?;
    (seen < spec).then(|| "the controller has not seen the newest spec yet".to_owned())
}

/// Everything that a plan is made of, except what is decided.
struct Maker<'a> {
    evidence: &'a Evidence,
    options: &'a Options,
    surroundings: &'a Surroundings,
    workload: &'a Document,
    object: &'a ObjectRef,
    uid: Uid,
    revisions: &'a Revisions,
    now: Timestamp,
}

/// A candidate that a rule forbids.
struct Declined {
    refusals: Vec<Refusal>,
    until: Option<Timestamp>,
    /// For whoever owns the fields.
    patch: Option<String>,
}

impl Declined {
    fn unmet(what: &str, finding: String) -> Self {
        let refusal = Refusal { what: what.into(), rule: "Premise".into(), finding, temporary: false };
        Declined { refusals: vec![refusal], until: None, patch: None }
    }
}

/// A candidate that every rule allows.
struct Allowed {
    id: PlanId,
    steps: Vec<PlanStep>,
    constraints: Vec<SafetyConstraint>,
}

impl Maker<'_> {
    fn decide(&self, matching: &[&Playbook], scope: &Scope) -> Decision {
        self.repair(matching, scope).unwrap_or_else(|left| {
            let step = self.hand_over_step(matching, scope);
            let plan = Box::new(self.hand_over(matching, scope, &left, step));
            Decision::Plan { plan, refused: left.refused }
        })
    }

    /// The first candidate that every rule allows, or how long to wait for one. No playbook that hands over keeps another
    /// from repairing.
    fn repair(&self, matching: &[&Playbook], scope: &Scope) -> Result<Decision, Exhausted> {
        let mut left = Exhausted::default();
        let mut later: Option<Timestamp> = None;
        for playbook in matching {
            for candidate in playbook.candidates(scope).filter(|candidate| !candidate.action.hands_over()) {
                match self.try_candidate(playbook, candidate, scope) {
                    Ok(allowed) => {
                        let plan = Box::new(self.act(playbook, scope, allowed));
                        let Some(id) = citations::unknown(&plan) else {
                            return Ok(Decision::Plan { plan, refused: left.refused });
                        };
                        left.refused.push(Refusal {
                            what: candidate.action.name.into(),
                            rule: CITATION.into(),
                            finding: format!("its reasoning cites {id}, and there is no such evidence"),
                            temporary: false,
                        });
                    }
                    Err(Declined { refusals, until, patch }) => {
                        left.patches.extend(patch);
                        if refusals.iter().all(|refusal| refusal.temporary) {
                            later = [later, until].into_iter().flatten().min();
                        }
                        left.refused.extend(refusals);
                    }
                }
            }
        }
        let Some(until) = later else { return Err(left) };
        let reason = left.refused.iter().find(|refusal| refusal.temporary);
        let reason = reason.map(|refusal| refusal.finding.clone()).unwrap_or_default();
        Ok(Decision::Wait { until, reason, refused: left.refused })
    }

    fn try_candidate(
        &self,
        playbook: &Playbook,
        candidate: &Candidate,
        scope: &Scope,
    ) -> Result<Allowed, Declined> {
        let action = candidate.action;
        let unmet = |finding: String| Declined::unmet(action.name, finding);
        let parameters = candidate.parameters(scope).map_err(unmet)?;
        let id = self.id(playbook.name.as_str(), &format!("{} {parameters}", action.name));
        let steps = self.lower(action, &parameters, &id).map_err(|error| unmet(error.0))?;
        // Where nothing is changed, nothing forbids it.
        if action.hands_over() {
            return Ok(Allowed { id, steps, constraints: Vec::new() });
        }
        let what = steps.first().map_or_else(|| action.name.to_owned(), |step| step.description.clone());
        self.judge(id, steps, &playbook.name, &what)
    }

    fn lower(&self, action: &ActionType, parameters: &Value, id: &PlanId) -> Result<Vec<PlanStep>, Unmet> {
        let premise = Premise {
            evidence: self.evidence,
            workload: self.workload,
            object: self.object,
            uid: &self.uid,
            revisions: self.revisions,
            plan: id,
        };
        (action.lower)(&premise, parameters)
    }

    /// Holds the steps of a plan against every rule; `what` names them in refusals.
    fn judge(&self, id: PlanId, steps: Vec<PlanStep>, cause: &str, what: &str) -> Result<Allowed, Declined> {
        let case = Case {
            steps: &steps,
            evidence: self.evidence,
            workload: self.workload,
            object: self.object,
            revisions: self.revisions,
            options: self.options,
            surroundings: self.surroundings,
            plan: &id,
            cause,
            now: self.now,
        };
        let judgement = policy::judge(&case, what);
        if judgement.refusals.is_empty() {
            Ok(Allowed { id, constraints: judgement.constraints, steps })
        } else {
            // If all that stands in the way is that the fields are another's, that other can do it.
            let others =
                judgement.refusals.iter().all(|refusal| refusal.rule == Guard::FieldOwnership.as_str());
            let patch = others.then(|| patch_file::patch_file(&steps)).flatten();
            Err(Declined { refusals: judgement.refusals, until: judgement.until, patch })
        }
    }

    fn act(&self, playbook: &Playbook, scope: &Scope, allowed: Allowed) -> RemediationPlan {
        let reasoning = so(&playbook.reasoning.told(scope), &allowed.steps);
        let base = self.base(&playbook.name, playbook.root_cause.told(scope), Some(playbook));
        self.acting(RemediationPlan { reasoning, ..base }, allowed, playbook.max_mode)
    }

    /// A plan that does what is allowed, as far as the mode goes.
    fn acting(&self, base: RemediationPlan, allowed: Allowed, max_mode: Mode) -> RemediationPlan {
        let allowed_mode = base.mode.min(max_mode);
        let (mode, earned) =
            autonomy::lowered(allowed_mode, &allowed.steps, self.evidence, self.options, self.now);
        let status = match mode {
            Mode::Observe if self.options.guards.stands(Guard::Observe) => PlanStatus::Observed,
            Mode::Propose if self.options.guards.stands(Guard::Approval) => PlanStatus::Proposed,
            Mode::Observe | Mode::Propose | Mode::Auto => PlanStatus::Approved,
        };
        RemediationPlan {
            id: allowed.id,
            safety_constraints: allowed.constraints.into_iter().chain(earned).collect(),
            actions: allowed.steps,
            mode,
            status,
            ..base
        }
    }

    fn id(&self, author: &str, content: &str) -> PlanId {
        PlanId::derive(&[&self.evidence.incident.id, &self.attempt(), &author, &content])
    }

    fn attempt(&self) -> u32 {
        self.evidence.incident.attempts.saturating_add(1)
    }

    /// A plan without steps, for which nobody has to decide.
    fn base(&self, author: &str, root_cause: String, playbook: Option<&Playbook>) -> RemediationPlan {
        RemediationPlan {
            version: SchemaVersion::CURRENT,
            id: self.id(author, NO_PLAYBOOK),
            incident: self.evidence.incident.id.clone(),
            workload: self.object.clone(),
            attempt: self.attempt(),
            author: Author::Playbook { name: author.into() },
            reasoning: String::new(),
            root_cause,
            evidence: self.evidence.items(),
            priority: self.evidence.incident.severity,
            actions: Vec::new(),
            safety_constraints: Vec::new(),
            verification: settle::verification(self.evidence, self.workload, playbook, self.now),
            mode: effective_mode(self.options, self.workload, self.evidence.namespace.as_ref()),
            status: PlanStatus::HandedOver,
            created_at: self.now,
            updated_at: self.now,
            decided_by: None,
            decision: None,
            extra: Extra::new(),
        }
    }
}
