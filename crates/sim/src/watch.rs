//! Watches: each holder has its own queue, which a cut holds back.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use kubewise_core::document::Document;
use kubewise_core::port::WatchItem;
use kubewise_core::{Failure, Kind, ObjectRef, Uid};

use crate::cluster::Cluster;
use crate::process::Lifeline;

/// A holder that falls behind further than this is listed anew, as after a 410 of the API server.
const MAX_QUEUE: usize = 20_000;

#[derive(Debug, Default)]
pub(crate) struct Watchers {
    all: BTreeMap<u64, Watcher>,
    next: u64,
    cut: bool,
}

#[derive(Debug, Default)]
struct Watcher {
    queue: VecDeque<WatchItem>,
    /// What happened during a cut.
    missed: Vec<WatchItem>,
    /// What the holder was told of.
    known: BTreeMap<ObjectRef, Uid>,
    waker: Option<Waker>,
    behind: bool,
}

impl Watcher {
    fn push(&mut self, item: WatchItem) {
        if self.queue.len() >= MAX_QUEUE {
            self.behind = true;
            return;
        }
        match &item {
            WatchItem::Applied(state) => {
                self.known.insert(state.object.clone(), state.uid.clone());
            }
            WatchItem::Deleted { object, .. } => {
                self.known.remove(object);
            }
            WatchItem::Event(_) | WatchItem::Synced(_) | WatchItem::Interrupted { .. } => {}
        }
        self.queue.push_back(item);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Watchers {
    pub(crate) fn applied(&mut self, object: &ObjectRef, document: &Document) {
        if self.all.is_empty() || !Kind::WATCHED.contains(&object.kind) {
            return;
        }
        if let Ok(state) = document.state() {
            self.tell(&WatchItem::Applied(Box::new(state)));
        }
    }

    pub(crate) fn removed(&mut self, object: &ObjectRef, uid: &Uid) {
        if Kind::WATCHED.contains(&object.kind) {
            self.tell(&WatchItem::Deleted { object: object.clone(), uid: uid.clone() });
        }
    }

    pub(crate) fn tell(&mut self, item: &WatchItem) {
        for watcher in self.all.values_mut() {
            if self.cut && watcher.missed.len() >= MAX_QUEUE {
                watcher.behind = true;
            } else if self.cut {
                watcher.missed.push(item.clone());
            } else {
                watcher.push(item.clone());
            }
        }
    }

    fn each_kind(&mut self, item: impl Fn(Kind) -> WatchItem) {
        for watcher in self.all.values_mut() {
            for kind in Kind::WATCHED.into_iter().chain([Kind::Event]) {
                watcher.push(item(kind));
            }
        }
    }
}

impl Cluster {
    fn list_anew(&mut self, id: u64) {
        let mut items = Vec::new();
        let mut there = BTreeMap::new();
        for kind in Kind::WATCHED {
            for (object, document) in self.store.list(&kind, None) {
                if let Ok(state) = document.state() {
                    there.insert(object.clone(), state.uid.clone());
                    items.push(WatchItem::Applied(Box::new(state)));
                }
            }
            items.push(WatchItem::Synced(kind));
        }
        items.extend(self.events.all(self.now).into_iter().map(|event| WatchItem::Event(Box::new(event))));
        items.push(WatchItem::Synced(Kind::Event));
        let Some(watcher) = self.watchers.all.get_mut(&id) else { return };
        watcher.queue.clear();
        watcher.missed.clear();
        watcher.behind = false;
        let known = watcher.known.clone();
        for (object, uid) in known.into_iter().filter(|(object, uid)| there.get(object) != Some(uid)) {
            watcher.push(WatchItem::Deleted { object, uid });
        }
        for item in items {
            watcher.push(item);
        }
    }

    /// Breaks every watch; what happens from now on is missed.
    pub(crate) fn cut_watches(&mut self) {
        let failure = Failure::Unavailable { message: "connection reset by peer".into() };
        self.watchers.each_kind(|kind| WatchItem::Interrupted { kind, failure: failure.clone() });
        self.watchers.cut = true;
    }

    /// Takes every watch up again: from where it broke or, if the server has forgotten that place, by listing.
    pub(crate) fn resume_watches(&mut self, forgotten: bool) {
        self.watchers.cut = false;
        for id in self.watchers.all.keys().copied().collect::<Vec<_>>() {
            // A watch that was opened during the cut has not been told of anything; one that missed too much
            // cannot be told the rest alone.
            let fresh =
                self.watchers.all.get(&id).is_some_and(|watcher| watcher.known.is_empty() || watcher.behind);
            if forgotten || fresh {
                self.list_anew(id);
            } else if let Some(watcher) = self.watchers.all.get_mut(&id) {
                for item in std::mem::take(&mut watcher.missed) {
                    watcher.push(item);
                }
            }
        }
        if !forgotten {
            self.watchers.each_kind(WatchItem::Synced);
        }
    }
}

/// One holder's view. Ends its place in the cluster when dropped.
pub(crate) struct Watch {
    cluster: Arc<Mutex<Cluster>>,
    lifeline: Lifeline,
    id: u64,
}

impl Watch {
    pub(crate) fn open(cluster: Arc<Mutex<Cluster>>, lifeline: Lifeline) -> Self {
        let mut locked = cluster.lock().unwrap_or_else(PoisonError::into_inner);
        locked.settle();
        let id = locked.watchers.next;
        locked.watchers.next += 1;
        locked.watchers.all.insert(id, Watcher::default());
        if !locked.watchers.cut {
            locked.list_anew(id);
        }
        drop(locked);
        Watch { cluster, lifeline, id }
    }
}

impl Stream for Watch {
    type Item = WatchItem;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        if self.lifeline.is_dead() {
            return Poll::Pending;
        }
        let mut cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        if cluster
            .watchers
            .all
            .get(&self.id)
            .is_some_and(|watcher| watcher.behind && watcher.queue.is_empty())
        {
            cluster.list_anew(self.id);
        }
        let Some(watcher) = cluster.watchers.all.get_mut(&self.id) else { return Poll::Ready(None) };
        if let Some(item) = watcher.queue.pop_front() {
            Poll::Ready(Some(item))
        } else {
            watcher.waker = Some(context.waker().clone());
            Poll::Pending
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner).watchers.all.remove(&self.id);
    }
}
