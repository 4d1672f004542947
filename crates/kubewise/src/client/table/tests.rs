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
