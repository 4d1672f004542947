//! Each rule, tripped by what it guards against and passed by what it does not.

mod amounts;
mod ownership;
mod pace;

use kubewise_core::document::Document;
use kubewise_core::plan::{FieldChange, Operation};
use kubewise_remediation::planner::{self, Decision};
use kubewise_remediation::playbook::Playbooks;
use serde_json::{Value, json};

use crate::fixture::{World, crash_loop, line, now, template};

type Change = fn(&mut World);

/// Cases of one rule: what is changed, and whether the rule then forbids the repair.
fn check(rule: &str, base: fn() -> World, cases: &[(&str, Change, bool)]) {
    assert!(line(&base().decide()).starts_with("act"), "{rule}: the base case must be repaired");
    for (name, change, forbidden) in cases {
        let mut world = base();
        change(&mut world);
        let decision = world.decide();
        let rules = match &decision {
            Decision::Plan { refused, .. } | Decision::Wait { refused, .. } => {
                refused.iter().map(|refusal| refusal.rule.clone()).collect()
            }
            Decision::Nothing { .. } => Vec::new(),
        };
        let expected: Vec<String> = if *forbidden { vec![rule.into()] } else { Vec::new() };
        assert_eq!(rules, expected, "{rule}, {name}: {decision:?}");
    }
}

/// A playbook that does one thing to every crash loop.
fn doing(action: &str, parameters: &Value) -> Playbooks {
    let text = format!(
        "name: test\ndescription: d\nreasons: [CrashLoopBackOff]\nrootCause: r\nreasoning: r\n\
         candidates:\n  - action: {action}\n    parameters: {parameters}\n"
    );
    Playbooks::load(&[("test.yaml", text)]).unwrap()
}

fn decided(world: &World, action: &str, parameters: &Value) -> String {
    line(&world.decide_with(&doing(action, parameters)))
}

