//! Bad input is answered with what is wrong and what would be right.

use axum::http::StatusCode;

use crate::face::{TOKEN, World};

#[tokio::test]
async fn bad_parameters_are_named_with_what_would_be_right() {
    let face = World::default().local(None);
    for (path, parameter, hint) in [
        ("/api/v1/incidents?namespce=shop", "namespce", "did you mean `namespace`?"),
        ("/api/v1/incidents?colour=red", "colour", "there are namespace, workload, status"),
        ("/api/v1/incidents?limit=5&limit=6", "limit", "given twice"),
        ("/api/v1/incidents?namespace=", "namespace", "leave it out"),
        ("/api/v1/incidents?limit=0", "limit", "from 1 to 500"),
        ("/api/v1/incidents?limit=501", "limit", "from 1 to 500"),
        ("/api/v1/incidents?limit=ten", "limit", "from 1 to 500"),
        ("/api/v1/incidents?status=Opne", "status", "did you mean `Open`?"),
        ("/api/v1/anomalies?status=Open", "status", "these are Firing, Resolved"),
        ("/api/v1/incidents?since=yesterday", "since", "a duration such as `1h`"),
        ("/api/v1/incidents?since=1h&until=2h", "until", "is before since"),
        ("/api/v1/incidents?cursor=12", "cursor", "not one that an earlier page returned"),
        ("/api/v1/incidents?workload=cart", "workload", "kind/namespace/name"),
        ("/api/v1/incidents?workload=a/b/c/d", "workload", "kind/namespace/name"),
        ("/api/v1/incidents?workload=Deployment//cart", "workload", "empty part"),
        ("/api/v1/incidents?workload=Deploymnt/shop/cart", "workload", "did you mean `Deployment`?"),
        ("/api/v1/incidents?workload=Deployment/cart", "workload", "add `namespace`"),
        ("/api/v1/incidents?workload=Deployment/shop/cart&namespace=bank", "workload", "contradicts"),
        ("/api/v1/incidents?workload=Node/shop/n1", "workload", "a Node has no namespace"),
        ("/api/v1/status?verbose=1", "verbose", "takes none"),
        ("/health?level=detail", "level", "did you mean `detailed`?"),
    ] {
        let answer = face.get(path).await;
        answer.problem(400);
        let problem = answer.json();
        assert_eq!(problem["errors"][0]["parameter"], parameter, "{path}: {problem}");
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(hint), "{path}: {problem}");
    }
}

#[tokio::test]
async fn all_faults_are_told_at_once() {
    let answer = World::default().local(None).get("/api/v1/plans?limit=0&status=x&since=x&cursor=x").await;
    answer.problem(400);
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 4, "{}", answer.text);
}

#[tokio::test]
async fn what_no_handler_takes_is_a_problem_too() {
    let face = World::default().local(Some(TOKEN));
    for (method, path, status, hint) in [
        ("GET", "/", 404, "/openapi.json"),
        ("GET", "/api/v1/incident", 404, "`/api/v1/incident`"),
        ("GET", "/api/v1/incidents/", 404, ""),
        ("POST", "/api/v1/incidents", 405, "does not take POST"),
        ("GET", "/api/v1/plans/p-1/approve", 405, "does not take GET"),
        ("TRACE", "/livez", 405, "does not take TRACE"),
        ("GET", "/api/v1/incidents/%ff", 400, "UTF-8"),
    ] {
        let answer = face.send(method, path, &[], "").await;
        let detail = answer.problem(status);
        assert!(detail.contains(hint), "{method} {path}: {detail}");
        if answer.status == StatusCode::METHOD_NOT_ALLOWED {
            assert!(!answer.header("allow").is_empty(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_panic_is_a_problem_that_tells_nothing_of_the_inside() {
    let face = World { panics: true, ..World::default() }.local(None);
    let answer = face.get("/api/v1/incidents").await;
    answer.problem(500);
    assert!(!answer.text.contains("swordfish"), "{}", answer.text);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_ends_in_a_time_out() {
    let face = World { silent: true, ..World::default() }.local(None);
    assert_eq!(face.get("/api/v1/incidents").await.problem(503), "no answer within 30 s");
}
