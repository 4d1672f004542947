//! Playbooks: the rules, in YAML, that yield candidates.
//!
//! ```yaml
//! name: crash-loop-after-revision       # unique
//! description: what it is for
//! reasons: [CrashLoopBackOff]           # it is tried if one of these fires
//! when: [revision.toBlame]              # CEL, all must hold
//! candidates:                           # in order of preference; if none is allowed, it is handed over
//!   - action: RolloutUndo               # of the registry
//!     when: [revision.hasLastHealthy]   # optional
//!     parameters:                       # a text that begins with `=` is CEL, anything else is meant literally
//!       revision: "=revision.lastHealthy"
//!   - action: HandOver                  # leaves it to a person; the last one
//!     parameters: {reason: no earlier revision is known to be healthy}
//! maxMode: auto                         # optional: observe, propose or auto
//! rootCause: "revision ${revision.current} crashes"       # texts may hold CEL in ${…}
//! reasoning: why this and not something else
//! verification:                         # optional
//!   settle: 2m
//!   checks: [what must become true, in words]
//! ```
//!
//! The variables are those of the module `facts`.

mod explain;
mod expression;
mod read;

use std::fmt;

use kubewise_core::Period;
use kubewise_core::anomaly::Reason;
use kubewise_core::plan::Mode;
use serde_json::Value;

pub use explain::{ActionExplanation, Explanation, Trial, VariableExplanation, actions, variables};
pub(crate) use expression::Scope;
use expression::{Expression, Text};

use crate::action::ActionType;

/// The playbooks that KubeWise comes with, in the order in which they are tried.
const BUILTIN: &[(&str, &str)] = &[
    ("oom-limit-too-low.yaml", include_str!("../playbooks/oom-limit-too-low.yaml")),
    ("oom-leak.yaml", include_str!("../playbooks/oom-leak.yaml")),
    ("memory-leak.yaml", include_str!("../playbooks/memory-leak.yaml")),
    ("image-pull-after-revision.yaml", include_str!("../playbooks/image-pull-after-revision.yaml")),
    ("config-error-after-revision.yaml", include_str!("../playbooks/config-error-after-revision.yaml")),
    ("network-policy.yaml", include_str!("../playbooks/network-policy.yaml")),
    ("crash-loop-after-revision.yaml", include_str!("../playbooks/crash-loop-after-revision.yaml")),
    ("liveness-probe-too-strict.yaml", include_str!("../playbooks/liveness-probe-too-strict.yaml")),
    ("crash-loop-unexplained.yaml", include_str!("../playbooks/crash-loop-unexplained.yaml")),
    ("claim-filling.yaml", include_str!("../playbooks/claim-filling.yaml")),
    ("evicted-after-revision.yaml", include_str!("../playbooks/evicted-after-revision.yaml")),
    ("rollout-stuck.yaml", include_str!("../playbooks/rollout-stuck.yaml")),
    ("ordinal-stuck.yaml", include_str!("../playbooks/ordinal-stuck.yaml")),
    ("scaled-to-zero.yaml", include_str!("../playbooks/scaled-to-zero.yaml")),
    ("autoscaler-at-ceiling.yaml", include_str!("../playbooks/autoscaler-at-ceiling.yaml")),
    ("cpu-throttled.yaml", include_str!("../playbooks/cpu-throttled.yaml")),
    ("service-astray.yaml", include_str!("../playbooks/service-astray.yaml")),
    ("job-transient.yaml", include_str!("../playbooks/job-transient.yaml")),
    ("job-failed.yaml", include_str!("../playbooks/job-failed.yaml")),
    ("node-under-pressure.yaml", include_str!("../playbooks/node-under-pressure.yaml")),
    ("node-not-ready.yaml", include_str!("../playbooks/node-not-ready.yaml")),
    ("node-still-not-ready.yaml", include_str!("../playbooks/node-still-not-ready.yaml")),
    ("node-flapping.yaml", include_str!("../playbooks/node-flapping.yaml")),
    ("nodes-not-ready.yaml", include_str!("../playbooks/nodes-not-ready.yaml")),
    ("deletion-stuck.yaml", include_str!("../playbooks/deletion-stuck.yaml")),
];

/// Something wrong in a playbook: where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub file: String,
    /// From 1.
    pub line: u64,
    pub column: u64,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for Fault {}

/// Playbooks in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Playbooks {
    playbooks: Vec<Playbook>,
}

#[derive(Debug)]
pub(crate) struct Playbook {
    pub(crate) name: String,
    description: String,
    reasons: Vec<Reason>,
    when: Vec<Expression>,
    candidates: Vec<Candidate>,
    pub(crate) max_mode: Mode,
    pub(crate) root_cause: Text,
    pub(crate) reasoning: Text,
    pub(crate) settle: Option<Period>,
    pub(crate) checks: Vec<String>,
}

/// One action that a playbook names.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) action: &'static ActionType,
    when: Vec<Expression>,
    parameters: Vec<(String, Parameter)>,
}

#[derive(Debug)]
enum Parameter {
    Literal(Value),
    Computed(Expression),
}

impl Playbooks {
    /// The playbooks that KubeWise comes with.
    pub fn builtin() -> Self {
        // They are tested; a fault would leave its playbook out, and the trouble would be handed over.
        Playbooks::load(BUILTIN).unwrap_or_default()
    }

    /// Playbooks from files (name and text), in their order; every fault in every file if there is one.
    pub fn load<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<Self, Vec<Fault>> {
        read::playbooks(files).map(|playbooks| Playbooks { playbooks })
    }

    /// These first, then those of KubeWise whose names are not taken.
    #[must_use]
    pub fn with_builtin(mut self) -> Self {
        for playbook in Playbooks::builtin().playbooks {
            if self.list().all(|(name, _)| name != playbook.name) {
                self.playbooks.push(playbook);
            }
        }
        self
    }

    /// Name and description of each.
    pub fn list(&self) -> impl Iterator<Item = (&str, &str)> {
        self.playbooks.iter().map(|playbook| (playbook.name.as_str(), playbook.description.as_str()))
    }

    /// Those whose reasons fire and whose conditions hold, in order.
    pub(crate) fn matching<'a>(
        &'a self,
        reasons: &'a [Reason],
        scope: &'a Scope,
    ) -> impl Iterator<Item = &'a Playbook> {
        self.playbooks.iter().filter(|playbook| {
            playbook.reasons.iter().any(|reason| reasons.contains(reason)) && scope.all(&playbook.when)
        })
    }
}

impl Playbook {
    /// The candidates that apply, in order; none after one that hands over.
    pub(crate) fn candidates(&self, scope: &Scope) -> impl Iterator<Item = &Candidate> {
        let applying = self.candidates.iter().filter(move |candidate| scope.all(&candidate.when));
        let mut over = false;
        applying.take_while(move |candidate| !std::mem::replace(&mut over, candidate.action.hands_over()))
    }
}

impl Candidate {
    /// The parameters with every expression computed.
    pub(crate) fn parameters(&self, scope: &Scope) -> Result<Value, String> {
        let mut values = serde_json::Map::new();
        for (name, parameter) in &self.parameters {
            let value = match parameter {
                Parameter::Literal(value) => value.clone(),
                Parameter::Computed(expression) => scope.json(expression)?,
            };
            values.insert(name.clone(), value);
        }
        Ok(Value::Object(values))
    }
}
