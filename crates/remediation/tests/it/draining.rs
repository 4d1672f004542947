//! Emptying a node, and giving a pod other resources where it runs.

use kubewise_core::document::Document;
use kubewise_core::plan::{Operation, PlanStatus, RemediationPlan};
use kubewise_core::request::Subresource;
use kubewise_remediation::planner::{self, Decision};
use kubewise_remediation::playbook::Playbooks;
use serde_json::{Value, json};

use crate::beside::node_down;
use crate::fixture::{World, change_all_pods, crash_loop, line, now};

fn doing(reason: &str, action: &str, parameters: &Value) -> Playbooks {
    let text = format!(
        "name: test\ndescription: d\nreasons: [{reason}]\nrootCause: r\nreasoning: r\n\
         candidates:\n  - action: {action}\n    parameters: {parameters}\n"
    );
    Playbooks::load(&[("test.yaml", text)]).unwrap()
}

fn decide(world: &World) -> Decision {
    world.decide_with(&doing("NodeNotReady", "DrainNode", &json!({})))
}

fn check(world: &World, expect: &str) {
    assert_eq!(line(&decide(world)), expect);
}

fn plan(world: &World) -> RemediationPlan {
    match decide(world) {
        Decision::Plan { plan, .. } => *plan,
        other @ (Decision::Wait { .. } | Decision::Nothing { .. }) => panic!("{other:?}"),
    }
}

/// Sets a value within the first pod on the node.
fn set_first(world: &mut World, place: &str, value: Value) {
    change_all_pods(world, |pods| {
        let (parent, key) = place.rsplit_once('/').unwrap();
        pods[0].0.pointer_mut(parent).unwrap()[key] = value;
    });
}

const REFUSED: &str = "hand over by playbook test for Premise";

#[test]
fn a_drain_cordons_first_and_then_evicts_pod_by_pod() {
    let plan = plan(&node_down(1));
    let told: Vec<_> = plan.actions.iter().map(|step| step.description.as_str()).collect();
    assert_eq!(plan.status, PlanStatus::Approved);
    assert!(told[0].contains("no new pod"), "{told:?}");
    assert!(told[1].contains("cart-good-1") && told[2].contains("cart-good-2"), "{told:?}");
    assert!(plan.actions[0].reversible && !plan.actions[1].reversible, "undone by letting pods come again");
}

#[test]
fn pods_that_belong_to_the_node_stay_and_those_that_would_be_lost_stop_it() {
    let mut world = node_down(1);
    set_first(&mut world, "/metadata/ownerReferences/0/kind", json!("DaemonSet"));
    assert_eq!(plan(&world).actions.len(), 2, "a DaemonSet's pod stays");
    let mut world = node_down(1);
    set_first(&mut world, "/metadata/annotations", json!({ "kubernetes.io/config.mirror": "x" }));
    assert_eq!(plan(&world).actions.len(), 2, "a mirror pod stays");
    let mut world = node_down(1);
    set_first(&mut world, "/spec/nodeName", json!("n2"));
    assert_eq!(plan(&world).actions.len(), 2, "a pod of another node is none of its business");
    let mut world = node_down(1);
    set_first(&mut world, "/metadata/ownerReferences", json!([]));
    check(&world, REFUSED);
    let mut world = node_down(1);
    set_first(&mut world, "/spec/volumes", json!([{ "name": "data", "emptyDir": {} }]));
    check(&world, REFUSED);
    let mut world = node_down(1);
    set_first(&mut world, "/spec/volumes", json!([{ "name": "shm", "emptyDir": { "medium": "Memory" } }]));
    assert_eq!(plan(&world).actions.len(), 3, "memory is lost with any pod");
    let mut world = node_down(1);
    set_first(&mut world, "/metadata/namespace", json!("kube-system"));
    check(&world, "hand over by playbook test for ProtectedNamespace");
    let mut world = node_down(1);
    world.evidence.all_pods = None;
    check(&world, REFUSED);
}

/// What a step is told just before it, after the pods or budgets changed.
fn recheck(step: usize, change: impl FnOnce(&mut World)) -> Result<(), (String, bool)> {
    let mut world = node_down(1);
    change_all_pods(&mut world, |pods| {
        for pod in pods {
            pod.0["status"]["conditions"] = json!([{ "type": "Ready", "status": "True" }]);
        }
    });
    let plan = plan(&world);
    world.set("/spec/unschedulable", json!(true));
    change(&mut world);
    planner::recheck(&plan, step, &world.evidence, &world.options, &world.surroundings, now())
        .map_err(|refusal| (refusal.rule, refusal.temporary))
}

