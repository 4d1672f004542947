//! What a node holds, as the real API server tells it.

use kubewise_core::port::ClusterReader as _;
use serde_json::json;

use super::{apply, cluster, kubernetes, pod};

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_a_node_are_those_that_are_bound_to_it() {
    let Some(cluster) = cluster() else { return };
    let kubernetes = kubernetes(cluster).await;
    let spaces = ["holds-a", "holds-b"].map(|name| cluster.namespace(name).unwrap());
    // A node that no other test knows; nobody has to be there for pods to be bound to it.
    let node = format!("{}-node", spaces[0]);
    for (namespace, name, on) in
        [(&spaces[0], "cart", Some(&*node)), (&spaces[1], "search", Some(&*node)), (&spaces[1], "free", None)]
    {
        let mut pod = pod(namespace, name);
        pod["spec"]["nodeName"] = json!(on);
        apply(cluster, &pod);
    }
    let found = kubernetes.pods_on(&node).await.unwrap();
    let names: Vec<_> = found.iter().filter_map(|pod| pod.text("/metadata/name")).collect();
    assert_eq!(names, ["cart", "search"]);
    assert_eq!(kubernetes.pods_on("nobody-knows").await, Ok(Vec::new()));
}
