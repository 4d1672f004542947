//! Requests to the API server: patches, the scale and resize subresources, evictions, new objects.

use kubewise_core::document::Document;
use kubewise_core::request::{ClusterRequest, FIELD_MANAGER, PatchOperation, Performed, Subresource};
use kubewise_core::{Failure, ObjectRef, Rejection};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::fault::PerformFault;
use crate::patch;
use crate::store::{invalid, not_found};
use crate::world::{Write, WriteKind};

impl Cluster {
    /// A request of KubeWise, with the faults that lie on its way.
    pub(crate) fn request(&mut self, request: &ClusterRequest, dry_run: bool) -> Result<Performed, Failure> {
        if dry_run {
            return self.judge(request, true);
        }
        for change in self.faults.begin() {
            self.change(&change);
        }
        self.settle();
        let fault = self.faults.next_performs.pop_front();
        let result = match fault {
            None => self.judge(request, false),
            Some(PerformFault::UnknownApplied) => {
                self.judge(request, false).and(Err(PerformFault::UnknownApplied.failure()))
            }
            Some(fault) => Err(fault.failure()),
        };
        for change in self.faults.end() {
            self.change(&change);
        }
        self.settle();
        result
    }

    fn judge(&mut self, request: &ClusterRequest, dry_run: bool) -> Result<Performed, Failure> {
        let (performed, kind, object) = match request {
            ClusterRequest::Patch { object, subresource, operations } => {
                let patched = self.edit(object, *subresource, operations, FIELD_MANAGER, dry_run)?;
                (Performed::Patched(patched), WriteKind::Patch, object)
            }
            ClusterRequest::Evict { pod, uid } => {
                self.evict(pod, uid, dry_run)?;
                (Performed::Evicted, WriteKind::Evict, pod)
            }
            ClusterRequest::Create { object, body } => {
                (Performed::Created(self.make(object, body, dry_run)?), WriteKind::Create, object)
            }
        };
        if !dry_run {
            let time = self.now;
            self.record_write(Write { time, kind, object: object.clone() });
        }
        Ok(performed)
    }

    /// Applies a patch as `manager`; gives the object (or its Scale) as it is then.
    pub(crate) fn edit(
        &mut self,
        object: &ObjectRef,
        subresource: Option<Subresource>,
        operations: &[PatchOperation],
        manager: &str,
        dry_run: bool,
    ) -> Result<Document, Failure> {
        let before = self.store.get(object).cloned().ok_or_else(|| not_found(object))?;
        let mut after = before.clone();
        let scale = match subresource {
            Some(Subresource::Scale) => {
                let mut scale = scale_of(&before);
                patch::apply(&mut scale, operations)?;
                after.0["spec"]["replicas"] = scale["spec"]["replicas"].clone();
                Some(scale)
            }
            Some(Subresource::Resize) | None => {
                patch::apply(&mut after.0, operations)?;
                None
            }
        };
        patch::validate(&before, &after)?;
        let is_pod = object.kind == kubewise_core::Kind::Pod;
        let touches_spec = before.0.get("spec") != after.0.get("spec");
        if is_pod && touches_spec && subresource != Some(Subresource::Resize) {
            return Err(invalid("pod updates may not change fields other than metadata and the image"));
        }
        if before != after {
            patch::claim(&mut after.0, operations, manager, self.now);
        }
        if dry_run {
            return Ok(scale.map_or(after, Document));
        }
        if is_pod && touches_spec {
            self.resize(object, &after);
        }
        self.store.replace(object, after);
        let patched = self.store.get(object).cloned().ok_or_else(|| not_found(object))?;
        Ok(scale.map_or(patched.clone(), |_| Document(scale_of(&patched))))
    }

    fn make(&mut self, object: &ObjectRef, body: &Value, dry_run: bool) -> Result<Document, Failure> {
        let taken = || Failure::Rejected {
            reason: Rejection::Superseded,
            message: format!("{object} already exists"),
        };
        if self.store.get(object).is_some() {
            return Err(taken());
        }
        patch::validate_new(&Document(body.clone()))?;
        if dry_run {
            return Ok(Document(body.clone()));
        }
        let now = self.now;
        let made = self.store.create(body.clone(), FIELD_MANAGER, now)?;
        self.store.get(&made).cloned().ok_or_else(taken)
    }

    fn resize(&mut self, object: &ObjectRef, document: &Document) {
        let Some(pod) = self.pods.get_mut(object) else { return };
        for (container, spec) in pod.containers.iter_mut().zip(document.list("/spec/containers")) {
            container.set_resources(spec);
        }
    }
}

fn scale_of(document: &Document) -> Value {
    let metadata = |key: &str| document.0["metadata"].get(key).cloned().unwrap_or_default();
    json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {
            "name": metadata("name"), "namespace": metadata("namespace"), "uid": metadata("uid"),
            "resourceVersion": metadata("resourceVersion"), "creationTimestamp": metadata("creationTimestamp"),
        },
        "spec": { "replicas": document.0.pointer("/spec/replicas").cloned().unwrap_or(json!(1)) },
        "status": { "replicas": document.0.pointer("/status/replicas").cloned().unwrap_or(json!(0)) },
    })
}
