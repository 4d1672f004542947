//! When ConfigMaps and Secrets changed, as the real API server tells it.

use kubewise_core::port::ClusterReader as _;
use kubewise_core::{Kind, ObjectRef, Period, Timestamp};
use kubewise_kubernetes::Options;
use serde_json::json;

use super::{apply, cluster, kubernetes, kubernetes_with};

#[tokio::test(flavor = "multi_thread")]
async fn when_settings_changed_is_told_by_their_metadata_if_we_may_look() {
    let Some(cluster) = cluster() else { return };
    let administrator = kubernetes(cluster).await;
    let namespace = cluster.namespace("settings").unwrap();
    let begun = Period::from_secs(2).before(Timestamp::now()); // the server tells whole seconds
    let manifest = |kind: &str, field: &str| {
        json!({
            "apiVersion": "v1", "kind": kind, "metadata": {"namespace": namespace, "name": "cart"},
            field: {"password": "swordfish"},
        })
    };
    apply(cluster, &manifest("ConfigMap", "data"));
    apply(cluster, &manifest("Secret", "stringData"));
    apply(
        cluster,
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": namespace, "name": "nobody"}}),
    );
    let token = cluster.kubectl(&["-n", &namespace, "create", "token", "nobody"]).unwrap();
    let as_nobody = |kubeconfig: &mut serde_json::Value| {
        kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    };
    let nobody = kubernetes_with(cluster, as_nobody, Options::default()).await;
    for kind in ["ConfigMap", "Secret"] {
        let settings = ObjectRef::namespaced(Kind::from(kind), &*namespace, "cart");
        let changed = administrator.last_changed(&settings).await.unwrap();
        assert!(changed.is_some_and(|time| time >= begun && time <= Timestamp::now()), "{kind}: {changed:?}");
        let label = ["-n", &namespace, "label", kind, "cart", "owner=shop"];
        cluster.kubectl(&label).unwrap();
        assert_eq!(administrator.last_changed(&settings).await.unwrap(), changed, "a label is no setting");
        assert_eq!(nobody.last_changed(&settings).await, Ok(None), "{kind}: what is forbidden is not known");
        let absent = ObjectRef { name: "absent".into(), ..settings };
        assert_eq!(administrator.last_changed(&absent).await, Ok(None));
    }
}
