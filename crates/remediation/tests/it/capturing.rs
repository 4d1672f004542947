//! What is saved of a pod before it goes.

use kubewise_core::document::Document;
use kubewise_core::mask::MASKED;
use kubewise_remediation::capture;
use serde_json::json;

use crate::fixture::{crash_loop, crashing, pod, template};

#[test]
fn what_people_write_into_variables_arguments_annotations_and_labels_is_not_kept_and_all_else_is() {
    let mut secretive = pod("cart-1", "good", "n1", &template("cart:1", "128Mi"), &crashing("Error", 1, 5));
    secretive.0["spec"]["containers"][0]["env"] = json!([
        { "name": "PASSWORD", "value": "hunter2" },
        { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "cart", "key": "token" } } },
    ]);
    let applied = "kubectl.kubernetes.io/last-applied-configuration";
    secretive.0["metadata"]["annotations"] = json!({ applied: "hunter2", "note": "hunter2" });
    secretive.0["spec"]["containers"][0]["args"] = json!(["--password", "hunter2"]);
    let kept = capture::redacted(&secretive);
    assert!(!kept.to_string().contains("hunter2"), "{kept}");
    assert_eq!(kept["spec"]["containers"][0]["env"][0]["name"], "PASSWORD");
    assert_eq!(kept["spec"]["containers"][0]["env"][1], secretive.0["spec"]["containers"][0]["env"][1]);
    assert_eq!(kept["metadata"]["annotations"], json!({ "note": MASKED }));
    assert_eq!(kept["status"], secretive.0["status"]);
    assert_eq!(kept["metadata"]["labels"], json!({ "app": MASKED, "pod-template-hash": MASKED }));
}

#[test]
fn the_pods_in_trouble_come_first_and_both_their_runs_are_read() {
    let world = crash_loop();
    let plan = world.plan();
    let pods = capture::pods(&plan.actions[0], world.evidence.pods.clone());
    let name = |pod: &Document| pod.text("/metadata/name").unwrap_or_default().to_owned();
    assert_eq!((pods.len(), name(&pods[0]).as_str()), (3, "cart-bad-1"));
    // It waits for its next start: of the run before there is a log, of this one none.
    assert_eq!(capture::logs(&pods[0]), [("app".into(), true)]);
    assert_eq!(capture::logs(&pods[1]), [("app".into(), false)]);
    let (text, cut) = capture::tail(&"x ".repeat(10_000));
    assert_eq!((text.len(), cut), (16 * 1024, true));
    assert_eq!(capture::tail("password=hunter2-and-more").0, "password=[redacted]");
}
