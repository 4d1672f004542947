//! What an action asks of the cluster. A [`ClusterActor`](crate::port::ClusterActor) performs these and knows no
//! action type.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Document;
use crate::object::{ObjectRef, Uid};

/// The annotation in which the newest leader's epoch stands; every patch tests it.
pub const FENCE_ANNOTATION: &str = "kubewise.dev/fence";
/// On a Job: the Job that KubeWise made to try it once more.
pub const RETRIED_AS_ANNOTATION: &str = "kubewise.dev/retried-as";
/// On a Job that KubeWise made: the uid of the one that it tries once more.
pub const RETRY_OF_ANNOTATION: &str = "kubewise.dev/retry-of";
/// The field manager of every write.
pub const FIELD_MANAGER: &str = "kubewise";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verb", rename_all = "camelCase")]
pub enum ClusterRequest {
    /// A JSON Patch, applied whole or not at all.
    Patch {
        object: ObjectRef,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subresource: Option<Subresource>,
        operations: Vec<PatchOperation>,
    },
    /// An eviction through the Eviction API with the pod's uid as precondition, so that budgets hold.
    Evict { pod: ObjectRef, uid: Uid },
    /// A new object under a name that was not taken.
    Create { object: ObjectRef, body: Value },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Subresource {
    Scale,
    Resize,
}

impl Subresource {
    pub fn as_str(self) -> &'static str {
        match self {
            Subresource::Scale => "scale",
            Subresource::Resize => "resize",
        }
    }
}

/// RFC 6902, as the API server speaks it: a `test` against null passes also if the path is absent (its parent
/// must exist).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum PatchOperation {
    Test { path: String, value: Value },
    Add { path: String, value: Value },
    Replace { path: String, value: Value },
    Remove { path: String },
}

/// What came of a request that was surely applied.
#[derive(Clone, Debug, PartialEq)]
pub enum Performed {
    /// The object as it is after the patch.
    Patched(Document),
    Evicted,
    /// The object as the server made it.
    Created(Document),
}

/// `/metadata/annotations/kubewise.dev~1fence`: a JSON pointer from its parts.
pub fn pointer(parts: &[&str]) -> String {
    parts.iter().fold(String::new(), |mut path, part| {
        path.push('/');
        path.push_str(&part.replace('~', "~0").replace('/', "~1"));
        path
    })
}
