//! What the pipeline rests on goes away for a while: nothing is lost, nothing is done in the dark, and nothing is
//! called healthy.

use kubewise_core::action::{ActionStatus, Direction};
use kubewise_core::anomaly::Reason;
use kubewise_core::health::{BreakerState, HealthStatus};
use kubewise_core::incident::IncidentStatus;
use kubewise_core::journal::JournalBody;
use kubewise_core::plan::Mode;
use kubewise_core::port::Introspection;
use kubewise_core::record::RecordKind;
use kubewise_core::{Kind, Period};
use kubewise_sim::{Change, Gap, PerformFault, Workload};

use crate::pipeline::{Scene, cart};

#[test]
fn without_telemetry_after_the_act_nothing_is_called_repaired() {
    for gap in
        [Gap::Unavailable, Gap::Silent { namespace: None }, Gap::Silent { namespace: Some("shop".into()) }]
    {
        let (mut scene, _run) = Scene::crashing(Mode::Auto);
        scene.until_entry("the act", |body| matches!(body, JournalBody::Succeeded { .. }));
        scene.change(Change::Telemetry(Some(gap.clone())));
        scene.pass(Period::from_mins(8));
        assert_eq!(scene.incident().status, IncidentStatus::Repairing, "{gap:?}");
        scene.change(Change::Telemetry(None));
        scene.until_status(IncidentStatus::Repaired);
        scene.pass(Period::from_mins(10));
        scene.assert_repaired(&format!("{gap:?}"));
    }
}

/// NetworkPolicies are evidence that a plan can do without; who owns the replicas it must know.
#[test]
fn what_may_not_be_listed_is_done_without_or_nothing_is_planned() {
    let (mut scene, run) = Scene::crashing(Mode::Auto);
    run.weather(|weather| weather.forbidden = Some(Kind::NetworkPolicy));
    scene.until_status(IncidentStatus::Repaired);
    scene.assert_repaired("without policies");

    let (mut scene, run) = Scene::crashing(Mode::Auto);
    run.weather(|weather| weather.forbidden = Some(Kind::VerticalPodAutoscaler));
    scene.pass(Period::from_mins(5));
    assert_eq!((scene.incident().status, scene.plans().len()), (IncidentStatus::Open, 0));
    assert!(scene.changes().is_empty());
    run.weather(|weather| weather.forbidden = None);
    scene.until_status(IncidentStatus::Repaired);
}

#[test]
fn of_more_pods_than_one_list_takes_the_room_is_asked_for_node_by_node() {
    for (others, outcome) in [("1Gi", Some(ActionStatus::Succeeded)), ("31Gi", None)] {
        let mut scene = Scene::new(Mode::Auto);
        scene.world.add(Workload::deployment("shop", "large").memory(others, others));
        scene.playbook = Some(
            "name: test\ndescription: d\nreasons: [CrashLoopBackOff]\nrootCause: r\nreasoning: r\n\
             candidates: [{ action: SetResources, parameters: { container: app, memoryLimit: 480Mi, memoryRequest: 480Mi } }]\n"
                .into(),
        );
        let run = scene.start("first");
        run.weather(|weather| weather.crowded = true);
        scene.pass(Period::from_mins(5));
        scene.release(&cart(), "2-crash");
        scene.pass(Period::from_mins(2));
        let acts: Vec<_> =
            scene.actions().into_iter().filter(|done| done.direction == Direction::Act).collect();
        let story = format!("{:#?}", scene.incident().story);
        assert_eq!(acts.first().map(|done| done.status), outcome, "{others}: {story}");
        assert_eq!(
            story.contains("no node of those that were looked at has room"),
            outcome.is_none(),
            "{story}"
        );
    }
}

#[test]
fn a_repair_that_nobody_ever_measures_is_handed_over_and_kept() {
    let (mut scene, _run) = Scene::crashing(Mode::Auto);
    scene.until_entry("the act", |body| matches!(body, JournalBody::Succeeded { .. }));
    scene.change(Change::Telemetry(Some(Gap::Unavailable)));
    scene.until_status(IncidentStatus::HandedOver);
    assert_eq!(scene.image(&cart()), "shop/cart:1", "not undone");
    assert_eq!(scene.generation(&cart()), 3);
}

