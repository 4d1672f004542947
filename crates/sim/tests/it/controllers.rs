use kubewise_core::request::PatchOperation;
use kubewise_core::{Kind, ObjectRef, Period};
use kubewise_sim::{Behaviour, Change, Workload, World};
use serde_json::json;

use crate::cluster::{MIB, cart, condition, get, number, reasons, revisions, roll, waiting, world_with};

const TEMPLATE: &str = "/spec/template";

#[test]
fn a_deployment_comes_up_with_the_events_of_the_real_one() {
    let (world, cart) = world_with(cart());
    assert_eq!(number(&world, &cart, "/status/availableReplicas"), 3);
    assert_eq!(condition(&world, &cart, "Available").unwrap().0, "True");
    assert_eq!(condition(&world, &cart, "Progressing").unwrap().1, "NewReplicaSetAvailable");
    assert_eq!(get(&world, &cart).annotation("deployment.kubernetes.io/revision"), Some("1"));
    let told = reasons(&world, "cart");
    for reason in
        ["ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Pulling", "Pulled", "Created", "Started"]
    {
        assert!(told.iter().any(|found| found == reason), "{reason} in {told:?}");
    }
}

#[test]
fn a_healthy_rollout_keeps_its_bounds_and_ends_whole() {
    for (surge, unavailable, least, most) in
        [(json!("25%"), json!("25%"), 3, 5), (json!(0), json!(1), 3, 4), (json!(1), json!(0), 4, 5)]
    {
        let strategy = json!({
            "type": "RollingUpdate", "rollingUpdate": { "maxSurge": surge, "maxUnavailable": unavailable },
        });
        let (world, cart) = world_with(cart().replicas(4).spec("strategy", strategy));
        roll(&world, &cart, "2");
        for _ in 0..90 {
            world.pass(Period::from_secs(1));
            let available = number(&world, &cart, "/status/availableReplicas");
            let there = number(&world, &cart, "/status/replicas");
            assert!(available >= least && there <= most, "{surge} {unavailable}: {available} of {there}");
        }
        assert_eq!(revisions(&world, "shop"), [(1, 0), (2, 4)]);
        assert_eq!(condition(&world, &cart, "Progressing").unwrap().1, "NewReplicaSetAvailable");
    }
}

#[test]
fn recreate_stops_everything_before_it_starts_anything() {
    let (world, cart) = world_with(cart().spec("strategy", json!({ "type": "Recreate" })));
    roll(&world, &cart, "2");
    let mut least = u64::MAX;
    for _ in 0..60 {
        world.pass(Period::from_secs(1));
        assert!(world.pods_of(&cart).len() <= 3);
        least = least.min(number(&world, &cart, "/status/availableReplicas"));
    }
    assert_eq!((least, number(&world, &cart, "/status/availableReplicas")), (0, 3));
}

/// Putting back the old template cures, under a new number and with the old ReplicaSet.
#[test]
fn undoing_a_rollout_cures_and_takes_up_the_old_replica_set() {
    for (tag, symptom) in
        [("2-crash", "CrashLoopBackOff"), ("2-missing", "ImagePullBackOff"), ("2-never-ready", "")]
    {
        let (world, cart) = world_with(cart());
        let before = get(&world, &cart).0.pointer(TEMPLATE).unwrap().clone();
        let sets = world.list(&Kind::ReplicaSet, Some("shop"));
        roll(&world, &cart, tag);
        world.pass(Period::from_secs(40));
        let found = waiting(&world, &cart);
        assert_eq!(found.first().map_or("", String::as_str), symptom, "{tag}: {found:?}");
        assert_ne!(number(&world, &cart, "/status/updatedReplicas"), 3, "{tag} is stuck");
        assert!(number(&world, &cart, "/status/availableReplicas") >= 3, "the old revision still serves");

        let undo = PatchOperation::Replace { path: TEMPLATE.into(), value: before };
        let edit = Change::Edit { object: cart.clone(), manager: "kubectl".into(), operations: vec![undo] };
        world.change(edit).unwrap();
        world.pass(Period::from_secs(40));
        assert_eq!(revisions(&world, "shop"), [(2, 0), (3, 3)], "{tag}");
        let set = sets[0].object().unwrap();
        let annotations = get(&world, &set);
        assert_eq!(annotations.annotation("deployment.kubernetes.io/revision"), Some("3"));
        assert_eq!(annotations.annotation("deployment.kubernetes.io/revision-history"), Some("1"));
        assert_eq!(number(&world, &cart, "/status/availableReplicas"), 3);
        assert!(waiting(&world, &cart).is_empty());
    }
}

