//! The guards of what is asked of the API server, each with the fault that it is there for, and taken out.

use std::sync::{Arc, Mutex};

use kubewise_core::guard::proof::{Breach, Scenario, prove, safe};
use kubewise_core::guard::{Guard, Guards, Place};
use kubewise_core::port::{ClusterActor as _, Leadership as _, Standing};
use kubewise_core::request::{ClusterRequest, PatchOperation};
use kubewise_core::{Kind, ObjectRef, Period};
use kubewise_kubernetes::Options;
use serde_json::json;

use crate::fake::{Fake, Reply, impatient};
use crate::leases::{Hands, Shelf};

const SCENARIOS: &[Scenario] = &[
    Scenario {
        guard: Guard::EvictionUid,
        fault: "another pod has taken the name of the one that is meant",
        play: |guards| played(eviction(guards)),
    },
    Scenario {
        guard: Guard::LeaseCompareAndSwap,
        fault: "another candidate takes the Lease between our read and our write",
        play: |guards| played(lease(guards)),
    },
    Scenario {
        guard: Guard::SentOnce,
        fault: "the API server answers a write with 503",
        play: |guards| played(unavailable(guards)),
    },
];

fn played(scenario: impl Future<Output = Result<(), Breach>>) -> Result<(), Breach> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(scenario)
}

async fn eviction(guards: Guards) -> Result<(), Breach> {
    // As the API server: it holds the precondition, if there is one, against the pod of that name.
    let fake = Fake::start(|request, _| match request.body.pointer("/deleteOptions/preconditions/uid") {
        Some(uid) if uid != "of-the-other" => Reply::status(409, "Conflict", "the UID does not match"),
        _ => Reply::json(201, &json!({"kind": "Status", "status": "Success"})),
    })
    .await;
    let kubernetes = fake.kubernetes(Options { guards, ..impatient() }).await;
    let pod = ObjectRef::namespaced(Kind::Pod, "shop", "cart-0");
    let evicted = kubernetes.perform(&ClusterRequest::Evict { pod, uid: "meant".into() }, false).await;
    safe(evicted.is_err(), || "a pod that nobody meant was evicted".into())
}

async fn lease(guards: Guards) -> Result<(), Breach> {
    let shelf: Arc<Mutex<Shelf>> = Arc::default();
    let server = shelf.clone();
    let fake = Fake::start(move |request, _| server.lock().unwrap().serve(request)).await;
    let kubernetes = fake.kubernetes(Options { guards, ..impatient() }).await;
    let clock = Hands::new();
    let ours = kubernetes.leadership(Arc::new(clock.clone()));
    ours.hold().await.unwrap();
    shelf.lock().unwrap().interfere = true;
    let standing = ours.hold().await.unwrap();
    safe(!matches!(standing, Standing::Leader { .. }), || "it leads by a Lease that another has taken".into())
}

async fn unavailable(guards: Guards) -> Result<(), Breach> {
    let fake = Fake::start(|_, _| Reply::status(503, "ServiceUnavailable", "later")).await;
    let patient = Options { guards, timeout: Period::from_secs(5), ..Options::default() };
    let kubernetes = fake.kubernetes(patient).await;
    let request = ClusterRequest::Patch {
        object: ObjectRef::namespaced(Kind::Deployment, "shop", "cart"),
        subresource: None,
        operations: vec![PatchOperation::Add { path: "/spec/replicas".into(), value: json!(3) }],
    };
    let _ = kubernetes.perform(&request, false).await;
    let sent = fake.seen().len();
    safe(sent == 1, || format!("it was sent {sent} times"))
}

#[test]
fn every_guard_is_proven() {
    let only = std::env::var("KUBEWISE_DISABLED_GUARD").ok();
    let proven = prove(&[Place::Cluster], SCENARIOS, only.as_deref(), |line| println!("{line}"));
    assert_eq!(proven, Ok(()));
}
