//! Writes that test what they rest on, so that nothing of anybody else is ever overwritten.

use kubewise_core::document::Document;
use kubewise_core::guard::{Guard, Guards};
use kubewise_core::journal::{BeforeImage, Epoch};
use kubewise_core::plan::{FieldChange, Operation};
use kubewise_core::request::{ClusterRequest, FENCE_ANNOTATION, PatchOperation, Subresource, pointer};
use kubewise_core::{ObjectRef, Uid};
use serde_json::{Value, json};

const UID: &str = "/metadata/uid";
const ANNOTATIONS: &str = "/metadata/annotations";

/// The request of a step; `None` if the step asks nothing of the cluster.
///
/// A write becomes one patch, whole or not at all: it tests the uid, every field of `before` and the fence, then
/// sets the fence to `epoch`, then changes the fields. A field whose `before` equals its `after` is only tested.
/// Two subresources leave annotations out: `scale` has none, so only uid and fields are tested there; `resize`
/// tests the fence but cannot set it. A creation has nothing to test: its name is of its plan alone, so that it comes
/// about once.
pub fn guarded_patch(
    operation: &Operation,
    before: &BeforeImage,
    epoch: Epoch,
    guards: Guards,
) -> Option<ClusterRequest> {
    match operation {
        Operation::Write { object, uid, subresource, .. } => {
            Some(patch(object, uid, *subresource, before, epoch, guards))
        }
        Operation::Evict { pod, uid } => Some(ClusterRequest::Evict { pod: pod.clone(), uid: uid.clone() }),
        Operation::Create { object, body } => {
            Some(ClusterRequest::Create { object: object.clone(), body: body.clone() })
        }
        Operation::Notify { .. } => None,
    }
}

/// The patch that puts back `fields`, which hold what the step wrote.
pub(super) fn undo_patch(
    operation: &Operation,
    fields: &[FieldChange],
    fence: &Fence,
    epoch: Epoch,
    guards: Guards,
) -> Option<ClusterRequest> {
    let back = |field: &FieldChange| FieldChange {
        path: field.path.clone(),
        before: field.after.clone(),
        after: field.before.clone(),
    };
    guarded_patch(operation, &fence.image(fields.iter().map(back).collect()), epoch, guards)
}

/// The patch that keeps an older leader's late write out: it sets the fence and nothing else.
pub(super) fn fence_patch(
    object: &ObjectRef,
    uid: &Uid,
    fence: &Fence,
    epoch: Epoch,
    guards: Guards,
) -> ClusterRequest {
    patch(object, uid, None, &fence.image(Vec::new()), epoch, guards)
}

/// The fence of an object as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fence {
    text: Option<String>,
    annotated: bool,
}

impl Fence {
    pub(super) fn of(document: &Document) -> Self {
        Fence {
            text: document.annotation(FENCE_ANNOTATION).map(Into::into),
            annotated: document.0.pointer(ANNOTATIONS).is_some_and(Value::is_object),
        }
    }

    /// What is no number is nobody's epoch.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.text.as_deref()?.parse().ok().map(Epoch)
    }

    pub(super) fn image(&self, fields: Vec<FieldChange>) -> BeforeImage {
        BeforeImage { fields, fence: self.text.clone(), annotated: self.annotated }
    }
}

/// The value at a path; null is absent, as the API server has it.
pub(super) fn value_at<'a>(document: &'a Document, path: &str) -> Option<&'a Value> {
    document.0.pointer(path).filter(|value| !value.is_null())
}

fn patch(
    object: &ObjectRef,
    uid: &Uid,
    subresource: Option<Subresource>,
    before: &BeforeImage,
    epoch: Epoch,
    guards: Guards,
) -> ClusterRequest {
    let fence = pointer(&["metadata", "annotations", FENCE_ANNOTATION]);
    let test = |path: &str, value: Option<Value>| PatchOperation::Test {
        path: path.into(),
        value: value.unwrap_or(Value::Null),
    };
    let mut operations = Vec::new();
    if guards.stands(Guard::UidTest) {
        operations.push(test(UID, Some(json!(&*uid.0))));
    }
    if guards.stands(Guard::BeforeTest) {
        // Where there is no annotation at all, the test of the fence says so.
        let below = |path: &str| path.starts_with("/metadata/annotations/") && !before.annotated;
        let fields = before.fields.iter().filter(|field| !below(&field.path));
        operations.extend(fields.map(|field| test(&field.path, field.before.clone())));
    }
    if subresource != Some(Subresource::Scale) && guards.stands(Guard::FenceTest) {
        operations.push(if before.annotated {
            test(&fence, before.fence.clone().map(Value::String))
        } else {
            test(ANNOTATIONS, None)
        });
    }
    if subresource.is_none() {
        let epoch = epoch.to_string();
        operations.push(if before.annotated {
            PatchOperation::Add { path: fence, value: json!(epoch) } // replaces one that is there
        } else {
            PatchOperation::Add { path: ANNOTATIONS.into(), value: json!({ FENCE_ANNOTATION: epoch }) }
        });
    }
    operations.extend(before.fields.iter().filter_map(change));
    ClusterRequest::Patch { object: object.clone(), subresource, operations }
}

fn change(field: &FieldChange) -> Option<PatchOperation> {
    let path = field.path.clone();
    match (&field.before, &field.after) {
        (before, after) if before == after => None,
        (None, Some(value)) => Some(PatchOperation::Add { path, value: value.clone() }),
        (Some(_), Some(value)) => Some(PatchOperation::Replace { path, value: value.clone() }),
        (_, None) => Some(PatchOperation::Remove { path }),
    }
}
