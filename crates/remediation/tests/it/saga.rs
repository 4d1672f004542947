//! The rules of the saga, each with the fault that it guards against.

mod crash;
mod evictions;
mod faults;
#[cfg(feature = "guard-mutation")]
mod guards;
mod world;

use jiff::SignedDuration;
use kubewise_core::action::{ActionStatus, Direction, ExecutedActionRecord};
use kubewise_core::guard::Guards;
use kubewise_core::journal::{BeforeImage, Epoch, JournalBody, JournalEntry, Outcome, VerificationPhase};
use kubewise_core::plan::{FieldChange, Indicators, Operation, PlanStep, RemediationPlan, Verdict};
use kubewise_core::request::{ClusterRequest, FENCE_ANNOTATION};
use kubewise_core::{Failure, Period, Rejection, Timestamp};
use kubewise_remediation::saga::{Corrupt, Effect, Input, Report, Saga, guarded_patch};
use serde_json::json;

use world::{Fate, World, autoscaler, cart, evict, forbidden, indicators, notify, plan, start, write};

/// Well as soon as three replicas are wanted.
fn helps(world: &World) -> Indicators {
    let wanted = world.field(&cart(), "/spec/replicas").as_u64().unwrap() as u32;
    indicators(wanted, wanted)
}

fn never_better(world: &World) -> Indicators {
    Indicators { available: 0, failing: vec!["cart-1/app: CrashLoopBackOff".into()], ..helps(world) }
}

/// Two of three serve, until the image is put back: then none does.
fn harms(world: &World) -> Indicators {
    if world.field(&cart(), "/spec/image") == json!("v1") { indicators(3, 0) } else { partly() }
}

fn partly() -> Indicators {
    Indicators { failing: vec!["cart-3/app: CrashLoopBackOff".into()], ..indicators(3, 2) }
}

fn scale() -> PlanStep {
    write(cart(), &[("/spec/replicas", json!(0), json!(3))])
}

fn roll_back() -> PlanStep {
    write(cart(), &[("/spec/image", json!("v2"), json!("v1"))])
}

fn raise_maximum() -> PlanStep {
    write(autoscaler(), &[("/spec/maxReplicas", json!(5), json!(8))])
}

fn helping() -> RemediationPlan {
    plan(vec![scale()], indicators(0, 0))
}

fn harming() -> RemediationPlan {
    plan(vec![roll_back()], partly())
}

fn last_reason(world: &World) -> String {
    let Some(JournalBody::Closed { reason, .. }) = world.journal.last().map(|entry| &entry.body) else {
        panic!("not closed: {:?}", world.entries())
    };
    reason.clone()
}

fn actions(reports: &[Report]) -> Vec<&ExecutedActionRecord> {
    reports
        .iter()
        .filter_map(|report| if let Report::Action(action) = report { Some(&**action) } else { None })
        .collect()
}

#[test]
fn a_repair_is_journalled_verified_and_told() {
    let mut world = World::new(helps);
    world.run(helping());
    assert_eq!(
        world.entries(),
        ["Opened", "Prepared", "Started", "Succeeded", "Verified", "Verified", "Closed"]
    );
    assert_eq!(world.outcome(), Some(Outcome::Succeeded));
    assert_eq!(world.writes, ["/spec/replicas = 3"]);
    assert_eq!(world.field(&cart(), "/metadata/annotations")[FENCE_ANNOTATION], json!("1"));
    assert_eq!(world.stories()[0], "set /spec/replicas from 0 to 3 on Deployment shop/cart");
    let records = actions(&world.reports);
    let last = records.last().unwrap();
    assert!(records.iter().all(|record| record.id == last.id), "one record, told again as it changes");
    assert_eq!((last.status, last.direction), (ActionStatus::Succeeded, Direction::Act));
    assert_eq!(last.verdict, Some(Verdict::Improved));
    assert!(last.finished_at.is_some());
    assert_eq!(last.changes[0].after, Some(json!(3)));
    assert!(matches!(world.reports.last(), Some(Report::Finished { outcome: Outcome::Succeeded, .. })));
}

#[test]
fn opening_takes_the_lock_of_every_object_that_is_written() {
    let saga = Saga::open(
        plan(vec![scale(), raise_maximum(), notify("done")], partly()),
        Guards::default(),
        Epoch(1),
        start(),
    );
    assert_eq!(saga.locks(), [cart(), autoscaler()]);
}

