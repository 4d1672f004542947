//! What is earned by success, lost by harm, and never more than policy allows.

use kubewise_core::action::{Direction, ExecutedActionRecord};
use kubewise_core::autonomy::{Level, Trust};
use kubewise_core::journal::Outcome;
use kubewise_core::plan::{FieldChange, Mode, PlanStatus, Verdict};
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use kubewise_remediation::planner;
use kubewise_remediation::policy::autonomy;
use proptest::prelude::*;
use serde_json::json;

use crate::fixture::{World, crash_loop, now};

/// One undo of the cart an hour; `H` helped and stayed well, `I` was inconclusive, `W` did harm, `B` was put back by its
/// saga, `S` got stuck, `A` was aborted, `R` still runs.
fn told(letters: &str) -> World {
    let mut world = earning();
    let hours = letters.len() as u64;
    for (letter, hour) in letters.chars().zip(1..) {
        let (verdict, outcome) = match letter {
            'H' => (Some(Verdict::Improved), Some(Outcome::Succeeded)),
            'I' => (Some(Verdict::Inconclusive), Some(Outcome::HandedOver)),
            'W' => (Some(Verdict::Worse), Some(Outcome::HandedOver)),
            'B' => (None, Some(Outcome::RolledBack)),
            'S' => (Some(Verdict::Improved), Some(Outcome::Stuck)),
            'A' => (None, Some(Outcome::Aborted)),
            _ => (Some(Verdict::Improved), None),
        };
        let time = Period::from_mins(60 * (hours - hour)).before(now());
        did(&mut world, time, |done| (done.verdict, done.outcome) = (verdict, outcome));
    }
    world
}

/// Where a crash loop is undone in auto, if that was earned.
fn earning() -> World {
    let mut world = crash_loop();
    world.options.autonomy.enabled = true;
    world
}

/// An undo that helped, unless changed.
fn did(world: &mut World, time: Timestamp, change: impl FnOnce(&mut ExecutedActionRecord)) {
    world.did("RolloutUndo", "00:00:00", json!({}), Vec::new());
    let mut done = world.evidence.history.remove(0);
    let number = world.evidence.precedents.len();
    done.id = format!("x-{number}").as_str().into();
    done.saga = format!("s-{number}").as_str().into();
    (done.started_at, done.finished_at) = (time, Some(time));
    (done.verdict, done.outcome) = (Some(Verdict::Improved), Some(Outcome::Succeeded));
    change(&mut done);
    world.evidence.precedents.insert(0, done);
}

fn trust(world: &World) -> Trust {
    trust_at(world, now())
}

fn trust_at(world: &World, now: Timestamp) -> Trust {
    let mut items = autonomy::report(&world.evidence.precedents, &world.options, now).items;
    assert_eq!(items.len(), 1, "{items:#?}");
    items.remove(0)
}

fn level(letters: &str) -> Level {
    trust(&told(letters)).level
}

#[test]
fn what_one_repair_did_in_many_steps_counts_once() {
    let mut world = earning();
    let drained = |world: &mut World, hour: u64, outcomes: [Outcome; 3]| {
        for (minute, outcome) in (0..).zip(outcomes) {
            let time = Period::from_mins(600 - 60 * hour - minute).before(now());
            did(world, time, |done| {
                done.saga = format!("drain-{hour}").as_str().into();
                done.outcome = Some(outcome);
            });
        }
    };
    drained(&mut world, 1, [Outcome::Succeeded; 3]);
    assert_eq!((trust(&world).successes, trust(&world).failures), (1, 0));
    drained(&mut world, 2, [Outcome::Succeeded; 3]);
    assert_eq!(trust(&world).successes, 2);
    drained(&mut world, 3, [Outcome::Succeeded, Outcome::Stuck, Outcome::Succeeded]);
    assert_eq!((trust(&world).successes, trust(&world).failures), (0, 1), "the worst counts");
}

