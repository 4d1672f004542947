//! What a model is asked, and what becomes of its answers.

mod answers;
mod budget;
#[cfg(feature = "guard-mutation")]
mod guards;
mod hostile;
mod prompts;
mod secrets;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kubewise_core::anomaly::Severity;
use kubewise_core::author::{Answer, Ending, Prompt};
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::plan::{HAND_OVER, RemediationPlan};
use kubewise_core::record::SchemaVersion;
use kubewise_core::{Kind, ObjectRef};
use kubewise_remediation::author::{self, Draft, Parameter, Proposal, ProposedAction, RootCause};
use kubewise_remediation::evidence::LogExcerpt;
use kubewise_remediation::planner::{self, Decision};
use kubewise_remediation::playbook::Playbooks;

use crate::fixture::{World, at, now};

/// Read once: most of what a test does else is to read them again.
static PLAYBOOKS: LazyLock<Playbooks> = LazyLock::new(Playbooks::builtin);

/// How a model is named.
pub(super) const MODEL: &str = "test/scripted-1";

pub(super) fn draft(world: &World) -> Draft {
    draft_within(world, author::Options::default()).expect("there is something to ask")
}

pub(super) fn draft_within(world: &World, options: author::Options) -> Option<Draft> {
    let World { evidence, options: policy, surroundings } = world;
    author::draft(evidence, &PLAYBOOKS, policy, surroundings, &options, now())
}

pub(super) fn decide(world: &World, proposal: &Proposal) -> Decision {
    let World { evidence, options, surroundings } = world;
    planner::plan_proposed(evidence, &PLAYBOOKS, options, surroundings, proposal, MODEL, now())
}

pub(super) fn planned(decision: Decision) -> RemediationPlan {
    match decision {
        Decision::Plan { plan, .. } => *plan,
        other @ (Decision::Wait { .. } | Decision::Nothing { .. }) => panic!("no plan: {other:?}"),
    }
}

/// The rules by which a decision's proposal or candidates were refused.
pub(super) fn rules(decision: &Decision) -> Vec<String> {
    match decision {
        Decision::Plan { refused, .. } | Decision::Wait { refused, .. } => {
            refused.iter().map(|refusal| refusal.rule.clone()).collect()
        }
        Decision::Nothing { .. } => Vec::new(),
    }
}

pub(super) fn complete(text: impl Into<String>) -> Answer {
    Answer { text: text.into(), ending: Ending::Complete, usage: None, model: "scripted-1".into() }
}

/// The repairs that a prompt offers, read from it as a model reads them; beside them it always offers to hand over.
pub(super) fn offers(prompt: &Prompt) -> Vec<ProposedAction> {
    let (before, _) = prompt.case.split_once("# Evidence").unwrap();
    let (_, offers) = before.split_once("# Offers").unwrap();
    let named = offers.lines().filter_map(|line| line.strip_prefix("- {"));
    let mut offers: Vec<ProposedAction> =
        named.map(|json| serde_json::from_str(&format!("{{{json}")).unwrap()).collect();
    let count = offers.len();
    offers.retain(|offer| offer.action != HAND_OVER);
    assert_eq!(offers.len(), count - 1, "to hand over is offered once");
    offers
}

pub(super) fn hand_over(reason: &str) -> ProposedAction {
    action(HAND_OVER, "Deployment shop/cart", &[("reason", reason)])
}

/// What a prompt marks as data: the lines between its fence.
pub(super) fn data(prompt: &Prompt) -> &str {
    let (_, after) = prompt.case.split_once("all between the two lines of ").unwrap();
    let (fence, after) = after.split_once(" is data\n").unwrap();
    let inside = after.strip_prefix(&format!("<{fence}>")).unwrap();
    let end = inside.find(&format!("\n</{fence}>\n")).unwrap();
    &inside[1..=end]
}

/// The ids of the evidence that a prompt shows.
pub(super) fn ids(prompt: &Prompt) -> Vec<String> {
    let id = |line: &str| Some(line.strip_prefix('[')?.split_once("] ")?.0.to_owned());
    data(prompt).lines().filter_map(id).collect()
}

/// A proposal to do these, on the first evidence; or to hand over, if these are none.
pub(super) fn proposing(prompt: &Prompt, actions: Vec<ProposedAction>) -> Proposal {
    Proposal {
        reasoning: "The evidence shows it.".into(),
        root_cause: RootCause { text: "the new revision".into(), evidence: ids(prompt)[..1].to_vec() },
        actions: if actions.is_empty() { vec![hand_over("somebody has to look")] } else { actions },
        priority: Severity::Critical,
        verification: vec!["it runs".into()],
        confidence: 0.9,
    }
}

pub(super) fn action(name: &str, target: &str, parameters: &[(&str, &str)]) -> ProposedAction {
    let parameter = |(name, value): &(&str, &str)| Parameter { name: (*name).into(), value: (*value).into() };
    ProposedAction {
        action: name.into(),
        target: target.into(),
        parameters: parameters.iter().map(parameter).collect(),
    }
}

pub(super) fn event(reason: &str, pod: &str, message: &str, when: &str) -> EventRecord {
    EventRecord {
        version: SchemaVersion::CURRENT,
        uid: format!("event-{reason}-{pod}-{when}").as_str().into(),
        count: 3,
        object: ObjectRef::namespaced(Kind::Pod, "shop", pod),
        object_uid: format!("uid-{pod}").as_str().into(),
        event_type: if reason == "Pulled" { EventType::Normal } else { EventType::Warning },
        reason: reason.into(),
        message: message.into(),
        first_seen: at("11:55:00"),
        last_seen: at(when),
        source: "kubelet".into(),
        workload: None,
        extra: BTreeMap::default(),
    }
}

pub(super) fn log(text: impl Into<String>) -> LogExcerpt {
    LogExcerpt {
        pod: ObjectRef::namespaced(Kind::Pod, "shop", "cart-bad-1"),
        container: "app".into(),
        previous: true,
        text: text.into(),
    }
}

/// The whole of what would leave, as one text.
pub(super) fn sent(prompt: &Prompt) -> String {
    serde_json::to_string(prompt).unwrap().replace("\\\"", "\"").replace("\\n", "\n")
}
