//! Health, readiness, metrics, status and configuration.

use kubewise_core::Failure;
use kubewise_core::health::HealthStatus;
use serde_json::Value;

use crate::face::World;

#[tokio::test]
async fn probes_follow_the_health() {
    for (health, code) in [
        (HealthStatus::Healthy, 200),
        (HealthStatus::Degraded, 200),
        (HealthStatus::Unhealthy, 503),
        (HealthStatus::Unknown, 503),
    ] {
        let face = World::default().local(None);
        *face.world.health.lock().unwrap() = Some(health);
        assert_eq!(face.get("/livez").await.status, 200, "{health:?}: alive while it serves");
        let answer = face.get("/health").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (code, &format!("{health:?}").into()));
        let ready = face.get("/readyz").await;
        assert_eq!(ready.status, code, "{health:?}");
        if code == 503 {
            assert!(ready.problem(503).contains("prometheus is"), "{}", ready.text);
        }
    }
}

#[tokio::test]
async fn health_tells_as_much_as_is_asked() {
    let face = World::default().local(None);
    for (query, expect) in [
        ("", ["status", "components", "dependencies"].as_slice()),
        ("?level=basic", &["status"]),
        ("?level=dependencies", &["status", "dependencies"]),
        ("?level=detailed", &["status", "components", "dependencies"]),
    ] {
        let health = face.get(&format!("/health{query}")).await.json();
        let mut expect = expect.to_vec();
        expect.sort_unstable();
        let mut keys: Vec<_> = health.as_object().unwrap().keys().collect();
        keys.sort_unstable();
        assert_eq!(keys, expect, "{query}");
    }
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let answer = World::default().local(None).get("/metrics").await;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((answer.header("content-type"), answer.text.as_str()), (media_type, "# EOF\n"));
}

#[tokio::test]
async fn status_and_configuration_are_given_as_the_runtime_has_them() {
    let face = World::default().local(None);
    assert_eq!(face.get("/api/v1/status").await.json()["queries"][0]["name"], "restarts");
    assert_eq!(face.get("/api/v1/config").await.json()["api"]["token"], Value::from("***"));
}

#[tokio::test]
async fn autonomy_tells_what_was_earned_and_what_comes_next() {
    let face = World::default().local(None);
    let report = face.get("/api/v1/autonomy").await.json();
    assert_eq!(report["enabled"], true);
    let earned = &report["items"][0];
    assert_eq!((&earned["level"], &earned["mode"]), (&"approve".into(), &"propose".into()));
    assert_eq!((&earned["class"]["namespace"], &earned["successes"]), (&"shop".into(), &4.into()));
    *face.world.store_failure.lock().unwrap() =
        Some(Failure::Unavailable { message: "the disk is full".into() });
    assert!(face.get("/api/v1/autonomy").await.problem(503).contains("the disk is full"));
}
