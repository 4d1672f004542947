//! Each playbook, on a case that it is for and on cases that it is not for.

use kubewise_core::anomaly::{Reason, Severity};
use kubewise_core::metric::MetricType;
use kubewise_core::plan::{Mode, Operation};
use kubewise_core::{Kind, ObjectRef};
use kubewise_remediation::evidence::{self, Evidence};
use serde_json::json;

use crate::fixture::{
    MEBI, World, anomaly, at, cart, crash_loop, crashing, line, now, out_of_memory, pod, running,
    scaled_to_zero, stateful_set, template, waiting, world,
};

fn check(world: &World, expect: &str) {
    assert_eq!(line(&world.decide()), expect);
}

fn with(mut world: World, change: impl FnOnce(&mut World)) -> World {
    change(&mut world);
    world
}

const UNDO: &str = "act RolloutUndo as Approved";
const RAISE: &str = "act SetResources as Approved";
const UNEXPLAINED: &str = "hand over by playbook crash-loop-unexplained";

#[test]
fn a_crash_that_a_new_revision_brought_is_undone() {
    check(&crash_loop(), UNDO);
    // A pod of the old revision that ran out of memory some day, and runs, does not hide it.
    let old_oom = with(crash_loop(), |world| {
        let mut status = crashing("OOMKilled", 137, 20);
        status["ready"] = json!(true);
        status["restartCount"] = json!(9);
        status["state"] = json!({ "running": {} });
        world.pod("cart-good-1")["status"]["containerStatuses"] = json!([status]);
    });
    check(&old_oom, UNDO);
    // It runs just now, between two crashes.
    let between = with(crash_loop(), |world| {
        let pod = world.pod("cart-bad-1");
        pod["status"]["containerStatuses"][0]["ready"] = json!(true);
        pod["status"]["containerStatuses"][0]["state"] = json!({ "running": {} });
        world.evidence.anomalies[0].object = ObjectRef::namespaced(Kind::Pod, "shop", "cart-bad-1");
    });
    check(&between, UNDO);
    // Recorded as healthy counts, even if none of its pods is left.
    let recorded = with(crash_loop(), |world| {
        world.evidence.revisions[0].0["status"]["availableReplicas"] = json!(0);
        world.seen_healthy("good");
    });
    check(&recorded, UNDO);
}

#[test]
fn a_crash_that_no_revision_brought_is_handed_over() {
    let first_revision = |world: &mut World| {
        world.evidence.revisions.remove(0);
    };
    check(&with(crash_loop(), first_revision), UNEXPLAINED);
    let never_healthy = |world: &mut World| {
        world.evidence.revisions[0].0["status"]["availableReplicas"] = json!(0);
    };
    check(&with(crash_loop(), never_healthy), UNEXPLAINED);
    // The old revision's pod crashes, while a new one rolls out.
    let old_pod = |world: &mut World| {
        for pod in &mut world.evidence.pods {
            let bad = pod.label("pod-template-hash") == Some("bad");
            pod.0["status"]["containerStatuses"] =
                json!([if bad { running() } else { crashing("Error", 1, 5) }]);
        }
    };
    check(&with(crash_loop(), old_pod), UNEXPLAINED);
    // The revision ran well since the morning and crashes only now.
    let long_after = |world: &mut World| {
        world.evidence.revisions[1].0["metadata"]["creationTimestamp"] = json!(at("09:00:00"));
        world.seen_healthy("bad");
    };
    check(&with(crash_loop(), long_after), UNEXPLAINED);
    // The trouble is older than the revision.
    let before = |world: &mut World| world.evidence.anomalies[0].time = at("11:40:00");
    check(&with(crash_loop(), before), UNEXPLAINED);
}

#[test]
fn a_revision_of_our_own_making_is_never_undone() {
    let world = with(crash_loop(), |world| {
        let current = world.evidence.workload.as_ref().unwrap().0["spec"]["template"].clone();
        let change = kubewise_core::plan::FieldChange {
            path: "/spec/template".into(),
            before: None,
            after: Some(current),
        };
        world.did("RolloutUndo", "11:49:00", json!({}), vec![change]);
    });
    check(&world, UNEXPLAINED);
}

