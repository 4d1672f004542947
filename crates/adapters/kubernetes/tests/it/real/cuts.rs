//! Watches of the real API server, cut, forgotten and forbidden.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::ensure;
use futures::StreamExt as _;
use kubewise_core::port::{EventSource as _, WatchItem};
use kubewise_core::{Kind, ObjectRef, Rejection};
use kubewise_kubernetes::{Kubernetes, Options};
use kubewise_testbed::{Options as ClusterOptions, Program, Proxy, Tier, for_test, wait_for};
use serde_json::{Value, json};

use super::{apply, cluster, event, kubernetes_with, pod};

/// Longer than the longest back-off, 30 s.
const PATIENCE: Duration = Duration::from_mins(1);

/// Everything that a watch tells.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<WatchItem>>>);

impl Listener {
    fn to(kubernetes: &Kubernetes) -> Self {
        let listener = Listener::default();
        let (mut stream, told) = (kubernetes.watch(), listener.0.clone());
        tokio::spawn(async move {
            while let Some(item) = stream.next().await {
                told.lock().unwrap().push(item);
            }
        });
        listener
    }

    fn await_item(&self, what: &str, wanted: impl Fn(&WatchItem) -> bool) {
        wait_for(what, PATIENCE, || {
            let told = self.0.lock().unwrap();
            ensure!(told.iter().any(&wanted), "{} items", told.len());
            Ok(())
        })
        .unwrap();
    }

    fn await_event(&self, about: &str, count: u32) {
        self.await_item(&format!("{count} of {about}"), |item| {
            matches!(item, WatchItem::Event(event) if &*event.object.name == about && event.count == count)
        });
    }

    fn await_deleted(&self, name: &str) {
        self.await_item(
            &format!("the end of {name}"),
            |item| matches!(item, WatchItem::Deleted { object, .. } if &*object.name == name),
        );
    }

    fn interruptions(&self) -> usize {
        let told = self.0.lock().unwrap();
        told.iter().filter(|item| matches!(item, WatchItem::Interrupted { .. })).count()
    }

    fn await_interruptions(&self, former: usize, kinds: usize) {
        wait_for("the interruption", PATIENCE, || {
            let now = self.interruptions();
            ensure!(now >= former + kinds, "{now}");
            Ok(())
        })
        .unwrap();
    }

    /// How often each state of each Event about the pods of a namespace was told.
    fn events(&self, namespace: &str) -> BTreeMap<(String, u32), usize> {
        let mut events = BTreeMap::new();
        for item in &*self.0.lock().unwrap() {
            if let WatchItem::Event(event) = item
                && event.object.namespace_or_empty() == namespace
                && event.reason == "BackOff"
            {
                *events.entry((event.object.name.to_string(), event.count)).or_default() += 1;
            }
        }
        events
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_made_while_the_watch_was_cut_are_neither_lost_nor_doubled() {
    let Some(cluster) = for_test(ClusterOptions::new(Tier::ControlPlane)) else { return };
    let namespace = cluster.namespace("cut").unwrap();
    let proxy = Proxy::to_api_server(&cluster).unwrap();
    let through = |kubeconfig: &mut Value| proxy.redirect(kubeconfig);
    let options = Options { kinds: vec![Kind::Pod], ..Options::default() };
    let listener = Listener::to(&kubernetes_with(&cluster, through, options).await);

    for name in ["a", "b", "c"] {
        apply(&cluster, &pod(&namespace, name));
    }
    apply(&cluster, &event(&namespace, "a", 1));
    listener.await_event("a", 1);
    for name in ["a", "b", "c"] {
        listener.await_item(
            name,
            |item| matches!(item, WatchItem::Applied(state) if &*state.object.name == name),
        );
    }

    let during_a_cut = |happens: &dyn Fn()| {
        let former = listener.interruptions();
        proxy.cut();
        listener.await_interruptions(former, 2);
        happens();
        proxy.mend();
    };
    let delete =
        |name: &str| cluster.kubectl(&["-n", &namespace, "delete", "pod", name, "--now"]).map(drop).unwrap();
    during_a_cut(&|| {
        apply(&cluster, &event(&namespace, "a", 2));
        apply(&cluster, &event(&namespace, "b", 1));
        delete("b");
    });
    listener.await_event("a", 2);
    listener.await_event("b", 1);
    listener.await_deleted("b");

    // The server forgets: 410 for Events by the compaction, for pods by the restart.
    during_a_cut(&|| {
        apply(&cluster, &event(&namespace, "a", 5));
        apply(&cluster, &event(&namespace, "c", 1));
        delete("c");
        cluster.compact().unwrap();
        cluster.restart(Program::ApiServer).unwrap();
    });
    listener.await_event("a", 5);
    listener.await_event("c", 1);
    listener.await_deleted("c");
    apply(&cluster, &event(&namespace, "d", 1));
    listener.await_event("d", 1);

    let once = [("a", 1), ("a", 2), ("a", 5), ("b", 1), ("c", 1), ("d", 1)];
    let once: BTreeMap<_, _> = once.into_iter().map(|(name, count)| ((name.to_owned(), count), 1)).collect();
    assert_eq!(listener.events(&namespace), once);
    let told = listener.0.lock().unwrap();
    let ends = told.iter().filter(
        |item| matches!(item, WatchItem::Deleted { object, .. } if object.namespace_or_empty() == namespace),
    );
    assert_eq!(ends.count(), 2, "an end is told once");
    let forgotten = told.iter().any(|item| {
        matches!(item, WatchItem::Interrupted { failure, .. } if failure.message().contains("too old")
            || failure.message().contains("compacted"))
    });
    assert!(forgotten, "the test did not reach the 410 that it is about");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_rbac_forbids_is_told_and_the_others_go_on() {
    let Some(cluster) = cluster() else { return };
    let namespace = cluster.namespace("rbac").unwrap();
    apply(
        cluster,
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": namespace, "name": "watcher"}}),
    );
    apply(
        cluster,
        &json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": namespace},
            "rules": [{"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["get", "list", "watch"]}],
        }),
    );
    let account = format!("--serviceaccount={namespace}:watcher");
    let role = format!("--clusterrole={namespace}");
    cluster.kubectl(&["create", "clusterrolebinding", &namespace, &role, &account]).unwrap();
    let token = cluster.kubectl(&["-n", &namespace, "create", "token", "watcher"]).unwrap();
    let options = Options { kinds: vec![Kind::Pod, Kind::Job], ..Options::default() };
    let as_watcher = |kubeconfig: &mut Value| {
        kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    };
    let listener = Listener::to(&kubernetes_with(cluster, as_watcher, options).await);
    for kind in [Kind::Pod, Kind::Event] {
        listener.await_item("the permitted kinds", |item| *item == WatchItem::Synced(kind.clone()));
    }
    listener.await_item("the forbidden kind", |item| {
        matches!(item, WatchItem::Interrupted { kind: Kind::Job, failure }
            if failure.is(Rejection::Forbidden) && failure.message().contains("cannot list resource \"jobs\""))
    });
    apply(cluster, &pod(&namespace, "later"));
    let later = ObjectRef::namespaced(Kind::Pod, &*namespace, "later");
    listener
        .await_item("a new pod", |item| matches!(item, WatchItem::Applied(state) if state.object == later));
    cluster.kubectl(&["delete", "clusterrole,clusterrolebinding", &namespace]).unwrap();
}
