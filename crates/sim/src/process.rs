//! The ports, as one KubeWise process has them. When it dies, its calls never return.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use kubewise_core::document::Document;
use kubewise_core::id::SagaId;
use kubewise_core::journal::JournalEntry;
use kubewise_core::metric::{MetricAnswer, MetricQuery};
use kubewise_core::port::{
    ClusterActor, ClusterReader, EventSource, Journal, Leadership, MetricSource, Notice, Notifier,
    RecordStore, Standing, WatchItem,
};
use kubewise_core::record::{Page, Record, RecordKind, RecordQuery};
use kubewise_core::request::{ClusterRequest, Performed};
use kubewise_core::{Failure, Kind, ObjectRef, Rejection, Timestamp};

use crate::event_log::Told;
use crate::fault::CrashPoint;
use crate::memory_store::MemoryStore;
use crate::watch::Watch;
use crate::world::{World, Write, WriteKind};

/// The most objects in one list, as the port promises.
const MAX_LIST: usize = 5_000;

/// Whether a process still lives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lifeline(Arc<AtomicBool>);

impl Lifeline {
    pub(crate) fn is_dead(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Waits for ever if the process is dead: nobody is there to go on.
    async fn beat(&self) {
        if self.is_dead() {
            futures::future::pending::<()>().await;
        }
    }
}

/// One KubeWise process. Implements every port; the store outlives it.
#[derive(Debug)]
pub struct Process {
    world: World,
    store: MemoryStore,
    identity: String,
    life: Lifeline,
    appends: AtomicU32,
    performs: AtomicU32,
    crash: Mutex<Option<CrashPoint>>,
}

impl World {
    /// A new process with a name of its own. Several may live at one time.
    pub fn process(&self, identity: &str, store: &MemoryStore) -> Arc<Process> {
        Arc::new(Process {
            world: self.clone(),
            store: store.clone(),
            identity: identity.into(),
            life: Lifeline::default(),
            appends: AtomicU32::new(0),
            performs: AtomicU32::new(0),
            crash: Mutex::new(None),
        })
    }
}

impl Process {
    /// Lets the process die at this point of its life.
    pub fn crash_at(&self, point: CrashPoint) {
        *self.crash.lock().unwrap_or_else(PoisonError::into_inner) = Some(point);
    }

    /// Lets it die now.
    pub fn kill(&self) {
        self.life.cut();
    }

    pub fn is_dead(&self) -> bool {
        self.life.is_dead()
    }

    async fn reach(&self, point: CrashPoint) {
        if *self.crash.lock().unwrap_or_else(PoisonError::into_inner) == Some(point) {
            self.life.cut();
        }
        self.life.beat().await;
    }
}

#[async_trait]
impl MetricSource for Process {
    async fn sample(&self, query: &MetricQuery, _now: Timestamp) -> Result<MetricAnswer, Failure> {
        self.life.beat().await;
        self.world.lock().answer(query)
    }
}

impl EventSource for Process {
    fn watch(&self) -> BoxStream<'static, WatchItem> {
        Watch::open(self.world.shared(), self.life.clone()).boxed()
    }
}

#[async_trait]
impl ClusterReader for Process {
    async fn get(&self, object: &ObjectRef) -> Result<Option<Document>, Failure> {
        self.life.beat().await;
        Ok(self.world.get(object))
    }

    async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Vec<Document>, Failure> {
        self.life.beat().await;
        let all = self.world.list(kind, namespace);
        if all.len() > MAX_LIST {
            let message = format!("more than {MAX_LIST} objects of kind {kind}");
            return Err(Failure::Rejected { reason: Rejection::Invalid, message });
        }
        Ok(all)
    }

    async fn pods_on(&self, node: &str) -> Result<Vec<Document>, Failure> {
        self.life.beat().await;
        let mut pods = self.world.list(&Kind::Pod, None);
        pods.retain(|pod| pod.text("/spec/nodeName") == Some(node));
        Ok(pods)
    }

    async fn logs(&self, pod: &ObjectRef, container: &str, previous: bool) -> Result<String, Failure> {
        self.life.beat().await;
        self.world.lock().logs(pod, container, previous)
    }

    async fn last_changed(&self, settings: &ObjectRef) -> Result<Option<Timestamp>, Failure> {
        self.life.beat().await;
        Ok(self.world.get(settings).and_then(|document| document.contents_changed_at()))
    }
}

#[async_trait]
impl ClusterActor for Process {
    async fn perform(&self, request: &ClusterRequest, dry_run: bool) -> Result<Performed, Failure> {
        self.life.beat().await;
        if dry_run {
            return self.world.lock().request(request, true);
        }
        let number = self.performs.fetch_add(1, Ordering::SeqCst) + 1;
        self.reach(CrashPoint::BeforePerform(number)).await;
        let result = self.world.lock().request(request, false);
        self.reach(CrashPoint::AfterPerform(number)).await;
        result
    }
}

#[async_trait]
impl Notifier for Process {
    async fn notify(&self, notice: &Notice) -> Result<(), Failure> {
        self.life.beat().await;
        let mut cluster = self.world.lock();
        let now = cluster.now;
        let uid = cluster.store.get(&notice.object).and_then(|document| document.uid().ok());
        let told = Told {
            object: &notice.object,
            uid: notice.uid.clone().or(uid).unwrap_or_default(),
            event_type: notice.event_type,
            reason: &notice.reason,
            message: notice.message.clone(),
            source: "kubewise",
        };
        let event = cluster.events.tell(told, now);
        cluster.publish(event);
        cluster.record_write(Write { time: now, kind: WriteKind::Event, object: notice.object.clone() });
        cluster.record_notice(notice.clone());
        Ok(())
    }
}

#[async_trait]
impl Leadership for Process {
    async fn hold(&self) -> Result<Standing, Failure> {
        self.life.beat().await;
        let mut cluster = self.world.lock();
        let now = cluster.now;
        let object = ObjectRef::namespaced(Kind::Lease, "kubewise", "kubewise");
        cluster.record_write(Write { time: now, kind: WriteKind::Lease, object });
        Ok(cluster.lease.hold(&self.identity, now))
    }

    async fn release(&self) -> Result<(), Failure> {
        self.life.beat().await;
        self.world.lock().lease.release(&self.identity);
        Ok(())
    }
}

#[async_trait]
impl RecordStore for Process {
    async fn save(&self, records: &[Record]) -> Result<(), Failure> {
        self.life.beat().await;
        RecordStore::save(&self.store, records).await
    }

    async fn get(&self, kind: RecordKind, id: &str) -> Result<Option<Record>, Failure> {
        self.life.beat().await;
        RecordStore::get(&self.store, kind, id).await
    }

    async fn find(&self, query: &RecordQuery) -> Result<Page, Failure> {
        self.life.beat().await;
        self.store.find(query).await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64, Failure> {
        self.life.beat().await;
        self.store.purge(before).await
    }
}

#[async_trait]
impl Journal for Process {
    async fn append(&self, entry: &JournalEntry) -> Result<(), Failure> {
        self.life.beat().await;
        let number = self.appends.fetch_add(1, Ordering::SeqCst) + 1;
        self.reach(CrashPoint::BeforeAppend(number)).await;
        let result = self.store.append(entry).await;
        self.reach(CrashPoint::AfterAppend(number)).await;
        result
    }

    async fn unfinished(&self) -> Result<Vec<SagaId>, Failure> {
        self.life.beat().await;
        self.store.unfinished().await
    }

    async fn read(&self, saga: &SagaId) -> Result<Vec<JournalEntry>, Failure> {
        self.life.beat().await;
        self.store.read(saga).await
    }
}
