//! What the consumer of a watch has been told, so that after a new list it is told the rest and nothing twice.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use kubewise_core::document::Document;
use kubewise_core::event::EventRecord;
use kubewise_core::port::WatchItem;
use kubewise_core::{ObjectRef, Uid};

use crate::options::EventFilter;

/// Events remembered at least; twice as many at most, about 10 MB. An API server keeps Events for an hour, so this
/// is 14 a second without a pause; beyond that, an old Event may be told again after a new list.
const REMEMBERED: usize = 50_000;

pub(crate) enum Told {
    Objects {
        present: BTreeMap<ObjectRef, Uid>,
        /// `Some` while a list is read.
        listed: Option<BTreeSet<ObjectRef>>,
    },
    Events {
        filter: EventFilter,
        seen: Seen,
    },
}

impl Told {
    pub(crate) fn objects() -> Self {
        Told::Objects { present: BTreeMap::new(), listed: None }
    }

    pub(crate) fn events(filter: EventFilter) -> Self {
        Told::Events { filter, seen: Seen::new(REMEMBERED) }
    }

    /// A list begins.
    pub(crate) fn begin(&mut self) {
        if let Told::Objects { listed, .. } = self {
            *listed = Some(BTreeSet::new());
        }
    }

    /// The object exists, by a list or a watch.
    pub(crate) fn applied(&mut self, document: &Document, items: &mut VecDeque<WatchItem>) {
        match self {
            Told::Objects { present, listed } => match document.state() {
                Ok(state) => {
                    let object = state.object.clone();
                    if let Some(listed) = listed {
                        listed.insert(object.clone());
                    }
                    let former = present.insert(object.clone(), state.uid.clone());
                    // Deleted and made anew while the watch was cut.
                    if let Some(uid) = former.filter(|former| *former != state.uid) {
                        items.push_back(WatchItem::Deleted { object, uid });
                    }
                    items.push_back(WatchItem::Applied(Box::new(state)));
                }
                Err(error) => tracing::warn!(%error, "an object of a watch is left out"),
            },
            Told::Events { filter, seen } => {
                let Some(event) = EventRecord::from_document(document) else {
                    tracing::warn!(
                        name = document.text("/metadata/name"),
                        "an Event that names no object is left out"
                    );
                    return;
                };
                if filter.admits(&event) && seen.insert(&event.uid, event.count) {
                    items.push_back(WatchItem::Event(Box::new(event)));
                }
            }
        }
    }

    /// The watch saw it go. An Event that goes has only come of age.
    pub(crate) fn deleted(&mut self, document: &Document, items: &mut VecDeque<WatchItem>) {
        let Told::Objects { present, .. } = self else { return };
        if let (Ok(object), Ok(uid)) = (document.object(), document.uid()) {
            present.remove(&object);
            items.push_back(WatchItem::Deleted { object, uid });
        }
    }

    /// The list is whole: what it lacked is gone.
    pub(crate) fn end(&mut self, items: &mut VecDeque<WatchItem>) {
        let Told::Objects { present, listed } = self else { return };
        let listed = listed.take().unwrap_or_default();
        let gone: Vec<ObjectRef> =
            present.keys().filter(|object| !listed.contains(*object)).cloned().collect();
        items.extend(gone.into_iter().filter_map(|object| {
            let uid = present.remove(&object)?;
            Some(WatchItem::Deleted { object, uid })
        }));
    }
}

/// Uids with their highest count, in two generations: when the young one is full the old one is forgotten.
pub(crate) struct Seen {
    young: HashMap<Uid, u32>,
    old: HashMap<Uid, u32>,
    generation: usize,
}

impl Seen {
    fn new(generation: usize) -> Self {
        Seen { young: HashMap::new(), old: HashMap::new(), generation }
    }

    /// Whether this count of the Event is new.
    fn insert(&mut self, uid: &Uid, count: u32) -> bool {
        let known = self.young.get(uid).or_else(|| self.old.get(uid)).copied();
        if self.young.len() >= self.generation && !self.young.contains_key(uid) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(uid.clone(), known.unwrap_or(0).max(count));
        known.is_none_or(|known| count > known)
    }
}

#[cfg(test)]
mod tests;