#[test]
fn each_eviction_waits_for_its_budget_and_for_the_pod_that_went_before() {
    assert_eq!(recheck(1, |_| ()), Ok(()));
    let budget = |world: &mut World| {
        set_first(world, "/metadata/labels", json!({ "app": "cart" }));
        world.evidence.budgets = vec![Document(json!({
            "kind": "PodDisruptionBudget", "metadata": { "name": "cart", "namespace": "shop", "uid": "b" },
            "spec": { "selector": { "matchLabels": { "app": "cart" } } },
            "status": { "disruptionsAllowed": 0 },
        }))];
    };
    assert_eq!(recheck(1, budget), Err(("DisruptionBudget".into(), true)));
    let elsewhere = |world: &mut World| {
        budget(world);
        world.evidence.budgets[0].0["metadata"]["namespace"] = json!("other");
    };
    assert_eq!(recheck(1, elsewhere), Ok(()), "a budget of another namespace");
    let leaving = |world: &mut World| set_first(world, "/metadata/deletionTimestamp", json!(now()));
    assert_eq!(recheck(2, leaving), Err(("DisruptionBudget".into(), true)));
    let starting = |world: &mut World| {
        set_first(world, "/spec/nodeName", json!("n2"));
        set_first(world, "/metadata/uid", json!("its-successor"));
        set_first(world, "/status/conditions/0/status", json!("False"));
    };
    assert_eq!(recheck(2, starting), Err(("DisruptionBudget".into(), true)));
    let gone = |world: &mut World| change_all_pods(world, |pods| pods.truncate(1));
    assert_eq!(recheck(2, gone), Ok(()), "what went by itself is done");
}

#[test]
fn a_pod_is_resized_in_place_within_bounds_and_people_are_told_that_it_does_not_last() {
    let resize = |world: &World, parameters: Value| {
        world.decide_with(&doing("CrashLoopBackOff", "ResizePod", &parameters))
    };
    let ask = |limit: &str| json!({ "pod": "cart-good-1", "container": "app", "memoryLimit": limit });
    let world = crash_loop();
    let Decision::Plan { plan, .. } = resize(&world, ask("192Mi")) else { panic!("no plan") };
    assert_eq!(line(&resize(&world, ask("192Mi"))), "act ResizePod, Notify as Approved");
    let Operation::Write { object, subresource, changes, .. } = &plan.actions[0].operation else {
        panic!("not a write")
    };
    assert_eq!(
        (object.to_string().as_str(), *subresource),
        ("Pod shop/cart-good-1", Some(Subresource::Resize))
    );
    assert!(changes.iter().all(|change| change.path.starts_with("/spec/containers/0/")), "{changes:?}");
    let Operation::Notify { message } = &plan.actions[1].operation else { panic!("nobody is told") };
    assert!(message.contains("for good"), "{message}");
    let bounds = "hand over by playbook test for LimitBounds";
    assert_eq!(line(&resize(&world, ask("513Mi"))), bounds, "above the cap");
    assert_eq!(line(&resize(&world, ask("64Mi"))), bounds, "its use is not known");
    let mut full = crash_loop();
    full.nodes()[0].0["status"]["allocatable"]["memory"] = json!("256Mi");
    assert_eq!(line(&resize(&full, ask("192Mi"))), bounds, "no room on its node");
    let crashing = json!({ "pod": "cart-bad-1", "container": "app", "memoryLimit": "192Mi" });
    let refused = resize(&world, crashing);
    assert_eq!(line(&refused), "hand over by playbook test for Premise", "the kubelet resizes what runs");
    let mut vpa = crash_loop();
    vpa.evidence.autoscalers = vec![Document(json!({
        "kind": "VerticalPodAutoscaler", "metadata": { "name": "cart", "namespace": "shop", "uid": "vpa" },
        "spec": { "targetRef": { "kind": "Deployment", "name": "cart" } },
    }))];
    assert_eq!(line(&resize(&vpa, ask("192Mi"))), "hand over by playbook test for FieldOwnership");
}
