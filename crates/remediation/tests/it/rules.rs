//! Each rule, tripped by what it guards against and passed by what it does not.

use kubewise_core::Period;
use kubewise_core::document::Document;
use kubewise_core::metric::MetricType;
use kubewise_core::plan::{FieldChange, Operation};
use kubewise_remediation::planner::{self, Decision};
use kubewise_remediation::playbook::Playbooks;
use serde_json::{Value, json};

use crate::fixture::{
    MEBI, World, at, crash_loop, line, node, now, out_of_memory, scaled_to_zero, stateful_set, template,
};

type Change = fn(&mut World);

/// Cases of one rule: what is changed, and whether the rule then forbids the repair.
fn check(rule: &str, base: fn() -> World, cases: &[(&str, Change, bool)]) {
    assert!(line(&base().decide()).starts_with("act"), "{rule}: the base case must be repaired");
    for (name, change, forbidden) in cases {
        let mut world = base();
        change(&mut world);
        let decision = world.decide();
        let rules = match &decision {
            Decision::Plan { refused, .. } | Decision::Wait { refused, .. } => {
                refused.iter().map(|refusal| refusal.rule.clone()).collect()
            }
            Decision::Nothing { .. } => Vec::new(),
        };
        let expected: Vec<String> = if *forbidden { vec![rule.into()] } else { Vec::new() };
        assert_eq!(rules, expected, "{rule}, {name}: {decision:?}");
    }
}

/// A playbook that does one thing to every crash loop.
fn doing(action: &str, parameters: &Value) -> Playbooks {
    let text = format!(
        "name: test\ndescription: d\nreasons: [CrashLoopBackOff]\nrootCause: r\nreasoning: r\n\
         candidates:\n  - action: {action}\n    parameters: {parameters}\n"
    );
    Playbooks::load(&[("test.yaml", text)]).unwrap()
}

fn decided(world: &World, action: &str, parameters: &Value) -> String {
    line(&world.decide_with(&doing(action, parameters)))
}

fn limit_range(kind: &str, bounds: &Value) -> Document {
    let mut item = bounds.clone();
    item["type"] = json!(kind);
    Document(json!({ "kind": "LimitRange", "metadata": { "name": "range" }, "spec": { "limits": [item] } }))
}

fn quota(key: &str, hard: &str, used: &str) -> Document {
    Document(json!({
        "kind": "ResourceQuota",
        "metadata": { "name": "quota" },
        "status": { "hard": { key: hard }, "used": { key: used } },
    }))
}

fn managed(world: &mut World, manager: &str, operation: &str, time: &str, fields: &Value) {
    world.set(
        "/metadata/managedFields",
        json!([{ "manager": manager, "operation": operation, "time": at(time), "fieldsV1": fields }]),
    );
}

fn owns_image() -> Value {
    json!({ "f:spec": { "f:template": { "f:spec": { "f:containers": { "k:{\"name\":\"app\"}": { "f:image": {} } } } } } })
}

fn autoscaler(kind: &str, target: &str) -> Document {
    Document(json!({
        "kind": kind,
        "metadata": { "name": "scaler" },
        "spec": { target: { "kind": "Deployment", "name": "cart" } },
    }))
}

#[test]
fn protected_namespaces_are_never_touched() {
    check(
        "ProtectedNamespace",
        crash_loop,
        &[
            ("configured", |w| w.options.protected_namespaces.push("shop".into()), true),
            ("KubeWise's own", |w| w.surroundings.own_namespace = Some("shop".into()), true),
            ("another one", |w| w.options.protected_namespaces.push("shopping".into()), false),
        ],
    );
    for namespace in ["kube-system", "kube-public", "kube-node-lease"] {
        let mut world = crash_loop();
        world.evidence.incident.workload.namespace = Some(namespace.into());
        assert_eq!(
            line(&world.decide()),
            "hand over by playbook crash-loop-after-revision for ProtectedNamespace"
        );
    }
}

