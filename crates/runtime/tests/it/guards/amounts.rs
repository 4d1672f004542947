//! How much: replicas, storage, requests and limits.

use kubewise_core::Period;
use kubewise_core::guard::proof::{Breach, Scenario};
use kubewise_core::guard::{Guard, Guards};
use kubewise_core::request::PatchOperation;
use kubewise_sim::Workload;
use serde_json::{Value, json};

use super::{A_WHILE, Stage, doing};
use crate::pipeline::cart;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        guard: Guard::NeverToZero,
        fault: "a playbook scales what crashes to zero",
        play: |guards| scaled(guards, &Workload::deployment("shop", "web"), 0),
    },
    Scenario {
        guard: Guard::NoStatefulSetScaleDown,
        fault: "a playbook scales a StatefulSet down",
        play: |guards| scaled(guards, &Workload::stateful_set("shop", "db"), 1),
    },
    Scenario {
        guard: Guard::NoStatefulSetScaleDown,
        fault: "a playbook lets the autoscaler of a StatefulSet make fewer replicas than there are",
        play: |guards| {
            let mut stage = Stage::new(guards)
                .playbook("ChangeAutoscaler", &json!({ "autoscaler": "db", "maxReplicas": 1 }));
            let db = Workload::stateful_set("shop", "db");
            let object = db.object();
            stage.scene.world.add(db);
            stage.scene.world.autoscaler(&object, 1, 5, 80);
            stage.begin();
            stage.scene.release(&object, "2-crash");
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::LimitBounds,
        fault: "a playbook raises a limit far above the cap",
        play: |guards| resources(guards, &json!({ "memoryLimit": "8Gi" }), |_| ()),
    },
    Scenario {
        guard: Guard::AtMostTwice,
        fault: "a playbook scales what crashes to two hundred",
        play: |guards| scaled(guards, &Workload::deployment("shop", "web"), 200),
    },
    Scenario {
        guard: Guard::AtMostTwice,
        fault: "a playbook lets an autoscaler make twice as many replicas and one more",
        play: |guards| {
            let bounds = json!({ "autoscaler": "cart", "maxReplicas": 11 });
            doing(guards, "ChangeAutoscaler", &bounds, |stage| {
                stage.scene.world.autoscaler(&cart(), 1, 5, 80);
            })
        },
    },
    Scenario {
        guard: Guard::AtMostTwice,
        fault: "a playbook lets a claim grow to more than twice its size",
        play: |guards| doing(guards, "ExpandClaim", &json!({ "claim": "cart", "size": "21Gi" }), claimed),
    },
    Scenario {
        guard: Guard::AboveUse,
        fault: "a playbook lowers a limit below what is used",
        play: |guards| resources(guards, &json!({ "memoryLimit": "16Mi", "memoryRequest": "16Mi" }), |_| ()),
    },
    Scenario {
        guard: Guard::AboveUse,
        fault: "a playbook resizes a running pod below what it uses",
        play: |guards| in_place(guards, &json!({ "memoryLimit": "16Mi", "memoryRequest": "16Mi" }), |_| ()),
    },
    Scenario {
        guard: Guard::BelowCap,
        fault: "a playbook raises a limit above the cap",
        play: |guards| resources(guards, &json!({ "memoryLimit": "1025Mi" }), |_| ()),
    },
    Scenario {
        guard: Guard::BelowCap,
        fault: "a playbook resizes a running pod above the cap",
        play: |guards| in_place(guards, &json!({ "memoryLimit": "1025Mi" }), |_| ()),
    },
    Scenario {
        guard: Guard::LimitRanges,
        fault: "a playbook raises a limit above what a LimitRange allows",
        play: |guards| {
            resources(guards, &json!({ "memoryLimit": "384Mi" }), |stage| {
                let range = json!({ "type": "Container", "max": { "memory": "300Mi" } });
                stage.add("LimitRange", &json!({ "limits": [range] }));
            })
        },
    },
    Scenario {
        guard: Guard::Quotas,
        fault: "a playbook raises a limit, and the quota has no room for it",
        play: |guards| {
            // 13 pods of 256 MiB while one of them crashes.
            resources(guards, &json!({ "memoryLimit": "384Mi" }), |stage| {
                stage.scene.world.quota("shop", "quota", &[("limits.memory", "3500Mi")]);
            })
        },
    },
    Scenario {
        guard: Guard::LimitRanges,
        fault: "a playbook lets a claim grow beyond what the namespace's LimitRange allows",
        play: |guards| {
            doing(guards, "ExpandClaim", &json!({ "claim": "cart", "size": "15Gi" }), |stage| {
                claimed(stage);
                let range = json!({ "type": "PersistentVolumeClaim", "max": { "storage": "12Gi" } });
                stage.add("LimitRange", &json!({ "limits": [range] }));
            })
        },
    },
    Scenario {
        guard: Guard::Quotas,
        fault: "a playbook lets a claim grow, and the quota has no room for it",
        play: |guards| {
            doing(guards, "ExpandClaim", &json!({ "claim": "cart", "size": "15Gi" }), |stage| {
                claimed(stage);
                stage.scene.world.quota("shop", "quota", &[("requests.storage", "4Gi")]);
            })
        },
    },
    Scenario {
        guard: Guard::NodeRoom,
        fault: "a playbook asks for memory that no node has to spare",
        play: |guards| {
            resources(guards, &json!({ "memoryRequest": "480Mi", "memoryLimit": "480Mi" }), |stage| {
                stage.scene.world.add(Workload::deployment("shop", "large").memory("31Gi", "31Gi"));
            })
        },
    },
    Scenario {
        guard: Guard::NodeRoom,
        fault: "a playbook resizes a running pod beyond what its node has to spare",
        play: |guards| {
            in_place(guards, &json!({ "memoryRequest": "480Mi", "memoryLimit": "480Mi" }), |stage| {
                stage.scene.world.add(Workload::deployment("shop", "large").memory("31Gi", "31Gi"));
            })
        },
    },
];

