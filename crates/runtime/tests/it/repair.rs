//! From the trouble to its end, as each mode has it.

use kubewise_core::action::{ActionStatus, Direction};
use kubewise_core::anomaly::{AnomalyStatus, Reason, RemediationStatus};
use kubewise_core::id::PlanId;
use kubewise_core::incident::{Chapter, IncidentStatus};
use kubewise_core::plan::{Mode, PlanStatus};
use kubewise_core::port::Control;
use kubewise_core::request::PatchOperation;
use kubewise_core::{Period, Rejection};
use kubewise_sim::{Change, WriteKind};
use serde_json::json;

use crate::pipeline::{Scene, cart};

#[test]
fn in_auto_a_crash_loop_after_a_revision_is_undone_verified_and_told() {
    let (mut scene, _run) = Scene::crashing(Mode::Auto);
    scene.until_status(IncidentStatus::Repaired);
    scene.pass(Period::from_mins(10));
    scene.assert_repaired("auto");
    assert_eq!(scene.changes().len(), 1, "one patch: {:?}", scene.changes());

    let mut chapters = scene.chapters();
    chapters.dedup();
    let told = |chapter| chapters.iter().position(|one| *one == chapter);
    let order =
        [Chapter::Seen, Chapter::Evidence, Chapter::Plan, Chapter::Acted, Chapter::Verified, Chapter::Closed];
    assert!(order.windows(2).all(|pair| told(pair[0]) < told(pair[1])), "{chapters:?}");

    let incident = scene.incident();
    let [action] = scene.actions().try_into().unwrap();
    assert_eq!((action.status, action.direction), (ActionStatus::Succeeded, Direction::Act));
    assert_eq!((&action.action.name[..], &action.action.target), ("RolloutUndo", &cart()));
    assert_eq!(incident.actions, std::slice::from_ref(&action.id));
    assert!(!action.anomalies.is_empty() && action.detail.contains("template"), "{action:#?}");
    let [plan] = scene.plans().try_into().unwrap();
    assert_eq!(plan.status, PlanStatus::Succeeded);
    assert!(!plan.safety_constraints.is_empty() && !plan.verification.checks.is_empty());
    for anomaly in scene.anomalies() {
        assert_eq!(anomaly.status, AnomalyStatus::Resolved, "{anomaly:#?}");
        assert_eq!(anomaly.remediation_status, RemediationStatus::Repaired, "{anomaly:#?}");
        assert_eq!((anomaly.plan, anomaly.actions), (Some(plan.id.clone()), vec![action.id.clone()]));
    }
    let reasons: Vec<String> = scene.world.notices().into_iter().map(|notice| notice.reason).collect();
    assert_eq!(reasons, ["Acted", "Repaired"], "told on the object");
}

#[test]
fn in_observe_nothing_is_written_until_the_mode_is_raised() {
    let (mut scene, _run) = Scene::crashing(Mode::Observe);
    scene.pass(Period::from_mins(120));
    assert_eq!(scene.world.writes(), [], "no patch, no Event, no Lease");
    assert_eq!(scene.incident().status, IncidentStatus::Open);
    assert!(scene.plans().iter().all(|plan| plan.status == PlanStatus::Observed), "{:#?}", scene.plans());
    assert!(!scene.plans().is_empty(), "what would have been done is told");

    scene.change(Change::Edit {
        object: cart(),
        manager: "kubectl-annotate".into(),
        operations: vec![PatchOperation::Add {
            path: "/metadata/annotations".into(),
            value: json!({ "kubewise.dev/mode": "auto" }),
        }],
    });
    scene.pass(Period::from_secs(5));
    assert_eq!(scene.incident().status, IncidentStatus::Repairing, "at once, though it stood for hours");
    scene.until_status(IncidentStatus::Repaired);
    scene.assert_repaired("after the mode was raised");
}

#[test]
fn in_propose_a_person_decides() {
    let (mut scene, run) = Scene::crashing(Mode::Propose);
    scene.until_status(IncidentStatus::Proposed);
    scene.pass(Period::from_mins(5));
    let kinds: Vec<WriteKind> = scene.world.writes().iter().map(|write| write.kind).collect();
    assert!(kinds.iter().all(|kind| matches!(kind, WriteKind::Event | WriteKind::Lease)), "{kinds:?}");
    assert!(kinds.contains(&WriteKind::Event), "it is proposed on the object");
    assert_eq!(scene.store.journal(), []);

    let [plan] = scene.plans().try_into().unwrap();
    let approve = |scene: &mut Scene, id: PlanId| {
        let handle = run.handle.clone();
        let limit = Period::from_secs(1).after(scene.world.now());
        scene.simulation.complete(limit, async move { handle.approve(&id, "ada").await }).unwrap()
    };
    let unknown = approve(&mut scene, PlanId::derive(&[&"no such plan"])).unwrap_err();
    assert!(unknown.is(Rejection::NotFound), "{unknown}");
    assert_eq!(approve(&mut scene, plan.id.clone()).unwrap().status, PlanStatus::Approved);
    let twice = approve(&mut scene, plan.id.clone()).unwrap_err();
    assert!(twice.is(Rejection::Conflict), "{twice}");

    scene.until_status(IncidentStatus::Repaired);
    scene.assert_repaired("approved");
    assert_eq!(scene.plans()[0].decided_by.as_deref(), Some("ada"));

    scene.pass(Period::from_mins(60));
    let late = approve(&mut scene, plan.id.clone()).unwrap_err();
    assert!(late.is(Rejection::Conflict), "known, though its incident is over: {late}");
}

