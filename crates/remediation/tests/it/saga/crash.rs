//! The process dies at every effect, done or not, once and twice, while somebody else may change the object; a
//! new leader takes the saga up from the journal.

use kubewise_core::ObjectRef;
use kubewise_core::action::ExecutedActionRecord;
use kubewise_core::id::ActionId;
use kubewise_core::journal::{Epoch, Outcome};
use kubewise_core::plan::{Operation, RemediationPlan};
use kubewise_core::request::{ClusterRequest, FENCE_ANNOTATION};
use kubewise_remediation::saga::{Effect, Report};
use serde_json::{Value, json};

use super::world::{Fate, Health, World, autoscaler, create, drain, evict, pod};
use super::{harming, harms, helping, helps, partly, plan, raise_maximum, roll_back};

/// A field that no plan here writes.
const OTHER: &str = "/spec/paused";

/// What somebody else does while nobody leads.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meddling {
    Nobody,
    /// A field that the plan writes.
    SameField(ObjectRef, String),
    OtherField(ObjectRef),
    /// Another object of the name, be it that ours was there or not yet.
    Recreated(ObjectRef),
    /// Objects and fence are left, but another leader came and went.
    Leader(ObjectRef),
}

impl Meddling {
    /// Everything that may be done to any object of a plan.
    fn with(plan: &RemediationPlan) -> Vec<Meddling> {
        let mut all = vec![Meddling::Nobody];
        for step in &plan.actions {
            match &step.operation {
                Operation::Write { object, changes, .. } => all.extend([
                    Meddling::SameField(object.clone(), changes[0].path.clone()),
                    Meddling::OtherField(object.clone()),
                    Meddling::Recreated(object.clone()),
                    Meddling::Leader(object.clone()),
                ]),
                Operation::Evict { pod: object, .. } | Operation::Create { object, .. } => {
                    all.push(Meddling::Recreated(object.clone()));
                }
                Operation::Notify { .. } => {}
            }
        }
        all
    }
}

struct Scenario {
    plan: RemediationPlan,
    health: Health,
}

fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario { plan: helping(), health: helps },
        Scenario { plan: harming(), health: harms },
        Scenario {
            plan: plan(vec![raise_maximum(), roll_back(), evict()], partly()),
            health: |world| {
                if world.objects.contains_key(&pod()) { partly() } else { super::indicators(3, 3) }
            },
        },
        Scenario { plan: plan(vec![raise_maximum(), roll_back()], partly()), health: harms },
        Scenario { plan: plan([vec![roll_back()], drain()].concat(), partly()), health: helps },
        Scenario { plan: plan(vec![roll_back(), create()], partly()), health: helps },
    ]
}

/// Runs until effect `at`, which is done or not, and then the process is gone. False if it ended before.
fn run_until(world: &mut World, plan: &RemediationPlan, epoch: Epoch, at: usize, done: bool) -> bool {
    let mut saga = world.successor(plan, epoch);
    for index in 0.. {
        world.reports.extend(saga.take_reports());
        let Some(effect) = saga.poll_effect() else { return false };
        if index == at {
            world.perform(&effect, if done { Fate::Normal } else { Fate::LostUnanswered });
            return true;
        }
        let input = world.perform(&effect, Fate::Normal);
        saga.handle(input, world.now);
    }
    false
}

fn undisturbed(scenario: &Scenario) -> World {
    let mut world = World::new(scenario.health);
    world.run(scenario.plan.clone());
    world
}

fn assert_ended_alike(world: &World, reference: &World, case: &str) {
    assert_eq!(world.outcome(), reference.outcome(), "{case}: {:?}", world.entries());
    assert_eq!(world.writes, reference.writes, "{case}: each action once, none lost");
    assert!(world.locked().is_empty(), "{case}");
}

#[test]
fn a_crash_anywhere_ends_as_if_there_had_been_none() {
    for scenario in scenarios() {
        let reference = undisturbed(&scenario);
        for done in [true, false] {
            for at in 0.. {
                let mut world = World::new(scenario.health);
                if !run_until(&mut world, &scenario.plan, Epoch(1), at, done) {
                    break;
                }
                world.recover(&scenario.plan, Epoch(2));
                assert_ended_alike(&world, &reference, &format!("at {at}, done {done}"));
            }
        }
    }
}

