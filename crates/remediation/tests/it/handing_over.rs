//! To leave the trouble to a person: what playbooks say with `HandOver`, and what becomes of it.

use kubewise_core::plan::{HAND_OVER, Operation, PlanStatus, RemediationPlan};
use kubewise_remediation::planner::Decision;
use kubewise_remediation::playbook::{self, Playbooks};
use serde_json::json;

use crate::fixture::{World, crash_loop, line};

const LEFT: &str = "{action: HandOver, parameters: {reason: only ada knows this one}}";
const GROW: &str = "{action: ScaleWorkload, parameters: {replicas: 3}}";
const ZERO: &str = "{action: ScaleWorkload, parameters: {replicas: 0}}";

/// Playbooks for crash loops, named `a` and `b` and tried in that order, with these candidates.
fn playbooks(candidates: &[&[&str]]) -> Playbooks {
    let text = |name: &str, candidates: &[&str]| {
        format!(
            "name: {name}\ndescription: d\nreasons: [CrashLoopBackOff]\nrootCause: r\nreasoning: It crashes.\n\
             candidates: [{}]\n",
            candidates.join(", ")
        )
    };
    let files = ["a", "b"].into_iter().zip(candidates);
    let files: Vec<_> = files.map(|(name, candidates)| (name, text(name, candidates))).collect();
    Playbooks::load(&files).unwrap()
}

fn plan(world: &World, candidates: &[&[&str]]) -> RemediationPlan {
    match world.decide_with(&playbooks(candidates)) {
        Decision::Plan { plan, .. } => *plan,
        other @ (Decision::Wait { .. } | Decision::Nothing { .. }) => panic!("{other:?}"),
    }
}

fn reason(plan: &RemediationPlan) -> &str {
    let [step] = plan.actions.as_slice() else { panic!("{:?}", plan.actions) };
    assert_eq!((plan.hands_over(), plan.status), (true, PlanStatus::HandedOver));
    assert_eq!((&*step.action.name, step.disruption, step.operation.writes()), (HAND_OVER, 0, None));
    assert!(matches!(step.operation, Operation::Notify { .. }));
    assert!(plan.reasoning.ends_with(&format!("So: {}.", step.description)), "{}", plan.reasoning);
    step.action.parameters["reason"].as_str().unwrap()
}

#[test]
fn a_playbook_hands_over_with_its_reason() {
    let plan = plan(&crash_loop(), &[&[LEFT]]);
    assert_eq!(reason(&plan), "only ada knows this one");
    assert_eq!(plan.reasoning, "It crashes. So: hand over to a person: only ada knows this one.");
    assert_eq!(plan.author.to_string(), "playbook a");
}

#[test]
fn every_plan_that_hands_over_has_the_same_one_step() {
    assert_eq!(reason(&plan(&crash_loop(), &[])), "no playbook knows a safe repair for this");
    let refused = plan(&crash_loop(), &[&[ZERO]]);
    assert_eq!(reason(&refused), "nothing that would repair it can be done here");
    let refused = plan(&crash_loop(), &[&[ZERO, LEFT]]);
    assert_eq!(reason(&refused), "only ada knows this one");
    assert!(refused.reasoning.contains("Not done: ") && refused.reasoning.contains("(NeverToZero)"));
}

#[test]
fn it_ends_its_playbook_and_no_other() {
    let decided = |candidates: &[&[&str]]| line(&crash_loop().decide_with(&playbooks(candidates)));
    assert_eq!(decided(&[&[LEFT, GROW]]), "hand over by playbook a");
    assert_eq!(decided(&[&[GROW, LEFT]]), "act ScaleWorkload as Approved");
    assert_eq!(decided(&[&[LEFT], &[GROW]]), "act ScaleWorkload as Approved");
    assert_eq!(decided(&[&[LEFT], &[ZERO]]), "hand over by playbook a for NeverToZero");
    let never = "{action: HandOver, when: ['1 > 2'], parameters: {reason: r}}";
    assert_eq!(decided(&[&[never, GROW]]), "act ScaleWorkload as Approved");
}

#[test]
fn nothing_forbids_it_and_what_may_be_repaired_later_is_waited_for() {
    let mut paused = crash_loop();
    paused.surroundings.paused = Some("by ada: the provider moves house".into());
    assert_eq!(line(&paused.decide_with(&playbooks(&[&[LEFT]]))), "hand over by playbook a");
    assert_eq!(line(&paused.decide_with(&playbooks(&[&[GROW, LEFT]]))), "wait for Pause");
}

#[test]
fn a_playbook_that_hands_over_is_explained_like_any_other() {
    let known = Playbooks::builtin().explain();
    let leak = known.iter().find(|playbook| playbook.name == "oom-leak").unwrap();
    assert_eq!(leak.actions, [HAND_OVER]);
    let action = playbook::actions().into_iter().find(|action| action.name == HAND_OVER).unwrap();
    assert_eq!(action.risk, "none: nothing is changed");
    assert!(action.description.contains("leave it to a person"), "{}", action.description);
    assert_eq!(action.parameters["reason"]["type"], json!("string"));
}
