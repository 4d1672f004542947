//! Playbooks for what stands beside pods that crash: probes, CPU, autoscalers, ordinals, Services, Jobs and nodes.

use std::sync::Arc;

use kubewise_core::anomaly::{Feature, Reason};
use kubewise_core::document::Document;
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::metric::MetricType;
use kubewise_core::plan::{Operation, PlanStatus};
use kubewise_core::record::{Extra, SchemaVersion};
use kubewise_core::service::{Route, ServingService};
use kubewise_core::{Kind, ObjectRef};
use serde_json::{Value, json};

use crate::fixture::{
    World, anomaly, at, cart, change_all_pods, crashing, line, node, out_of_memory, running, stateful_set,
    world,
};

fn check(world: &World, expect: &str) {
    assert_eq!(line(&world.decide()), expect);
}

pub(crate) fn with(mut world: World, change: impl FnOnce(&mut World)) -> World {
    change(&mut world);
    world
}

/// The incident's workload becomes another object.
pub(crate) fn of(mut world: World, document: Value, object: ObjectRef, reason: Reason) -> World {
    world.evidence.incident.workload = object;
    world.evidence.incident.reason = reason;
    world.evidence.anomalies = vec![anomaly(reason, "11:55:00")];
    world.evidence.workload = Some(Document(document));
    world.evidence.revisions.clear();
    world.evidence.pods.clear();
    world
}

fn event(reason: &str, message: &str) -> EventRecord {
    EventRecord {
        version: SchemaVersion::CURRENT,
        uid: "e".into(),
        count: 4,
        object: ObjectRef::namespaced(Kind::Pod, "shop", "cart-good-1"),
        object_uid: "uid-cart-good-1".into(),
        event_type: EventType::Normal,
        reason: reason.into(),
        message: message.into(),
        first_seen: at("11:55:00"),
        last_seen: at("11:59:00"),
        source: "kubelet".into(),
        workload: Some(cart()),
        extra: Extra::new(),
    }
}

/// One revision since the morning, whose container is ended by its liveness probe.
fn strict_probe() -> World {
    let mut world = out_of_memory();
    world.evidence.anomalies = vec![anomaly(Reason::CrashLoopBackOff, "11:55:00")];
    world.set("/spec/template/spec/containers/0/livenessProbe", json!({ "timeoutSeconds": 1 }));
    world.seen_healthy("good");
    for pod in &mut world.evidence.pods {
        pod.0["status"]["containerStatuses"] = json!([crashing("Error", 143, 40)]);
    }
    world.evidence.events = vec![event("Killing", "Container app failed liveness probe, will be restarted")];
    world
}

#[test]
fn a_probe_that_ends_its_container_is_given_more_patience_if_a_person_agrees() {
    check(&strict_probe(), "act PatchProbe as Proposed");
    let Operation::Write { changes, .. } = strict_probe().plan().actions.remove(0).operation else {
        panic!("not a write");
    };
    let base = "/spec/template/spec/containers/0/livenessProbe";
    let set = |key: &str| {
        changes.iter().find(|change| change.path == format!("{base}/{key}")).and_then(|one| one.after.clone())
    };
    assert_eq!((set("timeoutSeconds"), set("failureThreshold")), (Some(json!(2)), Some(json!(6))));
    // Without the kubelet's word it crashes by itself.
    let by_itself = with(strict_probe(), |world| world.evidence.events.clear());
    check(&by_itself, "hand over by playbook crash-loop-unexplained");
    // A revision that made the probe stricter is undone instead.
    let new_probe = with(world(Reason::CrashLoopBackOff, &crashing("Error", 143, 40)), |world| {
        world.set("/spec/template/spec/containers/0/livenessProbe", json!({ "timeoutSeconds": 1 }));
        world.evidence.events = strict_probe().evidence.events;
    });
    check(&new_probe, "act RolloutUndo as Approved");
}

