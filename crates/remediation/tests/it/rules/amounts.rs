//! How much.

use kubewise_core::document::Document;
use kubewise_core::metric::MetricType;
use kubewise_core::plan::FieldChange;
use kubewise_core::{Kind, ObjectRef};
use kubewise_remediation::policy::nodes_to_look_at;
use serde_json::{Value, json};

use super::{check, decided};
use crate::fixture::{MEBI, World, change_all_pods, crash_loop, node, out_of_memory, stateful_set};

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

fn room_for(world: &mut World, memory: &str) {
    world.evidence.nodes = vec![node("n1", memory), node("n2", memory)].into();
}

/// Its affinity demands a node of these terms.
fn demand(world: &mut World, terms: &Value) {
    let required = json!({ "nodeSelectorTerms": terms });
    let affinity = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": required } });
    world.set("/spec/template/spec/affinity", affinity);
}

/// Each pod has a device; each node has so many.
fn devices(world: &mut World, on_each: u32) {
    let one = json!("1");
    let give = |pod: &mut Document| {
        pod.0["spec"]["containers"][0]["resources"]["limits"]["example.com/gpu"] = one.clone();
    };
    change_all_pods(world, |pods| pods.iter_mut().for_each(give));
    world.set("/spec/template/spec/containers/0/resources/limits/example.com~1gpu", json!("1"));
    for node in world.nodes() {
        node.0["status"]["allocatable"]["example.com/gpu"] = json!(on_each.to_string());
    }
}

/// Nodes of 400 MiB, of which so much is taken.
fn looked_at(world: &mut World, mebibytes: f64) {
    room_for(world, "400Mi");
    world.evidence.all_pods = None;
    world.evidence.looked_at =
        ["n1", "n2"].map(|name| (name.to_owned(), [mebibytes * MEBI, 1.0, 1.0])).into_iter().collect();
}

/// Init containers in the template and in its pods, on nodes of 400 MiB.
fn beside(world: &mut World, containers: &Value) {
    room_for(world, "400Mi");
    world.set("/spec/template/spec/initContainers", containers.clone());
}

fn init(memory: &str) -> Value {
    json!([{ "name": "init", "resources": { "requests": { "memory": memory } } }])
}

fn sidecar(memory: &str) -> Value {
    let mut container = init(memory);
    container[0]["restartPolicy"] = json!("Always");
    container
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
            ("not all pods can be listed, and there is room on nodes", |w| looked_at(w, 128.0), false),
            ("not all pods can be listed, and there is none", |w| looked_at(w, 256.0), true),
            (
                "not all pods can be listed, and other nodes were looked at",
                |w| {
                    looked_at(w, 128.0);
                    w.evidence.nodes = vec![node("n8", "400Mi"), node("n9", "400Mi")].into();
                },
                true,
            ),
            (
                "no room for the surge pod",
                |w| w.evidence.nodes = vec![node("n1", "300Mi"), node("n2", "300Mi")].into(),
                true,
            ),
            (
                "room for it",
                |w| w.evidence.nodes = vec![node("n1", "400Mi"), node("n2", "400Mi")].into(),
                false,
            ),
            // Two pods of 128 MiB become two of 192 MiB; beside them, what each container more takes of 400 MiB a node.
            ("no room for a sidecar", |w| beside(w, &sidecar("100Mi")), true),
            ("room for a small one", |w| beside(w, &sidecar("8Mi")), false),
            ("no room for a large init container", |w| beside(w, &init("300Mi")), true),
            (
                "room for a sidecar beside the init container",
                |w| beside(w, &json!([sidecar("70Mi")[0], init("200Mi")[0]])),
                false,
            ),
            ("an init container ends before the others begin", |w| beside(w, &init("190Mi")), false),
            (
                "a sidecar runs beside the init container after it",
                |w| beside(w, &json!([sidecar("80Mi")[0], init("200Mi")[0]])),
                true,
            ),
            (
                "a limit range gives the others their requests",
                |w| {
                    room_for(w, "400Mi");
                    w.set(
                        "/spec/template/spec/initContainers",
                        json!([{ "name": "mesh", "restartPolicy": "Always" }]),
                    );
                    let usual = json!({ "defaultRequest": { "memory": "100Mi" } });
                    w.evidence.limit_ranges.push(limit_range("Container", &usual));
                },
                true,
            ),
            (
                "what its runtime takes",
                |w| {
                    room_for(w, "400Mi");
                    w.set("/spec/template/spec/overhead", json!({ "memory": "100Mi" }));
                },
                true,
            ),
            (
                "pods that were granted more than they ask for",
                |w| {
                    room_for(w, "400Mi");
                    change_all_pods(w, |pods| {
                        for pod in pods {
                            let status = &mut pod.0["status"]["containerStatuses"][0];
                            status["allocatedResources"] = json!({ "memory": "300Mi" });
                        }
                    });
                },
                true,
            ),
            (
                "room only on nodes that are not for it",
                |w| {
                    w.evidence.nodes = vec![
                        node("n1", "300Mi"),
                        node("n2", "300Mi"),
                        node("n3", "4Gi"),
                        node("n4", "4Gi"),
                        node("n5", "4Gi"),
                    ]
                    .into();
                    w.nodes()[2].0["spec"]["unschedulable"] = json!(true);
                    w.nodes()[3].0["spec"]["taints"] = json!([{ "key": "gpu", "effect": "NoSchedule" }]);
                    w.nodes()[4].0["status"]["conditions"][0]["status"] = json!("Unknown");
                },
                true,
            ),
            (
                "room on a node that it selects",
                |w| w.set("/spec/template/spec/nodeSelector", json!({ "zone": "a" })),
                false,
            ),
            (
                "room on a node that its affinity demands",
                |w| {
                    let zone = json!({ "key": "zone", "operator": "In", "values": ["a"] });
                    demand(w, &json!([{ "matchExpressions": [zone] }]));
                },
                false,
            ),
            (
                "no node that its affinity demands",
                |w| {
                    let zone =
                        |operator: &str| json!({ "key": "zone", "operator": operator, "values": ["a"] });
                    let terms = json!([{}, { "matchExpressions": [zone("In"), zone("NotIn")] }]);
                    demand(w, &terms);
                },
                true,
            ),
            (
                "room on the one node that its affinity names",
                |w| {
                    let name = json!({ "key": "metadata.name", "operator": "In", "values": ["n2"] });
                    demand(w, &json!([{ "matchFields": [name] }]));
                    w.nodes()[0].0["status"]["allocatable"]["memory"] = json!("1Mi");
                },
                false,
            ),
            ("a device for each pod, surge included", |w| devices(w, 2), false),
            (
                "a quota of devices",
                |w| {
                    devices(w, 2);
                    w.evidence.quotas.push(quota("requests.example.com/gpu", "2", "2"));
                },
                true,
            ),
            ("no device for the surge pod", |w| devices(w, 1), true),
            (
                "devices in a cluster of too many pods",
                |w| {
                    devices(w, 2);
                    w.evidence.looked_at =
                        ["n1", "n2"].map(|name| (name.to_owned(), [0.0; 3])).into_iter().collect();
                    w.evidence.all_pods = None;
                },
                true,
            ),
            ("no such node", |w| w.set("/spec/template/spec/nodeSelector", json!({ "zone": "b" })), true),
        ],
    );
}

