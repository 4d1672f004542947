//! The cluster as one machine: objects, pods that run, and an agenda of what happens when.
//!
//! Nothing is polled that need not be: a change of an object makes what depends on it due at once, everything
//! that takes time is an entry of the agenda. So hours of a quiet cluster cost next to nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::Arc;

use fnv::FnvHasher;
use kubewise_core::document::Document;
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::port::{Notice, WatchItem};
use kubewise_core::{Kind, ObjectRef, Period, Timestamp, Uid};
use rand::RngExt;
use rand_pcg::Pcg32;

use crate::behaviour::Behaviour;
use crate::event_log::{EventLog, Told};
use crate::fault::{Faults, Lease};
use crate::kubelet::{PodRun, Step};
use crate::store::{ObjectChange, Store};
use crate::watch::Watchers;
use crate::world::{Change, Write, WriteKind};

/// Controllers that chase each other without end would be a fault of ours: more turns than this in one moment
/// are put off to the next.
const MAX_TURNS: usize = 20_000;
/// The letters of generated names and hashes, as Kubernetes has them: no vowels, no words.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// What tests ask about: the newest writes and notices.
const MAX_KEPT: usize = 10_000;

/// What happens at a moment.
#[derive(Debug)]
pub(crate) enum Task {
    Reconcile(ObjectRef),
    /// What failed is tried again.
    Retry(ObjectRef),
    Container {
        pod: ObjectRef,
        uid: Uid,
        index: usize,
        turn: u64,
        step: Step,
    },
    /// A terminating pod's containers have ended.
    Gone {
        pod: ObjectRef,
        uid: Uid,
    },
    Measure,
    NodeSilent(Arc<str>),
    EvictFrom(Arc<str>),
    Change(Box<Change>),
}

/// How a workload behaves, and what happened to its load.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) behaviour: Behaviour,
    /// Replicas among which load 1 is shared.
    pub(crate) nominal: f64,
    pub(crate) growth: f64,
}

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) now: Timestamp,
    pub(crate) seed: u64,
    pub(crate) random: Pcg32,
    pub(crate) store: Store,
    pub(crate) events: EventLog,
    pub(crate) watchers: Watchers,
    pub(crate) pods: BTreeMap<ObjectRef, PodRun>,
    /// Node and image.
    pub(crate) pulled: BTreeSet<(Arc<str>, Arc<str>)>,
    pub(crate) lost_nodes: BTreeSet<Arc<str>>,
    pub(crate) apps: BTreeMap<ObjectRef, App>,
    pub(crate) faults: Faults,
    pub(crate) lease: Lease,
    pub(crate) writes: Vec<Write>,
    pub(crate) notices: Vec<Notice>,
    digest: u64,
    agenda: BTreeMap<(Timestamp, u64), Task>,
    next_task: u64,
    dirty: BTreeSet<ObjectRef>,
    /// What has a retry on the agenda: one is enough, however often it fails before.
    retrying: BTreeSet<ObjectRef>,
}

impl Cluster {
    pub(crate) fn new(seed: u64, now: Timestamp) -> Self {
        let mut cluster = Cluster {
            now,
            seed,
            random: Pcg32::new(seed, 1),
            store: Store::default(),
            events: EventLog::default(),
            watchers: Watchers::default(),
            pods: BTreeMap::new(),
            pulled: BTreeSet::new(),
            lost_nodes: BTreeSet::new(),
            apps: BTreeMap::new(),
            faults: Faults::default(),
            lease: Lease::default(),
            writes: Vec::new(),
            notices: Vec::new(),
            digest: FnvHasher::default().finish(),
            agenda: BTreeMap::new(),
            next_task: 0,
            dirty: BTreeSet::new(),
            retrying: BTreeSet::new(),
        };
        cluster.at(now, Task::Measure);
        cluster
    }

    pub(crate) fn at(&mut self, time: Timestamp, task: Task) {
        self.agenda.insert((time.max(self.now), self.next_task), task);
        self.next_task += 1;
    }

    pub(crate) fn after(&mut self, period: Period, task: Task) {
        self.at(period.after(self.now), task);
    }

    pub(crate) fn retry_after(&mut self, period: Period, object: &ObjectRef) {
        if self.retrying.insert(object.clone()) {
            self.after(period, Task::Retry(object.clone()));
        }
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.agenda.keys().next().map(|(time, _)| *time)
    }

