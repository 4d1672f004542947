//! How often a healthy cluster is called ill, and how soon an ill one is: on the simulated cluster, with everything
//! that moves in a healthy one.

use kubewise_core::anomaly::Reason;
use kubewise_core::incident::{Incident, IncidentStatus};
use kubewise_core::metric::{MetricQuery, MetricType};
use kubewise_core::plan::Mode;
use kubewise_core::port::Control as _;
use kubewise_core::request::PatchOperation;
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use kubewise_sim::{Behaviour, Change, Workload};
use serde_json::json;

use crate::pipeline::{Scene, deployment, query};

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1024.0 * MIB;
/// The default catalogue's for what containers use.
const INTERVAL: Period = Period::from_secs(30);
const SERVICES: usize = 40;

fn service(number: usize) -> ObjectRef {
    deployment(&format!("service-{number:02}"))
}

/// Services with daily loads of their own, on four nodes.
fn cluster() -> Scene {
    let mut scene = Scene::empty(Mode::Auto);
    scene.catalogue = catalogue();
    for number in 1..=4 {
        scene.world.node(&format!("node-{number}"), 16.0, 64.0 * GIB);
    }
    for number in 0..SERVICES {
        let spread = number as f64;
        let behaviour = Behaviour {
            peak_hour: 11.0 + spread % 9.0,
            daily: 0.10 + 0.02 * (spread % 15.0),
            ..Behaviour::service(0.05 + 0.004 * (spread % 10.0), (100.0 + spread) * MIB)
        };
        scene.world.add(Workload::deployment("shop", &service(number).name).behaviour(behaviour));
    }
    // It does little but answer.
    let answers = Behaviour { cpu_idle: 0.01, ..Behaviour::service(0.15, 200.0 * MIB) };
    scene.world.add(Workload::deployment("shop", "storefront").behaviour(answers));
    scene.world.add(Workload::stateful_set("shop", "warehouse").replicas(3));
    scene.world.add(Workload::daemon_set("shop", "agent"));
    scene
}

/// What containers, nodes, quotas and workloads are asked for, each as often as by default.
fn catalogue() -> Vec<MetricQuery> {
    let of_pods = [
        (MetricType::Restarts, "count"),
        (MetricType::Waiting, "count"),
        (MetricType::Terminated, "count"),
        (MetricType::Ready, "count"),
        (MetricType::CpuUsage, "cores"),
        (MetricType::CpuRequestRatio, "ratio"),
        (MetricType::CpuLimitRatio, "ratio"),
        (MetricType::CpuThrottling, "ratio"),
        (MetricType::MemoryWorkingSet, "bytes"),
        (MetricType::MemoryLimitRatio, "ratio"),
        (MetricType::MemoryTrend, "bytes_per_second"),
    ];
    let mut queries: Vec<MetricQuery> = of_pods
        .into_iter()
        .map(|(metric_type, unit)| query(metric_type, Kind::Pod, unit, INTERVAL))
        .collect();
    for metric_type in [MetricType::ReplicasDesired, MetricType::ReplicasAvailable] {
        queries.push(query(metric_type, Kind::Deployment, "count", INTERVAL));
    }
    queries.push(query(MetricType::NodeCondition, Kind::Node, "count", INTERVAL));
    queries
}

fn told(incidents: &[Incident]) -> Vec<String> {
    incidents
        .iter()
        .map(|one| format!("{} {} {}: {}", one.opened_at, one.workload, one.reason, one.summary))
        .collect()
}