/// The cart mounts a claim of 10 GiB.
fn claimed(stage: &Stage) {
    stage.add("PersistentVolumeClaim", &json!({ "resources": { "requests": { "storage": "10Gi" } } }));
    let volume = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "cart" } }]);
    stage.edit(&[PatchOperation::Add { path: "/spec/template/spec/volumes".into(), value: volume }]);
}

/// A playbook sets these resources of the cart, which crashes.
fn resources(guards: Guards, amounts: &Value, prepare: fn(&Stage)) -> Result<(), Breach> {
    let mut parameters = amounts.clone();
    parameters["container"] = json!("app");
    doing(guards, "SetResources", &parameters, prepare)
}

/// A playbook gives these resources to a running pod of the cart, which crashes.
pub(super) fn in_place(guards: Guards, amounts: &Value, prepare: fn(&Stage)) -> Result<(), Breach> {
    let mut stage = Stage::new(guards);
    prepare(&stage);
    stage.scene.pass(Period::from_secs(5));
    let mut parameters = amounts.clone();
    parameters["container"] = json!("app");
    parameters["pod"] = json!(stage.scene.world.pods_of(&cart())[0].text("/metadata/name"));
    let mut stage = stage.playbook("ResizePod", &parameters);
    stage.crash();
    stage.untouched()
}

/// A workload crashes, and a playbook scales it.
fn scaled(guards: Guards, workload: &Workload, replicas: u32) -> Result<(), Breach> {
    let mut stage = Stage::new(guards).playbook("ScaleWorkload", &json!({ "replicas": replicas }));
    stage.scene.world.add(workload.clone());
    stage.begin();
    stage.scene.release(&workload.object(), "2-crash");
    stage.scene.pass(A_WHILE);
    assert!(!stage.scene.incidents().is_empty(), "it is noticed");
    stage.untouched()
}
