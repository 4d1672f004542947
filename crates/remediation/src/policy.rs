//! The hard rules. Checked when a plan is made and again just before each act.
//!
//! Each rule is one function, and every rule is in one table (`RULES`). A rule says what it found, also when
//! it finds nothing wrong: the plan keeps that as proof.

pub mod autonomy;
mod claims;
mod freeze;
mod intent;
mod limits;
mod oscillation;
mod ownership;
mod pace;
mod revision;
mod room;
mod scale;
mod scope;
mod shape;

use std::collections::BTreeMap;

use kubewise_core::document::Document;
use kubewise_core::guard::{Guard, Guards};
use kubewise_core::id::PlanId;
use kubewise_core::plan::{FieldChange, Mode, Operation, PlanStep, SafetyConstraint};
use kubewise_core::{ObjectRef, Period, Timestamp};
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::revision::Revisions;

pub use freeze::{Cron, Freeze, NotACron};
pub(crate) use intent::is_done;
pub(crate) use limits::memory_cap;
pub(crate) use revision::made_by_us;
pub use room::nodes_to_look_at;
pub(crate) use scale::{MAX_REPLICAS, replicas};

/// Raises or lowers the mode of a workload or namespace.
pub const MODE_ANNOTATION: &str = "kubewise.dev/mode";
/// Lets KubeWise write to a workload that a Helm release installed, if `true`.
pub const ALLOW_HELM_ANNOTATION: &str = "kubewise.dev/allow-helm";

/// What is configured; the rules themselves are code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The mode where nothing else is said.
    pub mode: Mode,
    /// Modes of namespaces (`shop`) and workloads (`shop/cart`), instead of `mode`.
    pub modes: BTreeMap<String, Mode>,
    /// Namespaces that are never touched, besides KubeWise's own; always with kube-system, kube-public and
    /// kube-node-lease.
    pub protected_namespaces: Vec<String>,
    /// How long a workload is left alone after an action on it.
    pub cooldown: Period,
    /// Sagas for one workload within `attempts_window`; then it is handed over.
    pub max_attempts: u32,
    pub attempts_window: Period,
    /// Repairs of one root cause that did not help, one after the other and however long ago; then it is a person's.
    pub max_ineffective: u32,
    /// Sagas at one time.
    pub max_running: u32,
    /// Pods that sagas may make unavailable at one time.
    pub disruption_budget: u32,
    /// Share of workloads with an open incident from which on only observing goes on.
    pub storm_share: f64,
    /// A storm needs at least this many workloads with an open incident.
    pub storm_minimum: u32,
    /// Once half of a storm came within this time, repairs wait until it has passed: the first workloads of a storm look
    /// like troubles of their own. Zero for never.
    pub storm_hold: Period,
    /// A raised memory limit is never above this many times the limit before KubeWise's first raise, …
    pub memory_limit_cap_factor: f64,
    /// … nor above this many bytes.
    pub memory_limit_cap_bytes: u64,
    /// A raised CPU limit is never above this many times the limit before KubeWise's first raise.
    pub cpu_limit_cap_factor: f64,
    /// Times in which nothing is begun. What was begun goes on, and harm is undone.
    pub freezes: Vec<Freeze>,
    /// Whether an action must prove itself on a class of workloads before it acts there by itself.
    pub autonomy: autonomy::Options,
    /// All, except where a test took one out.
    #[serde(skip)]
    pub guards: Guards,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: Mode::Observe,
            modes: BTreeMap::new(),
            protected_namespaces: Vec::new(),
            cooldown: Period::from_mins(10),
            max_attempts: 3,
            attempts_window: Period::from_mins(24 * 60),
            max_ineffective: 3,
            max_running: 4,
            disruption_budget: 10,
            storm_share: 0.3,
            storm_minimum: 5,
            storm_hold: Period::from_secs(30),
            memory_limit_cap_factor: 4.0,
            memory_limit_cap_bytes: 16 << 30,
            cpu_limit_cap_factor: 4.0,
            freezes: Vec::new(),
            autonomy: autonomy::Options::default(),
            guards: Guards::default(),
        }
    }
}

