//! Who may act, and when no longer.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use kubewise_core::journal::Epoch;
use kubewise_core::port::{Clock, Leadership as _, Standing};
use kubewise_core::{Period, Timestamp};
use kubewise_kubernetes::Kubernetes;
use serde_json::{Value, json};

use crate::fake::{Fake, Reply, Seen, impatient};

/// A clock that a test sets.
#[derive(Clone, Debug)]
pub(crate) struct Hands(Arc<Mutex<Timestamp>>);

impl Hands {
    pub(crate) fn new() -> Self {
        Hands(Arc::new(Mutex::new("2026-11-24T00:00:00Z".parse().unwrap())))
    }

    pub(crate) fn forward(&self, seconds: u64) {
        let mut now = self.0.lock().unwrap();
        *now = Period::from_secs(seconds).after(*now);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn sleep_until(&self, _: Timestamp) -> BoxFuture<'static, ()> {
        unreachable!("the Lease does not sleep")
    }
}

/// What the API server does with one Lease: compare and swap by resourceVersion.
#[derive(Default)]
pub(crate) struct Shelf {
    lease: Option<Value>,
    version: u64,
    /// Somebody else writes just after the next read.
    pub(crate) interfere: bool,
}

impl Shelf {
    pub(crate) fn serve(&mut self, request: &Seen) -> Reply {
        match (&*request.method, &mut self.lease) {
            ("GET", None) => Reply::status(404, "NotFound", "no Lease"),
            ("GET", Some(lease)) => {
                let reply = Reply::json(200, lease);
                if std::mem::take(&mut self.interfere) {
                    self.version += 1;
                    lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
                }
                reply
            }
            ("POST", Some(_)) => Reply::status(409, "AlreadyExists", "exists"),
            ("PUT", Some(lease))
                if !matches!(&request.body["metadata"]["resourceVersion"], version
                    if version.is_null() || *version == lease["metadata"]["resourceVersion"]) =>
            {
                Reply::status(409, "Conflict", "the object has been modified")
            }
            _ => {
                self.version += 1;
                let mut lease = request.body.clone();
                lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
                Reply::json(200, self.lease.insert(lease))
            }
        }
    }
}

async fn shelf() -> (Arc<Mutex<Shelf>>, Fake, Kubernetes) {
    let shelf: Arc<Mutex<Shelf>> = Arc::default();
    let server = shelf.clone();
    let fake = Fake::start(move |request, _| server.lock().unwrap().serve(request)).await;
    let kubernetes = fake.kubernetes(impatient()).await;
    (shelf, fake, kubernetes)
}

fn leader(epoch: u64, since: Timestamp) -> Standing {
    Standing::Leader { epoch: Epoch(epoch), until: Period::from_secs(10).after(since) }
}

#[tokio::test]
async fn one_leads_until_it_is_silent_for_the_lease_as_the_other_saw_it() {
    let (shelf, _fake, kubernetes) = shelf().await;
    let clock = Hands::new();
    let first = kubernetes.leadership(Arc::new(clock.clone()));
    // Its clock is an hour behind: no judgement may rest on the times in the record.
    let other_clock = Hands(Arc::new(Mutex::new(Period::from_mins(60).before(clock.now()))));
    let second = kubernetes.leadership(Arc::new(other_clock.clone()));
    let behind = || Standing::Follower { holder: first.identity().into() };

    assert_eq!(first.hold().await.unwrap(), leader(1, clock.now()));
    assert_eq!(second.hold().await.unwrap(), behind());
    other_clock.forward(14);
    assert_eq!(second.hold().await.unwrap(), behind(), "not yet silent for the whole duration");
    clock.forward(14);
    assert_eq!(first.hold().await.unwrap(), leader(1, clock.now()), "a renewal keeps the epoch");
    other_clock.forward(14);
    assert_eq!(second.hold().await.unwrap(), behind(), "the renewal began the wait anew");
    other_clock.forward(15);
    assert_eq!(second.hold().await.unwrap(), leader(2, other_clock.now()));
    let after = Standing::Follower { holder: second.identity().into() };
    assert_eq!(first.hold().await.unwrap(), after, "the first comes too late");

    second.release().await.unwrap();
    first.release().await.unwrap(); // not its own to give up
    let lease = shelf.lock().unwrap().lease.clone().unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "");
    assert_eq!(first.hold().await.unwrap(), leader(3, clock.now()), "a released Lease is free at once");
    let lease = shelf.lock().unwrap().lease.clone().unwrap();
    let times = (&lease["spec"]["leaseTransitions"], &lease["spec"]["renewTime"]);
    assert_eq!(times, (&json!(2), &json!("2026-11-24T00:00:14.000000Z")));

    shelf.lock().unwrap().lease = None;
    assert_eq!(
        first.hold().await.unwrap(),
        leader(4, clock.now()),
        "a deleted Lease does not take the epoch back"
    );
}

#[tokio::test]
async fn of_two_that_saw_the_same_expired_record_one_leads() {
    let (shelf, _fake, kubernetes) = shelf().await;
    let clock = Hands::new();
    let [dead, late] = [(); 2].map(|()| kubernetes.leadership(Arc::new(clock.clone())));
    dead.hold().await.unwrap();
    late.hold().await.unwrap();
    clock.forward(15);
    shelf.lock().unwrap().interfere = true;
    assert!(matches!(late.hold().await.unwrap(), Standing::Follower { .. }));
    let lease = shelf.lock().unwrap().lease.clone().unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], dead.identity(), "the loser wrote nothing");
}

#[tokio::test]
async fn fields_of_the_lease_that_we_do_not_know_are_kept() {
    let (shelf, _fake, kubernetes) = shelf().await;
    shelf.lock().unwrap().lease = Some(json!({
        "kind": "Lease", "metadata": {"resourceVersion": "1", "labels": {"a": "b"}}, "spec": {"strategy": "Newer"},
    }));
    let lease = kubernetes.leadership(Arc::new(Hands::new()));
    assert!(matches!(lease.hold().await.unwrap(), Standing::Leader { epoch: Epoch(2), .. }));
    let lease = shelf.lock().unwrap().lease.clone().unwrap();
    assert_eq!(
        (&lease["spec"]["strategy"], &lease["metadata"]["labels"]["a"]),
        (&json!("Newer"), &json!("b"))
    );
}
