//! Whatever interrupts a saga, and wherever: the cluster ends as it would have, nothing is done twice, and the
//! story is whole.

use std::cell::RefCell;
use std::rc::Rc;

use futures::channel::oneshot;
use futures::executor::block_on;
use kubewise_core::anomaly::{AnomalyRecord, AnomalyStatus};
use kubewise_core::failure::Rejection;
use kubewise_core::id::IncidentId;
use kubewise_core::incident::{Chapter, Incident, IncidentStatus};
use kubewise_core::journal::{Epoch, JournalBody, JournalEntry, Outcome};
use kubewise_core::plan::Mode;
use kubewise_core::port::{Control as _, Journal as _, RecordStore as _};
use kubewise_core::record::Record;
use kubewise_core::request::{FENCE_ANNOTATION, PatchOperation};
use kubewise_core::{Kind, Period};
use kubewise_sim::{Change, CrashPoint, MemoryStore, PerformFault};
use serde_json::json;

use crate::pipeline::{Run, Scene, cart};

/// More than any saga here has of anything.
const MOST: u32 = 30;

fn applied(scene: &Scene) -> bool {
    scene.store.journal().iter().any(|entry| matches!(entry.body, JournalBody::Succeeded { .. }))
}

/// Lets the process die at each point of a kind, until there is none left to die at; gives how many there are.
fn die_at_each(point: fn(u32) -> CrashPoint) -> u32 {
    for number in 1..MOST {
        let mut scene = Scene::new(Mode::Auto);
        let first = scene.start_to_crash("first", Some(point(number)));
        scene.pass(Period::from_mins(5));
        scene.release(&cart(), "2-crash");
        scene.until("its end", |scene| {
            first.process.is_dead()
                || scene.incidents().iter().any(|one| one.status == IncidentStatus::Repaired)
        });
        if !first.process.is_dead() {
            return number - 1;
        }
        scene.simulation.kill();
        scene.pass(Period::from_secs(5));
        let _second = scene.start("second");
        scene.until_status(IncidentStatus::Repaired);
        scene.pass(Period::from_mins(10));
        scene.assert_repaired(&format!("died at {:?}", point(number)));
        let texts: Vec<_> = scene.incident().story.into_iter().map(|entry| entry.text).collect();
        let acted = texts.iter().filter(|text| text.starts_with("set /spec/template on")).count();
        assert_eq!(acted, 1, "died at {:?}: told once: {texts:#?}", point(number));
        assert_eq!(scene.actions().len(), 1, "died at {:?}", point(number));
    }
    panic!("there is no end of crash points");
}

#[test]
fn killed_before_any_journal_entry() {
    assert!(
        die_at_each(CrashPoint::BeforeAppend) >= 7,
        "opened, prepared, started, succeeded, verified twice, closed"
    );
}

#[test]
fn killed_after_any_journal_entry() {
    assert!(die_at_each(CrashPoint::AfterAppend) >= 7);
}

#[test]
fn killed_before_and_after_the_act() {
    assert_eq!(die_at_each(CrashPoint::BeforePerform), 1);
    assert_eq!(die_at_each(CrashPoint::AfterPerform), 1);
}

#[test]
fn killed_again_and_again_it_still_comes_through_once() {
    let (mut scene, first) = Scene::crashing(Mode::Auto);
    let mut last = first;
    last.process.crash_at(CrashPoint::BeforeAppend(2));
    for life in 2..12 {
        let mut dead = false;
        for _ in 0..60 {
            scene.pass(Period::from_secs(5));
            dead = last.process.is_dead();
            if dead {
                break;
            }
        }
        if !dead {
            break;
        }
        scene.simulation.kill();
        last = scene.start_to_crash(&format!("life-{life}"), Some(CrashPoint::BeforeAppend(2)));
    }
    scene.until_status(IncidentStatus::Repaired);
    scene.pass(Period::from_mins(10));
    scene.assert_repaired("after many lives");
}

/// The cart crashes while requests cannot be delivered: its saga waits between `Started` and its act.
fn waiting_to_act(failing: usize) -> (Scene, Run) {
    let (mut scene, run) = Scene::warm(Mode::Auto);
    for _ in 0..failing {
        scene.world.fail_next_perform(PerformFault::Unavailable);
    }
    scene.release(&cart(), "2-crash");
    scene.until_entry("the act is tried", |body| matches!(body, JournalBody::Started { .. }));
    (scene, run)
}

