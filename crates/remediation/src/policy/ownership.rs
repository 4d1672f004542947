//! Only what reconciles owns a field; such a field is never written.

use kubewise_core::document::Document;
use kubewise_core::{Kind, ObjectRef};
use serde_json::Value;

use super::{ALLOW_HELM_ANNOTATION, Case, Finding, never};
use crate::field::tokens;

/// Labels and annotations (by name or prefix) of tools that put back what they manage.
const RECONCILED_BY: [(&str, &str); 5] = [
    ("argocd.argoproj.io/", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/", "Flux"),
    ("helm.toolkit.fluxcd.io/", "Flux"),
    ("fleet.cattle.io/", "Fleet"),
    ("configsync.gke.io/", "Config Sync"),
];
/// Parts of field managers' names that tell a program that reconciles, whatever it did at creation.
const RECONCILERS: [&str; 8] =
    ["argocd", "flux", "kustomize-controller", "helm-controller", "keda", "vpa-", "fleet", "crossplane"];
/// Parts of names of programs that probably reconcile, unless they only created the object.
const LIKE_A_RECONCILER: [&str; 4] = ["operator", "controller", "reconcile", "terraform"];
/// People's tools, clients, ourselves, and the controllers that write status and scale for others.
const CLIENTS: [&str; 4] = ["kubectl", "kubewise", "kube-controller-manager", "kube-scheduler"];
const REPLICAS: &str = "/spec/replicas";

pub(super) fn field_ownership(case: &Case<'_>) -> Finding {
    if case.writes().next().is_none() {
        return Ok("no field is written".into());
    }
    if let Some(finding) = scaled_by(case) {
        return never(finding);
    }
    for (object, change) in case.writes() {
        // What is not known is for the rule of hierarchy to refuse.
        let Some(document) = case.evidence.document(object) else { continue };
        // A pod is its controller's, and what may be written of one is not part of what that reconciles.
        let controller = document.owners().into_iter().find(|owner| owner.controller);
        if let Some(owner) = controller.filter(|_| object.kind != Kind::Pod) {
            return never(format!("{object} is controlled by {}: act on that instead", owner.object));
        }
        if let Some((marker, tool)) = marked(document) {
            return never(format!("{tool} manages {object} ({marker}): change its source"));
        }
        if let Some(helm) = helm(document) {
            return never(format!("{object} belongs to the Helm release {helm}: upgrade the release"));
        }
        if let Some(manager) = owner_of(document, &change.path) {
            return never(format!("field manager {manager} owns {}", change.path));
        }
    }
    Ok("nothing that reconciles owns the fields".into())
}

fn marked(workload: &Document) -> Option<(String, &'static str)> {
    ["/metadata/labels", "/metadata/annotations"]
        .iter()
        .filter_map(|pointer| workload.0.pointer(pointer)?.as_object())
        .flat_map(|map| map.keys())
        .find_map(|key| {
            RECONCILED_BY
                .iter()
                .find(|(prefix, _)| key.starts_with(prefix))
                .map(|(_, tool)| (key.clone(), *tool))
        })
}

fn helm(workload: &Document) -> Option<String> {
    if workload.annotation(ALLOW_HELM_ANNOTATION) == Some("true") {
        return None;
    }
    let by_label = || {
        let managed = workload.label("app.kubernetes.io/managed-by") == Some("Helm");
        managed.then(|| workload.label("app.kubernetes.io/instance").unwrap_or("of an unknown name"))
    };
    workload.annotation("meta.helm.sh/release-name").or_else(by_label).map(Into::into)
}

/// An autoscaler that owns what is written, also before its first write.
fn scaled_by(case: &Case<'_>) -> Option<String> {
    let scales = case.changes().any(|change| change.path == REPLICAS);
    let of_pods = |object: &ObjectRef| *object == *case.object || object.kind == Kind::Pod;
    let resources =
        case.writes().any(|(object, change)| of_pods(object) && change.path.contains("/resources"));
    let name = |document: &Document| document.text("/metadata/name").unwrap_or_default().to_owned();
    for scaler in &case.evidence.autoscalers {
        let kind = scaler.text("/kind").unwrap_or_default();
        let (target, owns) = match kind {
            "HorizontalPodAutoscaler" | "ScaledObject" => ("/spec/scaleTargetRef", scales),
            "VerticalPodAutoscaler" => ("/spec/targetRef", resources),
            _ => continue,
        };
        // KEDA leaves the kind out when it means a Deployment.
        let of_kind =
            scaler.text(&format!("{target}/kind")).unwrap_or("Deployment") == case.object.kind.as_str();
        let of_name = scaler.text(&format!("{target}/name")) == Some(&case.object.name);
        if owns && of_kind && of_name {
            return Some(format!("{kind} {} owns this of {}", name(scaler), case.object));
        }
    }
    let updated_by_vpa = |pod: &&Document| pod.annotation("vpaUpdates").is_some();
    let pod = case.evidence.pods.iter().find(updated_by_vpa).filter(|_| resources)?;
    Some(format!("a VerticalPodAutoscaler sets the resources of pod {}", name(pod)))
}

/// The field manager that reconciles a field, if one does.
fn owner_of<'a>(workload: &'a Document, path: &str) -> Option<&'a str> {
    let created = workload.text("/metadata/creationTimestamp");
    workload.list("/metadata/managedFields").iter().find_map(|entry| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let manager = text("manager")?;
        let applies = text("operation") == Some("Apply");
        let of_creation = text("time") == created && created.is_some();
        let reconciles = reconciles(manager, applies, of_creation) && text("subresource") != Some("status");
        (reconciles && holds(entry.get("fieldsV1")?, &workload.0, path)).then_some(manager)
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

/// Whether a `fieldsV1` tree holds a path or anything below it.
pub(super) fn holds(fields: &Value, document: &Value, path: &str) -> bool {
    let mut node = fields;
    let mut place = String::new();
    for token in tokens(path) {
        let list = document.pointer(&place).filter(|value| value.is_array());
        place.push('/');
        place.push_str(&token.replace('~', "~0").replace('/', "~1"));
        let next = match list {
            Some(_) => match document.pointer(&place).map(|item| keyed(node, item)) {
                Some(Keyed::Atomic) => return true, // owned as a whole
                Some(Keyed::Owned(next)) => Some(next),
                Some(Keyed::Not) | None => None,
            },
            None => node.get(format!("f:{token}")),
        };
        let Some(next) = next else { return false };
        node = next;
    }
    true
}

enum Keyed<'a> {
    Owned(&'a Value),
    Not,
    Atomic,
}

/// An item of a list within a `fieldsV1` tree. Containers are keyed by name, ports by number and protocol: whatever keys
/// stand there, they are fields of the item.
fn keyed<'a>(node: &'a Value, item: &Value) -> Keyed<'a> {
    let entries = || node.as_object().into_iter().flatten();
    let keys = entries().filter_map(|(key, next)| {
        let key: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
        Some((key, next))
    });
    let keys: Vec<(Value, &Value)> = keys.collect();
    if keys.is_empty() {
        return Keyed::Atomic;
    }
    let is_item = |key: &Value| {
        key.as_object().is_some_and(|key| key.iter().all(|(field, value)| item.get(field) == Some(value)))
    };
    keys.into_iter().find(|(key, _)| is_item(key)).map_or(Keyed::Not, |(_, next)| Keyed::Owned(next))
}