#[test]
fn an_action_acts_by_itself_only_after_it_has_proven_itself() {
    for (letters, status) in [
        ("", PlanStatus::Proposed),
        ("H", PlanStatus::Proposed),
        ("HHHHHHHHH", PlanStatus::Proposed),
        ("HHHHHHHHHH", PlanStatus::Approved),
        ("HHHHHHHHHHW", PlanStatus::Proposed),
    ] {
        let plan = told(letters).plan();
        assert_eq!(plan.status, status, "{letters}");
        let kept = plan.safety_constraints.iter().find(|kept| kept.rule == "EarnedAutonomy").unwrap();
        assert!(kept.finding.contains("RolloutUndo on a Deployment in shop has earned"), "{}", kept.finding);
    }
}

#[test]
fn levels_rise_by_success_and_fall_by_one_regression() {
    for (letters, expected) in [
        ("H", Level::Approve),
        ("HHHHHHHHHH", Level::Auto),
        ("W", Level::Observe),
        ("HW", Level::Propose),
        ("HB", Level::Propose),
        ("HS", Level::Propose),
        ("HHHHHHHHHHW", Level::Approve),
        ("HHHHHHHHHHWW", Level::Propose),
        ("HHHHHHHHHHWWW", Level::Observe),
        // What did not help is no regression, but the rate must still be high enough.
        ("I", Level::Propose),
        ("HI", Level::Approve),
        ("HHHHHHHHHHII", Level::Approve),
        ("IHHHHHHHHHHHHHHHH", Level::Auto),
        // Counting begins anew, with the regression.
        ("HHHHHHHHHHWHHHHHHHHHH", Level::Approve),
        ("HHHHHHHHHHWHHHHHHHHHHHHHHH", Level::Auto),
        // Nothing was applied, or nothing is known yet.
        ("HA", Level::Approve),
        ("R", Level::Propose),
        ("HHHHHHHHHR", Level::Approve),
    ] {
        assert_eq!(level(letters), expected, "{letters}");
    }
}

#[test]
fn harm_counts_while_its_saga_still_runs() {
    let mut world = told("HHHHHHHHHH");
    did(&mut world, now(), |done| (done.verdict, done.outcome) = (Some(Verdict::Worse), None));
    assert_eq!(trust(&world).level, Level::Approve);
}

#[test]
fn what_fell_to_observe_is_proposed_again_after_its_rest() {
    let mut world = told("W");
    assert_eq!(world.plan().status, PlanStatus::Observed);
    let trust = trust_at(&world, now());
    assert_eq!(trust.next, "proposed again from 2026-03-08T12:00:00Z on");
    assert_eq!(trust_at(&world, Period::from_mins(7 * 24 * 60).after(now())).level, Level::Propose);
    world.options.autonomy.rest = Period::ZERO;
    assert_eq!(world.plan().status, PlanStatus::Proposed);
}

#[test]
fn a_repair_that_somebody_put_back_is_a_regression() {
    let image = |before: &str, after: &str| {
        vec![FieldChange {
            path: "/spec/template/spec/containers/0/image".into(),
            before: Some(json!(before)),
            after: Some(json!(after)),
        }]
    };
    let twice = |first: Vec<FieldChange>, second: Vec<FieldChange>, other: bool| {
        let mut world = told("HHHHHHHHHHHH");
        let day = |days: u64| Period::from_mins(days * 24 * 60).before(now());
        did(&mut world, day(3), |done| done.changes = first);
        did(&mut world, day(2), |done| {
            done.changes = second;
            if other {
                done.workload.name = "checkout".into();
            }
        });
        trust(&world).set_back_at
    };
    let time = Period::from_mins(2 * 24 * 60).before(now());
    assert_eq!(twice(image("2", "1"), image("2", "1"), false), Some(time));
    assert_eq!(twice(image("2", "1"), image("3", "1"), false), None, "the next release");
    assert_eq!(twice(image("2", "1"), image("2", "1"), true), None, "another workload");
}

