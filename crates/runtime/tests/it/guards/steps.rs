//! What a plan does, and in what order.

use kubewise_core::Period;
use kubewise_core::guard::Guard;
use kubewise_core::guard::proof::Scenario;
use kubewise_core::plan::Operation;
use kubewise_core::request::PatchOperation;
use kubewise_sim::{Change, Workload};
use serde_json::json;

use super::{A_WHILE, IMAGE, Stage, altered, field};
use crate::pipeline::cart;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        guard: Guard::PlanAge,
        fault: "a plan was approved hours ago, and nobody ran since",
        play: |guards| {
            altered(guards, |plan, _| plan.updated_at = Period::from_mins(120).before(plan.updated_at))
        },
    },
    Scenario {
        guard: Guard::Lowering,
        fault: "a stored plan was altered to run another image",
        play: |guards| {
            altered(guards, |plan, _| {
                let Operation::Write { changes, .. } = &mut plan.actions[0].operation else {
                    panic!("it writes")
                };
                *changes = vec![field(IMAGE, json!("shop/cart:2-crash"), json!("evil/miner:1"))];
                plan.actions[0].action.name = "SetResources".into();
            })
        },
    },
    Scenario {
        guard: Guard::OwnRevision,
        fault: "the revision that crashes is KubeWise's own",
        play: |guards| {
            let mut stage = Stage::new(guards).playbook("RolloutUndo", &json!({}));
            stage.scene.policy.cooldown = Period::ZERO;
            stage.begin();
            let change = field(IMAGE, json!("shop/cart:1"), json!("shop/cart:2-crash"));
            stage.did("RolloutRestart", Period::ZERO, vec![change]);
            stage.crash_on();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::RevisionStillThere,
        fault: "a playbook names a revision that never was healthy",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.scene.pass(Period::from_mins(1));
            for tag in ["2-crash", "3-crash"] {
                stage.scene.release(&cart(), tag);
                stage.scene.pass(Period::from_secs(5));
            }
            let second = stage.template_of("shop/cart:2-crash");
            let mut stage = stage.playbook("RolloutUndo", &json!({ "revision": second }));
            stage.begin();
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::PausedRollout,
        fault: "somebody pauses the rollout that crashes",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.begin();
            stage.scene.release(&cart(), "2-crash");
            stage.scene.pass(Period::from_secs(1));
            stage.edit(&[PatchOperation::Add { path: "/spec/paused".into(), value: json!(true) }]);
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::RecreateStrategy,
        fault: "a playbook restarts by strategy Recreate, since a pod more finds no node",
        play: |guards| {
            let mut stage = Stage::new(guards).playbook_for("FailedScheduling", "RolloutRestart", &json!({}));
            stage.scene.policy.disruption_budget = 1000;
            stage.begin();
            let strategy = json!({ "type": "Recreate" });
            stage.edit(&[PatchOperation::Replace { path: "/spec/strategy".into(), value: strategy }]);
            stage.scene.change(Change::Scale { workload: cart(), replicas: 1000 });
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::Evictions,
        fault: "a playbook evicts a pod of a DaemonSet",
        play: |guards| {
            let agent = Workload::daemon_set("shop", "agent").env("CRASH", "true");
            let mut stage = Stage::new(guards);
            stage.scene.world.add(agent.clone());
            stage.scene.pass(Period::from_secs(5));
            let pod =
                stage.scene.world.pods_of(&agent.object())[0].text("/metadata/name").unwrap().to_owned();
            let mut stage = stage.playbook("EvictPod", &json!({ "pod": pod }));
            stage.begin();
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::PlanSize,
        fault: "a stored plan was altered to have eleven steps",
        play: |guards| altered(guards, |plan, _| plan.actions = vec![plan.actions[0].clone(); 11]),
    },
    Scenario {
        guard: Guard::IrreversibleLast,
        fault: "a stored plan was altered to evict a pod first",
        play: |guards| {
            altered(guards, |plan, scene| {
                let pod = &scene.world.pods_of(&cart())[0];
                let mut step = plan.actions[0].clone();
                step.action.name = "EvictPod".into();
                step.action.parameters = json!({ "pod": pod.text("/metadata/name") });
                step.operation = Operation::Evict { pod: pod.object().unwrap(), uid: pod.uid().unwrap() };
                step.reversible = false;
                step.disruption = 1;
                plan.actions.insert(0, step);
            })
        },
    },
];