#[test]
fn images_and_missing_configuration_of_a_new_revision_are_undone() {
    check(&world(Reason::ImagePullBackOff, &waiting("ImagePullBackOff")), UNDO);
    check(&world(Reason::CreateContainerConfigError, &waiting("CreateContainerConfigError")), UNDO);
    for reason in [Reason::ImagePullBackOff, Reason::CreateContainerConfigError] {
        let first = with(world(reason, &waiting(reason.as_str())), |world| {
            world.evidence.revisions.remove(0);
        });
        check(&first, "hand over by playbook hand-over");
    }
}

/// A pod that was evicted, or not even admitted, has no container that tells anything.
#[test]
fn a_new_revision_whose_pods_are_evicted_is_undone() {
    let evicted = |name: &str| {
        let mut world = world(Reason::Evicted, &running());
        let pods = world.evidence.pods.iter_mut();
        for pod in pods.filter(|pod| pod.text("/metadata/name") == Some(name)) {
            pod.0["status"] =
                json!({ "phase": "Failed", "reason": "Evicted", "message": "out of scratch space" });
        }
        world
    };
    check(&evicted("cart-bad-1"), UNDO);
    check(&evicted("cart-good-1"), "hand over by playbook hand-over");
    // One that was evicted long ago, and is still there as an object, has no part in a rollout that is stuck.
    let stuck = with(evicted("cart-good-1"), |world| {
        world.evidence.anomalies = vec![anomaly(Reason::ProgressDeadlineExceeded, "11:55:00")];
        let ended = json!([crashing("Error", 137, 40)]);
        world.evidence.pods.iter_mut().for_each(|pod| {
            if pod.0["status"]["phase"] == json!("Failed") {
                pod.0["status"]["containerStatuses"] = ended.clone();
            }
        });
    });
    check(&stuck, UNDO);
}

#[test]
fn a_stuck_rollout_is_undone_also_without_a_crash() {
    let never_ready = json!({ "name": "app", "ready": false, "restartCount": 0, "state": { "running": {} } });
    check(&world(Reason::ProgressDeadlineExceeded, &never_ready), UNDO);
    let paused = with(world(Reason::ProgressDeadlineExceeded, &never_ready), |world| {
        world.set("/spec/paused", json!(true));
    });
    check(&paused, "hand over by playbook rollout-stuck for PausedRollout");
}

#[test]
fn a_limit_below_steady_demand_is_raised() {
    check(&out_of_memory(), RAISE);
    let Operation::Write { changes, .. } = out_of_memory().plan().actions.remove(0).operation else {
        panic!("not a write");
    };
    let base = "/spec/template/spec/containers/0";
    let shown: Vec<_> = changes.iter().map(|c| (c.path.as_str(), &c.before, &c.after)).collect();
    let text = |text: &str| Some(json!(text));
    assert_eq!(
        shown,
        [
            (format!("{base}/name").as_str(), &text("app"), &text("app")),
            (format!("{base}/resources/limits/memory").as_str(), &text("128Mi"), &text("192Mi")),
            // It equalled the limit, so that the pod kept its quality of service.
            (format!("{base}/resources/requests/memory").as_str(), &text("128Mi"), &text("192Mi")),
        ]
    );
    // Killed hours after its start, at a level that did not grow.
    let late = with(out_of_memory(), |world| {
        for pod in &mut world.evidence.pods {
            pod.0["status"]["containerStatuses"] = json!([crashing("OOMKilled", 137, 7200)]);
        }
        let level: Vec<f64> = (0..40).map(|i| (120.0 + f64::from(i % 3)) * MEBI).collect();
        world.samples(&MetricType::MemoryWorkingSet, &level);
    });
    check(&late, RAISE);
}