#[test]
fn a_rejected_plan_is_handed_over() {
    let (mut scene, run) = Scene::crashing(Mode::Propose);
    scene.until_status(IncidentStatus::Proposed);
    let [plan] = scene.plans().try_into().unwrap();
    let limit = Period::from_secs(1).after(scene.world.now());
    let reject = async move { run.handle.reject(&plan.id, "ada", "the fix is on its way").await };
    scene.simulation.complete(limit, reject).unwrap().unwrap();
    scene.pass(Period::from_mins(30));
    assert_eq!(scene.incident().status, IncidentStatus::HandedOver);
    assert_eq!(scene.plans()[0].status, PlanStatus::Rejected);
    assert_eq!(scene.plans()[0].decision.as_deref(), Some("the fix is on its way"));
    assert_eq!(scene.changes(), []);
    assert_eq!(scene.store.journal(), []);
}

/// A pod without a node alone tells nothing that could be undone; that the rollout is stuck for it does.
#[test]
fn what_was_handed_over_is_undone_once_it_shows_that_its_revision_is_to_blame() {
    let (mut scene, _run) = Scene::warm(Mode::Auto);
    scene.change(Change::Edit {
        object: cart(),
        manager: "kubectl-edit".into(),
        operations: vec![PatchOperation::Add {
            path: "/spec/template/spec/nodeSelector".into(),
            value: json!({ "disk": "of a kind that no node has" }),
        }],
    });
    scene.until_status(IncidentStatus::HandedOver);
    assert_eq!(scene.incident().reason, Reason::FailedScheduling);
    assert_eq!(scene.changes(), []);

    scene.until_status(IncidentStatus::Repaired);
    assert_eq!(scene.changes().len(), 1, "one patch: {:?}", scene.changes());
    assert_eq!(scene.actions()[0].action.name, "RolloutUndo");
}

#[test]
fn the_same_seed_gives_the_same_records_and_journal() {
    let run = || {
        let (mut scene, _run) = Scene::crashing(Mode::Auto);
        scene.until_status(IncidentStatus::Repaired);
        (scene.documents(), scene.store.journal(), scene.world.digest())
    };
    let (first, second) = (run(), run());
    assert!(first.0.len() > 10, "there is something to compare");
    assert_eq!(first, second);
}

/// A playbook's action, from the trouble to the record of what was done. Each step comes about, though the steps before it
/// changed what it was planned upon.
#[test]
fn every_step_of_a_playbooks_action_is_carried_out() {
    for (action, parameters, steps) in [
        ("Notify", r#"{ message: "look at ${workload.name}" }"#, &["Notify"][..]),
        ("PauseRollout", "{}", &["PauseRollout"]),
        ("RolloutRestart", "{}", &["RolloutRestart"]),
        ("ScaleWorkload", "{ replicas: 4 }", &["ScaleWorkload"]),
        ("EvictPod", "{ pod: =crash.pod }", &["EvictPod"]),
        ("SetResources", "{ container: =crash.container, memoryLimit: 384Mi }", &["SetResources"]),
        ("ResizePod", "{ pod: A_GOOD_POD, container: app, memoryLimit: 384Mi }", &["ResizePod", "Notify"]),
    ] {
        let mut scene = Scene::new(Mode::Auto);
        scene.pass(Period::from_secs(5));
        let pods = scene.world.pods_of(&cart());
        let parameters = parameters.replace("A_GOOD_POD", pods[0].text("/metadata/name").unwrap());
        scene.playbook = Some(format!(
            "name: test\ndescription: d\nreasons: [CrashLoopBackOff]\nrootCause: r\nreasoning: r\n\
             candidates: [{{ action: {action}, parameters: {parameters} }}]\n"
        ));
        let _run = scene.start("first");
        scene.pass(Period::from_mins(5));
        scene.release(&cart(), "2-crash");
        scene.pass(Period::from_mins(2));
        let acts = scene.actions().into_iter().filter(|done| done.direction == Direction::Act);
        let done: Vec<_> = acts.map(|done| (done.action.name, done.status)).collect();
        let expected: Vec<_> =
            steps.iter().map(|step| ((*step).to_owned(), ActionStatus::Succeeded)).collect();
        assert_eq!(done, expected, "{action}: {:#?}", scene.incident().story);
    }
}