    /// Lives until `to`, moment by moment.
    pub(crate) fn advance(&mut self, to: Timestamp) {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > to {
                break;
            }
            let ((time, _), task) = entry.remove_entry();
            self.now = self.now.max(time);
            self.perform(task);
            self.settle();
        }
        self.now = self.now.max(to);
        self.settle();
    }

    /// Lets every controller that has something to do do it.
    pub(crate) fn settle(&mut self) {
        for _ in 0..MAX_TURNS {
            self.distribute();
            let Some(object) = self.dirty.pop_first() else { return };
            self.reconcile(&object);
        }
    }

    pub(crate) fn tell(
        &mut self,
        object: &ObjectRef,
        event_type: EventType,
        reason: &str,
        message: impl Into<String>,
        source: &'static str,
    ) {
        let Some(Ok(uid)) = self.store.get(object).map(Document::uid) else { return };
        let told = Told { object, uid, event_type, reason, message: message.into(), source };
        let event = self.events.tell(told, self.now);
        self.publish(event);
    }

    pub(crate) fn publish(&mut self, event: EventRecord) {
        let told =
            format!("{} {} {} {} {}", self.now, event.object, event.reason, event.count, event.message);
        self.digest(&told);
        self.watchers.tell(&WatchItem::Event(Box::new(event)));
    }

    pub(crate) fn digest(&mut self, text: &str) {
        self.digest_bytes(text.as_bytes());
    }

    pub(crate) fn digest_bytes(&mut self, bytes: &[u8]) {
        let mut hasher = FnvHasher::with_key(self.digest);
        hasher.write(bytes);
        self.digest = hasher.finish();
    }

    pub(crate) fn digested(&self) -> u64 {
        self.digest
    }

    /// Five letters for a pod's name.
    pub(crate) fn suffix(&mut self) -> String {
        let letter = |random: &mut Pcg32| char::from(LETTERS[random.random_range(0..LETTERS.len())]);
        (0..5).map(|_| letter(&mut self.random)).collect()
    }

    /// Of the Lease the first write is kept: it is renewed all the time.
    pub(crate) fn record_write(&mut self, write: Write) {
        let renewed = write.kind == WriteKind::Lease && self.writes.iter().any(|old| old.kind == write.kind);
        if !renewed && self.writes.len() < MAX_KEPT {
            self.writes.push(write);
        }
    }

    pub(crate) fn record_notice(&mut self, notice: Notice) {
        if self.notices.len() < MAX_KEPT {
            self.notices.push(notice);
        }
    }

    pub(crate) fn mark(&mut self, object: ObjectRef) {
        self.dirty.insert(object);
    }

    pub(crate) fn mark_all(&mut self, kind: &Kind, namespace: Option<&str>) {
        let names = self.store.names(kind, namespace);
        self.dirty.extend(names);
    }

    /// Pods that wait for a node look again.
    pub(crate) fn mark_unscheduled(&mut self) {
        let waiting = self.pods.iter().filter(|(_, pod)| pod.node.is_none() && pod.deleted.is_none());
        self.dirty.extend(waiting.map(|(object, _)| object.clone()));
    }

    fn perform(&mut self, task: Task) {
        match task {
            Task::Reconcile(object) => {
                self.dirty.insert(object);
            }
            Task::Retry(object) => {
                self.retrying.remove(&object);
                self.dirty.insert(object);
            }
            Task::Container { pod, uid, index, turn, step } => {
                self.container_step(&pod, &uid, index, turn, step);
            }
            Task::Gone { pod, uid } => self.pod_gone(&pod, &uid),
            Task::Measure => self.measure(),
            Task::NodeSilent(node) => self.node_silent(&node),
            Task::EvictFrom(node) => self.evict_from(&node),
            Task::Change(change) => self.change(&change),
        }
    }

    /// Tells watches and controllers what changed since the last turn.
    fn distribute(&mut self) {
        for ObjectChange { object, uid, removed } in self.store.take_changes() {
            let current = self.store.get(&object).cloned();
            let text = match (&current, &removed) {
                (_, Some(_)) => format!("{} - {object}", self.now),
                (Some(current), None) => format!("{} + {object} {}", self.now, current.0),
                (None, None) => continue, // made and removed within one moment; its removal follows
            };
            self.digest(&text);
            if let Some(document) = &removed {
                self.watchers.removed(&object, &uid);
                self.dependants(&object, document, true);
            } else if let Some(document) = &current {
                self.watchers.applied(&object, document);
                self.dependants(&object, document, false);
            }
        }
    }

    fn dependants(&mut self, object: &ObjectRef, document: &Document, removed: bool) {
        let owner = document.owners().into_iter().find(|owner| owner.controller);
        self.dirty.extend(owner.map(|owner| owner.object));
        let namespace = object.namespace.clone();
        match object.kind.as_str() {
            "Pod" => {
                self.mark_all(&Kind::PodDisruptionBudget, namespace.as_deref());
                self.mark_all(&Kind::ResourceQuota, namespace.as_deref());
                if removed {
                    self.mark_unscheduled();
                } else if document.text("/spec/nodeName").is_none() {
                    self.mark(object.clone());
                }
            }
            "Node" => {
                self.mark_all(&Kind::DaemonSet, None);
                self.mark_unscheduled();
            }
            "ReplicaSet"
            | "Deployment"
            | "StatefulSet"
            | "DaemonSet"
            | "Job"
            | "PodDisruptionBudget"
            | "ResourceQuota" => self.mark(object.clone()),
            _ => {}
        }
    }

    fn reconcile(&mut self, object: &ObjectRef) {
        if self.store.get(object).is_none() {
            return;
        }
        match object.kind.as_str() {
            "Pod" => self.schedule(object),
            "ReplicaSet" => self.replica_set(object),
            "Deployment" => self.deployment(object),
            "StatefulSet" => self.stateful_set(object),
            "DaemonSet" => self.daemon_set(object),
            "Job" => self.job(object),
            "HorizontalPodAutoscaler" => self.autoscaler(object),
            "PodDisruptionBudget" => self.budget(object),
            "ResourceQuota" => self.quota(object),
            _ => {}
        }
    }
}

/// A short name for content, the same for the same content.
pub(crate) fn hash(content: &str) -> String {
    let mut hasher = FnvHasher::default();
    hasher.write(content.as_bytes());
    let mut bits = hasher.finish();
    (0..10)
        .map(|_| {
            let letter = LETTERS[(bits % 27) as usize];
            bits /= 27;
            char::from(letter)
        })
        .collect()
}
