//! ConfigMaps and Secrets that a workload's pods read: when they changed, never what they hold.

use std::cmp::Reverse;

use kubewise_core::{Kind, ObjectRef, Period, Timestamp};

use super::Evidence;
use crate::action::TEMPLATE;
use crate::author;

/// A change is told if it came at most so long before the trouble: programs read most settings only when they start, which
/// may be hours later.
const RECENT: Period = Period::from_mins(24 * 60);

/// What pods read their settings from.
pub(crate) const SETTINGS: [&str; 2] = ["ConfigMap", "Secret"];

/// A ConfigMap or Secret that changed shortly before the trouble, or since.
pub(crate) struct LateChange<'a> {
    pub(crate) object: &'a ObjectRef,
    pub(crate) time: Timestamp,
    /// From the trouble, in whole seconds.
    pub(crate) distance: Period,
    pub(crate) side: &'static str,
}

impl Evidence {
    /// The ConfigMaps and Secrets of which [`Evidence::settings`] should tell.
    pub fn wanted_settings(&self) -> Vec<ObjectRef> {
        let workload = &self.incident.workload;
        let template = self.workload.as_ref().and_then(|document| document.0.pointer(TEMPLATE));
        let (Some(namespace), Some(template)) = (&workload.namespace, template) else { return Vec::new() };
        let referred = author::references(template).into_iter();
        referred
            .filter(|(kind, _)| SETTINGS.contains(kind))
            .map(|(kind, name)| ObjectRef::namespaced(Kind::from(kind), namespace.clone(), name))
            .collect()
    }

    /// Newest first.
    pub(crate) fn late_changes(&self) -> Vec<LateChange<'_>> {
        let trouble = self.trouble_since();
        let late = self.settings.iter().filter(|(_, time)| *time >= RECENT.before(trouble));
        let late = late.map(|(object, time)| {
            let before = *time <= trouble;
            let side = if before { "before the trouble" } else { "after the trouble began" };
            let (from, to) = if before { (*time, trouble) } else { (trouble, *time) };
            let distance = Period::from_secs(Period::between(from, to).as_duration().as_secs());
            LateChange { object, time: *time, distance, side }
        });
        let mut late: Vec<_> = late.collect();
        late.sort_by_key(|change| Reverse(change.time));
        late
    }
}