/// Whatever else its nodes admit.
#[test]
fn a_daemon_sets_pods_need_room_where_they_are() {
    fn daemon_set(world: &mut World, memory: &str) {
        let daemon_set = ObjectRef::namespaced(Kind::DaemonSet, "shop", "cart");
        let workload = world.evidence.workload.as_mut().unwrap();
        workload.0["kind"] = json!("DaemonSet");
        world.evidence.incident.workload = daemon_set.clone();
        for anomaly in &mut world.evidence.anomalies {
            anomaly.workload = daemon_set.clone();
        }
        room_for(world, memory);
        world.nodes()[0].0["spec"]["unschedulable"] = json!(true);
    }
    check(
        "LimitBounds",
        out_of_memory,
        &[
            ("room once the old pod is gone", |w| daemon_set(w, "200Mi"), false),
            ("no room on a node, cordoned though it is", |w| daemon_set(w, "190Mi"), true),
            (
                "no room beside the old pod",
                |w| {
                    daemon_set(w, "200Mi");
                    w.set("/spec/updateStrategy", json!({ "rollingUpdate": { "maxSurge": 1 } }));
                },
                true,
            ),
            (
                "a node that is gone takes its pod with it",
                |w| {
                    daemon_set(w, "190Mi");
                    w.evidence.nodes = vec![node("n2", "200Mi")].into();
                },
                false,
            ),
        ],
    );
}

#[test]
fn the_own_nodes_are_looked_at_first_then_those_that_could_take_more_of_the_pods() {
    let mut world = out_of_memory();
    world.evidence.pods[0].0["spec"]["nodeName"] = json!("z-own");
    world.evidence.nodes = (0..90).map(|number| node(&format!("n{number:02}"), "4Gi")).collect();
    for cordoned in &mut world.nodes()[..10] {
        cordoned.0["spec"]["unschedulable"] = json!(true);
    }
    let names = nodes_to_look_at(&world.evidence);
    assert_eq!(names.len(), 50, "{names:?}");
    assert!(names.contains("z-own") && !names.contains("n09") && names.contains("n10"), "{names:?}");
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
    for (replicas, rule) in [
        (1_000_000_000_i64, "AtMostTwice, LimitBounds"),
        (5, "AtMostTwice"),
        (-1, "Premise"),
        (i64::MAX, "Premise"),
        (2, "Premise"),
    ] {
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

    // Nor by way of an autoscaler; of a Deployment the pods that go count as disruption.
    let scaled = |mut world: World, kind: &str| {
        world.evidence.autoscalers = vec![Document(json!({
            "kind": "HorizontalPodAutoscaler", "metadata": { "name": "cart", "namespace": "shop", "uid": "hpa" },
            "spec": { "minReplicas": 1, "maxReplicas": 5, "scaleTargetRef": { "kind": kind, "name": "cart" } },
        }))];
        world
    };
    let bound = json!({ "autoscaler": "cart", "maxReplicas": 1 });
    assert_eq!(
        decided(&scaled(stateful_set(), "StatefulSet"), "ChangeAutoscaler", &bound),
        "hand over by playbook test for NoStatefulSetScaleDown"
    );
    let mut narrow = scaled(crash_loop(), "Deployment");
    assert_eq!(decided(&narrow, "ChangeAutoscaler", &bound), "act ChangeAutoscaler as Approved");
    narrow.options.disruption_budget = 0;
    assert_eq!(
        decided(&narrow, "ChangeAutoscaler", &bound),
        "hand over by playbook test for DisruptionBudget"
    );
}
