//! Which Events are told.

use kubewise_core::event::EventRecord;

use crate::options::EventFilter;

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
