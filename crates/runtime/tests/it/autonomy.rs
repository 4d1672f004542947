//! Autonomy is earned by what people approved and what came of it, kept over restarts, and lost by one regression.

use kubewise_core::autonomy::{AutonomyReport, Level};
use kubewise_core::incident::IncidentStatus;
use kubewise_core::journal::Outcome;
use kubewise_core::plan::{Mode, PlanStatus};
use kubewise_core::port::{Control, Introspection};
use kubewise_core::{Failure, Period};

use crate::pipeline::{OTHERS, Run, Scene, cart, deployment};

const REST: Period = Period::from_mins(15);

/// Two verified successes are enough here, so that a story fits into a test.
fn scene() -> Scene {
    let mut scene = Scene::new(Mode::Auto);
    scene.policy.autonomy.enabled = true;
    scene.policy.autonomy.minimum = 2;
    scene.policy.autonomy.bound = 0.3;
    scene
}

fn report(scene: &mut Scene, run: &Run) -> AutonomyReport {
    let (handle, limit) = (run.handle.clone(), Period::from_secs(1).after(scene.world.now()));
    let report: Result<_, Failure> =
        scene.simulation.complete(limit, async move { handle.autonomy().await }).unwrap();
    report.unwrap()
}

fn level(scene: &mut Scene, run: &Run) -> Level {
    let items = report(scene, run).items;
    let [item] = items.try_into().unwrap();
    assert_eq!((&item.action[..], item.class.to_string().as_str()), ("RolloutUndo", "Deployment in shop"));
    item.level
}

/// A service crashes after a release; a person approves what is proposed, and it helps.
fn approved(scene: &mut Scene, run: &Run, name: &str) {
    scene.release(&deployment(name), "2-crash");
    scene.until_status(IncidentStatus::Proposed);
    let plan = scene.plans().into_iter().find(|plan| plan.status == PlanStatus::Proposed).unwrap().id;
    let (handle, limit) = (run.handle.clone(), Period::from_secs(1).after(scene.world.now()));
    scene.simulation.complete(limit, async move { handle.approve(&plan, "ada").await }).unwrap().unwrap();
    scene.pass(REST);
    assert_eq!(scene.image(&deployment(name)), format!("shop/{name}:1"));
}

#[test]
fn two_approved_successes_are_kept_over_a_restart_and_then_it_acts_by_itself() {
    let mut scene = scene();
    let run = scene.start("first");
    scene.pass(Period::from_mins(5));
    assert_eq!(report(&mut scene, &run).items, [], "nothing was done, so nothing is known");
    approved(&mut scene, &run, OTHERS[0]);
    assert_eq!(level(&mut scene, &run), Level::Approve);
    approved(&mut scene, &run, OTHERS[1]);
    assert_eq!(level(&mut scene, &run), Level::Auto);
    assert!(scene.actions().iter().all(|done| done.outcome == Some(Outcome::Succeeded)));

    scene.simulation.kill();
    let second = scene.start("second");
    scene.pass(Period::from_mins(5));
    scene.release(&cart(), "2-crash");
    scene.pass(REST);
    assert_eq!(scene.image(&cart()), "shop/cart:1", "nobody had to approve");
    let plan = scene.plans().into_iter().find(|plan| plan.workload == cart()).unwrap();
    assert_eq!((plan.status, plan.mode, plan.decided_by), (PlanStatus::Succeeded, Mode::Auto, None));
    assert_eq!(level(&mut scene, &second), Level::Auto);
}

#[test]
fn who_puts_a_repair_back_is_asked_the_next_time() {
    let mut scene = scene();
    scene.policy.cooldown = Period::from_mins(1);
    let run = scene.start("first");
    scene.pass(Period::from_mins(5));
    for name in [OTHERS[0], OTHERS[1]] {
        approved(&mut scene, &run, name);
    }
    // It acts by itself now; the same release comes again, and is undone again.
    scene.release(&cart(), "2-crash");
    scene.pass(REST);
    scene.release(&cart(), "2-crash");
    scene.pass(REST);
    assert_eq!(scene.image(&cart()), "shop/cart:1");
    assert_eq!(level(&mut scene, &run), Level::Approve, "somebody did not want what it had done");
    scene.release(&deployment(OTHERS[2]), "2-crash");
    scene.until_status(IncidentStatus::Proposed);
    assert_eq!(scene.image(&deployment(OTHERS[2])), format!("shop/{}:2-crash", OTHERS[2]));
}

#[test]
fn what_was_earned_opens_nothing_that_the_mode_forbids() {
    let mut scene = scene();
    let run = scene.start("first");
    scene.pass(Period::from_mins(5));
    for name in [OTHERS[0], OTHERS[1]] {
        approved(&mut scene, &run, name);
    }
    scene.simulation.kill();
    scene.policy.mode = Mode::Observe;
    let second = scene.start("second");
    scene.pass(Period::from_mins(5));
    let before = scene.world.writes().len();
    scene.release(&cart(), "2-crash");
    scene.pass(REST);
    assert_eq!(scene.world.writes().len(), before, "no patch, no Event");
    let [item] = report(&mut scene, &second).items.try_into().unwrap();
    assert_eq!((item.level, item.mode), (Level::Auto, Mode::Observe));
}