#[test]
fn a_leader_that_lost_the_lease_writes_nothing_until_it_leads_again() {
    let (mut scene, _run) = waiting_to_act(4); // tried again after 1, 2, 4 and 8 s
    let lost_at = scene.world.now();
    scene.change(Change::Lead { holder: "rival".into() });
    scene.pass(Period::from_secs(14));
    let late: Vec<_> = scene.world.writes().into_iter().filter(|write| write.time > lost_at).collect();
    assert_eq!(late, [], "the rival leads");
    scene.until_status(IncidentStatus::Repaired); // the rival does not renew
    scene.pass(Period::from_mins(10));
    scene.assert_repaired("led again");
    let epochs: Vec<Epoch> = scene.store.journal().iter().map(|entry| entry.epoch).collect();
    assert!(epochs.is_sorted() && epochs.first() < epochs.last(), "{epochs:?}");
}

#[test]
fn a_late_write_of_a_former_leader_changes_nothing() {
    let (mut scene, first) = Scene::warm(Mode::Auto);
    // Longer than the second process needs to repair: the answer of the first is still under way then.
    let released_at = Period::from_mins(20).after(scene.world.now());
    first.weather(|weather| weather.held_until = Some(released_at));
    scene.release(&cart(), "2-crash");
    scene.until_entry("the act is on the wire", |body| matches!(body, JournalBody::Started { .. }));
    scene.change(Change::Lead { holder: "second".into() });
    let _second = scene.start("second");
    scene.until_status(IncidentStatus::Repaired);
    let repaired_at = scene.world.now();
    assert!(repaired_at < released_at);

    // Somebody else has released anew since then; the late write would take that away.
    scene.release(&cart(), "3");
    scene.pass(Period::between(repaired_at, Period::from_mins(10).after(released_at)));
    assert_eq!(scene.image(&cart()), "shop/cart:3");
    assert_eq!(scene.generation(&cart()), 4, "created, released, undone, released");
    let late = scene.changes().into_iter().filter(|write| write.time >= released_at).count();
    assert_eq!(late, 0, "{:?}", scene.changes());
}

#[test]
fn a_follower_takes_up_the_saga_of_a_leader_that_went_silent() {
    let (mut scene, first) = Scene::crashing(Mode::Auto);
    let _second = scene.start("second");
    scene.until("the act", applied);
    first.process.kill();
    scene.until_status(IncidentStatus::Repaired);
    scene.pass(Period::from_mins(10));
    scene.assert_repaired("by the follower");
}

/// Ends the process in order while `moment` lasts; a second one takes over.
fn end_in_order(context: &str, moment: impl FnOnce(&mut Scene, &Run, oneshot::Sender<()>)) {
    let (mut scene, run) = Scene::warm(Mode::Auto);
    let (now_end, told_to_end) = oneshot::channel();
    let late = Rc::new(RefCell::new(None));
    let slot = late.clone();
    moment(&mut scene, &run, now_end);
    let handle = run.handle.clone();
    let limit = Period::from_mins(60).after(scene.world.now());
    let shutdown = async move {
        told_to_end.await.unwrap();
        handle.shutdown().await
    };
    scene.release(&cart(), "2-crash");
    *slot.borrow_mut() = scene.simulation.complete(limit, shutdown);
    let ended_at = scene.world.now();
    assert_eq!(late.borrow().as_deref(), Some(&[][..]), "{context}: every phase ends within its limit");

    // The journal knows exactly what was done, and nothing goes on.
    let journal = scene.store.journal();
    let undone = scene.image(&cart()) == "shop/cart:1";
    assert_eq!(undone, applied(&scene), "{context}: {journal:#?}");
    let stored = scene.documents();
    scene.pass(Period::from_mins(2));
    assert_eq!(scene.store.journal(), journal, "{context}");
    assert_eq!(scene.documents(), stored, "{context}");
    assert!(scene.world.writes().iter().all(|write| write.time <= ended_at), "{context}");
    assert!(!scene.incidents().is_empty() || journal.is_empty(), "{context}: its incident is saved");

    let _second = scene.start("second");
    scene.until_status(IncidentStatus::Repaired);
    scene.pass(Period::from_mins(10));
    scene.assert_repaired(context);
}