#[test]
fn a_repair_that_the_server_never_judges_is_given_up_and_that_is_told_on_the_object() {
    let (mut scene, run) = Scene::crashing(Mode::Auto);
    run.weather(|weather| weather.dry_runs_fail = true);
    scene.until_status(IncidentStatus::HandedOver);
    assert_eq!(scene.changes(), [], "nothing was written");
    let notices = scene.world.notices();
    let last = notices.last().unwrap();
    assert_eq!((&*last.reason, &last.object), ("HandedOver", &cart()));
    assert!(last.message.contains("3 repairs were begun, none came through"), "{}", last.message);
    assert_eq!(notices.iter().filter(|notice| notice.reason == "HandedOver").count(), 1);
}

#[test]
fn a_gap_without_trouble_opens_no_incident_and_health_tells_it() {
    let (mut scene, run) = Scene::warm(Mode::Auto);
    let prometheus = || run.handle.health().dependencies["prometheus"].clone();
    assert_eq!(prometheus().status, HealthStatus::Healthy);
    scene.change(Change::Telemetry(Some(Gap::Unavailable)));
    let mut breakers = Vec::new();
    for _ in 0..60 {
        scene.pass(Period::from_secs(5));
        breakers.extend(prometheus().breaker);
    }
    assert!(breakers.contains(&BreakerState::Open), "{breakers:?}");
    assert_eq!(prometheus().status, HealthStatus::Unhealthy);
    assert!(prometheus().message.contains("connection refused"), "{:?}", prometheus());
    let report = run.handle.health();
    assert_ne!(report.status, HealthStatus::Healthy, "{report:#?}");
    assert_eq!(report.components["collect"].status, HealthStatus::Unhealthy);
    assert_ne!(report.components["detect"].status, HealthStatus::Healthy, "no news is not good news");
    let queries = run.handle.status().queries;
    assert!(queries.iter().all(|query| query.error.is_some()), "{queries:#?}");
    let seen: Vec<Reason> = scene.incidents().iter().map(|incident| incident.reason).collect();
    assert_eq!(seen, [], "a gap is no trouble of a workload");

    scene.change(Change::Telemetry(None));
    scene.pass(Period::from_mins(5));
    assert_eq!(prometheus().breaker, Some(BreakerState::Closed));
    assert_eq!(run.handle.health().status, HealthStatus::Healthy, "{:#?}", run.handle.health());
    assert_eq!(scene.incidents(), []);
}

#[test]
fn nothing_is_called_healthy_before_it_was_seen_to_be() {
    let mut scene = Scene::new(Mode::Auto);
    let run = scene.start("first");
    let report = run.handle.health();
    let all = report.components.iter().chain(&report.dependencies);
    let healthy: Vec<_> =
        all.filter(|(_, one)| one.status == HealthStatus::Healthy).map(|(name, _)| name).collect();
    assert_eq!(healthy, ["store"], "only the store was asked yet");
    assert_eq!(report.status, HealthStatus::Unknown);
}

#[test]
fn an_act_whose_answer_is_lost_happens_once() {
    use PerformFault::{RateLimited, Unavailable, UnknownApplied, UnknownNotApplied};
    let cases: [&[PerformFault]; 6] = [
        &[UnknownApplied],
        &[UnknownNotApplied],
        &[UnknownNotApplied, UnknownApplied],
        &[UnknownNotApplied, UnknownNotApplied],
        &[RateLimited, Unavailable, UnknownApplied],
        &[Unavailable, Unavailable, Unavailable],
    ];
    for faults in cases {
        let (mut scene, _run) = Scene::warm(Mode::Auto);
        for fault in faults {
            scene.world.fail_next_perform(*fault);
        }
        scene.release(&cart(), "2-crash");
        scene.until_status(IncidentStatus::Repaired);
        scene.pass(Period::from_mins(10));
        scene.assert_repaired(&format!("{faults:?}"));
        assert_eq!(scene.changes().len(), 1, "{faults:?}: {:?}", scene.changes());
        assert_eq!(scene.actions().len(), 1, "{faults:?}");
    }
}

#[test]
fn an_act_that_is_never_answered_is_given_up_and_handed_over() {
    let (mut scene, _run) = Scene::warm(Mode::Auto);
    for _ in 0..30 {
        scene.world.fail_next_perform(PerformFault::UnknownNotApplied);
    }
    scene.release(&cart(), "2-crash");
    scene.until_status(IncidentStatus::HandedOver);
    assert_eq!(scene.changes(), []);
    assert_eq!(scene.actions()[0].status, ActionStatus::Failed);
}