#[test]
fn what_reconciles_owns_its_fields() {
    check(
        "FieldOwnership",
        crash_loop,
        &[
            (
                "Argo CD",
                |w| w.annotate("argocd.argoproj.io/tracking-id", "shop:apps/Deployment:shop/cart"),
                true,
            ),
            (
                "Flux",
                |w| w.set("/metadata/labels", json!({ "kustomize.toolkit.fluxcd.io/name": "shop" })),
                true,
            ),
            ("Helm", |w| w.annotate("meta.helm.sh/release-name", "cart"), true),
            (
                "Helm, allowed",
                |w| {
                    w.annotate("meta.helm.sh/release-name", "cart");
                    w.annotate("kubewise.dev/allow-helm", "true");
                },
                false,
            ),
            (
                "an operator's object",
                |w| {
                    let owner = json!([{ "kind": "Shop", "name": "s", "uid": "u", "controller": true }]);
                    w.set("/metadata/ownerReferences", owner);
                },
                true,
            ),
            ("a manager that applies", |w| managed(w, "platform", "Apply", "09:00:00", &owns_image()), true),
            (
                "an operator's update",
                |w| managed(w, "shop-operator", "Update", "09:00:00", &owns_image()),
                true,
            ),
            (
                "the manager of its creation",
                |w| managed(w, "platform", "Apply", "08:00:00", &owns_image()),
                false,
            ),
            (
                "Argo CD, also at creation",
                |w| managed(w, "argocd-controller", "Apply", "08:00:00", &owns_image()),
                true,
            ),
            (
                "kubectl",
                |w| managed(w, "kubectl-client-side-apply", "Update", "11:50:00", &owns_image()),
                false,
            ),
            (
                "kubectl apply --server-side",
                |w| managed(w, "kubectl", "Apply", "11:50:00", &owns_image()),
                false,
            ),
            (
                "a client library",
                |w| managed(w, "python-requests", "Update", "11:50:00", &owns_image()),
                false,
            ),
            ("ourselves", |w| managed(w, "kubewise", "Update", "09:00:00", &owns_image()), false),
            (
                "an operator that owns another field",
                |w| {
                    managed(
                        w,
                        "shop-operator",
                        "Update",
                        "09:00:00",
                        &json!({ "f:spec": { "f:replicas": {} } }),
                    );
                },
                false,
            ),
            (
                "an autoscaler, which owns the replicas only",
                |w| w.evidence.autoscalers.push(autoscaler("HorizontalPodAutoscaler", "scaleTargetRef")),
                false,
            ),
        ],
    );
    check(
        "FieldOwnership",
        scaled_to_zero,
        &[
            (
                "autoscaler",
                |w| w.evidence.autoscalers.push(autoscaler("HorizontalPodAutoscaler", "scaleTargetRef")),
                true,
            ),
            ("KEDA", |w| w.evidence.autoscalers.push(autoscaler("ScaledObject", "scaleTargetRef")), true),
        ],
    );
    check(
        "FieldOwnership",
        out_of_memory,
        &[
            (
                "vertical autoscaler",
                |w| w.evidence.autoscalers.push(autoscaler("VerticalPodAutoscaler", "targetRef")),
                true,
            ),
            (
                "its mark on a pod",
                |w| w.pod("cart-good-1")["metadata"]["annotations"] = json!({ "vpaUpdates": "x" }),
                true,
            ),
            (
                "a manager of another container",
                |w| {
                    let fields = json!({ "f:spec": { "f:template": { "f:spec": { "f:containers": {
                        "k:{\"name\":\"sidecar\"}": { "f:resources": { "f:limits": { "f:memory": {} } } },
                    } } } } });
                    managed(w, "platform", "Apply", "09:00:00", &fields);
                },
                false,
            ),
        ],
    );
}

