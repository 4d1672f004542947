//! What a language model is asked about an incident, and what becomes of its answer.
//!
//! The model is an author, not an actor: it sees evidence and *offers* (what playbooks would do, judged by policy), and
//! proposes which of them to do, in which order and how much. [`draft`] makes the prompt, [`Draft::read`] holds the
//! answer against what was offered, and [`planner::plan_proposed`](crate::planner::plan_proposed) lowers and judges what
//! is left like any candidate. So whatever a model writes, or whoever told it what to write, no plan names an object or
//! an action that no playbook would have named.

mod proposal;

use kubewise_core::Timestamp;
use kubewise_core::action::ExecutedActionRecord;
use kubewise_core::anomaly::AnomalyRecord;
use kubewise_core::author::{Answer, Prompt};
use kubewise_core::incident::Incident;
use kubewise_core::plan::RemediationPlan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::playbook::Playbooks;
use crate::policy::{self, Surroundings};

pub use proposal::{Objection, Parameter, Proposal, ProposedAction, RootCause};

/// How much is said and listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The longest prompt, by a careful estimate of its tokens.
    pub prompt_tokens: u32,
    /// The longest answer that is paid for.
    pub answer_tokens: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options { prompt_tokens: 8_000, answer_tokens: 2_000 }
    }
}

/// What a model would be asked about an incident, and what it may answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub prompt: Prompt,
    /// The same for the same trouble, whatever pod names, times and counts it comes with.
    pub fingerprint: String,
}

/// The question about an incident; `None` if the planner would not decide now anyway: nothing fires, the object is
/// gone, or it has to wait.
pub fn draft(
    _evidence: &Evidence,
    _playbooks: &Playbooks,
    _policy: &policy::Options,
    _surroundings: &Surroundings,
    _options: &Options,
    _now: Timestamp,
) -> Option<Draft> {
    None
}

impl Draft {
    /// The proposal that an answer is, or what is wrong with it.
    pub fn read(&self, _answer: &Answer) -> Result<Proposal, Objection> {
        Err(Objection::new("Answer", "nothing is read yet"))
    }

    /// The prompt again, with the answer that was refused and why.
    pub fn second(&self, _answer: &Answer, _objection: &Objection) -> Prompt {
        self.prompt.clone()
    }
}

/// What a model would be asked to tell people about an incident, in free text.
pub fn explanation(evidence: &Evidence, plan: Option<&RemediationPlan>, options: &Options) -> Prompt {
    let _ = (evidence, plan);
    Prompt {
        instructions: String::new(),
        case: String::new(),
        schema: None,
        refused: None,
        max_answer_tokens: options.answer_tokens,
    }
}

/// The same without a model: plans and actions newest first.
pub fn told(
    incident: &Incident,
    _anomalies: &[AnomalyRecord],
    _plans: &[RemediationPlan],
    _actions: &[ExecutedActionRecord],
) -> String {
    incident.summary.clone()
}
