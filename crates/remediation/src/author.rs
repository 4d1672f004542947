//! What a language model is asked about an incident, and what becomes of its answer.
//!
//! The model is an author, not an actor: it sees evidence and *offers* (what playbooks would do, judged by policy), and
//! proposes which of them to do, in which order and how much. [`draft`] makes the prompt, [`Draft::read`] holds the
//! answer against what was offered, and [`planner::plan_proposed`] lowers and judges what
//! is left like any candidate. So whatever a model writes, or whoever told it what to write, no plan names an object or
//! an action that no playbook would have named.

mod budget;
mod change;
mod dossier;
mod egress;
mod explain;
mod fields;
mod logs;
mod offer;
mod prompt;
mod proposal;
mod redact;

use kubewise_core::Timestamp;
use kubewise_core::author::{Answer, Prompt, RefusedAnswer};
use kubewise_core::guard::Guards;
use kubewise_core::id;
use kubewise_core::plan::EvidenceItem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::planner;
use crate::playbook::Playbooks;
use crate::policy::{self, Surroundings};
use crate::revision::Revisions;
use egress::Egress;

pub(crate) use change::references;
pub use explain::{explanation, told};
pub(crate) use offer::{Offer, find};
pub use proposal::{Objection, Parameter, Proposal, ProposedAction, RootCause};
pub use redact::redact;

/// Bytes of a refused answer that are shown to the model again.
const MAX_REPEATED: usize = 1_200;

/// How much is said and listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The longest prompt, by a careful estimate of its tokens. What is least telling is left out.
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
#[derive(Clone, Debug)]
pub struct Draft {
    pub prompt: Prompt,
    /// The same for the same trouble, whatever pod names, times and counts it comes with.
    pub fingerprint: String,
    offers: Vec<Offer>,
    /// Of the evidence that the prompt shows.
    ids: Vec<String>,
    guards: Guards,
}

/// The question about an incident; `None` if the planner would not decide now anyway: nothing fires, the object is
/// gone, or a rule says to wait.
pub fn draft(
    evidence: &Evidence,
    playbooks: &Playbooks,
    policy: &policy::Options,
    surroundings: &Surroundings,
    options: &Options,
    now: Timestamp,
) -> Option<Draft> {
    let offers = planner::offers(evidence, playbooks, policy, surroundings, now).ok()?;
    let waits =
        |offer: &Offer| offer.judged.as_ref().is_err_and(|refusals| refusals.iter().all(|one| one.temporary));
    let mut repairs = offers.iter().filter(|offer| !offer.action.hands_over());
    if offers.iter().any(waits) && repairs.all(|offer| offer.judged.is_err()) {
        return None;
    }
    let revisions = Revisions::of(evidence);
    let egress = Egress::new(policy.guards);
    let items = dossier::items(evidence, &revisions, &offers, egress);
    let (prompt, ids) = prompt::proposal(evidence, &offers, items, *options, policy.guards, now);
    let fingerprint = fingerprint(evidence, &revisions, &offers);
    Some(Draft { prompt, fingerprint, offers, ids, guards: policy.guards })
}

/// Free text as it is kept and told: on one line, without secrets, and cut to what a person reads.
pub(crate) fn readable(text: &str) -> String {
    Egress::new(Guards::default()).line().text(text).into_text()
}

/// Everything that a model may have been shown, by the ids that it may have cited.
pub(crate) fn evidence(
    evidence: &Evidence,
    revisions: &Revisions,
    offers: &[Offer],
    guards: Guards,
) -> Vec<EvidenceItem> {
    dossier::items(evidence, revisions, offers, Egress::new(guards))
        .iter()
        .map(dossier::Item::cited)
        .collect()
}

impl Draft {
    /// The proposal that an answer is, or what is wrong with it.
    pub fn read(&self, answer: &Answer) -> Result<Proposal, Objection> {
        let proposal = Proposal::parse(answer)?;
        proposal.holds(&self.offers, &self.ids, self.guards)?;
        Ok(proposal)
    }

    /// The prompt again, with the answer that was refused and why.
    pub fn second(&self, answer: &Answer, objection: &Objection) -> Prompt {
        let cut = answer.text.floor_char_boundary(MAX_REPEATED);
        let refused =
            RefusedAnswer { answer: egress::plain(&answer.text[..cut]), objection: objection.to_string() };
        Prompt { refused: Some(refused), ..self.prompt.clone() }
    }
}

/// Of what makes the trouble what it is: workload, reasons, revision and what could be done. Amounts and names of pods
/// among the parameters are left out, since they change while the trouble stays.
fn fingerprint(evidence: &Evidence, revisions: &Revisions, offers: &[Offer]) -> String {
    let is_pod = |text: &str| evidence.pods.iter().any(|pod| pod.text("/metadata/name") == Some(text));
    let offers: Vec<String> = offers
        .iter()
        .filter(|offer| offer.judged.is_ok())
        .flat_map(|offer| {
            let parameters = offer.named().parameters.into_iter();
            let stable =
                parameters.filter(|one| !offer.action.amounts.contains(&&*one.name) && !is_pod(&one.value));
            let stable: Vec<_> = stable.map(|one| format!("{}={}", one.name, one.value)).collect();
            [offer.playbook.clone(), offer.action.name.to_owned(), stable.join(",")]
        })
        .collect();
    let reasons: Vec<_> = evidence.reasons().iter().map(ToString::to_string).collect();
    let revision = revisions.current().map_or("", |revision| revision.name.as_str());
    id::digest(&[&evidence.incident.workload, &reasons.join(","), &revision, &offers.join("\n")])
}