#[test]
fn limits_stay_between_use_and_what_there_is() {
    check(
        "LimitBounds",
        out_of_memory,
        &[
            ("use above the new limit", |w| w.samples(&MetricType::MemoryWorkingSet, &[200.0 * MEBI]), true),
            ("use below it", |w| w.samples(&MetricType::MemoryWorkingSet, &[127.0 * MEBI]), false),
            ("cap in bytes", |w| w.options.memory_limit_cap_bytes = 128 << 20, true),
            ("cap in bytes between", |w| w.options.memory_limit_cap_bytes = 160 << 20, false),
            (
                "cap by factor, counted from before the first raise",
                |w| {
                    let change = FieldChange {
                        path: "/spec/template/spec/containers/0/resources/limits/memory".into(),
                        before: Some(json!("32Mi")),
                        after: Some(json!("128Mi")),
                    };
                    w.did("SetResources", "08:30:00", json!({ "container": "app" }), vec![change]);
                },
                true,
            ),
            (
                "limit range",
                |w| {
                    let bounds = json!({ "max": { "memory": "160Mi" } });
                    w.evidence.limit_ranges.push(limit_range("Container", &bounds));
                },
                true,
            ),
            (
                "limit range for the whole pod",
                |w| {
                    w.evidence
                        .limit_ranges
                        .push(limit_range("Pod", &json!({ "max": { "memory": "160Mi" } })));
                },
                true,
            ),
            (
                "wide limit range",
                |w| w.evidence.limit_ranges.push(limit_range("Pod", &json!({ "max": { "memory": "1Gi" } }))),
                false,
            ),
            // Two pods grow by 64 MiB each, and one surge pod of 192 MiB comes beside them: 320 MiB.
            ("quota", |w| w.evidence.quotas.push(quota("limits.memory", "575Mi", "256Mi")), true),
            ("quota with room", |w| w.evidence.quotas.push(quota("limits.memory", "576Mi", "256Mi")), false),
            (
                "quota of requests",
                |w| w.evidence.quotas.push(quota("requests.memory", "400Mi", "256Mi")),
                true,
            ),
            ("quota of pods", |w| w.evidence.quotas.push(quota("pods", "2", "2")), true),
            (
                "quota that is not counted yet",
                |w| {
                    let mut quota = quota("limits.memory", "1Ti", "0");
                    quota.0["status"].as_object_mut().unwrap().remove("used");
                    w.evidence.quotas.push(quota);
                },
                true,
            ),
            ("room unknown", |w| w.evidence.all_pods = None, true),
            (
                "no room for the surge pod",
                |w| w.evidence.nodes = vec![node("n1", "300Mi"), node("n2", "300Mi")],
                true,
            ),
            ("room for it", |w| w.evidence.nodes = vec![node("n1", "400Mi"), node("n2", "400Mi")], false),
            (
                "room only on nodes that are not for it",
                |w| {
                    w.evidence.nodes = vec![
                        node("n1", "300Mi"),
                        node("n2", "300Mi"),
                        node("n3", "4Gi"),
                        node("n4", "4Gi"),
                        node("n5", "4Gi"),
                    ];
                    w.evidence.nodes[2].0["spec"]["unschedulable"] = json!(true);
                    w.evidence.nodes[3].0["spec"]["taints"] =
                        json!([{ "key": "gpu", "effect": "NoSchedule" }]);
                    w.evidence.nodes[4].0["status"]["conditions"][0]["status"] = json!("Unknown");
                },
                true,
            ),
            (
                "room on a node that it selects",
                |w| w.set("/spec/template/spec/nodeSelector", json!({ "zone": "a" })),
                false,
            ),
            ("no such node", |w| w.set("/spec/template/spec/nodeSelector", json!({ "zone": "b" })), true),
        ],
    );
}

#[test]
fn hostile_parameters_are_refused() {
    let mut world = crash_loop();
    world.samples(&MetricType::MemoryWorkingSet, &[100.0 * MEBI]);
    let limit = |value: &Value| json!({ "container": "app", "memoryLimit": value });
    for (parameters, rule) in [
        (limit(&json!(-1)), "Premise"),
        (limit(&json!(0)), "Premise"),
        (limit(&json!(1e30)), "Premise"),
        (limit(&json!("12 apples")), "Premise"),
        (limit(&json!("-5Mi")), "Premise"),
        (limit(&json!("16Ei")), "Premise"),
        (limit(&json!("900Ti")), "LimitBounds"),
        (limit(&json!("64Mi")), "LimitBounds"), // below use
        (json!({ "container": "app", "memoryLimit": "150Mi", "memoryRequest": "151Mi" }), "LimitBounds"),
        (json!({ "container": "app", "cpuLimit": 1_000_000 }), "LimitBounds"), // use unknown, there was no limit
        (json!({ "container": "app", "cpuRequest": 64 }), "LimitBounds"),      // no node is that large
        (json!({ "container": "other", "memoryLimit": "150Mi" }), "Premise"),
    ] {
        let got = decided(&world, "SetResources", &parameters);
        assert_eq!(got, format!("hand over by playbook test for {rule}"), "{parameters}");
    }
    for (replicas, rule) in
        [(1_000_000_000_i64, "LimitBounds"), (-1, "Premise"), (i64::MAX, "Premise"), (2, "Premise")]
    {
        let got = decided(&world, "ScaleWorkload", &json!({ "replicas": replicas }));
        assert_eq!(got, format!("hand over by playbook test for {rule}"), "{replicas}");
    }
    assert_eq!(decided(&world, "ScaleWorkload", &json!({ "replicas": 3 })), "act ScaleWorkload as Approved");
    let got = decided(&world, "RolloutUndo", &json!({ "revision": "bad" }));
    assert_eq!(got, "hand over by playbook test for Premise");
}

