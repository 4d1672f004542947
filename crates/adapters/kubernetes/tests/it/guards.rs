//! The guards of what is asked of the API server, each with the fault that it is there for, and taken out.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use kubewise_core::guard::proof::{Breach, Scenario, prove, safe};
use kubewise_core::guard::{Guard, Guards, Place};
use kubewise_core::port::{Clock, ClusterActor as _, ClusterReader as _, Leadership as _, Standing};
use kubewise_core::request::{ClusterRequest, PatchOperation};
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use kubewise_kubernetes::{LeaseOptions, Options};
use kubewise_testbed::Cluster;
use serde_json::json;

use crate::fake::{Fake, Reply, impatient, with_kubeconfig};
use crate::leases::{Hands, Shelf};
use crate::real::{apply, cluster, pod};

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

/// The same before the real API server, where there is one.
const REAL: &[Scenario] = &[
    Scenario {
        guard: Guard::EvictionUid,
        fault: "on a real API server, the pod that is meant was made anew under its name",
        play: |guards| played(real_eviction(guards)),
    },
    Scenario {
        guard: Guard::LeaseCompareAndSwap,
        fault: "on a real API server, another takes the Lease between our read and our write",
        play: |guards| played(real_lease(guards)),
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
    safe(!leads(&standing), || "it leads by a Lease that another has taken".into())
}

fn real() -> &'static Cluster {
    cluster().expect("only played where there is one")
}

async fn real_eviction(guards: Guards) -> Result<(), Breach> {
    let namespace = real().namespace("guard-evict").unwrap();
    let kubernetes = with_kubeconfig(real().kubeconfig(), Options { guards, ..Options::default() }).await;
    let web = ObjectRef::namespaced(Kind::Pod, &*namespace, "web");
    apply(real(), &pod(&namespace, "web"));
    let meant = kubernetes.get(&web).await.unwrap().unwrap().uid().unwrap();
    real().kubectl(&["-n", &namespace, "delete", "pod", "web", "--now"]).unwrap();
    apply(real(), &pod(&namespace, "web"));
    let evicted = kubernetes.perform(&ClusterRequest::Evict { pod: web, uid: meant }, false).await;
    safe(evicted.is_err(), || "a pod that nobody meant was evicted".into())
}

async fn real_lease(guards: Guards) -> Result<(), Breach> {
    let namespace = real().namespace("guard-lease").unwrap();
    let lease = LeaseOptions { namespace: namespace.clone(), ..LeaseOptions::default() };
    let options = Options { guards, lease, ..Options::default() };
    let kubernetes = with_kubeconfig(real().kubeconfig(), options).await;
    let clock = Arc::new(Meddler { clock: Hands::new(), taken_in: Mutex::default() });
    let ours = kubernetes.leadership(clock.clone());
    assert!(leads(&ours.hold().await.unwrap()));
    *clock.taken_in.lock().unwrap() = Some(namespace);
    let standing = ours.hold().await.unwrap();
    safe(!leads(&standing), || "it leads by a Lease that another has taken".into())
}

/// A clock that is asked between the read of the Lease and its write; then another takes the Lease, once.
#[derive(Debug)]
struct Meddler {
    clock: Hands,
    /// The namespace of the Lease.
    taken_in: Mutex<Option<String>>,
}

impl Clock for Meddler {
    fn now(&self) -> Timestamp {
        if let Some(namespace) = self.taken_in.lock().unwrap().take() {
            let taken = json!({"spec": {"holderIdentity": "another"}}).to_string();
            let lease = LeaseOptions::default().name;
            real()
                .kubectl(&["-n", &namespace, "patch", "lease", &lease, "--type=merge", "-p", &taken])
                .unwrap();
        }
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(deadline)
    }
}

fn leads(standing: &Standing) -> bool {
    matches!(standing, Standing::Leader { .. })
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
    let real = if cluster().is_some() { REAL } else { &[] };
    let scenarios = [SCENARIOS, real].concat();
    let proven = prove(&[Place::Cluster], &scenarios, only.as_deref(), |line| println!("{line}"));
    assert_eq!(proven, Ok(()));
}