#[test]
fn a_leak_is_handed_over() {
    let late = |world: &mut World| {
        for pod in &mut world.evidence.pods {
            pod.0["status"]["containerStatuses"] = json!([crashing("OOMKilled", 137, 7200)]);
        }
    };
    let leak = with(with(out_of_memory(), late), |world| {
        let growth: Vec<f64> = (0..40).map(|i| (60.0 + 1.5 * f64::from(i)) * MEBI).collect();
        world.samples(&MetricType::MemoryWorkingSet, &growth);
    });
    check(&leak, "hand over by playbook oom-leak");
    // Nothing was measured: nobody knows whether it leaks.
    check(&with(out_of_memory(), late), "hand over by playbook oom-leak");
}

/// It is told in time for a person; the restart, which only puts off the end, waits until that is near.
#[test]
fn a_leak_that_has_not_killed_yet_is_handed_over_and_restarted_shortly_before_its_end() {
    let leaking = |severity: Severity| {
        with(out_of_memory(), |world| {
            let mut grows = anomaly(Reason::Exhaustion, "11:55:00");
            grows.container = Some("app".into());
            world.evidence.anomalies = vec![grows];
            world.evidence.incident.reason = Reason::Exhaustion;
            world.evidence.incident.severity = severity;
            for pod in &mut world.evidence.pods {
                pod.0["status"]["containerStatuses"] = json!([running()]);
            }
            let growth: Vec<f64> = (0..40).map(|i| (60.0 + 1.5 * f64::from(i)) * MEBI).collect();
            world.samples(&MetricType::MemoryWorkingSet, &growth);
        })
    };
    check(&leaking(Severity::Warning), "hand over by playbook memory-leak");
    check(&leaking(Severity::Critical), "act RolloutRestart as Approved");
    // It came with the revision of ten minutes ago, and the one before ran for hours without.
    let released = |object: &str| {
        let mut released = world(Reason::Exhaustion, &running());
        let mut grows = anomaly(Reason::Exhaustion, "11:55:00");
        grows.container = Some("app".into());
        grows.object = ObjectRef::namespaced(Kind::Pod, "shop", object);
        released.evidence.anomalies = vec![grows];
        let growth: Vec<f64> = (0..40).map(|i| (60.0 + 1.5 * f64::from(i)) * MEBI).collect();
        released.samples(&MetricType::MemoryWorkingSet, &growth);
        released
    };
    check(&released("cart-bad-1"), UNDO);
    check(&released("cart-good-1"), "act RolloutRestart as Approved");
    // What fills up is no leak of the container: a claim, a quota.
    let other = with(leaking(Severity::Critical), |world| world.evidence.samples.clear());
    check(&other, "hand over by playbook hand-over");
}

#[test]
fn a_limit_that_a_new_revision_lowered_is_undone() {
    let world = with(world(Reason::OomKilled, &crashing("OOMKilled", 137, 5)), |world| {
        world.set("/spec/template", template("cart:1", "64Mi"));
        let mut set = world.evidence.revisions[1].0["spec"]["template"].take();
        set["spec"] = template("cart:1", "64Mi")["spec"].clone();
        world.evidence.revisions[1].0["spec"]["template"] = set;
        world.evidence.anomalies.push(anomaly(Reason::CrashLoopBackOff, "11:56:00"));
    });
    check(&world, UNDO);
}

#[test]
fn a_crash_loop_out_of_memory_is_repaired_by_memory() {
    let both =
        |world: &mut World| world.evidence.anomalies.push(anomaly(Reason::CrashLoopBackOff, "11:56:00"));
    check(&with(out_of_memory(), both), RAISE);
    check(&with(world(Reason::OomKilled, &crashing("OOMKilled", 137, 5)), both), RAISE);
}

#[test]
fn scaling_up_from_zero_is_only_proposed() {
    check(&scaled_to_zero(), "act ScaleWorkload as Proposed");
    assert_eq!(scaled_to_zero().plan().actions[0].action.parameters, json!({ "replicas": 3 }));
    let unknown = with(scaled_to_zero(), |world| world.evidence.samples.clear());
    check(&unknown, "hand over by playbook hand-over");
}