#[test]
fn a_throttled_container_gets_more_cpu_up_to_the_cap() {
    let deviating = |measure: &MetricType| {
        with(out_of_memory(), |world| {
            let mut deviation = anomaly(Reason::Deviation, "11:55:00");
            deviation.features = vec![Feature { name: measure.to_string(), value: 0.6, expected: Some(0.1) }];
            world.evidence.anomalies = vec![deviation];
            let limits = json!({ "cpu": "200m", "memory": "128Mi" });
            world.set("/spec/template/spec/containers/0/resources/limits", limits.clone());
            world.set("/spec/template/spec/containers/0/resources/requests", limits.clone());
            for pod in &mut world.evidence.pods {
                pod.0["spec"]["containers"][0]["resources"]["limits"] = limits.clone();
                pod.0["status"]["containerStatuses"] = json!([running()]);
            }
            world.samples(&MetricType::CpuUsage, &[0.19]);
            world.samples(&MetricType::CpuThrottling, &[0.6]);
        })
    };
    let throttled = || deviating(&MetricType::CpuThrottling);
    check(&throttled(), "act SetResources as Approved");
    let Operation::Write { changes, .. } = throttled().plan().actions.remove(0).operation else {
        panic!("not a write");
    };
    let raised: Vec<_> =
        changes.iter().filter(|one| one.before != one.after).map(|one| one.after.clone()).collect();
    assert_eq!(raised, [Some(json!("300m")), Some(json!("300m"))], "limit, and the request that equalled it");
    // What was always throttled is not what deviates.
    check(&deviating(&MetricType::MemoryWorkingSet), "hand over by playbook hand-over");
    let capped = with(throttled(), |world| world.options.cpu_limit_cap_factor = 1.4);
    check(&capped, "hand over by playbook cpu-throttled for LimitBounds");
}

/// A volume has no owner: the incident is its claim's own.
#[test]
fn a_claim_whose_volume_fills_up_grows_by_half_if_a_person_agrees() {
    let filling = |phase: &str| {
        with(out_of_memory(), |world| {
            let data = ObjectRef::namespaced(Kind::PersistentVolumeClaim, "shop", "data");
            let claim = Document(json!({
                "kind": "PersistentVolumeClaim",
                "metadata": { "name": "data", "namespace": "shop", "uid": "uid-data" },
                "spec": { "resources": { "requests": { "storage": "10Gi" } } },
                "status": { "phase": phase },
            }));
            let mut fills = anomaly(Reason::Exhaustion, "11:55:00");
            fills.workload = data.clone();
            world.evidence.anomalies = vec![fills];
            world.evidence.incident.workload = data;
            world.evidence.workload = Some(claim.clone());
            world.evidence.claims = vec![claim];
            world.evidence.pods.clear();
        })
    };
    check(&filling("Bound"), "act ExpandClaim as Proposed");
    let step = filling("Bound").plan().actions.remove(0);
    assert_eq!(step.action.parameters, json!({ "claim": "data", "size": "15360Mi" }));
    check(&filling("Pending"), "hand over by playbook claim-filling for Premise");
}

#[test]
fn an_autoscaler_at_its_most_that_measures_more_load_gets_more_room() {
    let limited = |reason: &str| {
        with(out_of_memory(), |world| {
            world.evidence.anomalies = vec![anomaly(Reason::ScalingLimited, "11:55:00")];
            for pod in &mut world.evidence.pods {
                pod.0["status"]["containerStatuses"] = json!([running()]);
            }
            world.evidence.autoscalers = vec![Document(json!({
                "kind": "HorizontalPodAutoscaler",
                "metadata": { "name": "cart", "namespace": "shop", "uid": "uid-hpa" },
                "spec": { "maxReplicas": 5, "scaleTargetRef": { "kind": "Deployment", "name": "cart" } },
                "status": {
                    "currentReplicas": 5, "desiredReplicas": 5,
                    "conditions": [{ "type": "ScalingLimited", "status": "True", "reason": reason }],
                },
            }))];
        })
    };
    check(&limited("TooManyReplicas"), "act ChangeAutoscaler as Approved");
    let step = limited("TooManyReplicas").plan().actions.remove(0);
    assert_eq!(step.action.parameters, json!({ "autoscaler": "cart", "maxReplicas": 8 }));
    check(&limited("ScaleUpLimit"), "hand over by playbook hand-over"); // it only takes its time
    let crowded = with(limited("TooManyReplicas"), |world| world.evidence.nodes = Arc::default());
    check(&crowded, "hand over by playbook autoscaler-at-ceiling for LimitBounds");
}