#[test]
fn only_the_same_action_kind_and_namespace_are_witnesses() {
    let changes: [fn(&mut ExecutedActionRecord); 6] = [
        |done| done.action.name = "SetResources".into(),
        |done| done.workload.namespace = Some("bank".into()),
        |done| done.workload.kind = Kind::StatefulSet,
        |done| done.workload = ObjectRef::cluster_scoped(Kind::Node, "n1"),
        |done| done.direction = Direction::Undo,
        |done| done.status = kubewise_core::action::ActionStatus::Failed,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut world = earning();
        for hour in 0..20 {
            did(&mut world, Period::from_mins(60 * hour).before(now()), change);
        }
        assert_eq!(world.plan().status, PlanStatus::Proposed, "case {number}");
    }
    let mut world = earning();
    for hour in 0..20 {
        let sibling = |done: &mut ExecutedActionRecord| done.workload.name = "checkout".into();
        did(&mut world, Period::from_mins(60 * hour).before(now()), sibling);
    }
    assert_eq!(world.plan().status, PlanStatus::Approved, "names come and go");
}

#[test]
fn what_was_earned_never_goes_above_what_policy_allows() {
    for (mode, status) in [(Mode::Observe, PlanStatus::Observed), (Mode::Propose, PlanStatus::Proposed)] {
        let mut world = told("HHHHHHHHHHHHHHH");
        world.options.mode = mode;
        assert_eq!(world.plan().status, status);
        assert_eq!((trust(&world).level, trust(&world).mode), (Level::Auto, mode));
        world.options.mode = Mode::Auto;
        world.options.modes = [("shop".to_owned(), mode)].into();
        assert_eq!(world.plan().status, status);
        assert_eq!(trust(&world).mode, mode);
    }
}

#[test]
fn a_regression_after_the_plan_was_made_stops_it_unless_a_person_approved() {
    let mut world = told("HHHHHHHHHH");
    let mut plan = world.plan();
    assert_eq!(plan.mode, Mode::Auto);
    let again = |plan: &_, world: &World| {
        planner::recheck(plan, 0, &world.evidence, &world.options, &world.surroundings, now())
            .map_err(|refusal| refusal.rule)
    };
    assert_eq!(again(&plan, &world), Ok(()));
    did(&mut world, now(), |done| done.verdict = Some(Verdict::Worse));
    assert_eq!(again(&plan, &world), Err("EarnedAutonomy".to_owned()));
    plan.decided_by = Some("ada".into());
    assert_eq!(again(&plan, &world), Ok(()));
}

#[test]
fn without_the_key_the_mode_alone_decides() {
    let mut world = told("WWW");
    world.options.autonomy.enabled = false;
    let plan = world.plan();
    assert_eq!(plan.status, PlanStatus::Approved);
    assert!(plan.safety_constraints.iter().all(|kept| kept.rule != "EarnedAutonomy"));
    assert_eq!(trust(&world).mode, Mode::Auto, "the report tells what is so");
}

#[test]
fn it_is_told_what_comes_next() {
    for (letters, next) in [
        ("I", "one verified success of a plan that a person approved"),
        ("H", "9 more verified successes"),
        ("HHHHHHHHH", "one more verified success"),
        ("HHHHHHHHHH", "nothing; one regression leads back to approve"),
        ("HHHHHHHHHHW", "15 more verified successes"),
    ] {
        assert_eq!(trust(&told(letters)).next, next, "{letters}");
    }
    let mut world = told("HI");
    world.options.autonomy.bound = 1.0;
    assert_eq!(trust(&world).next, "more than 1000 verified successes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the records say and in whatever order they are given.
    #[test]
    fn no_history_raises_a_mode(letters in "[HIWBSAR]{0,40}", mode in 0_usize..3, order in any::<u64>()) {
        let mode = [Mode::Observe, Mode::Propose, Mode::Auto][mode];
        let mut world = told(&letters);
        world.options.mode = mode;
        let plan = world.plan();
        prop_assert!(plan.mode <= mode);
        let turn = (order % 41) as usize % world.evidence.precedents.len().max(1);
        world.evidence.precedents.rotate_left(turn);
        world.evidence.precedents.reverse();
        prop_assert_eq!(world.plan().mode, plan.mode, "the order in which they are read means nothing");
    }
}