#[test]
fn what_no_playbook_knows_is_handed_over() {
    for reason in [Reason::FailedScheduling, Reason::Unavailable, Reason::NodeNotReady, Reason::Deviation] {
        check(&world(reason, &running()), "hand over by playbook hand-over");
    }
}

#[test]
fn trouble_that_went_needs_no_plan() {
    let resolved = with(crash_loop(), |world| {
        world.evidence.anomalies[0].status = kubewise_core::anomaly::AnomalyStatus::Resolved;
    });
    check(&resolved, "nothing: nothing fires any more");
    let gone = with(crash_loop(), |world| world.evidence.workload = None);
    check(&gone, "nothing: Deployment shop/cart is no longer there");
    let deleted = with(crash_loop(), |world| world.set("/metadata/deletionTimestamp", json!(now())));
    check(&deleted, "nothing: Deployment shop/cart is being deleted");
    // The status still speaks of the spec before.
    check(&with(crash_loop(), |world| world.set("/metadata/generation", json!(3))), "wait");
}

#[test]
fn a_stateful_set_is_undone_and_its_stuck_ordinal_evicted() {
    check(&stateful_set(), "act RolloutUndo, EvictPod as Approved");
    let plan = stateful_set().plan();
    let Operation::Write { changes, .. } = &plan.actions[0].operation else { panic!("not a write") };
    assert_eq!(changes[0].after, Some(template("cart:1", "128Mi")));
    let Operation::Evict { pod, .. } = &plan.actions[1].operation else { panic!("not an eviction") };
    assert_eq!(&*pod.name, "cart-1");
    let parallel = with(stateful_set(), |world| world.set("/spec/podManagementPolicy", json!("Parallel")));
    check(&parallel, UNDO);
}

#[test]
fn the_mode_decides_what_becomes_of_a_plan() {
    type Change = fn(&mut World);
    let modes: [(&str, Change, &str); 7] = [
        ("configured", |world| world.options.mode = Mode::Observe, "Observed"),
        ("configured", |world| world.options.mode = Mode::Propose, "Proposed"),
        (
            "for the namespace",
            |world| {
                world.options.modes.insert("shop".into(), Mode::Propose);
            },
            "Proposed",
        ),
        (
            "for the workload, above its namespace",
            |world| {
                world.options.modes.insert("shop".into(), Mode::Observe);
                world.options.modes.insert("shop/cart".into(), Mode::Auto);
            },
            "Approved",
        ),
        (
            "annotated namespace, above configuration",
            |world| {
                let namespace = json!({ "metadata": { "annotations": { "kubewise.dev/mode": "propose" } } });
                world.evidence.namespace = Some(kubewise_core::document::Document(namespace));
            },
            "Proposed",
        ),
        (
            "annotated workload, above all",
            |world| {
                world.options.mode = Mode::Observe;
                world.annotate("kubewise.dev/mode", "auto");
            },
            "Approved",
        ),
        (
            "an annotation that nobody understands",
            |world| world.annotate("kubewise.dev/mode", "Auto!"),
            "Observed",
        ),
    ];
    for (name, change, status) in modes {
        assert_eq!(
            line(&with(crash_loop(), change).decide()),
            format!("act RolloutUndo as {status}"),
            "{name}"
        );
    }
}

#[test]
fn verification_follows_the_failure() {
    let verification = crash_loop().plan().verification;
    // Twice 5 s of life and 80 s of back-off.
    assert_eq!(verification.settle.to_string(), "2m 50s");
    assert!(verification.provisional_after.as_secs_f64() <= 90.0);
    assert_eq!(verification.baseline.failing, ["cart-bad-1/app: CrashLoopBackOff"]);
    // What could not even be started lived for no time at all, though the kubelet tells that it began in 1970.
    let unstarted = with(crash_loop(), |world| {
        for pod in &mut world.evidence.pods {
            let Some(ended) = pod.0.pointer_mut("/status/containerStatuses/0/lastState/terminated") else {
                continue;
            };
            ended["startedAt"] = json!("1970-01-01T00:00:00Z");
        }
    });
    assert_eq!(unstarted.plan().verification.settle.to_string(), "2m 40s");
    let image = world(Reason::ImagePullBackOff, &waiting("ImagePullBackOff")).plan().verification;
    assert_eq!(image.settle.to_string(), "1m");
}

