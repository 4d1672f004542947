//! A dependency fails, and those that need it with it: one incident, acted upon at its root.

use kubewise_core::incident::{Chapter, IncidentStatus};
use kubewise_core::plan::Mode;
use kubewise_core::request::PatchOperation;
use kubewise_core::{ObjectRef, Period};
use kubewise_sim::{Change, Workload};
use serde_json::json;

use crate::pipeline::{Scene, cart, deployment};

#[test]
fn a_cascade_is_one_incident_and_is_repaired_at_its_root() {
    let mut scene = Scene::new(Mode::Auto);
    for (name, needs) in [("basket", "cart:80"), ("storefront", "basket:80")] {
        scene.world.add(Workload::deployment("shop", name).env("NEEDS", needs));
        scene.world.service(&deployment(name));
    }
    scene.world.service(&cart());
    let _run = scene.start("first");
    scene.pass(Period::from_mins(40)); // the dependants are old
    assert_eq!(scene.incidents(), []);
    // All pods at once become of a revision that never serves, which shows only when the rollout's time is over.
    let set = |path: &str, value| PatchOperation::Add { path: path.into(), value };
    scene.change(Change::Edit {
        object: cart(),
        manager: "kubectl-edit".into(),
        operations: vec![
            set("/spec/strategy", json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": "100%" } })),
            set("/spec/progressDeadlineSeconds", json!(180)),
        ],
    });
    scene.release(&cart(), "2-never-ready");
    // Beside it, and for reasons of its own, the search cannot get its image.
    scene.release(&deployment("search"), "2-missing");
    scene.pass(Period::from_mins(30));

    let mut roots: Vec<ObjectRef> = scene.incidents().into_iter().map(|incident| incident.workload).collect();
    roots.sort();
    assert_eq!(roots, [cart(), deployment("search")], "{:#?}", scene.incidents());
    let incidents = scene.incidents();
    let root = incidents.iter().find(|incident| incident.workload == cart()).unwrap();
    let joined: Vec<_> = root.story.iter().filter(|told| told.chapter == Chapter::Seen).collect();
    assert!(joined.iter().any(|told| told.text.contains("it needs deployment shop/cart")), "{joined:#?}");
    assert!(incidents.iter().all(|incident| incident.status == IncidentStatus::Repaired), "{incidents:#?}");
    let mut written: Vec<_> = scene.actions().into_iter().map(|action| action.action.target).collect();
    written.sort();
    assert_eq!(written, [cart(), deployment("search")], "each root once, and no dependant");
    assert_eq!(
        scene.world.get(&deployment("storefront")).unwrap().number("/status/availableReplicas"),
        Some(2)
    );
}
