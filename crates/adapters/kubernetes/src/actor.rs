//! Changes the cluster: guarded JSON patches, evictions of one certain pod, objects under new names.

use std::fmt::Write;
use std::time::Duration;

use async_trait::async_trait;
use kube::core::params::{Patch, PatchParams, PostParams};
use kubewise_core::document::Document;
use kubewise_core::guard::Guard;
use kubewise_core::port::ClusterActor;
use kubewise_core::request::{ClusterRequest, FIELD_MANAGER, PatchOperation, Performed, Subresource};
use kubewise_core::{Failure, Kind, ObjectRef, Rejection, Uid};
use serde_json::{Value, json};

use crate::answer::Intent;
use crate::connection::{invalid, place};
use crate::kubernetes::Kubernetes;

/// The API server itself tries an eviction that meets another uid 20 times in 10 s before it says so. Waiting for that
/// word is better than an outcome that is not known.
const EVICTION_EXTRA: Duration = Duration::from_secs(12);

#[async_trait]
impl ClusterActor for Kubernetes {
    async fn perform(&self, request: &ClusterRequest, dry_run: bool) -> Result<Performed, Failure> {
        match request {
            ClusterRequest::Patch { object, subresource, operations } => {
                self.patch(object, *subresource, operations, dry_run).await
            }
            ClusterRequest::Evict { pod, uid } => self.evict(pod, uid, dry_run).await,
            ClusterRequest::Create { object, body } => self.create(object, body, dry_run).await,
        }
    }
}

impl Kubernetes {
    async fn patch(
        &self,
        object: &ObjectRef,
        subresource: Option<Subresource>,
        operations: &[PatchOperation],
        dry_run: bool,
    ) -> Result<Performed, Failure> {
        let what = format!("patch {object}");
        let (collection, name) = place(&object.kind, object.namespace.as_deref(), &object.name)?;
        let patch: json_patch::Patch = serde_json::to_value(operations)
            .and_then(serde_json::from_value)
            .map_err(|error| invalid(format!("{what}: not a JSON patch: {error}")))?;
        let patch = Patch::Json::<()>(patch);
        let options =
            PatchParams { dry_run, field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let request = match subresource {
            Some(subresource) => collection.patch_subresource(subresource.as_str(), name, &options, &patch),
            None => collection.patch(name, &options, &patch),
        };
        let request = request.map(|request| request.map(|body| as_go_writes(&body)));
        let patched = self.writes.object(Intent::Write, &what, request).await?;
        Ok(Performed::Patched(Document(patched)))
    }

    async fn evict(&self, pod: &ObjectRef, uid: &Uid, dry_run: bool) -> Result<Performed, Failure> {
        let what = format!("evict {pod} ({uid})");
        let (pods, name) = place(&Kind::Pod, pod.namespace.as_deref(), &pod.name)?;
        // By hand: kube's own eviction sends `delete_options`, which the server ignores, and the precondition with it.
        let mut eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": pod.namespace},
        });
        if self.options.guards.stands(Guard::EvictionUid) {
            eviction["deleteOptions"] = json!({"preconditions": {"uid": uid}});
        }
        let options = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.into()) };
        let request = pods.create_subresource("eviction", name, &options, eviction.to_string().into_bytes());
        let patient = self.writes.clone().with_timeout(self.writes.timeout() + EVICTION_EXTRA);
        // The only conflict of an eviction is its precondition: the pod of that name is another one by now.
        let answered = patient.text(Intent::Write, &what, request).await;
        answered.map(|_| Performed::Evicted).map_err(superseded)
    }

    async fn create(&self, object: &ObjectRef, body: &Value, dry_run: bool) -> Result<Performed, Failure> {
        let what = format!("create {object}");
        let (collection, _) = place(&object.kind, object.namespace.as_deref(), &object.name)?;
        let options = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.into()) };
        let request = collection.create(&options, body.to_string().into_bytes());
        // The only conflict of a creation is its name: somebody made an object of it by now.
        let created = self.writes.object(Intent::Write, &what, request).await.map_err(superseded)?;
        Ok(Performed::Created(Document(created)))
    }
}

/// A conflict that says that somebody else was there first.
fn superseded(failure: Failure) -> Failure {
    if failure.is(Rejection::Conflict) {
        return Failure::Rejected { reason: Rejection::Superseded, message: failure.message().to_owned() };
    }
    failure
}

/// The API server compares a tested text with its own by their bytes in JSON, and Go writes these characters as
/// escapes. They stand in no other place of a document than in its texts.
fn as_go_writes(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let mut written = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' | '<' | '>' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(written, "\\u{:04x}", u32::from(character)); // to a String: cannot fail
            }
            other => written.push(other),
        }
    }
    written.into_bytes()
}

#[cfg(test)]
mod tests {
    #[test]
    fn texts_are_escaped_as_go_escapes_them() {
        let written = super::as_go_writes("[\"a && b <\u{2028}> \u{e9}\"]".as_bytes());
        assert_eq!(written, "[\"a \\u0026\\u0026 b \\u003c\\u2028\\u003e \u{e9}\"]".as_bytes());
        let back: Vec<String> = serde_json::from_slice(&written).unwrap();
        assert_eq!(back, ["a && b <\u{2028}> \u{e9}"]);
    }
}
