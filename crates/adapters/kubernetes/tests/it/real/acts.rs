//! Writes as the real API server judges them.

use std::time::Duration;

use anyhow::ensure;
use kubewise_core::event::EventType;
use kubewise_core::port::{ClusterActor as _, ClusterReader as _, Notice, Notifier as _};
use kubewise_core::request::{
    ClusterRequest, FENCE_ANNOTATION, PatchOperation, Performed, Subresource, pointer,
};
use kubewise_core::{Failure, Kind, ObjectRef, Uid};
use kubewise_kubernetes::Kubernetes;
use kubewise_testbed::{Workload, wait_for};
use serde_json::{Value, json};

use super::{apply, cluster, kubernetes, pod};

/// The server compares texts as Go writes them into JSON, with these characters escaped.
const SHELL: &str = "a && b <c> é";
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn fence() -> String {
    pointer(&["metadata", "annotations", FENCE_ANNOTATION])
}

pub(super) fn test(path: &str, value: impl Into<Value>) -> PatchOperation {
    PatchOperation::Test { path: path.into(), value: value.into() }
}

pub(super) fn add(path: &str, value: impl Into<Value>) -> PatchOperation {
    PatchOperation::Add { path: path.into(), value: value.into() }
}

pub(super) fn patch(object: &ObjectRef, operations: Vec<PatchOperation>) -> ClusterRequest {
    ClusterRequest::Patch { object: object.clone(), subresource: None, operations }
}

pub(super) fn named(outcome: Result<Performed, Failure>) -> String {
    match outcome {
        Ok(_) => "done".into(),
        Err(Failure::Rejected { reason, .. }) => format!("{reason:?}"),
        Err(failure) => failure.to_string(),
    }
}

