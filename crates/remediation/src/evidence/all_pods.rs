//! The pods of every namespace, and what they take of each node.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use kubewise_core::document::Document;

use super::amounts::{Room, set_aside};

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

/// What these pods take together.
pub fn taken_by(pods: &[Document]) -> Room {
    let mut taken = Room::default();
    pods.iter().filter(|pod| is_alive(pod)).for_each(|pod| add(&mut taken, set_aside(pod)));
    taken
}

pub(crate) fn add(sum: &mut Room, weight: Room) {
    sum.iter_mut().zip(weight).for_each(|(sum, weight)| *sum += weight);
}

/// Whether it still takes room.
pub(crate) fn is_alive(pod: &Document) -> bool {
    !matches!(pod.text("/status/phase"), Some("Succeeded" | "Failed"))
}
