//! What goes over the wire, and what is refused before.

use kubewise_core::event::EventType;
use kubewise_core::port::{ClusterActor as _, ClusterReader as _, Notice, Notifier as _};
use kubewise_core::request::{ClusterRequest, PatchOperation, Subresource};
use kubewise_core::{Kind, ObjectRef, Rejection};
use kubewise_kubernetes::Options;
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, impatient};

fn pod(name: &str) -> ObjectRef {
    ObjectRef::namespaced(Kind::Pod, "shop", name)
}

fn secret(name: &str) -> ObjectRef {
    ObjectRef::namespaced(Kind::from("Secret"), "shop", name)
}

fn patch(object: ObjectRef, subresource: Option<Subresource>) -> ClusterRequest {
    let operations = vec![
        PatchOperation::Test { path: "/metadata/uid".into(), value: json!("u1") },
        PatchOperation::Remove { path: "/metadata/annotations/a~1b".into() },
    ];
    ClusterRequest::Patch { object, subresource, operations }
}

#[tokio::test]
async fn writes_name_their_manager_and_their_preconditions() {
    let web = ObjectRef::namespaced(Kind::Deployment, "shop", "web");
    let path = "/apis/apps/v1/namespaces/shop/deployments/web";
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": "u1"},
        {"op": "remove", "path": "/metadata/annotations/a~1b"},
    ]);
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web-1", "namespace": "shop"},
        "deleteOptions": {"preconditions": {"uid": "u1"}},
    });
    let evict = ClusterRequest::Evict { pod: pod("web-1"), uid: "u1".into() };
    let scale = format!("{path}/scale");
    let evictions = "/api/v1/namespaces/shop/pods/web-1/eviction";
    let patch_type = "application/json-patch+json";
    for (request, dry_run, method, path, content_type, body) in [
        (patch(web.clone(), None), false, "PATCH", path, patch_type, operations.clone()),
        (patch(web.clone(), None), true, "PATCH", path, patch_type, operations.clone()),
        (patch(web, Some(Subresource::Scale)), false, "PATCH", &scale, patch_type, operations),
        (evict.clone(), false, "POST", evictions, "application/json", eviction.clone()),
        (evict, true, "POST", evictions, "application/json", eviction),
    ] {
        let fake =
            Fake::start(|_, _| Reply::json(201, &json!({"kind": "Status", "status": "Success"}))).await;
        fake.kubernetes(impatient()).await.perform(&request, dry_run).await.unwrap();
        let [seen] = fake.seen().try_into().unwrap();
        assert_eq!((&*seen.method, &*seen.path, &*seen.content_type), (method, path, content_type));
        assert_eq!(seen.body, body);
        assert!(seen.query.contains("fieldManager=kubewise"), "{}", seen.query);
        assert_eq!(seen.query.contains("dryRun=All"), dry_run, "{}", seen.query);
    }
}