#[test]
fn the_stuck_ordinal_is_undone_or_replaced_and_no_other_is_touched() {
    let never_ready = json!({ "name": "app", "ready": false, "restartCount": 0, "state": { "running": {} } });
    let stuck = with(stateful_set(), |world| {
        world.evidence.anomalies = vec![anomaly(Reason::Unavailable, "11:55:00")];
        world.pod("cart-1")["status"]["containerStatuses"] = json!([never_ready]);
    });
    check(&stuck, "act RolloutUndo, EvictPod as Approved");
    // Of one revision since the morning, which worked: only that pod is replaced.
    let alone = with(stuck.clone(), |world| {
        world.evidence.revisions.remove(0);
        world.evidence.revisions[0].0["metadata"]["creationTimestamp"] = json!(at("08:00:00"));
        world.seen_healthy("cart-bad");
    });
    check(&alone, "act EvictPod as Approved");
    assert_eq!(alone.plan().actions[0].action.parameters, json!({ "pod": "cart-1" }));
    let both = with(alone, |world| {
        world.pod("cart-0")["status"]["conditions"][0]["status"] = json!("False");
    });
    check(&both, "hand over by playbook ordinal-stuck");
}

/// The Service `cart` led to the pods by `app=cart`, and was changed to select `app=crat`.
pub(crate) fn astray() -> World {
    let service = |selector: &str| {
        json!({
            "kind": "Service", "metadata": { "name": "cart", "namespace": "shop", "uid": "uid-service" },
            "spec": { "selector": { "app": selector }, "ports": [{ "port": 80, "targetPort": 8080 }] },
        })
    };
    with(out_of_memory(), |world| {
        world.evidence.anomalies = vec![anomaly(Reason::ServiceWithoutEndpoints, "11:55:00")];
        for pod in &mut world.evidence.pods {
            pod.0["status"]["containerStatuses"] = json!([running()]);
            pod.0["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
        }
        world.evidence.services = vec![Document(service("crat"))];
        world.evidence.serving = vec![ServingService {
            version: SchemaVersion::CURRENT,
            workload: cart(),
            service: ObjectRef::namespaced(Kind::Service, "shop", "cart"),
            uid: "uid-service".into(),
            route: Route::of(&Document(service("cart"))),
            seen_at: at("11:50:00"),
            extra: Extra::new(),
        }];
    })
}

#[test]
fn a_service_is_put_back_to_where_it_was_seen_leading() {
    check(&astray(), "act RestoreService as Approved");
    let Operation::Write { object, changes, .. } = astray().plan().actions.remove(0).operation else {
        panic!("not a write");
    };
    assert_eq!(object.to_string(), "Service shop/cart");
    assert_eq!((changes.len(), changes[0].path.as_str()), (1, "/spec/selector"));
    assert_eq!(changes[0].after, Some(json!({ "app": "cart" })));
    // A port that no container listens on is put back as well.
    let port = with(astray(), |world| {
        for pod in &mut world.evidence.pods {
            pod.0["spec"]["containers"][0]["ports"] = json!([{ "containerPort": 8080 }]);
        }
        let spec = &mut world.evidence.services[0].0["spec"];
        spec["selector"]["app"] = json!("cart");
        spec["ports"][0]["targetPort"] = json!(8090);
    });
    let Operation::Write { changes, .. } = port.plan().actions.remove(0).operation else {
        panic!("not a write")
    };
    assert_eq!(
        (changes[0].path.as_str(), &changes[0].after),
        ("/spec/ports/0/targetPort", &Some(json!(8080)))
    );
}

#[test]
fn a_service_that_was_not_seen_leading_there_or_is_anothers_is_left_alone() {
    let none = "hand over by playbook hand-over";
    check(&with(astray(), |world| world.evidence.serving.clear()), none);
    check(&with(astray(), |world| world.evidence.serving[0].uid = "another".into()), none);
    // Its pods are not ready: then the Service is not why nothing is served.
    let unready = with(astray(), |world| {
        for pod in &mut world.evidence.pods {
            pod.0["status"]["conditions"][0]["status"] = json!("False");
        }
    });
    check(&unready, none);
    let more_ports = with(astray(), |world| {
        world.evidence.services[0].0["spec"]["ports"] = json!([{ "port": 80 }, { "port": 81, "name": "x" }]);
    });
    check(&more_ports, "hand over by playbook service-astray for Premise");
    let marked = with(astray(), |world| {
        world.evidence.services[0].0["metadata"]["labels"] = json!({ "argocd.argoproj.io/instance": "shop" });
    });
    check(&marked, "hand over by playbook service-astray for FieldOwnership");
    // An operator applied the port.
    let applied = with(astray(), |world| {
        let service = &mut world.evidence.services[0].0;
        service["spec"]["selector"]["app"] = json!("cart");
        service["spec"]["ports"] = json!([{ "port": 80, "protocol": "TCP", "targetPort": "web" }]);
        service["metadata"]["managedFields"] = json!([{
            "manager": "shop-operator", "operation": "Apply", "time": at("11:54:00"),
            "fieldsV1": { "f:spec": { "f:ports": { "k:{\"port\":80,\"protocol\":\"TCP\"}": { "f:targetPort": {} } } } },
        }]);
    });
    check(&applied, "hand over by playbook service-astray for FieldOwnership");
}

/// The Job `report` gave up; its last pod wrote `log`.
pub(crate) fn failed_job(log: &str) -> World {
    let object = ObjectRef::namespaced(Kind::Job, "shop", "report");
    let labels = json!({ "job-name": "report", "app": "report" });
    let job = json!({
        "kind": "Job", "apiVersion": "batch/v1",
        "metadata": { "name": "report", "namespace": "shop", "uid": "uid-report", "labels": labels },
        "spec": {
            "backoffLimit": 2, "selector": { "matchLabels": { "controller-uid": "uid-report" } },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "app" }] } },
        },
        "status": {
            "failed": 3,
            "conditions": [{ "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded" }],
        },
    });
    let mut world = of(out_of_memory(), job, object.clone(), Reason::BackoffLimitExceeded);
    let ended = json!({ "terminated": { "reason": "Error", "exitCode": 1 } });
    world.evidence.pods = vec![Document(json!({
        "kind": "Pod",
        "metadata": {
            "name": "report-x", "namespace": "shop", "uid": "uid-report-x",
            "ownerReferences": [{ "kind": "Job", "name": "report", "uid": "uid-report", "controller": true }],
        },
        "spec": { "containers": [{ "name": "app" }] },
        "status": { "phase": "Failed", "containerStatuses": [{ "name": "app", "state": ended }] },
    }))];
    world.evidence.logs = vec![kubewise_remediation::evidence::LogExcerpt {
        pod: ObjectRef::namespaced(Kind::Pod, "shop", "report-x"),
        container: "app".into(),
        previous: false,
        text: log.into(),
    }];
    world
}

