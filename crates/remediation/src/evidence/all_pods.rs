//! The pods of every namespace, and what they take of each node.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use kubewise_core::document::Document;
use kubewise_core::quantity;
use serde_json::Value;

/// Memory in bytes, CPU in cores, pods.
pub(crate) type Room = [f64; 3];
/// In the order of [`Room`]; pods are counted.
pub(crate) const RESOURCES: [&str; 2] = ["memory", "cpu"];

/// Pods of every namespace. Clones share one list, and what it takes of each node is added up once: a cluster has many
/// pods, and many incidents ask.
#[derive(Clone, Debug, Default)]
pub struct AllPods(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    pods: Vec<Document>,
    taken: OnceLock<BTreeMap<String, Room>>,
}

impl From<Vec<Document>> for AllPods {
    fn from(pods: Vec<Document>) -> Self {
        AllPods(Arc::new(Inner { pods, taken: OnceLock::new() }))
    }
}

impl Deref for AllPods {
    type Target = [Document];

    fn deref(&self) -> &[Document] {
        &self.0.pods
    }
}

impl AllPods {
    /// What the scheduler has set aside on a node.
    pub(crate) fn taken(&self, node: &str) -> Room {
        let taken = self.0.taken.get_or_init(|| {
            let mut taken = BTreeMap::<String, Room>::new();
            for pod in self.iter().filter(|pod| is_alive(pod)) {
                let Some(node) = pod.text("/spec/nodeName") else { continue };
                let weight = set_aside(pod);
                match taken.get_mut(node) {
                    Some(sum) => add(sum, weight),
                    None => drop(taken.insert(node.to_owned(), weight)),
                }
            }
            taken
        });
        taken.get(node).copied().unwrap_or_default()
    }
}

pub(crate) fn add(sum: &mut Room, weight: Room) {
    sum.iter_mut().zip(weight).for_each(|(sum, weight)| *sum += weight);
}

/// Whether it still takes room.
pub(crate) fn is_alive(pod: &Document) -> bool {
    !matches!(pod.text("/status/phase"), Some("Succeeded" | "Failed"))
}

/// What the scheduler sets aside for a pod.
pub(crate) fn set_aside(pod: &Document) -> Room {
    let requests = pod.list("/spec/containers").iter().map(requests);
    requests.fold([0.0, 0.0, 1.0], |[memory, cpu, pods], [more_memory, more_cpu]| {
        [memory + more_memory.unwrap_or(0.0), cpu + more_cpu.unwrap_or(0.0), pods]
    })
}

/// What a container asks for; where it does not say, the API server takes its limit.
pub(crate) fn requests(container: &Value) -> [Option<f64>; 2] {
    RESOURCES.map(|resource| {
        amount(container, "requests", resource).or_else(|| amount(container, "limits", resource))
    })
}

pub(crate) fn limits(container: &Value) -> [Option<f64>; 2] {
    RESOURCES.map(|resource| amount(container, "limits", resource))
}

fn amount(container: &Value, section: &str, resource: &str) -> Option<f64> {
    let value = container.get("resources")?.get(section)?.get(resource)?;
    value.as_f64().or_else(|| quantity::parse(value.as_str()?))
}