#[test]
fn a_second_crash_during_recovery_changes_nothing() {
    for scenario in scenarios() {
        let reference = undisturbed(&scenario);
        for (first_done, second_done) in [(true, true), (true, false), (false, true), (false, false)] {
            for first in 0.. {
                let mut before = World::new(scenario.health);
                if !run_until(&mut before, &scenario.plan, Epoch(1), first, first_done) {
                    break;
                }
                for second in 0.. {
                    let mut world = before.clone();
                    if !run_until(&mut world, &scenario.plan, Epoch(2), second, second_done) {
                        break;
                    }
                    world.recover(&scenario.plan, Epoch(3));
                    assert_ended_alike(&world, &reference, &format!("at {first} and {second}"));
                }
            }
        }
    }
}

/// Every effect of every scenario, done or not, then each meddling; and for each of these the process that takes over
/// may die at any of its own first effects, too.
#[test]
fn a_thousand_crash_points_do_nothing_twice_lose_nothing_and_overwrite_nobody() {
    let mut points = 0;
    for (number, scenario) in scenarios().into_iter().enumerate() {
        let reference = undisturbed(&scenario);
        for done in [true, false] {
            for at in 0.. {
                let mut before = World::new(scenario.health);
                if !run_until(&mut before, &scenario.plan, Epoch(1), at, done) {
                    break;
                }
                for meddling in Meddling::with(&scenario.plan) {
                    let mut meddled = before.clone();
                    meddle(&mut meddled, &meddling);
                    for second in [None, Some(0), Some(1), Some(2)] {
                        let mut world = meddled.clone();
                        if let Some(second) = second
                            && !run_until(&mut world, &scenario.plan, Epoch(3), second, done)
                        {
                            break;
                        }
                        points += 1;
                        let case =
                            format!("scenario {number}, {meddling:?} at {at} and {second:?}, done {done}");
                        world.recover(&scenario.plan, Epoch(4));
                        assert_kept(&world, &meddled, &reference, &meddling, &case);
                    }
                }
            }
        }
    }
    assert!(points >= 1_000, "only {points} crash points");
}

/// What others did stands, and of ours everything was done once.
fn assert_kept(world: &World, meddled: &World, reference: &World, meddling: &Meddling, case: &str) {
    assert!(world.locked().is_empty(), "{case}: {:?}", world.entries());
    let mut writes = world.writes.clone();
    writes.sort();
    let count = writes.len();
    writes.dedup();
    assert_eq!(writes.len(), count, "{case}: twice: {:?}", world.writes);
    match meddling {
        Meddling::Nobody | Meddling::Leader(_) => assert_ended_alike(world, reference, case),
        Meddling::SameField(object, field) => assert_eq!(world.field(object, field), by_hand(), "{case}"),
        Meddling::OtherField(object) => {
            assert_eq!(world.field(object, OTHER), by_hand(), "{case}");
            assert_ended_alike(world, reference, case);
        }
        Meddling::Recreated(object) => {
            assert_eq!(world.objects.get(object), meddled.objects.get(object), "{case}: not ours any more");
        }
    }
}

fn by_hand() -> Value {
    json!(7)
}

fn meddle(world: &mut World, meddling: &Meddling) {
    match meddling {
        Meddling::Nobody => {}
        // It fenced the object, and did no more.
        Meddling::Leader(object) => {
            if let Some(found) = world.objects.get_mut(object) {
                found["metadata"]["annotations"][FENCE_ANNOTATION] = json!("2");
            }
        }
        Meddling::SameField(object, field) => world.edit(object, field, by_hand()),
        Meddling::OtherField(object) => world.edit(object, OTHER, by_hand()),
        Meddling::Recreated(object) => world.recreate(object),
    }
}

/// The old leader is only paused: its write is under way and arrives at any later moment.
#[test]
fn a_late_write_of_the_old_leader_never_doubles_or_revives_an_action() {
    for scenario in scenarios() {
        let reference = undisturbed(&scenario);
        for nth in 0.. {
            let mut before = World::new(scenario.health);
            let Some(late) = held_back(&mut before, &scenario.plan, nth) else { break };
            for arrival in 0.. {
                let mut world = before.clone();
                let ended = !arrives(&mut world, &scenario.plan, &late, arrival);
                let case = format!("write {nth} arrives before effect {arrival}");
                assert_eq!(world.outcome(), reference.outcome(), "{case}");
                assert_eq!(world.writes, reference.writes, "{case}");
                if ended {
                    break;
                }
            }
        }
    }
}