/// 43 workloads for a day: rollouts, scalings, cron runs and peaks, lost pods, nodes in maintenance; then the traffic of
/// one is cut.
#[test]
fn a_thousand_workload_hours_of_healthy_life_have_at_most_one_incident_and_a_cut_of_traffic_after_it_has_its_own()
 {
    let mut scene = cluster();
    let start = scene.world.now();
    let at = |minutes: u64| Period::from_mins(minutes).after(start);
    let image = |number: usize, revision: u64| Change::Image {
        workload: service(number),
        image: format!("shop/{}:{revision}", service(number).name),
    };
    for turn in 1..36 {
        let number = (turn * 7) as usize % SERVICES;
        scene.world.at(at(turn * 40), image(number, turn + 1));
        scene.world.at(at(turn * 40 + 13), Change::Scale { workload: service(number), replicas: 3 });
    }
    for hour in 1..24 {
        let job = Workload::job("shop", &format!("nightly-{hour}"));
        scene.world.at(at(hour * 60 + 5), Change::Create(job));
        let peak = |factor| Change::Load { workload: service(3), factor };
        scene.world.at(at(hour * 60), peak(1.6));
        scene.world.at(at(hour * 60 + 8), peak(1.0));
    }
    for turn in 0..2 {
        let node = format!("node-{}", turn + 1);
        let cordon = |value: bool| Change::Edit {
            object: ObjectRef::cluster_scoped(Kind::Node, node.as_str()),
            manager: "kubectl-cordon".into(),
            operations: vec![PatchOperation::Add { path: "/spec/unschedulable".into(), value: json!(value) }],
        };
        scene.world.at(at(400 + turn * 300), cordon(true));
        scene.world.at(at(430 + turn * 300), cordon(false));
    }
    let _run = scene.start("first");
    for minute in 0..24 * 60_u64 {
        scene.pass(Period::from_mins(1));
        // A pod is lost now and then; a cordoned node is drained, pod by pod.
        let drained = (0..2).find(|turn| (402 + turn * 300..425 + turn * 300).contains(&minute));
        let victim = match drained {
            Some(turn) => scene.world.pods_on(&format!("node-{}", turn + 1)).into_iter().next(),
            None if minute % 30 == 17 => scene.world.pods_on("node-3").into_iter().next(),
            None => None,
        };
        if let Some(pod) = victim {
            scene.change(Change::Delete(pod));
        }
    }
    let incidents = scene.incidents();
    assert!(incidents.len() <= 1, "{:#?}", told(&incidents));
    assert_eq!(scene.changes(), [], "nothing healthy is touched");

    // The day taught what is usual; now nobody asks one service any more.
    let known = incidents.len();
    scene.change(Change::Load { workload: deployment("storefront"), factor: 0.0 });
    scene.pass(Period::from_mins(15));
    let incidents = scene.incidents();
    let new: Vec<Incident> =
        incidents.into_iter().filter(|one| one.workload == deployment("storefront")).collect();
    assert_eq!(new.len(), 1, "{:#?}", told(&scene.incidents()));
    assert_eq!((new[0].reason, scene.incidents().len()), (Reason::Deviation, known + 1));
    assert!(new[0].summary.contains("fell to"), "{}", new[0].summary);
}

#[test]
fn every_hard_fault_is_found_within_two_intervals_and_half_a_minute() {
    let mut scene = cluster();
    let _run = scene.start("first");
    scene.pass(Period::from_mins(30));
    let limit = Period::from(INTERVAL.as_duration() * 2 + Period::from_secs(30).as_duration());
    let tag = |number: usize, tag: &str| Change::Image {
        workload: service(number),
        image: format!("shop/{}:{tag}", service(number).name),
    };
    let faults = [
        (service(1), tag(1, "2-crash"), Reason::CrashLoopBackOff),
        (service(2), tag(2, "2-missing"), Reason::ImagePullBackOff),
        (service(4), Change::Load { workload: service(4), factor: 6.0 }, Reason::OomKilled),
        (service(5), Change::Scale { workload: service(5), replicas: 0 }, Reason::ScaledToZero),
    ];
    for (workload, change, reason) in faults {
        let began = scene.world.now();
        scene.change(change);
        scene.pass(limit);
        let found = scene.incidents().into_iter().find(|incident| incident.workload == workload);
        let found = found.unwrap_or_else(|| panic!("{reason} of {workload} was not found within {limit}"));
        assert_eq!(found.reason, reason);
        assert!(Period::between(began, found.opened_at) <= limit, "{found:#?}");
    }
}

/// Among the others, one that will leak.
fn leaking(mode: Mode) -> Scene {
    let mut scene = cluster();
    scene.policy.mode = mode;
    scene.world.add(Workload::deployment("shop", "leaky").memory("256Mi", "2Gi"));
    scene
}

/// After so many minutes a release leaks, in two hours, all that its containers may have.
fn leak(scene: &mut Scene, after: u64) {
    scene.pass(Period::from_mins(after));
    scene.change(Change::Image { workload: deployment("leaky"), image: "shop/leaky:2-leak".into() });
}

