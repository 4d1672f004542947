//! Failures of every kind at any call: every saga ends, within bounds, and never does more than it was told to.

use kubewise_core::Rejection;
use kubewise_core::action::ActionStatus;
use kubewise_core::journal::{Epoch, Outcome};
use kubewise_remediation::saga::{Effect, Report};
use proptest::prelude::*;
use serde_json::json;

use super::world::{Fate, World, autoscaler, cart, evict, notify};
use super::{harms, helping, helps, partly, plan, raise_maximum, roll_back, scale};

/// Recoveries after which a saga whose faults are used up must have ended.
const RECOVERIES: u64 = 40;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Normal),
        2 => Just(Fate::DoneUnanswered),
        2 => Just(Fate::LostUnanswered),
        2 => Just(Fate::RateLimited),
        2 => Just(Fate::Unavailable),
        1 => prop_oneof![
            Just(Rejection::NotFound),
            Just(Rejection::Superseded),
            Just(Rejection::Forbidden),
            Just(Rejection::Invalid),
            Just(Rejection::Conflict),
        ]
        .prop_map(Fate::Rejected),
    ]
}

/// Drives to the end with these fates, a new leader taking up each suspended saga.
fn ends(mut world: World, plan: &kubewise_core::plan::RemediationPlan, fates: &[Fate]) -> World {
    let mut fates = fates.iter().copied();
    for epoch in 1..RECOVERIES {
        let mut saga = world.successor(plan, Epoch(epoch));
        world.drive(&mut saga, |effect| match effect {
            // People can be reached in the end; policy and time do not fail.
            Effect::Check { .. } | Effect::Wait { .. } | Effect::Notify { .. } => Fate::Normal,
            // A journal that keeps its promise does not call its own entry another's.
            Effect::Append(_) => {
                let fate = fates.next().unwrap_or(Fate::Normal);
                let conflict = fate == Fate::Rejected(Rejection::Conflict);
                if conflict { Fate::Rejected(Rejection::Forbidden) } else { fate }
            }
            Effect::Capture { .. }
            | Effect::CheckUndo { .. }
            | Effect::Read { .. }
            | Effect::Perform { .. }
            | Effect::Measure => fates.next().unwrap_or(Fate::Normal),
        });
        if saga.is_finished() {
            return world;
        }
        assert!(saga.suspended().is_some(), "neither finished nor suspended");
    }
    panic!("not ended after {RECOVERIES} recoveries: {:?}", world.entries());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_saga_ends_and_its_end_is_true(
        fates in proptest::collection::vec(fate(), 0..60),
        harmful in any::<bool>(),
    ) {
        let plan = if harmful {
            plan(vec![raise_maximum(), roll_back(), evict()], partly())
        } else {
            helping()
        };
        let world = ends(World::new(if harmful { harms } else { helps }), &plan, &fates);
        let mut counted = world.writes.clone();
        counted.sort();
        counted.dedup();
        prop_assert_eq!(counted.len(), world.writes.len(), "each write at most once: {:?}", world.writes);
        prop_assert_eq!(world.locked().is_empty(), world.outcome() != Some(Outcome::Stuck));
        match world.outcome() {
            Some(Outcome::Aborted) => prop_assert!(world.writes.is_empty(), "{:?}", world.writes),
            Some(Outcome::Succeeded) => {
                prop_assert_eq!(world.field(&cart(), "/spec/replicas"), json!(3));
            }
            Some(Outcome::RolledBack) => {
                prop_assert_eq!(world.field(&cart(), "/spec/image"), json!("v2"));
                prop_assert_eq!(world.field(&autoscaler(), "/spec/maxReplicas"), json!(5));
            }
            Some(Outcome::Stuck) => prop_assert!(!world.notices.is_empty()),
            Some(Outcome::HandedOver) => {}
            None => prop_assert!(world.journal.is_empty() && world.writes.is_empty()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the steps and the failures: the world holds each write against the journal, and ends are counted.
    #[test]
    fn any_plan_ends_and_no_effect_precedes_its_entry(
        steps in proptest::collection::vec(0_usize..5, 0..6),
        fates in proptest::collection::vec(fate(), 0..80),
        harmful in any::<bool>(),
    ) {
        let steps = steps.iter().map(|step| match step {
            0 => scale(),
            1 => raise_maximum(),
            2 => roll_back(),
            3 => evict(),
            _ => notify("look"),
        });
        let plan = plan(steps.collect(), partly());
        let world = ends(World::new(if harmful { harms } else { helps }), &plan, &fates);
        prop_assert!(world.unjournalled.is_empty(), "{:?}", world.unjournalled);
        prop_assert_eq!(world.locked().is_empty(), world.outcome() != Some(Outcome::Stuck));
    }
}

#[test]
fn every_saga_ends_while_one_kind_of_failure_lasts() {
    for lasting in [
        Fate::LostUnanswered,
        Fate::DoneUnanswered,
        Fate::RateLimited,
        Fate::Unavailable,
        Fate::Rejected(Rejection::Superseded),
        Fate::Rejected(Rejection::Invalid),
    ] {
        // The journal works, the cluster does not.
        let mut world = World::new(helps);
        let mut saga = world.successor(&helping(), Epoch(1));
        world.drive(&mut saga, |effect| {
            let cluster = matches!(
                effect,
                Effect::Read { .. } | Effect::Perform { dry_run: false, .. } | Effect::Measure
            );
            if cluster { lasting } else { Fate::Normal }
        });
        assert!(saga.is_finished(), "{lasting:?}: {:?}", saga.suspended());
        // The cluster works, the journal does not: it rests, and nothing was done without it.
        let mut world = World::new(helps);
        let mut saga = world.successor(&helping(), Epoch(1));
        world.drive(
            &mut saga,
            |effect| if matches!(effect, Effect::Append(_)) { lasting } else { Fate::Normal },
        );
        assert!(world.writes.is_empty(), "{lasting:?}");
    }
}

/// The API server's answers to an act, as the adapter classes them, and what is written down of each.
#[test]
fn each_answer_of_the_api_server_to_an_act_ends_in_a_clear_record() {
    for (answer, fate, outcome, status) in [
        ("409", Fate::Rejected(Rejection::Conflict), Outcome::Aborted, ActionStatus::Failed),
        (
            "422, a test failed",
            Fate::Rejected(Rejection::Superseded),
            Outcome::HandedOver,
            ActionStatus::Superseded,
        ),
        ("422, invalid", Fate::Rejected(Rejection::Invalid), Outcome::Aborted, ActionStatus::Failed),
        ("429", Fate::RateLimited, Outcome::Aborted, ActionStatus::Failed),
        ("500, nothing done", Fate::LostUnanswered, Outcome::HandedOver, ActionStatus::Failed),
        ("500, but done", Fate::DoneUnanswered, Outcome::Succeeded, ActionStatus::Succeeded),
        ("refused", Fate::Unavailable, Outcome::Aborted, ActionStatus::Failed),
    ] {
        let mut world = World::new(helps);
        let mut saga = world.successor(&helping(), Epoch(1));
        world.drive(&mut saga, |effect| {
            if matches!(effect, Effect::Perform { dry_run: false, .. }) { fate } else { Fate::Normal }
        });
        assert!(saga.is_finished(), "{answer}: {:?}", saga.suspended());
        assert_eq!(world.outcome(), Some(outcome), "{answer}");
        let mut records = world.reports.iter().filter_map(|report| match report {
            Report::Action(done) => Some(done),
            Report::Story { .. } | Report::Finished { .. } => None,
        });
        let last = records.next_back().unwrap();
        assert_eq!((last.status, last.outcome), (status, Some(outcome)), "{answer}");
        assert!(!last.detail.is_empty() && last.finished_at.is_some(), "{answer}: {last:#?}");
        assert_eq!(world.writes.is_empty(), outcome != Outcome::Succeeded, "{answer}: {:?}", world.writes);
    }
}