#[tokio::test]
async fn a_target_that_is_no_object_is_refused_without_a_call() {
    let fake = Fake::start(|_, _| Reply::json(200, &json!({"kind": "Pod"}))).await;
    let kubernetes = fake.kubernetes(impatient()).await;
    for object in [
        pod("../../secrets/admin"),
        pod("a?dryRun=All"),
        pod(".."),
        pod(""),
        ObjectRef::namespaced(Kind::Pod, "shop/pods", "a"),
        ObjectRef::cluster_scoped(Kind::Pod, "homeless"),
        ObjectRef::namespaced(Kind::Node, "shop", "n1"),
        ObjectRef::namespaced(Kind::from("Rollout"), "shop", "web"),
        secret("cart-db"),
    ] {
        let failure = kubernetes.get(&object).await.unwrap_err();
        assert!(failure.is(Rejection::Invalid), "{object}: {failure}");
        let failure = kubernetes.perform(&patch(object.clone(), None), false).await.unwrap_err();
        assert!(failure.is(Rejection::Invalid), "{object}: {failure}");
    }
    for object in
        [pod("web-1"), secret("../pods/web-1"), ObjectRef::cluster_scoped(Kind::from("Secret"), "a")]
    {
        let failure = kubernetes.last_changed(&object).await.unwrap_err();
        assert!(failure.is(Rejection::Invalid), "{object}: {failure}");
    }
    assert!(kubernetes.list(&Kind::from("Secret"), Some("shop")).await.unwrap_err().is(Rejection::Invalid));
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn of_settings_only_the_metadata_is_asked_for_and_of_it_the_time_is_kept() {
    let written = |manager: &str, fields: Value, time: &str| json!({"manager": manager, "fieldsV1": fields, "time": time});
    let writers = json!([
        written("kubectl", json!({"f:data": {"f:password": {}}}), "2026-02-01T00:00:00Z"),
        written("labeller", json!({"f:metadata": {"f:labels": {}}}), "2026-02-02T00:00:00Z"),
    ]);
    let metadata = |writers: Value| json!({"name": "cart-db", "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": writers});
    let answer =
        |writers| Reply::json(200, &json!({"kind": "PartialObjectMetadata", "metadata": metadata(writers)}));
    for (reply, expect) in [
        (answer(writers), Some("2026-02-01T00:00:00Z")),
        (answer(json!([])), Some("2026-01-01T00:00:00Z")),
        (Reply::status(403, "Forbidden", "secrets is forbidden"), None),
        (Reply::status(404, "NotFound", "there is none"), None),
    ] {
        let fake = Fake::start(move |_, _| reply.clone()).await;
        let kubernetes = fake.kubernetes(impatient()).await;
        for (kind, plural) in [("Secret", "secrets"), ("ConfigMap", "configmaps")] {
            let settings = ObjectRef::namespaced(Kind::from(kind), "shop", "cart-db");
            let found = kubernetes.last_changed(&settings).await.unwrap();
            assert_eq!(found, expect.map(|time| time.parse().unwrap()), "{kind}");
            let seen = fake.seen().pop().unwrap();
            assert_eq!(seen.path, format!("/api/v1/namespaces/shop/{plural}/cart-db"));
            assert_eq!(seen.accept, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
        }
    }
    let fake = Fake::start(|_, _| Reply::status(503, "ServiceUnavailable", "later")).await;
    let failure = fake.kubernetes(impatient()).await.last_changed(&secret("cart-db")).await.unwrap_err();
    assert!(failure.is_transient(), "{failure}");
}

#[tokio::test]
async fn a_list_is_whole_and_sorted_or_it_fails() {
    let page = |names: &[&str], next: &str, remaining: u64| {
        let items: Vec<Value> =
            names.iter().map(|name| json!({"metadata": {"name": name, "uid": name}})).collect();
        let metadata = json!({"continue": next, "remainingItemCount": remaining, "resourceVersion": "9"});
        Reply::json(200, &json!({"kind": "PodList", "metadata": metadata, "items": items}))
    };
    let first = page(&["b"], "more", 2);
    let second = page(&["c", "a"], "", 0);
    let fake =
        Fake::start(
            move |request, _| {
                if request.query.contains("continue=more") { second.clone() } else { first.clone() }
            },
        )
        .await;
    let kubernetes = fake.kubernetes(Options { page_size: 2, ..impatient() }).await;
    let found = kubernetes.list(&Kind::Pod, Some("shop")).await.unwrap();
    let found: Vec<String> = found.iter().map(|found| found.object().unwrap().to_string()).collect();
    assert_eq!(found, ["Pod a", "Pod b", "Pod c"]);
    assert!(fake.seen().iter().all(|seen| seen.query.contains("limit=2")));

    let found = kubernetes.pods_on("node-1").await.unwrap();
    assert_eq!(found.len(), 3);
    let seen = fake.seen().pop().unwrap();
    assert_eq!(seen.path, "/api/v1/pods");
    assert!(seen.query.contains("fieldSelector=spec.nodeName%3Dnode-1"), "{}", seen.query);
    let hostile = kubernetes.pods_on("node-1,status.phase=Failed").await.unwrap_err();
    assert!(hostile.is(Rejection::Invalid), "{hostile}");

    let huge = page(&["a"], "more", 5000);
    let fake = Fake::start(move |_, _| huge.clone()).await;
    let failure = fake.kubernetes(impatient()).await.list(&Kind::Pod, None).await.unwrap_err();
    assert!(failure.message().contains("5001 objects"), "{failure}");
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn of_an_extension_that_is_not_installed_there_is_nothing() {
    let groups = |versions: &[&str]| {
        let versions: Vec<Value> = versions.iter().map(|version| json!({"groupVersion": version})).collect();
        Reply::json(200, &json!({"kind": "APIGroupList", "groups": [{"versions": versions}]}))
    };
    let forbidden = Reply::status(403, "Forbidden", "you may not");
    for (installed, is_there) in [(groups(&["apps/v1"]), false), (groups(&["keda.sh/v1alpha1"]), true)] {
        let forbidden = forbidden.clone();
        let script = move |request: &crate::fake::Seen, _: &[crate::fake::Seen]| {
            if request.path == "/apis" { installed.clone() } else { forbidden.clone() }
        };
        let fake = Fake::start(script).await;
        let found = fake.kubernetes(impatient()).await.list(&Kind::ScaledObject, Some("shop")).await;
        let refused = found.as_ref().is_err_and(|failure| failure.is(Rejection::Forbidden));
        assert!(if is_there { refused } else { found == Ok(Vec::new()) }, "{found:?}");
    }
}

#[tokio::test]
async fn logs_are_the_last_whole_lines() {
    let lines = (0..10_000).map(|line| format!("line {line} ä\n")).collect::<Vec<_>>().concat();
    let answer = Reply::Answer { code: 200, headers: vec![], body: lines };
    let fake = Fake::start(move |_, _| answer.clone()).await;
    let log = fake.kubernetes(impatient()).await.logs(&pod("web-1"), "main", true).await.unwrap();
    assert!(log.len() <= 64 * 1024 && log.len() > 63 * 1024, "{}", log.len());
    assert!(log.starts_with("line ") && log.ends_with("line 9999 ä\n"));
    let [seen] = fake.seen().try_into().unwrap();
    assert_eq!(seen.path, "/api/v1/namespaces/shop/pods/web-1/log");
    for part in ["container=main", "previous=true", "limitBytes=", "tailLines="] {
        assert!(seen.query.contains(part), "{}", seen.query);
    }
}

#[tokio::test]
async fn a_notice_becomes_an_event_that_describe_shows() {
    let fake = Fake::start(|request, earlier| match &*request.method {
        "GET" => Reply::json(200, &json!({"kind": "Node", "metadata": {"name": "n1", "uid": "u7"}})),
        _ if earlier.iter().any(|seen| seen.method == "POST") => {
            Reply::status(409, "AlreadyExists", "exists")
        }
        _ => Reply::json(201, &json!({"kind": "Event"})),
    })
    .await;
    let kubernetes = fake.kubernetes(impatient()).await;
    let notice = Notice {
        object: ObjectRef::cluster_scoped(Kind::Node, "n1"),
        uid: None,
        incident: "i-1".into(),
        event_type: EventType::Warning,
        reason: "HandedOver".into(),
        message: "ä".repeat(1000),
        time: "2026-11-24T04:00:00.5Z".parse().unwrap(),
    };
    kubernetes.notify(&notice).await.unwrap();
    kubernetes.notify(&notice).await.unwrap();
    let [first, second] =
        fake.seen().into_iter().filter(|seen| seen.method == "POST").collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(first.path, "/api/v1/namespaces/default/events");
    assert_eq!(first.body["metadata"]["name"], second.body["metadata"]["name"]);
    let object = json!({"apiVersion": "v1", "kind": "Node", "namespace": null, "name": "n1", "uid": "u7"});
    assert_eq!(first.body["involvedObject"], object);
    assert_eq!((&first.body["type"], &first.body["reason"]), (&json!("Warning"), &json!("HandedOver")));
    let message = first.body["message"].as_str().unwrap();
    assert!(message.len() <= 1024 && message.ends_with("ä…"), "{}", message.len());
}