#[test]
fn the_same_evidence_gives_the_same_plan() {
    let once = serde_json::to_string(&crash_loop().plan()).unwrap();
    let mut shuffled = crash_loop();
    shuffled.evidence.pods.reverse();
    shuffled.evidence.revisions.reverse();
    assert_eq!(serde_json::to_string(&shuffled.plan()).unwrap(), once);
    let second = with(crash_loop(), |world| world.evidence.incident.attempts = 1).plan();
    assert_ne!(second.id, crash_loop().plan().id, "another attempt is another plan");
}

#[test]
fn a_whole_plan_reads_well() {
    let mut world = crash_loop();
    world.evidence.logs.push(evidence::LogExcerpt {
        pod: kubewise_core::ObjectRef::namespaced(kubewise_core::Kind::Pod, "shop", "cart-bad-1"),
        container: "app".into(),
        previous: true,
        text: "starting\npanic: no such flag --fast\n".into(),
    });
    insta::assert_json_snapshot!(world.plan());
}

#[test]
fn evidence_is_sorted_by_owner_and_asks_for_the_logs_that_tell() {
    let world = crash_loop();
    let Evidence { incident, anomalies, workload, revisions, .. } = world.evidence.clone();
    let mut stranger = pod("other-1", "x", "n1", &template("other", "1Gi"), &crashing("Error", 1, 1));
    stranger.0["metadata"]["ownerReferences"][0]["uid"] = json!("uid-other");
    // Of an older object of the same name: another uid.
    let mut old_set = revisions[0].clone();
    old_set.0["metadata"]["uid"] = json!("uid-old-set");
    old_set.0["metadata"]["ownerReferences"][0]["uid"] = json!("uid-before");
    let documents: Vec<_> =
        revisions.iter().chain(&world.evidence.pods).chain([&stranger, &old_set]).cloned().collect();
    let evidence = Evidence::assemble(incident, anomalies, workload, documents, now());
    assert_eq!((evidence.pods.len(), evidence.revisions.len()), (3, 2));
    let wanted = evidence.wanted_logs();
    assert_eq!(wanted.len(), 1);
    assert_eq!((&*wanted[0].0.name, wanted[0].1.as_str(), wanted[0].2), ("cart-bad-1", "app", true));
    let kinds: Vec<_> = evidence::lists(&cart()).into_iter().map(|(kind, _)| kind.to_string()).collect();
    assert!(kinds.contains(&"ReplicaSet".to_owned()) && kinds.contains(&"Pod".to_owned()));
}

#[test]
fn evidence_that_is_cited_must_be_there() {
    let citing = |reasoning: &str| {
        let text = format!(
            "name: test\ndescription: d\nreasons: [CrashLoopBackOff]\nrootCause: r\nreasoning: \"{reasoning}\"\n\
             candidates:\n  - action: RolloutUndo\n"
        );
        crash_loop()
            .decide_with(&kubewise_remediation::playbook::Playbooks::load(&[("t.yaml", text)]).unwrap())
    };
    assert_eq!(line(&citing("as [e1, e2] tell [sic]")), UNDO);
    assert_eq!(line(&citing("as [e99] tells")), "hand over by playbook test for Citation");
    // A plan in the store that lost what it rests on is not carried out.
    let world = crash_loop();
    let mut plan = world.plan();
    plan.reasoning.push_str(" [e1]");
    let check = |plan: &kubewise_core::plan::RemediationPlan, world: &World| {
        kubewise_remediation::planner::recheck(
            plan,
            0,
            &world.evidence,
            &world.options,
            &world.surroundings,
            now(),
        )
        .map_err(|refusal| refusal.rule)
    };
    assert_eq!(check(&plan, &world), Ok(()));
    plan.evidence.clear();
    assert_eq!(check(&plan, &world), Err("Citation".into()));
}