#[test]
fn ended_in_order_after_any_entry_of_a_saga_another_process_finishes_it() {
    for entry in 1..=6 {
        end_in_order(&format!("ended after entry {entry}"), |_, run, now_end| {
            let deed = Box::new(move || now_end.send(()).unwrap());
            run.weather(|weather| weather.after_entry = Some((entry, deed)));
        });
    }
}

#[test]
fn ended_in_order_at_any_time_another_process_finishes_the_saga() {
    for seconds in [1, 3, 5, 6, 7, 8, 10, 20, 40, 60, 80] {
        end_in_order(&format!("ended after {seconds} s"), |scene, _, now_end| {
            let clock = scene.world.clock();
            let at = Period::from_secs(seconds).after(scene.world.now());
            scene.simulation.spawn(Box::pin(async move {
                kubewise_core::port::Clock::sleep_until(&clock, at).await;
                now_end.send(()).unwrap();
            }));
        });
    }
}

#[test]
fn a_saga_that_cannot_go_on_rests_ever_longer_and_tells_a_person_once() {
    let (mut scene, run) = Scene::warm(Mode::Auto);
    // Somebody deleted the Lease, and its count began anew: the object knows a later leader.
    let fence = json!({ FENCE_ANNOTATION: "99" });
    let operations = vec![PatchOperation::Add { path: "/metadata/annotations".into(), value: fence }];
    scene.change(Change::Edit { object: cart(), manager: "kubewise".into(), operations });
    scene.release(&cart(), "2-crash");
    let rests = |scene: &Scene| -> Vec<String> {
        let told = scene.incidents().into_iter().flat_map(|incident| incident.story);
        told.map(|entry| entry.text).filter(|text| text.contains("fenced by a newer leader")).collect()
    };
    scene.until("it rests", |scene| !rests(scene).is_empty());
    run.weather(|weather| weather.sagas_read = 0);
    scene.pass(Period::from_mins(60));
    let mut again = 0;
    run.weather(|weather| again = weather.sagas_read);
    assert!((8..=14).contains(&again), "after 5 s, 10 s … and then every ten minutes: {again}");
    assert_eq!(rests(&scene).len(), 1, "told once");
    let notices = scene.world.notices();
    assert_eq!(notices.iter().filter(|notice| notice.reason == "Suspended").count(), 1);
    assert_eq!(scene.changes(), [], "nothing is written");
}

/// KubeWise died in the middle of a repair whose journal says by now that it is stuck.
fn stuck() -> Scene {
    let mut scene = Scene::new(Mode::Auto);
    let first = scene.start_to_crash("first", Some(CrashPoint::BeforeAppend(7)));
    scene.pass(Period::from_mins(5));
    scene.release(&cart(), "2-crash");
    scene.until("its death", |_| first.process.is_dead());
    let last = scene.store.journal().pop().unwrap();
    let body = JournalBody::Closed { outcome: Outcome::Stuck, reason: "it could not be undone".into() };
    let closed = JournalEntry { sequence: last.sequence + 1, body, ..last };
    block_on(scene.store.append(&closed)).unwrap();
    scene
}

#[test]
fn a_stuck_saga_is_told_once_however_often_kubewise_is_started() {
    let mut scene = stuck();
    for life in ["second", "third", "fourth"] {
        scene.simulation.kill();
        scene.pass(Period::from_secs(5));
        let _run = scene.start(life);
        scene.pass(Period::from_mins(10));
        let told = scene.world.notices().iter().filter(|notice| notice.reason == "Stuck").count();
        let incident = scene.incident();
        let written =
            incident.story.iter().filter(|entry| entry.text.contains("could not be undone")).count();
        assert_eq!((incident.status, told, written), (IncidentStatus::Stuck, 1, 1), "{life}: {incident:#?}");
    }
}