#[test]
fn without_the_locks_nothing_is_done() {
    let mut world = World::new(helps);
    let mut saga = Saga::open(helping(), Guards::default(), Epoch(1), world.now);
    world.drive(&mut saga, |_| Fate::Rejected(Rejection::Conflict));
    assert!(saga.is_finished());
    assert!(matches!(world.reports[..], [Report::Finished { outcome: Outcome::Aborted, .. }]));
    assert!(world.journal.is_empty() && world.writes.is_empty());
}

#[test]
fn what_policy_forbids_just_before_the_act_is_not_done() {
    let mut world = World { forbidden: Some(forbidden("Freeze: until Monday")), ..World::new(helps) };
    world.run(helping());
    assert_eq!(world.outcome(), Some(Outcome::Aborted));
    assert!(last_reason(&world).contains("until Monday"));
    assert!(world.writes.is_empty());
}

#[test]
fn a_repair_that_does_not_help_is_kept_and_handed_over() {
    let mut world = World::new(never_better);
    world.run(helping());
    assert_eq!(world.outcome(), Some(Outcome::HandedOver));
    assert_eq!(world.writes, ["/spec/replicas = 3"]);
    assert_eq!(actions(&world.reports).last().unwrap().verdict, Some(Verdict::Inconclusive));
}

