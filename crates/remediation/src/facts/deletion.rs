//! What is being deleted, and what holds it.

use kubewise_core::document::Document;
use schemars::JsonSchema;
use serde::Serialize;

use crate::evidence::Evidence;

/// Of the workload itself, or of its pods the one that should be gone the longest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeletionFacts {
    /// Empty if nothing is being deleted.
    pub(crate) object: String,
    /// Finalizers, and what the controller of a namespace says is left in it.
    pub(crate) held_by: String,
}

impl DeletionFacts {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let since = |document: &&Document| document.time("/metadata/deletionTimestamp");
        let workload = evidence.workload.as_ref().filter(|workload| since(workload).is_some());
        let pod = || evidence.pods.iter().filter(|pod| since(pod).is_some()).min_by_key(since);
        let Some(document) = workload.or_else(pod) else { return DeletionFacts::default() };
        let held = document.held_by();
        DeletionFacts {
            object: document.object().map_or_else(|_| String::new(), |object| object.to_string()),
            held_by: if held.is_empty() { "no finalizer".into() } else { held.join("; ") },
        }
    }
}
