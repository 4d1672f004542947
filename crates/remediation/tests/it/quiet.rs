//! What keeps KubeWise still, and what does not keep it from undoing harm.

use kubewise_core::plan::{FieldChange, Operation, RemediationPlan, Verdict};
use kubewise_remediation::planner::{self, Decision};
use kubewise_remediation::playbook::Playbooks;
use kubewise_remediation::policy::Freeze;
use serde_json::{Value, json};

use crate::fixture::{World, crash_loop, line, now};

fn freeze(value: Value) -> Freeze {
    serde_json::from_value(value).unwrap()
}

fn forbidden(plan: &RemediationPlan, world: &World) -> Option<String> {
    let World { evidence, options, surroundings } = world;
    planner::recheck(plan, 0, evidence, options, surroundings, now()).err().map(|refusal| refusal.rule)
}

fn undo_forbidden(plan: &RemediationPlan, world: &World) -> Option<String> {
    let World { evidence, options, surroundings } = world;
    planner::forbids_undo(plan, 0, evidence, options, surroundings, now())
}

type Change = fn(&mut World);

/// Each makes a plan wait, and stops one that was made before; none keeps harm from being undone.
const STILL: &[(&str, Change)] = &[
    ("Freeze", |w| w.options.freezes.push(freeze(json!({ "name": "noon", "cron": "* 12 * * *" })))),
    ("Freeze", |w| {
        let dates =
            json!({ "name": "sale", "from": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z" });
        w.options.freezes.push(freeze(dates));
    }),
    ("Pause", |w| w.surroundings.paused = Some("by ada: the provider moves house".into())),
    ("Telemetry", |w| w.surroundings.blind = Some("no query is answered".into())),
    ("Cooldown", |w| w.did("ScaleWorkload", "11:59:00", json!({}), Vec::new())),
    ("Storm", |w| w.surroundings.workloads_with_incident = 19),
    ("GatheringStorm", |w| w.surroundings.other_openings = vec![now(), now()]),
];

#[test]
fn what_keeps_it_still_lets_it_wait_but_never_keeps_harm_from_being_undone() {
    let plan = crash_loop().plan();
    for (rule, change) in STILL {
        let mut world = crash_loop();
        change(&mut world);
        assert_eq!(line(&world.decide()), format!("wait for {rule}"));
        assert_eq!(forbidden(&plan, &world).as_deref(), Some(*rule));
        assert_eq!(undo_forbidden(&plan, &world), None, "{rule}");
    }
}

#[test]
fn a_freeze_elsewhere_or_at_another_time_stops_nothing() {
    for other in [
        json!({ "name": "elsewhere", "cron": "* * * * *", "namespaces": ["bank"] }),
        json!({ "name": "morning", "cron": "* 0-11 * * *" }),
        json!({ "name": "gone", "until": "2026-03-01T12:00:00Z" }),
        json!({ "name": "to come", "from": "2026-03-01T12:00:01Z" }),
    ] {
        let mut world = crash_loop();
        world.options.freezes.push(freeze(other.clone()));
        assert_eq!(line(&world.decide()), "act RolloutUndo as Approved", "{other}");
    }
}

#[test]
fn what_belongs_to_another_by_now_is_not_undone() {
    let plan = crash_loop().plan();
    assert_eq!(undo_forbidden(&plan, &crash_loop()), None);
    let mut gone = crash_loop();
    gone.evidence.workload = None;
    assert!(undo_forbidden(&plan, &gone).is_some(), "whose it is cannot be told");
    let cases: [(&str, Change); 4] = [
        ("FieldOwnership", |w| {
            w.annotate("argocd.argoproj.io/tracking-id", "shop:apps/Deployment:shop/cart");
        }),
        ("FieldOwnership", |w| w.annotate("meta.helm.sh/release-name", "cart")),
        ("ProtectedNamespace", |w| w.options.protected_namespaces.push("shop".into())),
        ("ProtectedNamespace", |w| w.surroundings.own_namespace = Some("shop".into())),
    ];
    for (rule, change) in cases {
        let mut world = crash_loop();
        change(&mut world);
        let found = undo_forbidden(&plan, &world).unwrap_or_default();
        assert!(found.starts_with(rule), "{rule}: {found}");
    }
}

#[test]
fn what_did_not_help_is_not_tried_for_ever_and_help_wipes_the_slate() {
    let treat = |world: &mut World, when: &str, verdict: Verdict| {
        world.did("RolloutUndo", when, json!({}), Vec::new());
        world.evidence.history[0].cause = Some("crash-loop-after-revision".into());
        world.evidence.history[0].verdict = Some(verdict);
    };
    let mut world = crash_loop();
    world.options.max_attempts = 100;
    let given_up = "hand over by playbook crash-loop-after-revision for Escalation";
    for (when, verdict, expect) in [
        ("08:10:00", Verdict::Inconclusive, "act RolloutUndo as Approved"),
        ("08:20:00", Verdict::Worse, "act RolloutUndo as Approved"),
        ("08:30:00", Verdict::Inconclusive, given_up),
        ("08:40:00", Verdict::Improved, "act RolloutUndo as Approved"),
        ("08:50:00", Verdict::Inconclusive, "act RolloutUndo as Approved"),
    ] {
        treat(&mut world, when, verdict);
        assert_eq!(line(&world.decide()), expect, "after {when}");
    }
    // Another cause of the same workload has its own count.
    let mut world = crash_loop();
    world.options.max_attempts = 100;
    for when in ["08:10:00", "08:20:00", "08:30:00"] {
        treat(&mut world, when, Verdict::Worse);
        world.evidence.history[0].cause = Some("oom-limit-too-low".into());
    }
    assert_eq!(line(&world.decide()), "act RolloutUndo as Approved");
}

#[test]
fn a_tug_of_war_is_stopped_and_the_other_is_named() {
    let mut world = crash_loop();
    let scale = FieldChange { path: "/spec/replicas".into(), before: Some(json!(2)), after: Some(json!(3)) };
    let playbook = "name: test\ndescription: d\nreasons: [CrashLoopBackOff]\nrootCause: r\nreasoning: r\n\
        candidates:\n  - action: ScaleWorkload\n    parameters: { replicas: 3 }\n";
    let playbooks = Playbooks::load(&[("test.yaml", playbook)]).unwrap();
    world.set(
        "/metadata/managedFields",
        json!([{ "manager": "nightly-scaler", "operation": "Update", "time": "2026-03-01T11:00:00Z",
                 "fieldsV1": { "f:spec": { "f:replicas": {} } } }]),
    );
    world.did("ScaleWorkload", "08:10:00", json!({}), vec![scale.clone()]);
    assert_eq!(line(&world.decide_with(&playbooks)), "act ScaleWorkload as Approved", "once may be chance");
    world.did("ScaleWorkload", "09:10:00", json!({}), vec![scale]);
    let Decision::Plan { plan, refused } = world.decide_with(&playbooks) else { panic!("no plan") };
    assert_eq!(refused[0].rule, "Oscillation");
    assert!(plan.reasoning.contains("nightly-scaler put /spec/replicas"), "{}", plan.reasoning);
}

/// Whether the field is set by itself or within its template.
#[test]
fn a_template_that_holds_what_was_put_back_is_the_same_tug_of_war() {
    let mut world = crash_loop();
    let plan = world.plan();
    let Operation::Write { changes, .. } = &plan.actions[0].operation else { panic!("no write") };
    let image = changes[0].after.as_ref().and_then(|template| template.pointer("/spec/containers/0/image"));
    let set = FieldChange {
        path: "/spec/template/spec/containers/0/image".into(),
        before: None,
        after: Some(image.unwrap().clone()),
    };
    let unrelated = FieldChange { after: Some(json!("another")), ..set.clone() };
    world.did("SetImage", "08:10:00", json!({}), vec![set.clone()]);
    world.did("SetImage", "08:40:00", json!({}), vec![unrelated]);
    assert_eq!(line(&world.decide()), "act RolloutUndo as Approved", "once may be chance");
    world.did("SetImage", "09:10:00", json!({}), vec![set]);
    world.options.max_attempts = 100;
    assert_eq!(line(&world.decide()), "hand over by playbook crash-loop-after-revision for Oscillation");
}

#[test]
fn a_plan_is_judged_as_the_whole_that_it_is() {
    let world = crash_loop();
    let plan = world.plan();
    let long = RemediationPlan { actions: vec![plan.actions[0].clone(); 11], ..plan.clone() };
    assert_eq!(forbidden(&long, &world).as_deref(), Some("PlanSize"));
    let pod = &world.evidence.pods[0];
    let mut evict = plan.actions[0].clone();
    evict.operation = Operation::Evict { pod: pod.object().unwrap(), uid: pod.uid().unwrap() };
    evict.action.name = "EvictPod".into();
    evict.action.parameters = json!({ "pod": pod.text("/metadata/name") });
    evict.reversible = false;
    evict.disruption = 1;
    let first = RemediationPlan { actions: vec![evict.clone(), plan.actions[0].clone()], ..plan.clone() };
    assert_eq!(forbidden(&first, &world).as_deref(), Some("IrreversibleLast"));
    let last = RemediationPlan { actions: vec![plan.actions[0].clone(), evict], ..plan };
    assert_eq!(forbidden(&last, &world), None);
}