#[test]
fn a_job_that_something_else_failed_is_tried_once_more_and_never_again() {
    let transient = || failed_job("opening db:5432\ndial tcp 10.0.0.7:5432: connect: connection refused\n");
    check(&transient(), "act RetryJob, RetryJob as Approved");
    let plan = transient().plan();
    let Operation::Write { changes, .. } = &plan.actions[0].operation else { panic!("not a write") };
    let Operation::Create { object, body } = &plan.actions[1].operation else { panic!("nothing made") };
    assert_eq!(changes[0].path, "/metadata/annotations/kubewise.dev~1retried-as");
    assert_eq!(changes[0].after, Some(json!(&*object.name)), "the mark names what is made");
    assert!(object.name.starts_with("report-retry-"), "{object}");
    assert_eq!(body["metadata"]["annotations"], json!({ "kubewise.dev/retry-of": "uid-report" }));
    assert_eq!(body["spec"].get("selector"), None);
    assert_eq!(body["spec"]["template"]["metadata"]["labels"], json!({ "app": "report" }));
    assert_eq!(body["spec"]["backoffLimit"], 2);
    let marked = with(transient(), |world| {
        world.set("/metadata/annotations", json!({ "kubewise.dev/retried-as": "report-retry-0" }));
    });
    check(&marked, "hand over by playbook job-failed");
    let retry = with(transient(), |world| {
        world.set("/metadata/annotations", json!({ "kubewise.dev/retry-of": "uid-report" }));
    });
    check(&retry, "hand over by playbook job-failed");
}

