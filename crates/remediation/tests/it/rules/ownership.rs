//! What is whose.

use kubewise_core::document::Document;
use kubewise_remediation::planner::{self, Decision};
use serde_json::{Value, json};

use super::{check, doing};
use crate::fixture::{World, at, crash_loop, line, now, out_of_memory, scaled_to_zero};

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
                "one that only recommends",
                |w| {
                    let mut recommender = autoscaler("VerticalPodAutoscaler", "targetRef");
                    recommender.0["spec"]["updatePolicy"] = json!({ "updateMode": "Off" });
                    w.evidence.autoscalers.push(recommender);
                },
                false,
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