#[test]
fn a_repair_that_harms_is_undone() {
    let mut world = World::new(harms);
    world.run(harming());
    assert_eq!(world.outcome(), Some(Outcome::RolledBack));
    assert_eq!(world.writes, [r#"/spec/image = "v1""#, r#"/spec/image = "v2""#]);
    let records = actions(&world.reports);
    let undo = records.last().unwrap();
    assert_eq!((undo.direction, undo.status), (Direction::Undo, ActionStatus::Succeeded));
    assert_ne!(undo.id, records[0].id);
}

#[test]
fn harm_is_undone_also_in_a_freeze_and_a_pause() {
    let mut world = World::new(harms);
    let mut saga = world.successor(&harming(), Epoch(1));
    while world.entries().last() != Some(&"Succeeded") {
        let effect = saga.poll_effect().unwrap();
        let input = world.perform(&effect, Fate::Normal);
        saga.handle(input, world.now);
    }
    world.forbidden = Some(forbidden("Pause: by a person"));
    world.drive(&mut saga, |_| Fate::Normal);
    assert_eq!(world.outcome(), Some(Outcome::RolledBack));
    assert_eq!(world.field(&cart(), "/spec/image"), json!("v2"));
}

#[test]
fn harm_is_undone_newest_first_and_what_cannot_be_undone_is_told() {
    let mut world = World::new(harms);
    world.run(plan(vec![raise_maximum(), roll_back(), evict()], partly()));
    assert_eq!(
        world.writes,
        [
            "/spec/maxReplicas = 8",
            r#"/spec/image = "v1""#,
            "evict Pod shop/cart-1",
            r#"/spec/image = "v2""#,
            "/spec/maxReplicas = 5",
        ]
    );
    assert_eq!(world.outcome(), Some(Outcome::HandedOver));
    assert!(last_reason(&world).contains("step 3 stays: it cannot be undone"));
}

#[test]
fn an_edit_between_act_and_undo_is_kept() {
    let mut world = World::new(|world| {
        if world.field(&cart(), "/spec/image") == json!("v2") { partly() } else { indicators(3, 0) }
    });
    let mut saga = Saga::open(harming(), Guards::default(), Epoch(1), world.now);
    while world.entries().last() != Some(&"Succeeded") {
        let effect = saga.poll_effect().unwrap();
        let input = world.perform(&effect, Fate::Normal);
        saga.handle(input, world.now);
    }
    world.edit(&cart(), "/spec/image", json!("hotfix"));
    world.drive(&mut saga, |_| Fate::Normal);
    assert_eq!(world.field(&cart(), "/spec/image"), json!("hotfix"));
    assert_eq!(world.outcome(), Some(Outcome::HandedOver));
    assert!(last_reason(&world).contains("Superseded"), "{}", last_reason(&world));
    assert_eq!(actions(&world.reports).last().unwrap().status, ActionStatus::Superseded);
}

#[test]
fn undo_spares_the_field_that_was_edited_and_puts_back_the_others() {
    let both = write(
        cart(),
        &[("/spec/image", json!("v2"), json!("v1")), ("/spec/paused", json!(false), json!(true))],
    );
    let mut world = World::new(harms);
    let mut saga = Saga::open(plan(vec![both], partly()), Guards::default(), Epoch(1), world.now);
    while world.entries().last() != Some(&"UndoStarted") {
        let effect = saga.poll_effect().unwrap();
        let input = world.perform(&effect, Fate::Normal);
        saga.handle(input, world.now);
    }
    world.edit(&cart(), "/spec/paused", json!("by hand"));
    world.drive(&mut saga, |_| Fate::Normal);
    assert_eq!(world.field(&cart(), "/spec/image"), json!("v2"));
    assert_eq!(world.field(&cart(), "/spec/paused"), json!("by hand"));
    assert_eq!(world.outcome(), Some(Outcome::HandedOver));
}

#[test]
fn without_samples_after_the_act_nothing_is_called_repaired() {
    // Ceased before the act, just after the provisional verdict, and within the settle time.
    for (seconds, settle, verified) in [(-1, 60, 1), (31, 60, 2), (31, 200, 2), (40, 200, 2)] {
        let until = start() + SignedDuration::from_secs(seconds);
        let mut world = World { telemetry_until: Some(until), ..World::new(helps) };
        let mut helping = helping();
        helping.verification.settle = Period::from_secs(settle);
        world.run(helping);
        assert_eq!(world.outcome(), Some(Outcome::HandedOver), "samples until {seconds} s");
        let verdicts = world.entries().iter().filter(|entry| **entry == "Verified").count();
        assert_eq!(verdicts, verified, "samples until {seconds} s");
    }
}

#[test]
fn trouble_that_comes_back_within_the_settle_time_is_not_repaired() {
    let mut world = World::new(|world| {
        let age = Period::between(start(), world.now).as_duration().as_secs();
        if (age / 45).is_multiple_of(2) { helps(world) } else { never_better(world) }
    });
    world.run(helping());
    assert_eq!(world.outcome(), Some(Outcome::HandedOver));
    assert_eq!(world.writes.len(), 1, "kept: no harm was done");
}

#[test]
fn an_edit_before_the_act_stops_it() {
    for (value, told) in [(json!(7), "the plan rests on 0"), (json!(3), "changed /spec/replicas to 3")] {
        let mut world = World::new(helps);
        world.edit(&cart(), "/spec/replicas", value.clone());
        world.run(helping());
        assert_eq!(world.outcome(), Some(Outcome::Aborted));
        assert!(last_reason(&world).contains(told), "{}", last_reason(&world));
        assert_eq!(world.field(&cart(), "/spec/replicas"), value);
        assert!(world.writes.is_empty());
    }
}

#[test]
fn a_failed_step_unwinds_those_before_it_unless_they_replaced_what_was_failing() {
    let nothing = write(cart(), &[("/spec/image", json!("v2"), json!("v1"))]);
    let run = |first: PlanStep| {
        let mut world = World::new(harms);
        let mut saga =
            Saga::open(plan(vec![first, nothing.clone()], partly()), Guards::default(), Epoch(1), world.now);
        let mut writes = 0;
        world.drive(&mut saga, |effect| {
            writes += usize::from(matches!(effect, Effect::Perform { dry_run: false, .. }));
            let second = matches!(effect, Effect::Perform { dry_run: false, .. }) && writes == 2;
            if second { Fate::Rejected(Rejection::Invalid) } else { Fate::Normal }
        });
        world
    };
    let world = run(raise_maximum());
    assert_eq!(world.outcome(), Some(Outcome::RolledBack));
    assert_eq!(world.field(&autoscaler(), "/spec/maxReplicas"), json!(5));
    let world = run(scale());
    assert_eq!(world.outcome(), Some(Outcome::HandedOver), "{:?}", world.entries());
    assert_eq!(world.field(&cart(), "/spec/replicas"), json!(3), "not put back");
}

#[test]
fn an_undo_that_fails_holds_the_locks_and_calls_a_person() {
    let mut world = World::new(harms);
    let mut saga = Saga::open(harming(), Guards::default(), Epoch(1), world.now);
    let mut writes = 0;
    world.drive(&mut saga, |effect| {
        writes += usize::from(matches!(effect, Effect::Perform { dry_run: false, .. }));
        let undo = matches!(effect, Effect::Perform { .. }) && writes == 2;
        if undo { Fate::Rejected(Rejection::Forbidden) } else { Fate::Normal }
    });
    assert_eq!(world.outcome(), Some(Outcome::Stuck));
    assert_eq!(world.locked(), [cart()]);
    assert_eq!(world.notices.len(), 1);
    assert!(Saga::replay(&world.journal, Guards::default(), Epoch(2), world.now).unwrap().is_finished());

    // Until a person has seen to it.
    let (incident, now) = (harming().incident, world.now);
    let release = |entries: &[JournalEntry]| Saga::release(entries, &incident, Epoch(2), "by ada", now);
    assert_eq!(Saga::release(&world.journal, &"another".into(), Epoch(2), "by ada", now), None);
    assert_eq!(release(&world.journal[..3]), None, "it is not stuck yet");
    world.journal.push(release(&world.journal).unwrap());
    assert!(world.locked().is_empty());
    assert_eq!(release(&world.journal), None, "once");
    assert!(Saga::replay(&world.journal, Guards::default(), Epoch(3), now).unwrap().is_finished());
}

#[test]
fn an_unanswered_act_is_read_back_and_never_done_twice() {
    for (fate, attempts) in [(Fate::DoneUnanswered, 1), (Fate::LostUnanswered, 2)] {
        let mut world = World::new(helps);
        let mut saga = Saga::open(helping(), Guards::default(), Epoch(1), world.now);
        let mut first = true;
        world.drive(&mut saga, |effect| {
            let act = matches!(effect, Effect::Perform { dry_run: false, .. });
            if act && std::mem::take(&mut first) { fate } else { Fate::Normal }
        });
        assert_eq!(world.outcome(), Some(Outcome::Succeeded));
        assert_eq!(world.writes, ["/spec/replicas = 3"]);
        let started = world.entries().iter().filter(|entry| **entry == "Started").count();
        assert_eq!(started, attempts, "{fate:?}");
    }
}

#[test]
fn a_newer_leaders_fence_stops_an_older_saga() {
    let mut world = World::new(helps);
    world.edit(&cart(), "/metadata/annotations", json!({ FENCE_ANNOTATION: "9" }));
    let mut saga = Saga::open(helping(), Guards::default(), Epoch(1), world.now);
    world.drive(&mut saga, |_| Fate::Normal);
    assert!(saga.suspended().is_some_and(|reason| reason.contains("newer leader")));
    assert!(!saga.is_finished() && world.writes.is_empty());
}

#[test]
fn a_paused_old_leaders_late_write_is_rejected() {
    let mut world = World::new(helps);
    let mut old = Saga::open(helping(), Guards::default(), Epoch(1), world.now);
    let late = loop {
        let effect = old.poll_effect().unwrap();
        if let Effect::Perform { request, dry_run: false } = &effect {
            break request.clone();
        }
        let input = world.perform(&effect, Fate::Normal);
        old.handle(input, world.now);
    };
    // The new leader raises the fence first; then policy forbids the act, and the saga ends without it.
    world.forbidden = Some(forbidden("Pause: by a person"));
    world.recover(&helping(), Epoch(2));
    assert_eq!(world.outcome(), Some(Outcome::Aborted));
    let answer = world.apply(&late, false);
    assert!(answer.is_err_and(|failure| failure.is(Rejection::Superseded)));
    assert!(world.writes.is_empty());
}

#[test]
fn an_old_plan_is_not_begun_after_a_long_outage() {
    let mut world = World::new(helps);
    let mut saga = Saga::open(helping(), Guards::default(), Epoch(1), world.now);
    let opened = saga.poll_effect().unwrap();
    world.perform(&opened, Fate::Normal);
    world.now += SignedDuration::from_hours(2);
    world.recover(&helping(), Epoch(2));
    assert_eq!(world.outcome(), Some(Outcome::Aborted));
    assert!(world.writes.is_empty());
}

#[test]
fn an_impossible_journal_ends_stuck_and_an_unreadable_one_is_corrupt() {
    let mut world = World::new(helps);
    world.run(helping());
    let whole = world.journal.clone();
    let replay = |entries: &[_]| Saga::replay(entries, Guards::default(), Epoch(2), start());
    assert_eq!(replay(&[]).unwrap_err(), Corrupt::Empty);
    assert!(matches!(replay(&whole[1..]).unwrap_err(), Corrupt::NotOpened { .. }));
    assert!(matches!(
        replay(&[whole[0].clone(), whole[2].clone()]).unwrap_err(),
        Corrupt::OutOfOrder { expected: 1, found: 2, .. }
    ));

    world.journal.truncate(1);
    let verdict = JournalBody::Verified {
        phase: VerificationPhase::Settled,
        verdict: Verdict::Improved,
        reasons: Vec::new(),
    };
    world.journal.push(JournalEntry { sequence: 1, body: verdict, ..whole[0].clone() });
    world.writes.clear();
    world.recover(&helping(), Epoch(2));
    assert_eq!(world.outcome(), Some(Outcome::Stuck));
    assert!(world.writes.is_empty());
    assert_eq!((world.locked(), world.notices.len()), (vec![cart()], 1));
}

#[test]
fn a_message_to_people_is_a_step_like_others() {
    let mut world = World::new(|_| indicators(3, 3));
    world.run(plan(vec![notify("look at the cart")], indicators(3, 2)));
    assert_eq!(world.notices, ["look at the cart"]);
    assert_eq!(world.outcome(), Some(Outcome::Succeeded));
}

#[test]
fn a_patch_tests_all_it_rests_on_and_sets_the_fence() {
    let field = |path: &str, before, after| FieldChange { path: path.into(), before, after };
    let fields = vec![
        field("/spec/name", Some(json!("app")), Some(json!("app"))),
        field("/spec/replicas", Some(json!(0)), Some(json!(3))),
        field("/spec/limit", None, Some(json!("1Gi"))),
        field("/spec/old", Some(json!(1)), None),
    ];
    let check = |fence: Option<&str>, annotated, tested: serde_json::Value, set: serde_json::Value| {
        let before = BeforeImage { fields: fields.clone(), fence: fence.map(Into::into), annotated };
        let request = guarded_patch(&scale().operation, &before, Epoch(7), Guards::default());
        let Some(ClusterRequest::Patch { operations, .. }) = request else { panic!("{request:?}") };
        let expect = json!([
            { "op": "test", "path": "/metadata/uid", "value": "uid-of-Deployment shop/cart" },
            { "op": "test", "path": "/spec/name", "value": "app" },
            { "op": "test", "path": "/spec/replicas", "value": 0 },
            { "op": "test", "path": "/spec/limit", "value": null },
            { "op": "test", "path": "/spec/old", "value": 1 },
            tested,
            set,
            { "op": "replace", "path": "/spec/replicas", "value": 3 },
            { "op": "add", "path": "/spec/limit", "value": "1Gi" },
            { "op": "remove", "path": "/spec/old" },
        ]);
        assert_eq!(serde_json::to_value(operations).unwrap(), expect);
    };
    let (all, fence) = ("/metadata/annotations", "/metadata/annotations/kubewise.dev~1fence");
    let set = json!({ "op": "add", "path": fence, "value": "7" });
    check(Some("6"), true, json!({ "op": "test", "path": fence, "value": "6" }), set.clone());
    check(None, true, json!({ "op": "test", "path": fence, "value": null }), set);
    let whole = json!({ "op": "add", "path": all, "value": { FENCE_ANNOTATION: "7" } });
    check(None, false, json!({ "op": "test", "path": all, "value": null }), whole);
    assert_eq!(
        guarded_patch(
            &Operation::Notify { message: "x".into() },
            &BeforeImage::default(),
            Epoch(7),
            Guards::default()
        ),
        None
    );
}

#[test]
fn an_edit_between_the_look_and_the_write_is_kept() {
    for (nth, recreated) in [(0, false), (1, false), (0, true), (1, true)] {
        let mut world = World::new(|_| indicators(3, 0));
        let mut saga = Saga::open(harming(), Guards::default(), Epoch(1), world.now);
        let mut writes = 0;
        world.reports.extend(saga.take_reports());
        while let Some(effect) = saga.poll_effect() {
            if matches!(effect, Effect::Perform { dry_run: false, .. }) {
                if writes == nth && recreated {
                    world.recreate(&cart());
                } else if writes == nth {
                    world.edit(&cart(), "/spec/image", json!("hotfix"));
                }
                writes += 1;
            }
            let input = world.perform(&effect, Fate::Normal);
            saga.handle(input, world.now);
        }
        assert!(saga.is_finished());
        assert_eq!(world.outcome(), Some(Outcome::HandedOver));
        assert_eq!(world.writes.len(), nth, "write {nth}, recreated: {recreated}");
    }
}

#[test]
fn an_edit_after_an_unanswered_act_stops_it_for_good() {
    let mut world = World::new(helps);
    let mut saga = Saga::open(helping(), Guards::default(), Epoch(1), world.now);
    let mut sent = 0;
    while let Some(effect) = saga.poll_effect() {
        let act = matches!(effect, Effect::Perform { dry_run: false, .. });
        let input = world.perform(&effect, if act { Fate::DoneUnanswered } else { Fate::Normal });
        if act {
            sent += 1;
            world.edit(&cart(), "/spec/replicas", json!(7));
        }
        saga.handle(input, world.now);
    }
    assert_eq!((sent, world.outcome()), (1, Some(Outcome::HandedOver)));
    assert_eq!(world.field(&cart(), "/spec/replicas"), json!(7));
}

#[test]
fn one_bad_measurement_is_not_yet_harm() {
    let mut world = World::new(|world| {
        let age = Period::between(start(), world.now);
        if age == Period::from_secs(30) { indicators(3, 0) } else { partly() }
    });
    world.run(harming());
    assert_eq!(world.outcome(), Some(Outcome::HandedOver));
    assert_eq!(world.field(&cart(), "/spec/image"), json!("v1"));
}

#[test]
fn values_are_recognised_as_the_server_writes_them() {
    let raise =
        |value: &str| plan(vec![write(cart(), &[("/spec/memory", json!(null), json!(value))])], partly());
    let mut world = World::new(|_| indicators(3, 3));
    let mut saga = Saga::open(raise("1024Mi"), Guards::default(), Epoch(1), world.now);
    world.drive(&mut saga, |effect| {
        let act = matches!(effect, Effect::Perform { dry_run: false, .. });
        if act { Fate::DoneUnanswered } else { Fate::Normal }
    });
    assert_eq!(world.outcome(), Some(Outcome::Succeeded));
    assert_eq!(world.writes, [r#"/spec/memory = "1Gi""#]);
    // What an admission webhook would put back is not even begun.
    let mut world = World::new(|_| indicators(3, 3));
    world.run(raise("unwelcome"));
    assert_eq!(world.outcome(), Some(Outcome::Aborted));
}

#[test]
fn a_request_that_is_never_answered_is_sent_three_times() {
    let mut world = World::new(helps);
    let mut saga = Saga::open(helping(), Guards::default(), Epoch(1), world.now);
    world.drive(&mut saga, |effect| {
        let act = matches!(effect, Effect::Perform { dry_run: false, .. });
        if act { Fate::LostUnanswered } else { Fate::Normal }
    });
    assert_eq!(world.entries().iter().filter(|entry| **entry == "Started").count(), 3);
    assert_eq!(world.outcome(), Some(Outcome::HandedOver), "it may yet have been applied");
}

#[test]
fn a_pause_is_as_long_as_asked_within_bounds() {
    for (asked, pause) in [(None, 1), (Some(20), 20), (Some(3600), 60)] {
        let mut world = World::new(helps);
        let mut saga = Saga::open(helping(), Guards::default(), Epoch(1), world.now);
        let until: Timestamp = loop {
            let effect = saga.poll_effect().unwrap();
            if let Effect::Wait { until } = effect {
                break until;
            }
            let input = if matches!(effect, Effect::Perform { .. }) {
                let retry_after = asked.map(std::time::Duration::from_secs);
                let message = "slow down".into();
                Input::Performed(Err(Failure::RateLimited { retry_after, message }))
            } else {
                world.perform(&effect, Fate::Normal)
            };
            saga.handle(input, world.now);
        };
        assert_eq!(until, start() + SignedDuration::from_secs(pause), "asked for {asked:?}");
    }
}
