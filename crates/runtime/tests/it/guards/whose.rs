//! What is whose: nothing is written that is not the incident's, or that something else keeps as it wants it.

use kubewise_core::guard::proof::{Breach, Scenario};
use kubewise_core::guard::{Guard, Guards};
use kubewise_core::request::PatchOperation;
use kubewise_sim::{Change, Workload};
use serde_json::{Value, json};

use super::amounts::in_place;
use super::{A_WHILE, IMAGE, Stage, doing};
use crate::pipeline::{OTHERS, cart, deployment};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        guard: Guard::ProtectedNamespace,
        fault: "a Deployment of kube-system crashes after a revision",
        play: |guards| {
            let dns = Workload::deployment("kube-system", "dns");
            let mut stage = Stage::new(guards);
            stage.scene.world.add(dns.clone());
            stage.begin();
            stage.scene.release(&dns.object(), "2-crash");
            stage.scene.pass(A_WHILE);
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::OwnHierarchy,
        fault: "a playbook changes the autoscaler of another workload",
        play: |guards| {
            let bounds = json!({ "autoscaler": OTHERS[0], "maxReplicas": 8 });
            let mut stage = Stage::new(guards).playbook("ChangeAutoscaler", &bounds);
            stage.scene.world.autoscaler(&deployment(OTHERS[0]), 1, 5, 80);
            stage.crash();
            stage.untouched()
        },
    },
    Scenario {
        guard: Guard::FieldOwnership,
        fault: "Argo CD manages the workload that crashes",
        play: |guards| {
            borne(guards, "/metadata/annotations", json!({ "argocd.argoproj.io/tracking-id": "shop" }))
        },
    },
    Scenario {
        guard: Guard::OwnedByAutoscaler,
        fault: "a playbook scales what a HorizontalPodAutoscaler scales",
        play: |guards| {
            doing(guards, "ScaleWorkload", &json!({ "replicas": 3 }), |stage| {
                stage.scene.world.autoscaler(&cart(), 1, 5, 80);
            })
        },
    },
    Scenario {
        guard: Guard::OwnedByKeda,
        fault: "a playbook scales what KEDA scales",
        play: |guards| {
            doing(guards, "ScaleWorkload", &json!({ "replicas": 3 }), |stage| {
                stage.add("ScaledObject", &json!({ "scaleTargetRef": { "name": "cart" } }));
            })
        },
    },
    Scenario {
        guard: Guard::OwnedByVerticalAutoscaler,
        fault: "a playbook sets the memory of what a VerticalPodAutoscaler sizes",
        play: |guards| {
            doing(guards, "SetResources", &more_memory(), |stage| {
                let target = json!({ "kind": "Deployment", "name": "cart" });
                stage.add("VerticalPodAutoscaler", &json!({ "targetRef": target }));
            })
        },
    },
    Scenario {
        guard: Guard::OwnedByVerticalAutoscaler,
        fault: "a playbook resizes a running pod of what a VerticalPodAutoscaler sizes",
        play: |guards| {
            in_place(guards, &json!({ "memoryLimit": "384Mi" }), |stage| {
                let target = json!({ "kind": "Deployment", "name": "cart" });
                stage.add("VerticalPodAutoscaler", &json!({ "targetRef": target }));
            })
        },
    },
    Scenario {
        guard: Guard::OwnedByVerticalAutoscaler,
        fault: "a playbook sets the memory of pods that a VerticalPodAutoscaler has sized",
        play: |guards| {
            doing(guards, "SetResources", &more_memory(), |stage| {
                stage.edit(&[PatchOperation::Add {
                    path: "/spec/template/metadata/annotations".into(),
                    value: json!({ "vpaUpdates": "Pod resources updated by cart: container 0: memory" }),
                }]);
            })
        },
    },
    Scenario {
        guard: Guard::OwnedByController,
        fault: "an operator's object controls the workload that crashes",
        play: |guards| {
            let owner = json!([{
                "apiVersion": "shop.example/v1", "kind": "Shop", "name": "shop", "uid": "u-1", "controller": true,
            }]);
            borne(guards, "/metadata/ownerReferences", owner)
        },
    },
    Scenario {
        guard: Guard::OwnedByArgoCd,
        fault: "the workload that crashes bears an annotation of Argo CD",
        play: |guards| {
            borne(guards, "/metadata/annotations", json!({ "argocd.argoproj.io/tracking-id": "shop" }))
        },
    },
    Scenario {
        guard: Guard::OwnedByFlux,
        fault: "the workload that crashes bears a label of Flux's kustomizations",
        play: |guards| borne(guards, "/metadata/labels/kustomize.toolkit.fluxcd.io~1name", json!("shop")),
    },
    Scenario {
        guard: Guard::OwnedByFlux,
        fault: "the workload that crashes bears a label of Flux's Helm releases",
        play: |guards| borne(guards, "/metadata/labels/helm.toolkit.fluxcd.io~1name", json!("shop")),
    },
    Scenario {
        guard: Guard::OwnedByFleet,
        fault: "the workload that crashes bears an annotation of Fleet",
        play: |guards| borne(guards, "/metadata/annotations", json!({ "fleet.cattle.io/bundle": "shop" })),
    },
    Scenario {
        guard: Guard::OwnedByConfigSync,
        fault: "the workload that crashes bears an annotation of Config Sync",
        play: |guards| {
            borne(guards, "/metadata/annotations", json!({ "configsync.gke.io/declared-version": "v1" }))
        },
    },
    Scenario {
        guard: Guard::OwnedByHelm,
        fault: "the workload that crashes belongs to a Helm release",
        play: |guards| borne(guards, "/metadata/annotations", json!({ "meta.helm.sh/release-name": "shop" })),
    },
    Scenario {
        guard: Guard::OwnedByManager,
        fault: "an operator without a mark set the image that crashes",
        play: |guards| {
            let mut stage = Stage::new(guards);
            stage.begin();
            stage.scene.change(Change::Edit {
                object: cart(),
                manager: "shop-operator".into(),
                operations: vec![PatchOperation::Replace {
                    path: IMAGE.into(),
                    value: json!("shop/cart:2-crash"),
                }],
            });
            stage.scene.pass(A_WHILE);
            assert!(!stage.scene.incidents().is_empty(), "it is noticed");
            stage.untouched()
        },
    },
];

/// The cart bears a mark in its metadata, and crashes.
fn borne(guards: Guards, place: &str, mark: Value) -> Result<(), Breach> {
    let mut stage = Stage::new(guards);
    stage.edit(&[PatchOperation::Add { path: place.into(), value: mark }]);
    stage.crash();
    stage.untouched()
}

fn more_memory() -> Value {
    json!({ "container": "app", "memoryLimit": "384Mi" })
}
