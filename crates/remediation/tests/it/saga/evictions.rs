//! Many evictions one after the other, as from a node that is emptied, and objects under new names.

use kubewise_core::guard::Guards;
use kubewise_core::journal::{Epoch, Outcome};
use kubewise_core::request::ClusterRequest;
use kubewise_remediation::saga::{Effect, Forbidden, Input, Saga};
use serde_json::json;

use super::world::{Fate, World, create, drain, plan};
use super::{helps, partly, roll_back, scale};

#[test]
fn evictions_wait_for_a_budget_and_hand_over_when_it_never_gives_way() {
    let draining = || plan([vec![roll_back()], drain()].concat(), partly());
    let busy = |effect: &Effect, times: &mut u32| {
        let evicts = matches!(effect, Effect::Perform { request: ClusterRequest::Evict { .. }, .. });
        let refused = evicts && *times > 0;
        *times -= u32::from(refused);
        if refused { Fate::RateLimited } else { Fate::Normal }
    };
    let mut world = World::new(helps);
    let mut saga = Saga::open(draining(), Guards::default(), Epoch(1), world.now);
    let mut times = 5;
    world.drive(&mut saga, |effect| busy(effect, &mut times));
    let evicted = |world: &World| world.writes.iter().filter(|write| write.starts_with("evict")).count();
    assert_eq!(evicted(&world), 3, "{:?}", world.writes);
    let mut world = World::new(helps);
    let mut saga = Saga::open(draining(), Guards::default(), Epoch(1), world.now);
    let mut times = u32::MAX;
    world.drive(&mut saga, |effect| busy(effect, &mut times));
    assert_eq!((world.outcome(), evicted(&world)), (Some(Outcome::HandedOver), 0));
}

#[test]
fn an_eviction_waits_while_policy_says_not_now_and_not_when_it_says_never() {
    for (temporary, outcome) in [(true, 3), (false, 0)] {
        let mut world = World::new(helps);
        let plan = plan([vec![roll_back()], drain()].concat(), partly());
        let mut saga = Saga::open(plan, Guards::default(), Epoch(1), world.now);
        let mut told = 0;
        for _ in 0..400 {
            let Some(effect) = saga.poll_effect() else { break };
            let not_now = matches!(effect, Effect::Check { step: 1 }) && told < 3;
            told += u32::from(not_now);
            let input = if not_now {
                Input::Checked(Err(Forbidden { finding: "DisruptionBudget: none left".into(), temporary }))
            } else {
                world.perform(&effect, Fate::Normal)
            };
            saga.handle(input, world.now);
        }
        let evicted = world.writes.iter().filter(|write| write.starts_with("evict")).count();
        assert_eq!(evicted, outcome, "{:?}", world.entries());
    }
}

#[test]
fn a_pod_that_went_by_itself_is_no_reason_to_stop_the_evictions() {
    let mut world = World::new(helps);
    let gone = drain()[1].operation.writes().unwrap().clone();
    world.objects.remove(&gone);
    world.run(plan([vec![scale()], drain()].concat(), partly()));
    let evicted = world.writes.iter().filter(|write| write.starts_with("evict")).count();
    assert_eq!((evicted, world.outcome()), (2, Some(Outcome::Succeeded)));
}

#[test]
fn what_somebody_else_made_under_the_name_is_not_taken_for_ours() {
    let mut world = World::new(helps);
    let object = create().operation.writes().unwrap().clone();
    let mut saga =
        Saga::open(plan(vec![roll_back(), create()], partly()), Guards::default(), Epoch(1), world.now);
    let mut made = false;
    for _ in 0..400 {
        let Some(effect) = saga.poll_effect() else { break };
        let creates =
            matches!(&effect, Effect::Perform { request: ClusterRequest::Create { .. }, dry_run: false });
        if creates && !made {
            made = true;
            let theirs = json!({ "kind": "Job", "metadata": { "name": "cart-retry", "uid": "theirs" } });
            world.objects.insert(object.clone(), theirs);
        }
        let input = world.perform(&effect, Fate::Normal);
        saga.handle(input, world.now);
    }
    assert!(made);
    assert_eq!(world.outcome(), Some(Outcome::HandedOver));
    assert_eq!(world.field(&object, "/metadata/uid"), json!("theirs"));
}

#[test]
fn what_a_step_takes_down_is_saved_before_and_nothing_goes_without() {
    let mut world = World::new(helps);
    world.run(plan([vec![roll_back()], drain()].concat(), partly()));
    assert_eq!(world.captured, [0, 1, 2, 3], "before the template and before each pod");
    let mut world = World::new(helps);
    let mut saga = Saga::open(plan(drain(), partly()), Guards::default(), Epoch(1), world.now);
    let mut times = 3;
    world.drive(&mut saga, |effect| {
        let refused = matches!(effect, Effect::Capture { step: 0 }) && times > 0;
        times -= u32::from(refused);
        if refused { Fate::Unavailable } else { Fate::Normal }
    });
    assert_eq!(world.writes.len(), 3, "a store that comes back is waited for: {:?}", world.entries());
    let mut world = World::new(helps);
    let mut saga = Saga::open(plan(drain(), partly()), Guards::default(), Epoch(1), world.now);
    world.drive(&mut saga, |effect| {
        if matches!(effect, Effect::Capture { .. }) { Fate::Unavailable } else { Fate::Normal }
    });
    assert_eq!((world.outcome(), world.writes.len()), (Some(Outcome::Aborted), 0));
}