pub(super) async fn uid(kubernetes: &Kubernetes, object: &ObjectRef) -> Uid {
    kubernetes.get(object).await.unwrap().unwrap().uid().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_is_applied_only_if_everything_is_as_tested() {
    let Some(cluster) = cluster() else { return };
    let kubernetes = kubernetes(cluster).await;
    let namespace = cluster.namespace("patch").unwrap();
    let workload = Workload {
        annotations: [("note".to_owned(), SHELL.to_owned())].into(),
        ..Workload::new(&namespace, "web")
    };
    cluster.deploy(&workload).unwrap();
    let web = ObjectRef::namespaced(Kind::Deployment, &*namespace, "web");
    let uid = uid(&kubernetes, &web).await.to_string();
    let guards = || {
        vec![
            test("/metadata/uid", &*uid),
            test(&fence(), Value::Null),
            test("/spec/replicas", 1),
            test("/metadata/annotations/note", SHELL),
        ]
    };
    let with = |operation| [guards(), vec![operation]].concat();
    let two = || add("/spec/replicas", 2);
    let replicas = async || kubernetes.get(&web).await.unwrap().unwrap().number("/spec/replicas").unwrap();

    for (operations, expect) in [
        (vec![test("/metadata/uid", "another"), two()], "Superseded"),
        (with(test("/spec/replicas", 7)), "Superseded"),
        (with(test("/metadata/annotations/note", Value::Null)), "Superseded"),
        (with(test("/spec/absent/field", Value::Null)), "Superseded"),
        (with(PatchOperation::Remove { path: "/metadata/annotations/absent".into() }), "Superseded"),
        (with(add("/spec/replicas", -1)), "Invalid"),
        (with(add("/spec/replicas", "many")), "Invalid"),
    ] {
        let outcome = kubernetes.perform(&patch(&web, operations.clone()), false).await;
        assert_eq!(named(outcome), expect, "{operations:?}");
    }
    let absent = ObjectRef::namespaced(Kind::Deployment, &*namespace, "absent");
    assert_eq!(named(kubernetes.perform(&patch(&absent, vec![two()]), false).await), "NotFound");
    assert_eq!(kubernetes.get(&absent).await, Ok(None));

    let Performed::Patched(judged) = kubernetes.perform(&patch(&web, with(two())), true).await.unwrap()
    else {
        panic!("not patched")
    };
    assert_eq!((judged.number("/spec/replicas"), replicas().await), (Some(2), 1), "a dry run keeps nothing");

    // A test against null passes on an absent annotation: `guards` holds one for the fence.
    let operations = [with(two()), vec![add(&fence(), "1")]].concat();
    let Performed::Patched(patched) = kubernetes.perform(&patch(&web, operations), false).await.unwrap()
    else {
        panic!("not patched")
    };
    assert_eq!((patched.annotation(FENCE_ANNOTATION), replicas().await), (Some("1"), 2));
    let managers = patched.list("/metadata/managedFields");
    let ours: Vec<_> = managers.iter().filter(|entry| entry["manager"] == "kubewise").collect();
    assert_eq!(ours.len(), 1);
    assert_eq!(ours[0]["fieldsV1"]["f:spec"]["f:replicas"], json!({}));
    assert_eq!(named(kubernetes.perform(&patch(&web, with(two())), false).await), "Superseded", "fenced");

    let scale = ClusterRequest::Patch {
        object: web.clone(),
        subresource: Some(Subresource::Scale),
        operations: vec![test("/metadata/uid", &*uid), test("/spec/replicas", 2), add("/spec/replicas", 3)],
    };
    assert_eq!(named(kubernetes.perform(&scale, false).await), "done");
    assert_eq!(replicas().await, 3);
    let listed = kubernetes.list(&Kind::Deployment, Some(&namespace)).await.unwrap();
    assert_eq!(listed.iter().map(|found| found.object().unwrap()).collect::<Vec<_>>(), [web]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_obeys_budgets_and_takes_only_the_pod_it_means() {
    let Some(cluster) = cluster() else { return };
    let kubernetes = kubernetes(cluster).await;
    let namespace = cluster.namespace("evict").unwrap();
    let web = ObjectRef::namespaced(Kind::Pod, &*namespace, "web");
    apply(cluster, &pod(&namespace, "web"));
    let uid = uid(&kubernetes, &web).await;
    let evict = async |uid: &str, dry_run| {
        let request = ClusterRequest::Evict { pod: web.clone(), uid: uid.into() };
        kubernetes.perform(&request, dry_run).await
    };
    let lives = async || {
        let found = kubernetes.get(&web).await.unwrap();
        found.is_some_and(|found| found.text("/metadata/deletionTimestamp").is_none())
    };

    assert_eq!(named(evict("another", false).await), "Superseded");
    assert_eq!(named(evict(&uid.0, true).await), "done");
    assert!(lives().await, "neither a stranger's uid nor a dry run evicts");

    // Only ready pods are under a budget.
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let status = ["-n", &namespace, "patch", "pod", "web", "--subresource=status", "-p", &ready.to_string()];
    cluster.kubectl(&status).unwrap();
    apply(
        cluster,
        &json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"namespace": namespace, "name": "web"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        }),
    );
    wait_for("the budget", PATIENCE, || {
        let budget = cluster.get(&namespace, "pdb/web")?;
        ensure!(budget["status"]["currentHealthy"] == 1, "{}", budget["status"]);
        Ok(())
    })
    .unwrap();
    let failure = evict(&uid.0, false).await.unwrap_err();
    assert!(matches!(failure, Failure::RateLimited { .. }), "{failure}");
    assert!(failure.message().contains("disruption budget"), "{failure}");

    cluster.kubectl(&["-n", &namespace, "delete", "pdb", "web"]).unwrap();
    assert!(lives().await, "nothing repeats the eviction once the budget is gone");
    assert_eq!(named(evict(&uid.0, false).await), "done");
    assert!(!lives().await);
    assert_eq!(named(evict(&uid.0, false).await), "NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_seen_by_kubectl_describe() {
    let Some(cluster) = cluster() else { return };
    let kubernetes = kubernetes(cluster).await;
    let namespace = cluster.namespace("notice").unwrap();
    cluster.deploy(&Workload::new(&namespace, "web")).unwrap();
    let notice = Notice {
        object: ObjectRef::namespaced(Kind::Deployment, &*namespace, "web"),
        uid: None,
        incident: "i-1".into(),
        event_type: EventType::Normal,
        reason: "Repaired".into(),
        message: "put back revision 1".into(),
        time: "2026-11-24T04:00:00.5Z".parse().unwrap(),
    };
    kubernetes.notify(&notice).await.unwrap();
    kubernetes.notify(&notice).await.unwrap();
    let described = cluster.kubectl(&["-n", &namespace, "describe", "deployment", "web"]).unwrap();
    let lines: Vec<&str> = described.lines().filter(|line| line.contains("Repaired")).collect();
    assert_eq!(lines.len(), 1, "{described}");
    assert!(lines[0].contains("kubewise") && lines[0].contains("put back revision 1"), "{}", lines[0]);
}