#[test]
fn only_pods_that_come_back_are_evicted() {
    let pod = json!({ "pod": "cart-good-1" });
    let evicted = |change: Change| {
        let mut world = crash_loop();
        change(&mut world);
        decided(&world, "EvictPod", &pod)
    };
    let refused = |rule: &str| format!("hand over by playbook test for {rule}");
    assert_eq!(evicted(|_| {}), "act EvictPod as Approved");
    assert_eq!(evicted(|w| w.pod("cart-good-1")["metadata"]["name"] = json!("x")), refused("Premise"));
    assert_eq!(
        evicted(|w| w.pod("cart-good-1")["metadata"]["ownerReferences"] = json!([])),
        refused("Evictions")
    );
    let daemon =
        |w: &mut World| w.pod("cart-good-1")["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
    assert_eq!(evicted(daemon), refused("Evictions"));
    let mirror = |w: &mut World| {
        w.pod("cart-good-1")["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
    };
    assert_eq!(evicted(mirror), refused("Evictions"));
    let held = |selector: &Value| {
        let mut world = crash_loop();
        world.evidence.budgets.push(Document(json!({
            "kind": "PodDisruptionBudget",
            "metadata": { "name": "cart", "namespace": "shop", "uid": "uid-budget" },
            "spec": { "selector": selector },
            "status": { "disruptionsAllowed": 0 },
        })));
        decided(&world, "EvictPod", &pod)
    };
    let of =
        |apps: &[&str]| json!({ "matchExpressions": [{ "key": "app", "operator": "In", "values": apps }] });
    assert_eq!(held(&json!({ "matchLabels": { "app": "cart" } })), "wait for DisruptionBudget");
    assert_eq!(held(&of(&["cart", "search"])), "wait for DisruptionBudget");
    assert_eq!(held(&json!({})), "wait for DisruptionBudget", "an empty selector selects every pod");
    assert_eq!(held(&of(&["search"])), "act EvictPod as Approved");
}

#[test]
fn a_recreate_rollout_waits_for_no_ready_pod() {
    check(
        "RecreateStrategy",
        crash_loop,
        &[
            ("ready pods", |w| w.set("/spec/strategy", json!({ "type": "Recreate" })), true),
            (
                "no ready pod",
                |w| {
                    w.set("/spec/strategy", json!({ "type": "Recreate" }));
                    w.seen_healthy("good");
                    w.evidence.pods.retain(|pod| pod.label("pod-template-hash") == Some("bad"));
                },
                false,
            ),
        ],
    );
}

#[test]
fn an_undo_goes_to_a_revision_that_was_healthy_and_is_not_our_own() {
    let good = json!({ "revision": "good" });
    let mut never_healthy = crash_loop();
    never_healthy.evidence.revisions[0].0["status"]["availableReplicas"] = json!(0);
    assert_eq!(
        decided(&never_healthy, "RolloutUndo", &good),
        "hand over by playbook test for RevisionStillThere"
    );
    let mut ours = crash_loop();
    let current = ours.evidence.workload.as_ref().unwrap().0["spec"]["template"].clone();
    let change = FieldChange { path: "/spec/template".into(), before: None, after: Some(current) };
    ours.did("RolloutUndo", "11:40:00", json!({}), vec![change]);
    assert_eq!(decided(&ours, "RolloutUndo", &good), "hand over by playbook test for OwnRevision");
    // Whatever the action: what it wrote makes a revision.
    let mut patient = crash_loop();
    let probe = "/spec/template/spec/containers/0/livenessProbe";
    patient.set(probe, json!({ "timeoutSeconds": 2 }));
    let change = FieldChange {
        path: format!("{probe}/timeoutSeconds"),
        before: Some(json!(1)),
        after: Some(json!(2)),
    };
    patient.did("PatchProbe", "11:49:30", json!({}), vec![change]);
    assert_eq!(decided(&patient, "RolloutUndo", &good), "hand over by playbook test for OwnRevision");
}

#[test]
fn a_restart_is_recognised_by_its_plan() {
    let decision = crash_loop().decide_with(&doing("RolloutRestart", &json!({})));
    let Decision::Plan { plan, .. } = decision else { panic!("no plan: {decision:?}") };
    let Operation::Write { changes, .. } = &plan.actions[0].operation else { panic!("not a write") };
    assert_eq!(changes[0].path, "/spec/template/metadata/annotations");
    assert_eq!(changes[0].after, Some(json!({ "kubewise.dev/restarted-by": plan.id })));
    assert!(!plan.actions[0].reversible);
}

#[test]
fn a_plan_is_held_against_everything_again_before_each_step() {
    let plan = crash_loop().plan();
    let again = |step: usize, change: Change| {
        let mut world = crash_loop();
        change(&mut world);
        planner::recheck(&plan, step, &world.evidence, &world.options, &world.surroundings, now())
            .map_err(|refusal| refusal.rule)
    };
    let refused = |rule: &str| Err(rule.to_owned());
    assert_eq!(again(0, |_| {}), Ok(()));
    assert_eq!(again(1, |_| {}), refused("Premise"));
    assert_eq!(again(0, |w| w.evidence.workload = None), refused("Premise"));
    assert_eq!(again(0, |w| w.set("/metadata/uid", json!("uid-new"))), refused("Premise"));
    let edited = |w: &mut World| w.set("/spec/template", template("cart:3", "128Mi"));
    assert_eq!(again(0, edited), refused("Premise"));
    let over = |w: &mut World| {
        w.evidence.anomalies[0].status = kubewise_core::anomaly::AnomalyStatus::Resolved;
    };
    assert_eq!(again(0, over), refused("Premise"));
    assert_eq!(again(0, |w| w.annotate("kubewise.dev/mode", "propose")), refused("Mode"));
    assert_eq!(again(0, |w| w.annotate("meta.helm.sh/release-name", "cart")), refused("FieldOwnership"));
    assert_eq!(again(0, |w| drop(w.evidence.revisions.remove(0))), refused("RevisionStillThere"));
    assert_eq!(again(0, |w| w.surroundings.running_sagas = 4), refused("Concurrency"));
    // Its own first step is no reason to let the second one cool down.
    let mut world = crash_loop();
    world.did("RolloutUndo", "11:59:50", json!({}), Vec::new());
    world.evidence.history[0].plan = plan.id.clone();
    let result = planner::recheck(&plan, 0, &world.evidence, &world.options, &world.surroundings, now());
    assert_eq!(result, Ok(()));
    // After a crash it may find its own work done; that is not somebody else's change.
    let Operation::Write { changes, .. } = &plan.actions[0].operation else { panic!("not a write") };
    world.set("/spec/template", changes[0].after.clone().unwrap());
    world.evidence.history[0].changes.clone_from(changes);
    let result = planner::recheck(&plan, 0, &world.evidence, &world.options, &world.surroundings, now());
    assert_eq!(result, Ok(()));
    // A person approved what may only be proposed.
    let mut approved = plan.clone();
    approved.decided_by = Some("sam".into());
    let mut world = crash_loop();
    world.annotate("kubewise.dev/mode", "propose");
    let result = planner::recheck(&approved, 0, &world.evidence, &world.options, &world.surroundings, now());
    assert_eq!(result, Ok(()));
}

#[test]
fn every_rule_is_kept_in_the_plan_as_proof() {
    let plan = crash_loop().plan();
    let rules: Vec<_> = plan.safety_constraints.iter().map(|constraint| constraint.rule.as_str()).collect();
    assert_eq!(rules.len(), 26);
    assert!(plan.safety_constraints.iter().all(|constraint| !constraint.finding.is_empty()));
    let mut refused = crash_loop();
    refused.annotate("meta.helm.sh/release-name", "cart");
    let plan = refused.plan();
    assert!(plan.reasoning.contains("FieldOwnership"), "{}", plan.reasoning);
    assert!(plan.reasoning.contains("Helm release cart"), "{}", plan.reasoning);
}
