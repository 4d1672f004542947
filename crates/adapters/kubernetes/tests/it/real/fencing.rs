//! An old leader that was stopped and goes on, or whose write was long on its way: the real API server refuses it.

use std::sync::Arc;

use kubewise_core::journal::Epoch;
use kubewise_core::port::{ClusterActor as _, ClusterReader as _, Leadership as _, Standing};
use kubewise_core::request::FENCE_ANNOTATION;
use kubewise_core::{Kind, ObjectRef};
use kubewise_kubernetes::{LeaseOptions, Options};
use kubewise_testbed::{Proxy, Workload};
use serde_json::{Value, json};

use super::acts::{add, fence, named, patch, test, uid};
use super::{cluster, kubernetes_with};
use crate::fake::with_kubeconfig;
use crate::leases::Hands;

fn epoch(standing: Standing) -> u64 {
    match standing {
        Standing::Leader { epoch: Epoch(epoch), .. } => epoch,
        Standing::Follower { holder } => panic!("{holder} leads"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_slept_finds_itself_fenced() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("lease").unwrap();
    let lease = LeaseOptions { namespace: namespace.clone(), ..LeaseOptions::default() };
    let kubernetes = with_kubeconfig(cluster.kubeconfig(), Options { lease, ..Options::default() }).await;
    cluster.deploy(&Workload::new(&namespace, "web")).unwrap();
    let web = ObjectRef::namespaced(Kind::Deployment, &*namespace, "web");
    let clock = Hands::new();
    let [sleeper, successor] = [(); 2].map(|()| kubernetes.leadership(Arc::new(clock.clone())));
    let first = epoch(sleeper.hold().await.unwrap());
    assert_eq!(successor.hold().await.unwrap(), Standing::Follower { holder: sleeper.identity().into() });
    assert_eq!(epoch(sleeper.hold().await.unwrap()), first);
    let take = vec![add("/metadata/annotations", json!({FENCE_ANNOTATION: first.to_string()}))];
    kubernetes.perform(&patch(&web, take), false).await.unwrap();

    successor.hold().await.unwrap();
    clock.forward(15);
    let second = epoch(successor.hold().await.unwrap());
    assert!(second > first);
    let bump = vec![test(&fence(), first.to_string()), add(&fence(), second.to_string())];
    kubernetes.perform(&patch(&web, bump), false).await.unwrap();

    let late = vec![test(&fence(), first.to_string()), add("/spec/replicas", 0)];
    assert_eq!(named(kubernetes.perform(&patch(&web, late), false).await), "Superseded");
    assert_eq!(sleeper.hold().await.unwrap(), Standing::Follower { holder: successor.identity().into() });
    assert_eq!(kubernetes.get(&web).await.unwrap().unwrap().number("/spec/replicas"), Some(1));
    successor.release().await.unwrap();
    assert!(epoch(sleeper.hold().await.unwrap()) > second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_the_wire_holds_until_after_the_takeover_changes_nothing() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("held").unwrap();
    let lease = LeaseOptions { namespace: namespace.clone(), ..LeaseOptions::default() };
    let options = Options { lease, ..Options::default() };
    let proxy = Proxy::to_api_server(cluster).unwrap();
    let through = |kubeconfig: &mut Value| proxy.redirect(kubeconfig);
    let old = Arc::new(kubernetes_with(cluster, through, options.clone()).await);
    let new = with_kubeconfig(cluster.kubeconfig(), options).await;
    cluster.deploy(&Workload::new(&namespace, "web")).unwrap();
    let web = ObjectRef::namespaced(Kind::Deployment, &*namespace, "web");
    let uid = uid(&new, &web).await.to_string();
    let replicas = async || new.get(&web).await.unwrap().unwrap().number("/spec/replicas").unwrap();
    let clock = Hands::new();
    let sleeper = old.leadership(Arc::new(clock.clone()));
    let successor = new.leadership(Arc::new(clock.clone()));

    let first = epoch(sleeper.hold().await.unwrap());
    let fenced = vec![add("/metadata/annotations", json!({FENCE_ANNOTATION: first.to_string()}))];
    old.perform(&patch(&web, fenced), false).await.unwrap();
    // As a saga writes: the uid, the fence and the value before are tested.
    let scale = |from: u32, to: u32| {
        let tests = [test("/metadata/uid", &*uid), test(&fence(), first.to_string())];
        let request = patch(
            &web,
            [tests.as_slice(), &[test("/spec/replicas", from), add("/spec/replicas", to)]].concat(),
        );
        let old = old.clone();
        tokio::spawn(async move { named(old.perform(&request, false).await) })
    };

    // Held for a while, and nobody took over: it arrives, and is done.
    proxy.hold();
    let sent = scale(1, 2);
    proxy.until_held().unwrap();
    assert_eq!(replicas().await, 1, "it is on its way");
    proxy.mend();
    assert_eq!((sent.await.unwrap().as_str(), replicas().await), ("done", 2));

    // Held beyond the lease: the successor leads and raises the fence before it arrives.
    proxy.hold();
    let sent = scale(2, 3);
    proxy.until_held().unwrap();
    assert_eq!(successor.hold().await.unwrap(), Standing::Follower { holder: sleeper.identity().into() });
    clock.forward(15);
    let second = epoch(successor.hold().await.unwrap());
    assert!(second > first);
    let raise = vec![test(&fence(), first.to_string()), add(&fence(), second.to_string())];
    assert_eq!(named(new.perform(&patch(&web, raise), false).await), "done");
    proxy.mend();
    assert_eq!((sent.await.unwrap().as_str(), replicas().await), ("Superseded", 2));
    assert_eq!(sleeper.hold().await.unwrap(), Standing::Follower { holder: successor.identity().into() });
}
