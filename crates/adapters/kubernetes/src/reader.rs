//! Reads from the API server, not from a cache.

use async_trait::async_trait;
use kube::core::params::{GetParams, ListParams};
use kube::core::subresource::LogParams;
use kubewise_core::document::Document;
use kubewise_core::port::ClusterReader;
use kubewise_core::{Failure, Kind, ObjectRef, Rejection, Timestamp};
use serde_json::Value;

use crate::answer::Intent;
use crate::connection::{Connection, collection, invalid, place, segment, settings_place};
use crate::kubernetes::Kubernetes;

/// The port's promise: a list is whole or it fails.
const MAX_LIST: usize = 5000;
/// The port's promise.
const MAX_LOG_BYTES: usize = 64 * 1024;
/// More than 64 KiB of usual lines; the server counts lines from the end, but bytes only from the start.
const LOG_LINES: i64 = 500;
/// So that 500 lines of the longest that a container runtime writes (16 KiB) still end where the log ends.
const LOG_BYTES_SENT: i64 = 8 * 1024 * 1024;

#[async_trait]
impl ClusterReader for Kubernetes {
    async fn get(&self, object: &ObjectRef) -> Result<Option<Document>, Failure> {
        get(&self.reads, object).await
    }

    async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Vec<Document>, Failure> {
        if kind.is_extension() && !serves(&self.reads, kind).await? {
            return Ok(Vec::new());
        }
        let what = format!("list {kind}{}", namespace.map(|name| format!(" in {name}")).unwrap_or_default());
        self.whole_list(&what, kind, namespace, &ListParams::default()).await
    }

    async fn pods_on(&self, node: &str) -> Result<Vec<Document>, Failure> {
        let bound = ListParams::default().fields(&format!("spec.nodeName={}", segment(node)?));
        self.whole_list(&format!("list Pod on {node}"), &Kind::Pod, None, &bound).await
    }

    async fn logs(&self, pod: &ObjectRef, container: &str, previous: bool) -> Result<String, Failure> {
        let what = format!("logs of {container} in {pod}");
        let (pods, name) = place(&Kind::Pod, pod.namespace.as_deref(), &pod.name)?;
        let wanted = LogParams {
            container: Some(container.into()),
            previous,
            tail_lines: Some(LOG_LINES),
            limit_bytes: Some(LOG_BYTES_SENT),
            ..LogParams::default()
        };
        let mut text = self.reads.text(Intent::Read, &what, pods.logs(name, &wanted)).await?;
        if text.len() > MAX_LOG_BYTES {
            let earliest = text.ceil_char_boundary(text.len() - MAX_LOG_BYTES);
            let line = text[earliest..].find('\n').map_or(earliest, |end| earliest + end + 1);
            text.drain(..line);
        }
        Ok(text)
    }

    async fn last_changed(&self, settings: &ObjectRef) -> Result<Option<Timestamp>, Failure> {
        let (collection, name) = settings_place(settings)?;
        let request = collection.get_metadata(name, &GetParams::default());
        match self.reads.object(Intent::Read, &format!("get metadata of {settings}"), request).await {
            Ok(found) => Ok(Document(found).contents_changed_at()),
            // RBAC knows no verb for metadata alone, so many will not allow it.
            Err(failure) if failure.is(Rejection::NotFound) || failure.is(Rejection::Forbidden) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

impl Kubernetes {
    /// All that are selected, by name.
    async fn whole_list(
        &self,
        what: &str,
        kind: &Kind,
        namespace: Option<&str>,
        selected: &ListParams,
    ) -> Result<Vec<Document>, Failure> {
        let mut found = Vec::new();
        let mut wanted = selected.clone().limit(self.options.page_size);
        loop {
            let page = list_page(&self.reads, what, kind, namespace, &wanted).await?;
            let total = found.len() + page.items.len() + page.remaining;
            if total > MAX_LIST {
                return Err(invalid(format!(
                    "{what}: {total} objects are more than the {MAX_LIST} that are taken"
                )));
            }
            found.extend(page.items.into_iter().map(Document));
            wanted.continue_token = page.next;
            if wanted.continue_token.is_none() {
                break;
            }
        }
        let key = |document: &Document, pointer| document.text(pointer).unwrap_or_default().to_owned();
        found.sort_by_cached_key(|found| (key(found, "/metadata/namespace"), key(found, "/metadata/name")));
        Ok(found)
    }
}

/// One object, `None` if there is none.
pub(crate) async fn get(connection: &Connection, object: &ObjectRef) -> Result<Option<Document>, Failure> {
    let (collection, name) = place(&object.kind, object.namespace.as_deref(), &object.name)?;
    let request = collection.get(name, &GetParams::default());
    match connection.object(Intent::Read, &format!("get {object}"), request).await {
        Ok(found) => Ok(Some(Document(found))),
        Err(failure) if failure.is(Rejection::NotFound) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether the cluster has a kind of an extension. Every account may ask that, while a list of a kind that is not there
/// is answered with a page like a proxy's, or with a refusal of the right to it.
async fn serves(connection: &Connection, kind: &Kind) -> Result<bool, Failure> {
    let request = kube::core::Request::new("/apis").list(&ListParams::default());
    let groups = connection.object(Intent::Read, "list the groups of the API", request).await?;
    let groups = groups.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut versions = groups
        .iter()
        .filter_map(|group| group.get("versions")?.as_array())
        .flatten()
        .filter_map(|version| version.get("groupVersion")?.as_str());
    let wanted = kind.api().map(|api| api.api_version());
    Ok(versions.any(|version| wanted.as_deref() == Some(version)))
}

/// A part of a list.
pub(crate) struct ListPage {
    pub(crate) items: Vec<Value>,
    /// Where the next part begins, if there is one.
    pub(crate) next: Option<String>,
    /// How many the server says are still to come; it may not say.
    pub(crate) remaining: usize,
    pub(crate) resource_version: String,
}

pub(crate) async fn list_page(
    connection: &Connection,
    what: &str,
    kind: &Kind,
    namespace: Option<&str>,
    wanted: &ListParams,
) -> Result<ListPage, Failure> {
    let request = collection(kind, namespace)?.list(wanted);
    let mut list = connection.object(Intent::Read, what, request).await?;
    let Some(Value::Array(items)) = list.get_mut("items").map(Value::take) else {
        return Err(Failure::Unavailable { message: format!("{what}: the answer is not a list") });
    };
    let text = |pointer| list.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    Ok(ListPage {
        items: items.into_iter().map(|item| typed(kind, item)).collect(),
        next: text("/metadata/continue").map(Into::into),
        remaining: list.pointer("/metadata/remainingItemCount").and_then(Value::as_u64).unwrap_or(0) as usize,
        resource_version: text("/metadata/resourceVersion").unwrap_or_default().into(),
    })
}

/// The items of a list come without their kind.
fn typed(kind: &Kind, mut item: Value) -> Value {
    if let (Some(fields), Some(api)) = (item.as_object_mut(), kind.api()) {
        fields.insert("kind".into(), kind.as_str().into());
        fields.insert("apiVersion".into(), api.api_version().into());
    }
    item
}