/// A change that leaves the cause in place leaves the trouble in place.
#[test]
fn a_wrong_repair_does_not_repair() {
    let (world, cart) = world_with(cart());
    roll(&world, &cart, "2-crash");
    world.pass(Period::from_secs(30));
    let more = PatchOperation::Replace {
        path: "/spec/template/spec/containers/0/resources/limits/memory".into(),
        value: json!("1Gi"),
    };
    world
        .change(Change::Edit { object: cart.clone(), manager: "kubectl".into(), operations: vec![more] })
        .unwrap();
    world.pass(Period::from_secs(120));
    assert!(waiting(&world, &cart).contains(&"CrashLoopBackOff".to_owned()));
}

#[test]
fn a_stuck_rollout_passes_its_deadline_and_a_healthy_one_does_not() {
    for (tag, reason) in [("2-never-ready", "ProgressDeadlineExceeded"), ("2", "NewReplicaSetAvailable")] {
        let (world, cart) = world_with(cart().spec("progressDeadlineSeconds", json!(60)));
        roll(&world, &cart, tag);
        world.pass(Period::from_secs(55));
        assert_ne!(condition(&world, &cart, "Progressing").unwrap().1, "ProgressDeadlineExceeded", "{tag}");
        world.pass(Period::from_secs(60));
        assert_eq!(condition(&world, &cart, "Progressing").unwrap().1, reason, "{tag}");
    }
}

#[test]
fn old_replica_sets_are_forgotten_beyond_the_limit() {
    let (world, cart) = world_with(cart().spec("revisionHistoryLimit", json!(1)));
    for tag in ["2", "3", "4"] {
        roll(&world, &cart, tag);
        world.pass(Period::from_secs(90));
    }
    assert_eq!(revisions(&world, "shop"), [(3, 0), (4, 3)]);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let (world, cart) = world_with(cart());
    let pause = PatchOperation::Add { path: "/spec/paused".into(), value: json!(true) };
    world
        .change(Change::Edit { object: cart.clone(), manager: "kubectl".into(), operations: vec![pause] })
        .unwrap();
    roll(&world, &cart, "2");
    world.change(Change::Scale { workload: cart.clone(), replicas: 5 }).unwrap();
    world.pass(Period::from_secs(60));
    assert_eq!(revisions(&world, "shop"), [(1, 5)]);
}

#[test]
fn a_stateful_set_starts_in_order_and_updates_from_the_last() {
    let (world, set) = world_with(Workload::stateful_set("data", "log").replicas(3));
    assert_eq!(number(&world, &set, "/status/readyReplicas"), 3);
    let ready: Vec<_> =
        world.pods_of(&set).iter().map(|pod| pod.time("/status/conditions/3/lastTransitionTime")).collect();
    assert!(ready.is_sorted(), "{ready:?}");
    roll(&world, &set, "2-never-ready");
    world.pass(Period::from_secs(120));
    let images: Vec<_> = world
        .pods_of(&set)
        .iter()
        .map(|pod| pod.text("/spec/containers/0/image").unwrap().to_owned())
        .collect();
    assert_eq!(images, ["data/log:1", "data/log:1", "data/log:2-never-ready"], "the first bad one stops it");
    assert_eq!(world.list(&Kind::ControllerRevision, Some("data")).len(), 2);
}

#[test]
fn a_daemon_set_has_one_pod_on_every_node_and_updates_one_by_one() {
    let (world, set) = world_with(Workload::daemon_set("ops", "agent"));
    world.node("n3", 4.0, 8192.0 * MIB).pass(Period::from_secs(30));
    assert_eq!(number(&world, &set, "/status/numberReady"), 3);
    roll(&world, &set, "2");
    for _ in 0..90 {
        world.pass(Period::from_secs(1));
        assert!(number(&world, &set, "/status/numberReady") >= 2);
    }
    assert_eq!(number(&world, &set, "/status/updatedNumberScheduled"), 3);
}

#[test]
fn a_job_ends_or_gives_up() {
    for (tag, kind, reason) in
        [("1", "Complete", "CompletionsReached"), ("1-crash", "Failed", "BackoffLimitExceeded")]
    {
        let job =
            Workload::job("batch", "bill").image(&format!("batch/bill:{tag}")).spec("backoffLimit", json!(2));
        let (world, job) = world_with(job);
        world.pass(Period::from_mins(10));
        assert_eq!(condition(&world, &job, kind), Some(("True".into(), reason.into())), "{tag}");
    }
}

#[test]
fn what_fits_nowhere_waits_and_says_why() {
    let (world, cart) = world_with(cart().memory("5Gi", "5Gi"));
    assert_eq!(number(&world, &cart, "/status/availableReplicas"), 2, "one on each node");
    let waits = world.events().into_iter().find(|event| event.reason == "FailedScheduling").unwrap();
    assert_eq!(waits.message, "0/2 nodes are available: 2 Insufficient memory.");
    world.node("n3", 4.0, 8192.0 * MIB).pass(Period::from_secs(30));
    assert_eq!(number(&world, &cart, "/status/availableReplicas"), 3);
}

