//! Tells people through an Event on the object, where `kubectl describe` shows it.

use std::sync::Arc;

use async_trait::async_trait;
use kube::core::params::PostParams;
use kubewise_core::id::EventId;
use kubewise_core::port::{Notice, Notifier};
use kubewise_core::request::FIELD_MANAGER;
use kubewise_core::{Failure, Kind, Rejection};
use serde_json::json;

use crate::answer::Intent;
use crate::connection::collection;
use crate::kubernetes::Kubernetes;
use crate::reader;

/// What the API server takes of an Event's note.
const MAX_MESSAGE_BYTES: usize = 1024;
/// Where Events about objects of the cluster itself belong.
const CLUSTER_EVENTS: &str = "default";

#[async_trait]
impl Notifier for Kubernetes {
    /// The Event's name is made from the notice, so that the same notice again adds nothing.
    async fn notify(&self, notice: &Notice) -> Result<(), Failure> {
        let object = &notice.object;
        let what = format!("write Event {} on {object}", notice.reason);
        let namespace = object.namespace.as_deref().unwrap_or(CLUSTER_EVENTS);
        let events = collection(&Kind::Event, Some(namespace))?;
        let id = EventId::derive(&[&notice.incident, object, &notice.reason, &notice.message, &notice.time]);
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": format!("kubewise-{id}"), "namespace": namespace},
            "involvedObject": {
                "apiVersion": object.kind.api().map(|api| api.api_version()),
                "kind": object.kind,
                "namespace": object.namespace,
                "name": object.name,
                "uid": self.uid(notice).await,
            },
            "type": notice.event_type,
            "reason": notice.reason,
            "message": shortened(&notice.message, MAX_MESSAGE_BYTES),
            "count": 1,
            "firstTimestamp": notice.time,
            "lastTimestamp": notice.time,
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER,
            "reportingInstance": FIELD_MANAGER,
        });
        let options = PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.into()) };
        let request = events.create(&options, event.to_string().into_bytes());
        match self.writes.text(Intent::Write, &what, request).await {
            Err(failure) if !failure.is(Rejection::Conflict) => Err(failure),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Kubernetes {
    /// `kubectl describe` finds Events by the object's uid. Better an Event without it than none.
    async fn uid(&self, notice: &Notice) -> Option<Arc<str>> {
        if let Some(uid) = &notice.uid {
            return Some(uid.0.clone());
        }
        reader::get(&self.reads, &notice.object).await.ok()??.uid().ok().map(|uid| uid.0)
    }
}

fn shortened(message: &str, bytes: usize) -> String {
    const MARK: &str = "…";
    if message.len() <= bytes {
        return message.into();
    }
    format!("{}{MARK}", &message[..message.floor_char_boundary(bytes - MARK.len())])
}
