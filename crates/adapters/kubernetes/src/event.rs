//! From a Kubernetes Event, in either of its two ages, to an `EventRecord`.

use kubewise_core::document::Document;
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::record::{Extra, SchemaVersion};
use kubewise_core::{Kind, ObjectRef, Uid};

use crate::options::EventFilter;

/// `None` if it names no object or has no time: not an Event that the API server would have taken.
pub(crate) fn record(event: &Document) -> Option<EventRecord> {
    let created = event.time("/metadata/creationTimestamp");
    let observed = event.time("/eventTime");
    let first_seen = event.time("/firstTimestamp").or(observed).or(created)?;
    let last_seen = ["/series/lastObservedTime", "/lastTimestamp"]
        .iter()
        .filter_map(|pointer| event.time(pointer))
        .chain(observed)
        .max()
        .unwrap_or(first_seen);
    let count = event.number("/count").max(event.number("/series/count")).unwrap_or(0).max(1);
    let text = |pointer| event.text(pointer).unwrap_or_default();
    Some(EventRecord {
        version: SchemaVersion::CURRENT,
        uid: event.uid().ok()?,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        object: involved(event)?,
        object_uid: Uid::from(text("/involvedObject/uid")),
        event_type: if text("/type") == "Warning" { EventType::Warning } else { EventType::Normal },
        reason: text("/reason").into(),
        message: text("/message").into(),
        first_seen,
        last_seen: last_seen.max(first_seen),
        source: source(event).into(),
        workload: None,
        extra: Extra::new(),
    })
}

fn involved(event: &Document) -> Option<ObjectRef> {
    let kind = Kind::from(event.text("/involvedObject/kind")?);
    let namespaced = kind.api().is_none_or(|api| api.namespaced);
    let namespace = event.text("/involvedObject/namespace").filter(|name| namespaced && !name.is_empty());
    let name = event.text("/involvedObject/name").filter(|name| !name.is_empty())?.into();
    Some(ObjectRef { kind, namespace: namespace.map(Into::into), name })
}

fn source(event: &Document) -> &str {
    ["/source/component", "/reportingComponent"]
        .iter()
        .filter_map(|pointer| event.text(pointer))
        .find(|component| !component.is_empty())
        .unwrap_or_default()
}

impl EventFilter {
    pub(crate) fn admits(&self, event: &EventRecord) -> bool {
        let among = |list: &[String], wanted: &str| list.iter().any(|entry| entry == wanted);
        let namespace = event.object.namespace.as_deref();
        (self.types.is_empty() || self.types.contains(&event.event_type))
            && (self.include_reasons.is_empty() || among(&self.include_reasons, &event.reason))
            && !among(&self.exclude_reasons, &event.reason)
            && (self.kinds.is_empty() || self.kinds.contains(&event.object.kind))
            && (self.namespaces.is_empty() || namespace.is_none_or(|name| among(&self.namespaces, name)))
    }
}