/// Runs until the `nth` write is sent, and holds it back.
fn held_back(world: &mut World, plan: &RemediationPlan, nth: usize) -> Option<ClusterRequest> {
    let mut saga = world.successor(plan, Epoch(1));
    let mut sent = 0;
    loop {
        let effect = saga.poll_effect()?;
        if let Effect::Perform { request, dry_run: false } = &effect {
            if sent == nth {
                return Some(request.clone());
            }
            sent += 1;
        }
        let input = world.perform(&effect, Fate::Normal);
        saga.handle(input, world.now);
    }
}

/// The new leader goes on while the write arrives before its effect `arrival`, at the latest after its end.
fn arrives(world: &mut World, plan: &RemediationPlan, late: &ClusterRequest, arrival: usize) -> bool {
    let mut saga = world.successor(plan, Epoch(2));
    let mut index = 0;
    while let Some(effect) = saga.poll_effect() {
        if index == arrival {
            let _ = world.apply(late, false);
        }
        let input = world.perform(&effect, Fate::Normal);
        saga.handle(input, world.now);
        index += 1;
    }
    if index <= arrival {
        let _ = world.apply(late, false);
    }
    index > arrival
}

#[test]
fn records_after_a_crash_are_the_same_records() {
    let scenario = &scenarios()[3];
    let reference = undisturbed(scenario);
    let settled = |reports: &[Report]| {
        let mut records: Vec<(ActionId, ExecutedActionRecord)> = Vec::new();
        for report in reports {
            if let Report::Action(action) = report {
                records.retain(|(id, _)| *id != action.id);
                records.push((action.id.clone(), (**action).clone()));
            }
        }
        records.sort_by(|one, other| one.0.cmp(&other.0));
        records.into_iter().map(|(id, record)| (id, record.status, record.verdict)).collect::<Vec<_>>()
    };
    for at in 0.. {
        let mut world = World::new(scenario.health);
        if !run_until(&mut world, &scenario.plan, Epoch(1), at, true) {
            break;
        }
        world.reports.clear(); // what was told was not yet saved
        world.recover(&scenario.plan, Epoch(2));
        assert_eq!(settled(&world.reports), settled(&reference.reports), "crash at {at}");
    }
}

#[test]
fn a_story_that_lost_its_end_can_be_completed() {
    let scenario = &scenarios()[3];
    let reference = undisturbed(scenario);
    let told = reference.stories();
    for at in 0.. {
        let mut world = World::new(scenario.health);
        if !run_until(&mut world, &scenario.plan, Epoch(1), at, true) {
            break;
        }
        let mut saga = world.successor(&scenario.plan, Epoch(2));
        let past: Vec<String> = saga.past().iter().map(|entry| entry.text.clone()).collect();
        world.reports.clear();
        world.drive(&mut saga, |_| Fate::Normal);
        let mut whole: Vec<&str> = past.iter().map(String::as_str).collect();
        whole.extend(world.stories().iter().filter(|text| !text.starts_with("taken up again")));
        let plain = |text: &&str| text.replace(" (found done when it was read back)", "");
        let acts = |story: &[&str]| -> Vec<String> {
            story.iter().filter(|text| !text.contains("ly: ")).map(plain).collect()
        };
        assert_eq!(acts(&whole), acts(&told), "crash at {at}");
    }
}

#[test]
fn an_evicted_pod_is_recognised_by_its_uid() {
    let plan = plan(vec![evict()], partly());
    let mut world = World::new(|_| super::indicators(3, 3));
    let late = held_back(&mut world, &plan, 0).unwrap();
    world.apply(&late, false).unwrap();
    // Its controller makes a pod of the same name, as a StatefulSet does.
    let cart = world.objects[&autoscaler()].clone();
    world.objects.insert(pod(), cart);
    world.recover(&plan, Epoch(2));
    assert_eq!(world.outcome(), Some(Outcome::Succeeded));
    assert_eq!(world.writes, ["evict Pod shop/cart-1"]);
}