/// What goes on in the cluster beside the incident; sagas of the incident's own workload are not counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// Objects that running sagas hold.
    pub locked: Vec<ObjectRef>,
    pub running_sagas: u32,
    /// Pods that running sagas may make unavailable.
    pub disruption_in_use: u32,
    pub workloads: u32,
    pub workloads_with_incident: u32,
    /// When the open incidents of other workloads were opened.
    pub other_openings: Vec<Timestamp>,
    /// The namespace KubeWise itself runs in, if in the cluster.
    pub own_namespace: Option<String>,
    /// Who paused KubeWise, and why.
    pub paused: Option<String>,
    /// What is wrong with the telemetry, if nothing can be measured.
    pub blind: Option<String>,
}

/// A rule that forbids something, and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What was refused, in words: a candidate, a step.
    pub what: String,
    /// PascalCase name of the rule.
    pub rule: String,
    pub finding: String,
    /// Whether the rule may let it pass later (cooldown, budget, storm) rather than never for this incident.
    pub temporary: bool,
}

/// The mode that applies to a workload: its annotation, then its namespace's, then the configuration for the
/// workload, its namespace, and all. An annotation that is not a mode counts as observe: a person meant
/// something, and doing nothing is what surely does no harm.
pub fn effective_mode(options: &Options, workload: &Document, namespace: Option<&Document>) -> Mode {
    let annotated = |document: &Document| {
        document.annotation(MODE_ANNOTATION).map(|text| text.parse().unwrap_or_default())
    };
    let name = workload.text("/metadata/name").unwrap_or_default();
    // A namespace is its own place.
    let own = if workload.text("/kind") == Some("Namespace") { name } else { "" };
    let place = workload.text("/metadata/namespace").unwrap_or(own);
    annotated(workload)
        .or_else(|| namespace.and_then(annotated))
        .or_else(|| options.modes.get(&format!("{place}/{name}")).copied())
        .or_else(|| options.modes.get(place).copied())
        .unwrap_or(options.mode)
}

/// The steps of one candidate or plan, and what they are held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) steps: &'a [PlanStep],
    pub(crate) evidence: &'a Evidence,
    pub(crate) workload: &'a Document,
    pub(crate) object: &'a ObjectRef,
    pub(crate) revisions: &'a Revisions,
    pub(crate) options: &'a Options,
    pub(crate) surroundings: &'a Surroundings,
    /// The plan whose own actions do not count against it.
    pub(crate) plan: &'a PlanId,
    /// What it is to cure; see [`Author::cause`](kubewise_core::plan::Author::cause).
    pub(crate) cause: &'a str,
    pub(crate) now: Timestamp,
}

impl<'a> Case<'a> {
    /// Every field of the workload that is written.
    fn changes(&self) -> impl Iterator<Item = &'a FieldChange> {
        let workload = self.object;
        self.writes().filter(move |(object, _)| *object == workload).map(|(_, change)| change)
    }

    /// Every field that is written, of whatever object; fields that are only tested are left out.
    fn writes(&self) -> impl Iterator<Item = (&'a ObjectRef, &'a FieldChange)> {
        let of_step = |step: &'a PlanStep| match &step.operation {
            Operation::Write { object, changes, .. } => {
                Some(changes.iter().map(move |change| (object, change)))
            }
            Operation::Evict { .. } | Operation::Create { .. } | Operation::Notify { .. } => None,
        };
        self.steps.iter().filter_map(of_step).flatten().filter(|(_, change)| change.before != change.after)
    }

    fn changes_template(&self) -> bool {
        self.changes().any(|change| change.path.starts_with(crate::action::TEMPLATE))
    }

    /// The workload as it would be after the steps.
    fn after(&self) -> serde_json::Value {
        let mut document = self.workload.0.clone();
        for change in self.changes() {
            crate::field::set(&mut document, &change.path, change.after.clone());
        }
        document
    }

    fn disruption(&self) -> u32 {
        kubewise_core::plan::disruption(self.steps)
    }
}

