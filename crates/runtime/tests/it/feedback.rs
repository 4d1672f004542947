//! What people say of incidents: kept, told, and heeded, also after a restart.

use futures::executor::block_on;
use kubewise_core::anomaly::{AnomalyRecord, Reason};
use kubewise_core::feedback::{Feedback, Label, OURSELVES, Said};
use kubewise_core::id::{AnomalyId, FeedbackId, IncidentId};
use kubewise_core::incident::{Chapter, IncidentStatus};
use kubewise_core::journal::JournalBody;
use kubewise_core::metric::MetricType;
use kubewise_core::plan::{Mode, PlanStatus};
use kubewise_core::port::{Control, RecordStore};
use kubewise_core::record::{Record, RecordKind};
use kubewise_core::{Failure, Period, Rejection, Timestamp};

use crate::pipeline::{Run, Scene};

fn say(
    scene: &mut Scene,
    run: &Run,
    incident: &IncidentId,
    label: Label,
    until: Option<Timestamp>,
) -> Result<Feedback, Failure> {
    let said = Said { label, by: "ada".into(), reason: "a drill".into(), until };
    let (handle, incident) = (run.handle.clone(), incident.clone());
    let limit = Period::from_secs(5).after(scene.world.now());
    scene.simulation.complete(limit, async move { handle.say(&incident, said).await }).unwrap()
}

fn end(scene: &mut Scene, run: &Run, id: &FeedbackId) -> Result<Feedback, Failure> {
    let (handle, id) = (run.handle.clone(), id.clone());
    let limit = Period::from_secs(5).after(scene.world.now());
    scene.simulation.complete(limit, async move { handle.end_suppression(&id, "bob").await }).unwrap()
}

#[test]
fn an_incident_that_is_no_trouble_is_over_and_its_plan_with_it() {
    let (mut scene, run) = Scene::crashing(Mode::Propose);
    scene.until_status(IncidentStatus::Proposed);
    let id = scene.incident().id;
    say(&mut scene, &run, &id, Label::False, None).unwrap();
    scene.pass(Period::from_mins(1));
    let incident = scene.incident();
    assert_eq!(incident.status, IncidentStatus::Resolved);
    let told = incident.story.iter().find(|entry| entry.chapter == Chapter::Said).unwrap();
    assert_eq!(told.text, "no trouble, says ada: a drill");
    assert_eq!(scene.plans()[0].status, PlanStatus::Superseded);
    assert_eq!(scene.changes(), []);

    let unknown = say(&mut scene, &run, &IncidentId::from("i-none"), Label::True, None).unwrap_err();
    assert!(unknown.is(Rejection::NotFound), "{unknown}");
}

#[test]
fn what_is_expected_stays_held_back_over_a_restart_and_counts_again_after_its_end() {
    let (mut scene, run) = Scene::crashing(Mode::Observe);
    scene.until_status(IncidentStatus::Open);
    let id = scene.incident().id;
    let until = Period::from_mins(240).after(scene.world.now());
    let feedback = say(&mut scene, &run, &id, Label::Expected, Some(until)).unwrap();
    scene.until_status(IncidentStatus::Resolved);
    run.process.kill();
    let second = scene.start("second");
    scene.pass(Period::from_mins(4)); // before the rollout's deadline, of which nobody spoke
    assert_eq!(scene.incidents().len(), 1, "the crash goes on, as expected: {:#?}", scene.incidents());

    let ended = end(&mut scene, &second, &feedback.id).unwrap();
    assert!(ended.reason.contains("ended by bob"), "{ended:?}");
    let again = end(&mut scene, &second, &feedback.id).unwrap_err();
    assert!(again.is(Rejection::Conflict), "{again}");
    scene.pass(Period::from_mins(10));
    assert!(
        scene.incidents().iter().any(|incident| incident.status == IncidentStatus::Open),
        "it counts again"
    );
}

#[test]
fn a_word_on_an_incident_of_long_ago_is_told_in_its_story() {
    let (mut scene, run) = Scene::crashing(Mode::Auto);
    scene.until_status(IncidentStatus::Repaired);
    scene.pass(Period::from_mins(60));
    let id = scene.incident().id;
    let feedback = say(&mut scene, &run, &id, Label::True, None).unwrap();
    assert!(!feedback.about.is_empty(), "{feedback:?}");
    scene.pass(Period::from_mins(1));
    let incident = scene.incident();
    assert_eq!(incident.status, IncidentStatus::Repaired);
    assert_eq!(incident.story.last().unwrap().text, "real trouble, says ada: a drill");
}

#[test]
fn a_verified_repair_labels_the_deviations_that_it_was_for() {
    let (mut scene, run) = Scene::crashing(Mode::Auto);
    scene.until_entry("acted", |body| matches!(body, JournalBody::Succeeded { .. }));
    scene.pass(Period::from_secs(5));
    run.process.kill();
    let crash = scene.anomalies().into_iter().next().unwrap();
    let deviation = AnomalyRecord {
        id: AnomalyId::derive(&[&"cpu"]),
        reason: Reason::Deviation,
        metric_type: Some(MetricType::CpuUsage),
        ..crash.clone()
    };
    block_on(scene.store.save(&[Record::Anomaly(deviation.clone())])).unwrap();
    let _second = scene.start("second");
    scene.until_status(IncidentStatus::Repaired);
    scene.pass(Period::from_mins(1));
    let [Record::Feedback(feedback)] = &scene.records(RecordKind::Feedback)[..] else { panic!("one label") };
    assert_eq!((feedback.label, feedback.by.as_str()), (Label::True, OURSELVES));
    assert_eq!(feedback.anomalies, [deviation.id], "and not {}: a rule needs no label", crash.id);
}