#[test]
fn nothing_is_scaled_away() {
    let zero = json!({ "replicas": 0 });
    assert_eq!(decided(&crash_loop(), "ScaleWorkload", &zero), "hand over by playbook test for NeverToZero");
    let one = json!({ "replicas": 1 });
    assert_eq!(decided(&crash_loop(), "ScaleWorkload", &one), "act ScaleWorkload as Approved");
    assert_eq!(
        decided(&stateful_set(), "ScaleWorkload", &one),
        "hand over by playbook test for NoStatefulSetScaleDown"
    );
}

#[test]
fn only_pods_that_come_back_are_evicted() {
    let pod = json!({ "pod": "cart-good-1" });
    let evicted = |change: Change| {
        let mut world = crash_loop();
        change(&mut world);
        decided(&world, "EvictPod", &pod)
    };
    let refused = |rule: &str| format!("hand over by playbook test for {rule}");
    assert_eq!(evicted(|_| {}), "act EvictPod as Approved");
    assert_eq!(evicted(|w| w.pod("cart-good-1")["metadata"]["name"] = json!("x")), refused("Premise"));
    assert_eq!(
        evicted(|w| w.pod("cart-good-1")["metadata"]["ownerReferences"] = json!([])),
        refused("Evictions")
    );
    let daemon =
        |w: &mut World| w.pod("cart-good-1")["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
    assert_eq!(evicted(daemon), refused("Evictions"));
    let mirror = |w: &mut World| {
        w.pod("cart-good-1")["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
    };
    assert_eq!(evicted(mirror), refused("Evictions"));
    let budget = |w: &mut World| {
        w.evidence.budgets.push(Document(json!({
            "kind": "PodDisruptionBudget",
            "metadata": { "name": "cart", "namespace": "shop", "uid": "uid-budget" },
            "spec": { "selector": { "matchLabels": { "app": "cart" } } },
            "status": { "disruptionsAllowed": 0 },
        })));
    };
    assert_eq!(evicted(budget), "wait for DisruptionBudget");
}

#[test]
fn a_recreate_rollout_waits_for_no_ready_pod() {
    check(
        "RecreateStrategy",
        crash_loop,
        &[
            ("ready pods", |w| w.set("/spec/strategy", json!({ "type": "Recreate" })), true),
            (
                "no ready pod",
                |w| {
                    w.set("/spec/strategy", json!({ "type": "Recreate" }));
                    w.seen_healthy("good");
                    w.evidence.pods.retain(|pod| pod.label("pod-template-hash") == Some("bad"));
                },
                false,
            ),
        ],
    );
}

#[test]
fn a_workload_is_left_alone_between_repairs_and_after_too_many() {
    check(
        "Cooldown",
        crash_loop,
        &[
            ("within", |w| w.did("EvictPod", "11:55:00", json!({}), Vec::new()), true),
            ("after", |w| w.did("EvictPod", "11:45:00", json!({}), Vec::new()), false),
            ("a message is no action", |w| w.did("Notify", "11:55:00", json!({}), Vec::new()), false),
        ],
    );
    check(
        "Attempts",
        crash_loop,
        &[
            (
                "three today",
                |w| {
                    for when in ["03:00:00", "05:00:00", "07:00:00"] {
                        w.did("EvictPod", when, json!({}), Vec::new());
                    }
                },
                true,
            ),
            (
                "two today",
                |w| {
                    for when in ["03:00:00", "05:00:00"] {
                        w.did("EvictPod", when, json!({}), Vec::new());
                    }
                },
                false,
            ),
        ],
    );
    let mut world = crash_loop();
    world.did("EvictPod", "11:55:00", json!({}), Vec::new());
    let Decision::Wait { until, .. } = world.decide() else { panic!("does not wait") };
    assert_eq!(until, at("12:05:00"), "it is looked at again when the cooldown ends");
}

#[test]
fn the_cluster_is_repaired_a_little_at_a_time() {
    check(
        "Concurrency",
        crash_loop,
        &[
            ("locked", |w| w.surroundings.locked.push(w.evidence.incident.workload.clone()), true),
            ("enough run", |w| w.surroundings.running_sagas = 4, true),
            ("some run", |w| w.surroundings.running_sagas = 3, false),
        ],
    );
    let unavailable = |world: &mut World| world.set("/spec/strategy/rollingUpdate/maxUnavailable", json!(2));
    for (in_use, budget, expect) in [
        (8, 10, "act RolloutUndo as Approved"),
        (9, 10, "wait for DisruptionBudget"),
        (0, 1, "hand over by playbook crash-loop-after-revision for DisruptionBudget"),
    ] {
        let mut world = crash_loop();
        unavailable(&mut world);
        world.surroundings.disruption_in_use = in_use;
        world.options.disruption_budget = budget;
        assert_eq!(line(&world.decide()), expect, "{in_use} of {budget}");
    }
    check(
        "GatheringStorm",
        crash_loop,
        &[
            (
                "two more just now",
                |w| w.surroundings.other_openings = vec![at("11:59:45"), at("11:59:50")],
                true,
            ),
            ("one more", |w| w.surroundings.other_openings = vec![at("11:59:50")], false),
            (
                "two more of many workloads",
                |w| {
                    w.surroundings.other_openings = vec![at("11:59:45"), at("11:59:50")];
                    w.surroundings.workloads = 200;
                },
                false,
            ),
            ("long ago", |w| w.surroundings.other_openings = vec![at("11:59:00"), at("11:59:50")], false),
            (
                "never",
                |w| {
                    w.surroundings.other_openings = vec![now(); 9];
                    w.options.storm_hold = Period::ZERO;
                },
                false,
            ),
        ],
    );
    check(
        "Storm",
        crash_loop,
        &[
            ("many are ill", |w| w.surroundings.workloads_with_incident = 6, true),
            ("some are ill", |w| w.surroundings.workloads_with_incident = 5, false),
            (
                "many, but few in number",
                |w| {
                    w.surroundings.workloads = 4;
                    w.surroundings.workloads_with_incident = 4;
                },
                false,
            ),
        ],
    );
}

#[test]
fn an_undo_goes_to_a_revision_that_was_healthy_and_is_not_our_own() {
    let good = json!({ "revision": "good" });
    let mut never_healthy = crash_loop();
    never_healthy.evidence.revisions[0].0["status"]["availableReplicas"] = json!(0);
    assert_eq!(
        decided(&never_healthy, "RolloutUndo", &good),
        "hand over by playbook test for RevisionStillThere"
    );
    let mut ours = crash_loop();
    let current = ours.evidence.workload.as_ref().unwrap().0["spec"]["template"].clone();
    let change = FieldChange { path: "/spec/template".into(), before: None, after: Some(current) };
    ours.did("RolloutUndo", "11:40:00", json!({}), vec![change]);
    assert_eq!(decided(&ours, "RolloutUndo", &good), "hand over by playbook test for OwnRevision");
}

#[test]
fn a_restart_is_recognised_by_its_plan() {
    let decision = crash_loop().decide_with(&doing("RolloutRestart", &json!({})));
    let Decision::Plan { plan, .. } = decision else { panic!("no plan: {decision:?}") };
    let Operation::Write { changes, .. } = &plan.actions[0].operation else { panic!("not a write") };
    assert_eq!(changes[0].path, "/spec/template/metadata/annotations");
    assert_eq!(changes[0].after, Some(json!({ "kubewise.dev/restarted-by": plan.id })));
    assert!(!plan.actions[0].reversible);
}

#[test]
fn a_plan_is_held_against_everything_again_before_each_step() {
    let plan = crash_loop().plan();
    let again = |step: usize, change: Change| {
        let mut world = crash_loop();
        change(&mut world);
        planner::recheck(&plan, step, &world.evidence, &world.options, &world.surroundings, now())
            .map_err(|refusal| refusal.rule)
    };
    let refused = |rule: &str| Err(rule.to_owned());
    assert_eq!(again(0, |_| {}), Ok(()));
    assert_eq!(again(1, |_| {}), refused("Premise"));
    assert_eq!(again(0, |w| w.evidence.workload = None), refused("Premise"));
    assert_eq!(again(0, |w| w.set("/metadata/uid", json!("uid-new"))), refused("Premise"));
    let edited = |w: &mut World| w.set("/spec/template", template("cart:3", "128Mi"));
    assert_eq!(again(0, edited), refused("Premise"));
    let over = |w: &mut World| {
        w.evidence.anomalies[0].status = kubewise_core::anomaly::AnomalyStatus::Resolved;
    };
    assert_eq!(again(0, over), refused("Premise"));
    assert_eq!(again(0, |w| w.annotate("kubewise.dev/mode", "propose")), refused("Mode"));
    assert_eq!(again(0, |w| w.annotate("meta.helm.sh/release-name", "cart")), refused("FieldOwnership"));
    assert_eq!(again(0, |w| drop(w.evidence.revisions.remove(0))), refused("RevisionStillThere"));
    assert_eq!(again(0, |w| w.surroundings.running_sagas = 4), refused("Concurrency"));
    // Its own first step is no reason to let the second one cool down.
    let mut world = crash_loop();
    world.did("RolloutUndo", "11:59:50", json!({}), Vec::new());
    world.evidence.history[0].plan = plan.id.clone();
    let result = planner::recheck(&plan, 0, &world.evidence, &world.options, &world.surroundings, now());
    assert_eq!(result, Ok(()));
    // After a crash it may find its own work done; that is not somebody else's change.
    let Operation::Write { changes, .. } = &plan.actions[0].operation else { panic!("not a write") };
    world.set("/spec/template", changes[0].after.clone().unwrap());
    world.evidence.history[0].changes.clone_from(changes);
    let result = planner::recheck(&plan, 0, &world.evidence, &world.options, &world.surroundings, now());
    assert_eq!(result, Ok(()));
    // A person approved what may only be proposed.
    let mut approved = plan.clone();
    approved.decided_by = Some("sam".into());
    let mut world = crash_loop();
    world.annotate("kubewise.dev/mode", "propose");
    let result = planner::recheck(&approved, 0, &world.evidence, &world.options, &world.surroundings, now());
    assert_eq!(result, Ok(()));
}

#[test]
fn every_rule_is_kept_in_the_plan_as_proof() {
    let plan = crash_loop().plan();
    let rules: Vec<_> = plan.safety_constraints.iter().map(|constraint| constraint.rule.as_str()).collect();
    assert_eq!(rules.len(), 24);
    assert!(plan.safety_constraints.iter().all(|constraint| !constraint.finding.is_empty()));
    let mut refused = crash_loop();
    refused.annotate("meta.helm.sh/release-name", "cart");
    let plan = refused.plan();
    assert!(plan.reasoning.contains("FieldOwnership"), "{}", plan.reasoning);
    assert!(plan.reasoning.contains("Helm release cart"), "{}", plan.reasoning);
}

#[test]
fn objects_outside_the_hierarchy_are_not_touched() {
    // A pod of the same name that belongs to nobody we know.
    let mut world = crash_loop();
    let plan = match world.decide_with(&doing("EvictPod", &json!({ "pod": "cart-good-1" }))) {
        Decision::Plan { plan, .. } => plan,
        other @ (Decision::Wait { .. } | Decision::Nothing { .. }) => panic!("{other:?}"),
    };
    world.pod("cart-good-1")["metadata"]["uid"] = json!("uid-another");
    let result = planner::recheck(&plan, 0, &world.evidence, &world.options, &world.surroundings, now());
    assert_eq!(result.map_err(|refusal| refusal.rule), Err("OwnHierarchy".to_owned()));
}
