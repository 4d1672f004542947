//! What may be touched at all.

use kubewise_core::document::Document;
use kubewise_core::plan::Operation;
use kubewise_core::request::RETRY_OF_ANNOTATION;
use kubewise_core::{Kind, ObjectRef, Uid};
use serde_json::Value;

use super::{Case, Finding, never};

/// The cluster's own; never touched, whatever is configured.
const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
/// Marks a pod that a kubelet made from a file; the API server cannot replace it.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

pub(super) fn protected_namespace(case: &Case<'_>) -> Finding {
    for namespace in case.steps.iter().filter_map(|step| step.operation.writes()?.namespace.as_deref()) {
        if SYSTEM_NAMESPACES.contains(&namespace) {
            return never(format!("namespace {namespace} is the cluster's own"));
        }
        if case.surroundings.own_namespace.as_deref() == Some(namespace) {
            return never(format!("KubeWise itself runs in namespace {namespace}"));
        }
        if case.options.protected_namespaces.iter().any(|name| name == namespace) {
            return never(format!("namespace {namespace} is protected by configuration"));
        }
    }
    Ok(format!("namespace {} is not protected", case.object.namespace_or_empty()))
}

pub(super) fn own_hierarchy(case: &Case<'_>) -> Finding {
    let is = |document: &Document, uid: &Uid| document.uid().is_ok_and(|own| own == *uid);
    for step in case.steps {
        let (object, inside) = match &step.operation {
            Operation::Write { object, uid, .. } => {
                let found = case.evidence.document(object).filter(|document| is(document, uid));
                (
                    object,
                    found.is_some_and(|document| object == case.object || refers(case, object, document)),
                )
            }
            Operation::Evict { pod, uid } => (pod, case.evidence.evictable(uid).is_some()),
            // Only what tries the workload itself once more is made.
            Operation::Create { object, body } => {
                let mark = Document(body.clone()).annotation(RETRY_OF_ANNOTATION).map(Uid::from);
                let beside = object.namespace == case.object.namespace && object.kind == case.object.kind;
                (object, beside && mark.is_some_and(|uid| is(case.workload, &uid)))
            }
            Operation::Notify { .. } => continue,
        };
        if !inside {
            return never(format!(
                "{object} does not belong to {}, or is another object of its name",
                case.object
            ));
        }
    }
    Ok(format!("only {}, its pods and what refers to it are touched", case.object))
}

/// Whether an object belongs to the workload: an autoscaler by its target, a claim by a pod that mounts it, a Service by
/// its having led to the workload's pods.
fn refers(case: &Case<'_>, object: &ObjectRef, document: &Document) -> bool {
    if object.namespace != case.object.namespace {
        return false;
    }
    match object.kind.as_str() {
        "HorizontalPodAutoscaler" => {
            document.text("/spec/scaleTargetRef/kind") == Some(case.object.kind.as_str())
                && document.text("/spec/scaleTargetRef/name") == Some(&case.object.name)
        }
        "PersistentVolumeClaim" => {
            let mounted = |pod: &Document| {
                pod.list("/spec/volumes").iter().any(|volume| {
                    volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str)
                        == Some(&*object.name)
                })
            };
            case.evidence.pods.iter().any(mounted)
        }
        "Service" => case.evidence.serving.iter().any(|served| {
            served.service == *object
                && served.workload == *case.object
                && document.uid().is_ok_and(|uid| uid == served.uid)
        }),
        "Pod" => case.evidence.pods.iter().any(|pod| pod == document),
        _ => false,
    }
}

pub(super) fn evictions(case: &Case<'_>) -> Finding {
    for step in case.steps {
        let Operation::Evict { pod, uid } = &step.operation else { continue };
        let Some(document) = case.evidence.evictable(uid) else {
            return never(format!("{pod} is not there"));
        };
        if document.annotation(MIRROR_ANNOTATION).is_some() {
            return never(format!("{pod} is a mirror pod"));
        }
        match document.owners().into_iter().find(|owner| owner.controller) {
            None => return never(format!("no controller would replace {pod}")),
            Some(owner) if owner.object.kind == Kind::DaemonSet => {
                return never(format!("{pod} is a pod of {}", owner.object));
            }
            Some(_) => {}
        }
    }
    Ok("every pod that is evicted has a controller that replaces it".into())
}