/// What goes on beside a pod that waits does not multiply its tries.
#[test]
fn a_pod_that_waits_is_tried_once_a_minute() {
    let (world, cart) = world_with(cart().memory("5Gi", "5Gi"));
    let small = Workload::deployment("web", "front").replicas(1);
    let front = small.object();
    world.add(small);
    for _ in 0..20 {
        let pod = world.pods_of(&front)[0].object().unwrap();
        world.change(Change::Delete(pod)).unwrap();
        world.pass(Period::from_secs(7));
    }
    let tries = || {
        world.events().iter().filter(|event| event.reason == "FailedScheduling").map(|e| e.count).sum::<u32>()
    };
    let before = tries();
    world.pass(Period::from_mins(10));
    assert_eq!(tries() - before, 10);
    assert_eq!(number(&world, &cart, "/status/availableReplicas"), 2);
}

#[test]
fn a_quota_refuses_pods_beyond_it_and_lets_them_in_when_raised() {
    let world = World::new(7);
    world.node("n1", 4.0, 8192.0 * MIB).quota("shop", "compute", &[("requests.memory", "256Mi")]);
    let object = cart().object();
    world.add(cart()).pass(Period::from_secs(30));
    assert_eq!(number(&world, &object, "/status/availableReplicas"), 2);
    assert_eq!(condition(&world, &object, "ReplicaFailure").unwrap().1, "FailedCreate");
    let quota = ObjectRef::namespaced(Kind::ResourceQuota, "shop", "compute");
    assert_eq!(get(&world, &quota).text("/status/used/requests.memory"), Some("256Mi"));
    let raise = PatchOperation::Replace { path: "/spec/hard/requests.memory".into(), value: json!("1Gi") };
    world.change(Change::Edit { object: quota, manager: "kubectl".into(), operations: vec![raise] }).unwrap();
    world.pass(Period::from_secs(60));
    assert_eq!(number(&world, &object, "/status/availableReplicas"), 3);
    assert_eq!(condition(&world, &object, "ReplicaFailure"), None);
}

#[test]
fn an_autoscaler_follows_the_load_up_at_once_and_down_later() {
    let busy = Behaviour { daily: 0.0, noise: 0.0, ..Behaviour::service(0.08, 64.0 * MIB) };
    let (world, cart) = world_with(cart().behaviour(busy));
    world.autoscaler(&cart, 2, 6, 80).pass(Period::from_mins(10));
    assert_eq!(number(&world, &cart, "/spec/replicas"), 3);
    world.change(Change::Load { workload: cart.clone(), factor: 4.0 }).unwrap();
    world.pass(Period::from_mins(10));
    assert_eq!(number(&world, &cart, "/spec/replicas"), 6);
    let autoscaler = ObjectRef::namespaced(Kind::HorizontalPodAutoscaler, "shop", "cart");
    assert_eq!(condition(&world, &autoscaler, "ScalingLimited").unwrap().1, "TooManyReplicas");
    world.change(Change::Load { workload: cart.clone(), factor: 1.0 }).unwrap();
    world.pass(Period::from_mins(4));
    assert_eq!(number(&world, &cart, "/spec/replicas"), 6, "not yet");
    world.pass(Period::from_mins(15));
    assert!(number(&world, &cart, "/spec/replicas") <= 4);
}

#[test]
fn a_lost_node_is_noticed_its_pods_move_and_it_may_come_back() {
    let (world, cart) = world_with(cart().replicas(4));
    let node = ObjectRef::cluster_scoped(Kind::Node, "n1");
    world.change(Change::NodeLost("n1".into())).unwrap();
    world.pass(Period::from_secs(30));
    assert_eq!(condition(&world, &node, "Ready").unwrap().0, "True", "not noticed yet");
    world.pass(Period::from_secs(15));
    assert_eq!(condition(&world, &node, "Ready"), Some(("Unknown".into(), "NodeStatusUnknown".into())));
    assert_eq!(number(&world, &cart, "/status/availableReplicas"), 2);
    assert!(reasons(&world, "n1").contains(&"NodeNotReady".to_owned()));
    world.pass(Period::from_mins(6));
    assert_eq!(number(&world, &cart, "/status/availableReplicas"), 4, "on the other node");
    world.change(Change::NodeBack("n1".into())).unwrap();
    world.pass(Period::from_secs(30));
    assert_eq!(condition(&world, &node, "Ready").unwrap().0, "True");
    assert_eq!(world.list(&Kind::Pod, None).len(), 4, "what was left on it is gone");
}

#[test]
fn what_is_deleted_takes_its_own_with_it() {
    let (world, cart) = world_with(cart());
    world.change(Change::Delete(cart)).unwrap();
    world.pass(Period::from_secs(10));
    assert!(world.list(&Kind::Pod, None).is_empty() && world.list(&Kind::ReplicaSet, None).is_empty());
}