#[test]
fn a_job_that_failed_by_itself_is_handed_over() {
    check(&failed_job("assertion failed: total == 7\n"), "hand over by playbook job-failed");
    let evicted = with(failed_job("assertion failed\n"), |world| {
        world.evidence.pods[0].0["status"]["reason"] = json!("Evicted");
    });
    check(&evicted, "act RetryJob, RetryJob as Approved");
    let killed = with(failed_job("connection refused\n"), |world| {
        world.evidence.pods[0].0["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] =
            json!("OOMKilled");
    });
    check(&killed, "hand over by playbook job-failed");
    // Its CronJob makes the next one.
    let owned = with(failed_job("connection refused\n"), |world| {
        let owner = json!([{ "kind": "CronJob", "name": "report", "uid": "uid-cron", "controller": true }]);
        world.set("/metadata/ownerReferences", owner);
    });
    check(&owned, "hand over by playbook job-transient for Premise");
}

/// Node `n1` of three is not ready and holds two pods of the cart.
pub(crate) fn node_down(unready: usize) -> World {
    let mut nodes: Vec<_> = ["n1", "n2", "n3"].map(|name| node(name, "1Gi")).into();
    for node in nodes.iter_mut().take(unready) {
        node.0["status"]["conditions"][0]["status"] = json!("Unknown");
    }
    let object = ObjectRef::cluster_scoped(Kind::Node, "n1");
    let mut world = of(out_of_memory(), nodes[0].0.clone(), object, Reason::NodeNotReady);
    world.evidence.nodes = nodes.into();
    change_all_pods(&mut world, |pods| {
        for pod in pods {
            pod.0["spec"]["nodeName"] = json!("n1");
        }
    });
    world
}

#[test]
fn a_node_that_is_not_ready_is_cordoned_and_emptied_only_by_approval() {
    check(&node_down(1), "act CordonNode as Approved");
    let cordoned = with(node_down(1), |world| {
        world.set("/spec/unschedulable", json!(true));
        world.nodes()[0].0["spec"]["unschedulable"] = json!(true);
    });
    let plan = cordoned.plan();
    assert_eq!(line(&cordoned.decide()), "act DrainNode, DrainNode as Proposed");
    assert_eq!(plan.status, PlanStatus::Proposed);
    assert!(plan.actions.iter().all(|step| matches!(step.operation, Operation::Evict { .. })));
    // Most nodes at once: the cause is not in them.
    check(&node_down(2), "hand over by playbook nodes-not-ready");
}

/// Node `n1` of three is back, as are those of the others that stopped being ready with it.
fn node_back(unsteady: usize) -> World {
    with(node_down(0), |world| {
        world.evidence.anomalies = vec![anomaly(Reason::NodeFlapping, "11:59:00")];
        for node in world.nodes().iter_mut().take(unsteady) {
            node.0["status"]["conditions"][0]["lastTransitionTime"] = json!(at("11:59:30"));
        }
    })
}

#[test]
fn a_node_that_comes_and_goes_is_cordoned_once_and_that_it_goes_again_is_no_harm() {
    check(&node_back(1), "act CordonNode as Approved");
    assert_eq!(node_back(1).plan().verification.baseline.available, 0, "else the cordon would be undone");
    // Most nodes came and went, though all are back: the cause is not in them.
    check(&node_back(2), "hand over by playbook nodes-not-ready");
    // A node that has just joined became ready for the first time.
    let joined = with(node_back(2), |world| {
        world.nodes()[1].0["metadata"]["creationTimestamp"] = json!(at("11:59:10"));
    });
    check(&joined, "act CordonNode as Approved");
    let cordoned = with(node_back(1), |world| world.set("/spec/unschedulable", json!(true)));
    check(&cordoned, "hand over by playbook hand-over");
}