/// What a rule found wrong.
#[derive(Clone, Debug, PartialEq)]
struct Objection {
    finding: String,
    /// When to look again; `None` if it holds for good.
    until: Option<Timestamp>,
}

type Finding = Result<String, Objection>;

fn never(finding: impl Into<String>) -> Finding {
    Err(Objection { finding: finding.into(), until: None })
}

fn not_before(until: Timestamp, finding: impl Into<String>) -> Finding {
    Err(Objection { finding: finding.into(), until: Some(until) })
}

type Rule = fn(&Case<'_>) -> Finding;

/// Every rule, in the order in which a person would ask. Those of ownership and of limits have parts, in tables of their
/// own: `ownership::OWNERS` and `limits::BOUNDS`.
const RULES: &[(Guard, Rule)] = &[
    (Guard::ProtectedNamespace, scope::protected_namespace),
    (Guard::OwnHierarchy, scope::own_hierarchy),
    (Guard::FieldOwnership, ownership::field_ownership),
    (Guard::OwnRevision, revision::own_revision),
    (Guard::RevisionStillThere, revision::revision_still_there),
    (Guard::PausedRollout, revision::paused_rollout),
    (Guard::RecreateStrategy, revision::recreate_strategy),
    (Guard::NeverToZero, scale::never_to_zero),
    (Guard::NoStatefulSetScaleDown, scale::no_stateful_set_scale_down),
    (Guard::AtMostTwice, scale::at_most_twice),
    (Guard::LimitBounds, limits::limit_bounds),
    (Guard::Evictions, scope::evictions),
    (Guard::Attempts, pace::attempts),
    (Guard::Escalation, pace::escalation),
    (Guard::Oscillation, oscillation::oscillation),
    (Guard::Cooldown, pace::cooldown),
    (Guard::Concurrency, pace::concurrency),
    (Guard::DisruptionBudget, pace::disruption_budget),
    (Guard::Storm, pace::storm),
    (Guard::GatheringStorm, pace::gathering_storm),
    (Guard::Telemetry, pace::telemetry),
    (Guard::Freeze, freeze::freeze),
    (Guard::Pause, pace::pause),
    (Guard::PlanSize, shape::plan_size),
    (Guard::IrreversibleLast, shape::irreversible_last),
    (Guard::Lowering, intent::lowering),
];

/// The rules that hold for an undo as well: what is whose, and what is nobody's to touch. How much and how often does
/// not keep harm from being undone.
const RULES_OF_UNDO: [Guard; 2] = [Guard::ProtectedNamespace, Guard::FieldOwnership];

/// What all rules said of a case.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) constraints: Vec<SafetyConstraint>,
    pub(crate) refusals: Vec<Refusal>,
    /// When the last of the temporary refusals may pass.
    pub(crate) until: Option<Timestamp>,
}

/// The first rule that forbids an undo, and what it found.
pub(crate) fn forbids_undo(case: &Case<'_>) -> Option<String> {
    let mut rules = RULES.iter().filter(|(guard, _)| RULES_OF_UNDO.contains(guard));
    rules.find_map(|(guard, check)| {
        let objection = check(case).err().filter(|_| case.options.guards.stands(Guard::CheckBeforeUndo))?;
        Some(format!("{}: {}", guard, objection.finding))
    })
}

/// Holds a case against every rule; `what` names it in refusals.
pub(crate) fn judge(case: &Case<'_>, what: &str) -> Judgement {
    let mut judgement = Judgement::default();
    for (guard, check) in RULES.iter().filter(|(guard, _)| case.options.guards.stands(*guard)) {
        let rule = guard.to_string();
        match check(case) {
            Ok(finding) => judgement.constraints.push(SafetyConstraint { rule, finding }),
            Err(Objection { finding, until }) => {
                judgement.until = judgement.until.max(until);
                let temporary = until.is_some();
                judgement.refusals.push(Refusal { what: what.into(), rule, finding, temporary });
            }
        }
    }
    judgement
}