#[test]
fn what_is_stuck_is_repaired_again_once_a_person_has_seen_to_it() {
    let mut scene = stuck();
    scene.simulation.kill();
    scene.pass(Period::from_secs(5));
    let run = scene.start("second");
    scene.pass(Period::from_mins(30));
    let stuck = scene.incident();
    let release = |scene: &mut Scene, id: IncidentId| {
        let (handle, limit) = (run.handle.clone(), Period::from_secs(1).after(scene.world.now()));
        let release = async move { handle.release(&id, "ada", "the field is put back").await };
        scene.simulation.complete(limit, release).unwrap()
    };
    let repaired = |scene: &Scene| {
        scene.incidents().iter().filter(|incident| incident.status == IncidentStatus::Repaired).count()
    };
    scene.release(&cart(), "3-crash");
    scene.pass(Period::from_mins(15));
    assert_eq!(repaired(&scene), 0, "its locks are held");
    let open = scene.incidents().into_iter().find(|incident| incident.id != stuck.id).unwrap();
    assert!(release(&mut scene, open.id).unwrap_err().is(Rejection::Conflict), "it is not stuck");
    assert!(release(&mut scene, "i-none".into()).unwrap_err().is(Rejection::NotFound));

    let released = release(&mut scene, stuck.id.clone()).unwrap();
    assert_eq!(released.status, IncidentStatus::HandedOver);
    let told = released.story.last().unwrap();
    assert_eq!((told.chapter, &*told.text), (Chapter::Said, "released by ada: the field is put back"));
    assert!(release(&mut scene, stuck.id).unwrap_err().is(Rejection::Conflict), "once");
    scene.release(&cart(), "4");
    scene.pass(Period::from_mins(15));
    scene.release(&cart(), "5-crash");
    scene.until("a repair", |scene| repaired(scene) == 1);
}

/// The rollback is followed by harm, and by then Argo CD manages the cart.
#[test]
fn what_is_another_s_by_now_is_not_put_back_whoever_took_the_saga_up() {
    for incident_is_closed in [false, true] {
        let (mut scene, _first) = Scene::crashing(Mode::Auto);
        scene.until("the act", applied);
        let value = json!({ "argocd.argoproj.io/tracking-id": "shop" });
        let operations = vec![PatchOperation::Add { path: "/metadata/labels".into(), value }];
        scene.change(Change::Edit { object: cart(), manager: "kubectl".into(), operations });
        let nodes = scene.world.list(&Kind::Node, None).into_iter();
        for node in nodes.filter_map(|node| node.text("/metadata/name").map(ToOwned::to_owned)) {
            scene.change(Change::NodeLost(node));
        }
        scene.simulation.kill();
        if incident_is_closed {
            let closed = Incident { status: IncidentStatus::Resolved, ..scene.incident() };
            let over = |anomaly| AnomalyRecord { status: AnomalyStatus::Resolved, ..anomaly };
            let over = scene.anomalies().into_iter().map(over).map(Record::Anomaly);
            let records: Vec<_> = over.chain([Record::Incident(closed)]).collect();
            block_on(scene.store.save(&records)).unwrap();
        }
        let _second = scene.start("second");
        scene.pass(Period::from_mins(20));
        let skipped = scene.store.journal().into_iter().find_map(|entry| {
            if let JournalBody::UndoSkipped { reason, .. } = entry.body { Some(reason) } else { None }
        });
        let reason = skipped.unwrap_or_else(|| panic!("{:#?}", scene.store.journal()));
        assert!(reason.contains("Argo CD"), "{reason}");
    }
}

/// The journal survived, and the records did not: what was wrong is not known any more, so neither is that it is gone.
#[test]
fn a_repair_whose_trouble_nobody_knows_any_more_is_not_called_one() {
    let (mut scene, _first) = Scene::crashing(Mode::Auto);
    scene.until("the act", applied);
    scene.simulation.kill();
    let entries = scene.store.journal();
    scene.store = MemoryStore::default();
    for entry in &entries {
        block_on(scene.store.append(entry)).unwrap();
    }
    let _second = scene.start("second");
    scene.pass(Period::from_mins(30));
    let outcome = scene.store.journal().into_iter().find_map(|entry| {
        if let JournalBody::Closed { outcome, .. } = entry.body { Some(outcome) } else { None }
    });
    assert_eq!(outcome, Some(Outcome::HandedOver), "{:#?}", scene.store.journal());
}