#[test]
fn a_leak_is_found_half_an_hour_before_memory_is_full() {
    let mut scene = leaking(Mode::Observe);
    let _run = scene.start("first");
    leak(&mut scene, 30);
    scene.pass(Period::from_mins(180));
    let first = |reason: Reason| -> Option<Timestamp> {
        let of_leaky = scene.anomalies().into_iter().filter(|one| one.workload == deployment("leaky"));
        of_leaky.filter(|one| one.reason == reason).map(|one| one.time).min()
    };
    let (told, full) = (first(Reason::Exhaustion), first(Reason::OomKilled));
    let (told, full) = (told.expect("the leak was not told"), full.expect("the leak never ended"));
    assert!(Period::between(told, full) >= Period::from_mins(30), "told at {told}, full at {full}");
}

#[test]
fn a_leak_that_a_release_brought_is_rolled_back() {
    let mut scene = leaking(Mode::Auto);
    let _run = scene.start("first");
    leak(&mut scene, 90);
    scene.pass(Period::from_mins(6 * 60));
    let [undo] = scene.actions().try_into().unwrap();
    assert_eq!((undo.action.name.as_str(), scene.changes().len()), ("RolloutUndo", 1));
    let told: Vec<String> = scene.world.notices().into_iter().map(|notice| notice.reason).collect();
    assert_eq!(told, ["Acted", "Repaired"]);
}

/// The release is as old as what went before: nobody knows which brought it. A restart puts the end off: as late as possible, and not for ever.
#[test]
fn a_leak_is_handed_over_at_once_restarted_shortly_before_its_end_and_three_times_at_most() {
    let mut scene = leaking(Mode::Auto);
    let _run = scene.start("first");
    leak(&mut scene, 30);
    scene.pass(Period::from_mins(100));
    let notices = scene.world.notices();
    let told: Vec<&str> = notices.iter().map(|notice| notice.reason.as_str()).collect();
    assert_eq!(told, ["HandedOver", "Acted", "Repaired"]);
    let [restart] = scene.actions().try_into().unwrap();
    let leading = scene.incident();
    assert_eq!(restart.action.name, "RolloutRestart");
    assert!(Period::between(leading.opened_at, restart.started_at) >= Period::from_mins(45), "{leading:#?}");

    scene.pass(Period::from_mins(10 * 60));
    let restarts = scene.actions().iter().filter(|done| done.action.name == "RolloutRestart").count();
    assert_eq!((restarts, scene.changes().len()), (3, 3));
    assert!(scene.anomalies().iter().any(|one| one.reason == Reason::OomKilled), "then it is a person's");
    assert_eq!(scene.world.notices().last().unwrap().reason, "HandedOver");
}

/// A volume has no workload of its own: the incident, its plan and its proof are the claim's.
#[test]
fn a_claim_whose_volume_fills_up_is_told_and_grows_when_a_person_agrees() {
    let mut scene = Scene::empty(Mode::Auto);
    scene.catalogue =
        vec![query(MetricType::VolumeUsage, Kind::PersistentVolumeClaim, "ratio", Period::from_secs(60))];
    let claim = json!({
        "kind": "PersistentVolumeClaim",
        "metadata": { "namespace": "shop", "name": "data", "annotations": { "fills-per-hour": "1Gi" } },
        "spec": { "resources": { "requests": { "storage": "10Gi" } } },
        "status": { "phase": "Bound" },
    });
    let claim = scene.world.create(claim).unwrap();
    let run = scene.start("first");
    scene.pass(Period::from_mins(4 * 60));
    let [plan] = scene.plans().try_into().unwrap();
    assert_eq!(plan.workload, claim);
    let limit = Period::from_secs(1).after(scene.world.now());
    let approve = async move { run.handle.approve(&plan.id, "ada").await };
    scene.simulation.complete(limit, approve).unwrap().unwrap();
    scene.until_status(IncidentStatus::Repaired);
    let size = scene.world.get(&claim).unwrap();
    assert_eq!(size.text("/spec/resources/requests/storage"), Some("15360Mi"));
    assert_eq!(scene.changes().len(), 1);
}
