use serde_json::json;

use super::*;

#[test]
fn autonomy_is_a_line_for_each_action_and_class() {
    let trust = |enabled: bool| {
        json!({ "enabled": enabled, "items": [{
            "action": "RolloutUndo", "class": { "kind": "Deployment", "namespace": "shop" }, "level": "approve",
            "mode": "propose", "successes": 4, "failures": 0, "bound": 0.596, "next": "6 more verified successes",
        }] })
    };
    let earned = autonomy(&trust(true));
    let lines: Vec<Vec<&str>> = earned.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ACTION", "CLASS", "LEVEL", "MODE", "SUCCESSES", "FAILURES", "BOUND", "NEXT"]);
    assert_eq!(lines[1][..7], ["RolloutUndo", "Deployment/shop", "approve", "propose", "4", "0", "0.60"]);
    assert!(autonomy(&trust(false)).ends_with("the mode alone decides, whatever was earned)"));
    let nothing = json!({ "enabled": true, "items": [] });
    assert_eq!(autonomy(&nothing), "Nothing was done yet that trust could rest on.");
}

#[test]
fn an_incident_tells_who_needs_its_workload() {
    let workload = |name: &str| json!({ "kind": "Deployment", "namespace": "shop", "name": name });
    let mut incident = json!({ "id": "i-1", "workload": workload("cart") });
    assert!(!one("incidents", &incident).contains("NEEDED BY"), "nobody does");
    incident["dependants"] = json!([workload("checkout"), workload("web")]);
    let told = one("incidents", &incident);
    assert!(told.contains("NEEDED BY\n  Deployment/shop/checkout\n  Deployment/shop/web"), "{told}");
}

#[test]
fn ages_are_written_as_kubectl_writes_them() {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    for (seconds, told) in [
        (119, "119s"),
        (2 * MINUTE, "2m"),
        (5 * MINUTE + 30, "5m30s"),
        (12 * MINUTE + 30, "12m"),
        (3 * HOUR + 5 * MINUTE, "3h5m"),
        (12 * HOUR, "12h"),
        (3 * DAY + 4 * HOUR, "3d4h"),
        (12 * DAY, "12d"),
        (733 * DAY, "2y3d"),
        (9 * 365 * DAY, "9y"),
    ] {
        assert_eq!(age(Period::from_secs(seconds)), told);
    }
}