#[test]
fn without_the_store_nothing_is_planned_and_afterwards_nothing_is_missing() {
    let (mut scene, run) = Scene::warm(Mode::Auto);
    run.weather(|weather| weather.store_down = true);
    scene.release(&cart(), "2-crash");
    scene.pass(Period::from_mins(3));
    assert_eq!(scene.store.journal(), [], "what was done before is not known, so no plan is made");
    assert_eq!(scene.changes(), []);
    let store = run.handle.health().dependencies["store"].clone();
    assert_eq!(store.status, HealthStatus::Unhealthy, "{store:#?}");

    run.weather(|weather| weather.store_down = false);
    scene.until_status(IncidentStatus::Repaired);
    scene.pass(Period::from_mins(10));
    scene.assert_repaired("the store came back");
    assert!(!scene.anomalies().is_empty() && !scene.actions().is_empty() && !scene.plans().is_empty());
}

#[test]
fn records_made_while_the_store_is_away_are_saved_afterwards() {
    let (mut scene, run) = Scene::crashing(Mode::Auto);
    scene.until_entry("the act", |body| matches!(body, JournalBody::Succeeded { .. }));
    run.weather(|weather| weather.store_down = true);
    scene.pass(Period::from_mins(5));
    assert_ne!(scene.incident().status, IncidentStatus::Repaired, "the store was away");
    run.weather(|weather| weather.store_down = false);
    scene.until_status(IncidentStatus::Repaired);
    scene.pass(Period::from_mins(10));
    scene.assert_repaired("the store came back");
}

#[test]
fn a_record_that_the_store_refuses_takes_no_other_with_it() {
    let (mut scene, run) = Scene::warm(Mode::Auto);
    run.weather(|weather| weather.refused = Some(RecordKind::Anomaly));
    scene.release(&cart(), "2-crash");
    scene.until_status(IncidentStatus::Repaired);
    assert_eq!(scene.anomalies(), [], "these are refused");
    assert_eq!((scene.plans().len(), scene.actions().len()), (1, 1), "and came in one batch with these");
}

#[test]
fn without_the_journal_nothing_is_done() {
    let (mut scene, run) = Scene::warm(Mode::Auto);
    run.weather(|weather| weather.journal_down = true);
    scene.release(&cart(), "2-crash");
    scene.pass(Period::from_mins(4));
    assert_eq!(scene.changes(), []);
    assert_eq!(scene.image(&cart()), "shop/cart:2-crash");
    run.weather(|weather| weather.journal_down = false);
    scene.until_status(IncidentStatus::Repaired);
    scene.pass(Period::from_mins(10));
    scene.assert_repaired("the journal came back");
}

#[test]
fn a_journal_that_goes_between_begun_and_done_costs_no_second_act() {
    for entry in 1..=5 {
        let (mut scene, run) = Scene::warm(Mode::Auto);
        let weathered = std::sync::Arc::downgrade(&run.weathered);
        let deed = move || weathered.upgrade().unwrap().set(|weather| weather.journal_down = true);
        run.weather(|weather| weather.after_entry = Some((entry, Box::new(deed))));
        scene.release(&cart(), "2-crash");
        scene.until("the entry", |scene| scene.store.journal().len() as u32 >= entry);
        scene.pass(Period::from_mins(2));
        assert_eq!(scene.store.journal().len() as u32, entry);
        run.weather(|weather| weather.journal_down = false);
        scene.until_status(IncidentStatus::Repaired);
        scene.pass(Period::from_mins(10));
        scene.assert_repaired(&format!("no journal after entry {entry}"));
    }
}

#[test]
fn a_cut_watch_costs_neither_an_anomaly_nor_a_repair() {
    for forgotten in [false, true] {
        let (mut scene, _run) = Scene::warm(Mode::Auto);
        scene.change(Change::WatchCut);
        scene.release(&cart(), "2-crash");
        scene.pass(Period::from_mins(2));
        scene.change(Change::WatchBack { forgotten });
        scene.until_status(IncidentStatus::Repaired);
        scene.pass(Period::from_mins(10));
        scene.assert_repaired(&format!("forgotten: {forgotten}"));
    }
}
