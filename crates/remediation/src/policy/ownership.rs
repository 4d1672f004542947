//! Only what reconciles owns a field; such a field is never written.

use kubewise_core::document::Document;
use kubewise_core::guard::Guard;
use kubewise_core::{Kind, ObjectRef};
use serde_json::Value;

use super::scale::REPLICAS;
use super::{ALLOW_HELM_ANNOTATION, Case, Finding, never};
use crate::field::managers;

/// Parts of field managers' names that tell a program that reconciles, whatever it did at creation.
const RECONCILERS: [&str; 8] =
    ["argocd", "flux", "kustomize-controller", "helm-controller", "keda", "vpa-", "fleet", "crossplane"];
/// Parts of names of programs that probably reconcile, unless they only created the object.
const LIKE_A_RECONCILER: [&str; 4] = ["operator", "controller", "reconcile", "terraform"];
/// People's tools, clients, ourselves, and the controllers that write status and scale for others.
const CLIENTS: [&str; 4] = ["kubectl", "kubewise", "kube-controller-manager", "kube-scheduler"];

/// A field that is to be written.
struct Field<'a> {
    case: &'a Case<'a>,
    object: &'a ObjectRef,
    document: &'a Document,
    path: &'a str,
}

/// Who owns a field, in words.
type Owner = fn(&Field<'_>) -> Option<String>;

/// Whoever may own a field, each a guard by itself. What Argo CD and its like manage bears their labels or annotations.
const OWNERS: &[(Guard, Owner)] = &[
    (Guard::OwnedByAutoscaler, |field| scaled_by(field, "HorizontalPodAutoscaler")),
    (Guard::OwnedByKeda, |field| scaled_by(field, "ScaledObject")),
    (Guard::OwnedByVerticalAutoscaler, sized_by_autoscaler),
    (Guard::OwnedByController, controlled),
    (Guard::OwnedByArgoCd, |field| marked(field, "Argo CD", &["argocd.argoproj.io/"])),
    (Guard::OwnedByFlux, |field| {
        marked(field, "Flux", &["kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/"])
    }),
    (Guard::OwnedByFleet, |field| marked(field, "Fleet", &["fleet.cattle.io/"])),
    (Guard::OwnedByConfigSync, |field| marked(field, "Config Sync", &["configsync.gke.io/"])),
    (Guard::OwnedByHelm, released),
    (Guard::OwnedByManager, managed),
];

pub(super) fn field_ownership(case: &Case<'_>) -> Finding {
    if case.writes().next().is_none() {
        return Ok("no field is written".into());
    }
    for (object, change) in case.writes() {
        // What is not known is for the rule of hierarchy to refuse.
        let Some(document) = case.evidence.document(object) else { continue };
        let field = Field { case, object, document, path: &change.path };
        let mut owners = OWNERS.iter().filter(|(guard, _)| case.options.guards.stands(*guard));
        if let Some(finding) = owners.find_map(|(_, owner)| owner(&field)) {
            return never(finding);
        }
    }
    Ok("nothing that reconciles owns the fields".into())
}

/// An autoscaler owns the replicas of what it scales, also before its first write.
fn scaled_by(field: &Field<'_>, kind: &str) -> Option<String> {
    let replicas = field.object == field.case.object && field.path == REPLICAS;
    autoscaler(field.case, kind, "/spec/scaleTargetRef").filter(|_| replicas)
}

fn sized_by_autoscaler(field: &Field<'_>) -> Option<String> {
    let of_pods = field.object == field.case.object || field.object.kind == Kind::Pod;
    if !of_pods || !field.path.contains("/resources") {
        return None;
    }
    autoscaler(field.case, "VerticalPodAutoscaler", "/spec/targetRef").or_else(|| {
        let mut pods = field.case.evidence.pods.iter();
        let pod = pods.find(|pod| pod.annotation("vpaUpdates").is_some())?;
        Some(format!("a VerticalPodAutoscaler sets the resources of pod {}", pod.text("/metadata/name")?))
    })
}

/// The autoscaler of this kind that the workload has.
fn autoscaler(case: &Case<'_>, kind: &str, target: &str) -> Option<String> {
    let workload = case.object;
    let scaler = case.evidence.autoscalers.iter().find(|scaler| {
        // KEDA leaves the kind out when it means a Deployment.
        let of_kind = scaler.text(&format!("{target}/kind")).unwrap_or("Deployment");
        scaler.text("/kind") == Some(kind)
            && of_kind == workload.kind.as_str()
            && scaler.text(&format!("{target}/name")) == Some(&workload.name)
            // A VerticalPodAutoscaler that only recommends.
            && scaler.text("/spec/updatePolicy/updateMode") != Some("Off")
    })?;
    Some(format!("{kind} {} owns this of {workload}", scaler.text("/metadata/name").unwrap_or_default()))
}

/// A pod is its controller's, and what may be written of one is not part of what that reconciles.
fn controlled(field: &Field<'_>) -> Option<String> {
    let controller = field.document.owners().into_iter().find(|owner| owner.controller);
    let owner = controller.filter(|_| field.object.kind != Kind::Pod)?.object;
    Some(format!("{} is controlled by {owner}: act on that instead", field.object))
}

/// Labels and annotations (by name or prefix) of a tool that puts back what it manages.
fn marked(field: &Field<'_>, tool: &str, prefixes: &[&str]) -> Option<String> {
    let places = ["/metadata/labels", "/metadata/annotations"];
    let marks = places.iter().filter_map(|place| field.document.0.pointer(place)?.as_object());
    let mut keys = marks.flat_map(|marks| marks.keys());
    let key = keys.find(|key| prefixes.iter().any(|prefix| key.starts_with(prefix)))?;
    Some(format!("{tool} manages {} ({key}): change its source", field.object))
}

fn released(field: &Field<'_>) -> Option<String> {
    let document = field.document;
    if document.annotation(ALLOW_HELM_ANNOTATION) == Some("true") {
        return None;
    }
    let by_label = || {
        let managed = document.label("app.kubernetes.io/managed-by") == Some("Helm");
        managed.then(|| document.label("app.kubernetes.io/instance").unwrap_or("of an unknown name"))
    };
    let release = document.annotation("meta.helm.sh/release-name").or_else(by_label)?;
    Some(format!("{} belongs to the Helm release {release}: upgrade the release", field.object))
}

fn managed(field: &Field<'_>) -> Option<String> {
    let manager = owner_of(field.document, field.path)?;
    Some(format!("field manager {manager} owns {}", field.path))
}

/// The field manager that reconciles a field, if one does.
fn owner_of<'a>(workload: &'a Document, path: &str) -> Option<&'a str> {
    let created = workload.text("/metadata/creationTimestamp");
    managers(workload, path).find_map(|entry| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let manager = text("manager")?;
        let applies = text("operation") == Some("Apply");
        let of_creation = text("time") == created && created.is_some();
        let reconciles = reconciles(manager, applies, of_creation) && text("subresource") != Some("status");
        reconciles.then_some(manager)
    })
}

fn reconciles(manager: &str, applies: bool, of_creation: bool) -> bool {
    let name = manager.to_lowercase();
    if CLIENTS.iter().any(|client| name.starts_with(client)) {
        return false;
    }
    RECONCILERS.iter().any(|part| name.contains(part))
        || (!of_creation && (applies || LIKE_A_RECONCILER.iter().any(|part| name.contains(part))))
}
