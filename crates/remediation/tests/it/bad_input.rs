//! Things that should not be, and what is said of them: no plan, a plan that hands over, or a refusal that says why.

use kubewise_core::document::Document;
use kubewise_core::plan::Operation;
use kubewise_core::{Kind, ObjectRef, Uid};
use kubewise_remediation::evidence::{Evidence, pods_of};
use kubewise_remediation::planner;
use kubewise_remediation::playbook::Playbooks;
use serde_json::{Value, json};

use crate::fixture::{World, cart, crash_loop, line, now};

fn refused(world: &World, plan: &kubewise_core::plan::RemediationPlan) -> (String, String) {
    let World { evidence, options, surroundings } = world;
    let refusal = planner::recheck(plan, 0, evidence, options, surroundings, now()).unwrap_err();
    (refusal.rule, refusal.finding)
}

#[test]
fn an_action_type_of_a_newer_version_in_a_stored_plan_is_refused_by_name() {
    let world = crash_loop();
    let mut plan = world.plan();
    plan.actions[0].action.name = "TransplantPod".into();
    let (rule, finding) = refused(&world, &plan);
    assert_eq!(rule, "Lowering");
    assert_eq!(finding, "this version of KubeWise knows no action TransplantPod");
}

#[test]
fn parameters_of_a_newer_version_in_a_stored_plan_are_refused_by_name() {
    let world = crash_loop();
    let mut plan = world.plan();
    plan.actions[0].action.parameters["gently"] = json!(true);
    let (rule, finding) = refused(&world, &plan);
    assert_eq!(rule, "Lowering");
    assert!(finding.contains("unknown field `gently`"), "{finding}");
}

#[test]
fn an_object_deleted_and_made_again_under_the_same_name_is_not_the_one_that_was_meant() {
    let mut world = crash_loop();
    let plan = world.plan();
    world.set("/metadata/uid", json!("uid-new"));
    let (rule, finding) = refused(&world, &plan);
    assert_eq!(rule, "Premise");
    assert_eq!(finding, format!("{} is another object of that name now", cart()));
    // What is planned anew means the new one, which owns neither the old pods nor the old revisions.
    let Evidence { incident, anomalies, workload, revisions, pods, .. } = world.evidence.clone();
    world.evidence = Evidence::assemble(incident, anomalies, workload, [revisions, pods].concat(), now());
    assert!(world.evidence.pods.is_empty() && world.evidence.revisions.is_empty());
    let decided = line(&world.decide());
    assert_eq!(decided, "hand over by playbook crash-loop-unexplained");
}

#[test]
fn a_workload_with_no_replicas_is_not_called_crashing_nor_restarted() {
    let mut world = crash_loop();
    world.set("/spec/replicas", json!(0));
    world.evidence.pods.clear();
    let decided = line(&world.decide());
    assert_eq!(decided, "hand over by playbook crash-loop-unexplained");
}

#[test]
fn a_pod_that_nobody_owns_is_handed_over() {
    let mut world = crash_loop();
    let mut bare = world.evidence.pods[2].clone();
    bare.0["metadata"]["ownerReferences"] = json!([]);
    let object = ObjectRef::namespaced(Kind::Pod, "shop", "cart-bad-1");
    world.evidence.incident.workload = object.clone();
    for anomaly in &mut world.evidence.anomalies {
        (anomaly.workload, anomaly.object) = (object.clone(), object.clone());
    }
    world.evidence.revisions.clear();
    world.evidence.pods = pods_of(Some(&bare), std::slice::from_ref(&bare));
    assert_eq!(world.evidence.pods.len(), 1, "it is its own workload");
    world.evidence.workload = Some(bare);
    let decided = line(&world.decide());
    assert!(decided.starts_with("hand over"), "{decided}");
}

#[test]
fn owners_that_own_each_other_own_nothing() {
    let object = |kind: &str, name: &str, owner: &str| {
        let owner = json!([{ "kind": "ReplicaSet", "name": owner, "uid": format!("uid-{owner}"), "controller": true }]);
        let metadata = json!({ "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "ownerReferences": owner });
        Document(json!({ "kind": kind, "metadata": metadata }))
    };
    let circle = [
        object("ReplicaSet", "a", "b"),
        object("ReplicaSet", "b", "a"),
        object("ReplicaSet", "self", "self"),
        object("Pod", "of-a", "a"),
        object("Pod", "of-self", "self"),
    ];
    let world = crash_loop();
    assert_eq!(pods_of(world.evidence.workload.as_ref(), &circle), [], "no pod of the circle is the cart's");
    let mut names: Vec<_> = pods_of(Some(&circle[0]), &circle)
        .iter()
        .map(|pod| pod.text("/metadata/name").unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["of-a"], "who is asked for is found, though the chain goes on in a circle");
}

#[test]
fn an_expression_that_would_never_end_is_refused_or_ends() {
    let faults = |condition: &str| {
        let text = format!(
            "name: test\ndescription: d\nreasons: [CrashLoopBackOff]\nrootCause: r\nreasoning: r\ncandidates: [{{action: EvictPod, parameters: {{pod: p}}}}]\nwhen:\n  - {}\n",
            serde_json::to_string(condition).unwrap()
        );
        match Playbooks::load(&[("test.yaml", text)]) {
            Ok(_) => String::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        }
    };
    // Whoever can loop can loop for ever: there are no loops.
    for looping in ["map", "filter", "all", "exists", "exists_one"] {
        let nested = format!("incident.reasons.{looping}(x, incident.reasons.{looping}(y, true))");
        let told = faults(&nested);
        assert!(told.contains(&format!("`{looping}` is no function here")), "{looping}: {told}");
    }
    // A pattern that makes a backtracking matcher try for years is one pass here.
    let text = "a".repeat(200);
    assert_eq!(faults(&format!("'{text}!'.matches('^(a+)+$')")), "");
}

#[test]
fn an_operation_that_this_version_does_not_know_is_not_read_as_another() {
    let read = |operation: &Value| serde_json::from_value::<Operation>(operation.clone());
    let evict = json!({ "verb": "evict", "pod": cart(), "uid": Uid::from("u") });
    assert!(read(&evict).is_ok());
    let mut newer = evict;
    newer["verb"] = json!("transplant");
    let told = read(&newer).unwrap_err().to_string();
    assert!(told.contains("unknown variant `transplant`"), "{told}");
}
