//! The ports of a cluster that was, as of the virtual now.
//!
//! - A query is answered with every sample of its metric type and kind since it was last asked: each once, under its
//!   own time. If the whole history is silent for [`SILENCE`], a query fails, as it would have when Prometheus was down:
//!   a gap in the history is no health.
//! - The watch tells first what was told of each object before the start, then every change when its time comes.
//!   What no state was ever told of but samples name is told by identity alone.
//! - The reader knows what the watch told. Asked for an object of which the history never holds a state it fails, since
//!   "there is none" would be an invention.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kubewise_core::document::Document;
use kubewise_core::metric::{MetricAnswer, MetricQuery, MetricType, NormalizedMetric};
use kubewise_core::port::{Clock, ClusterReader, EventSource, MetricSource, WatchItem};
use kubewise_core::topology::Topology;
use kubewise_core::{Failure, Kind, ObjectRef, Period, Rejection, Timestamp};

use crate::error::Error;
use crate::history::{History, Merged};
use crate::objects::Told;
use crate::owners::Shadow;

/// No sample of anything for this long is a gap, not calm: Prometheus' own lookback.
const SILENCE: Period = Period::from_mins(5);
/// How long an API server keeps Events; older ones would not be listed at the start.
const EVENTS_LAST: Period = Period::from_mins(60);
/// The most objects in one list, as the port promises.
const MAX_LIST: usize = 5_000;
/// A history, replayed. Clones are the same replay.
#[derive(Clone)]
pub struct Replay {
    history: Arc<History>,
    clock: Arc<dyn Clock>,
    from: Timestamp,
    past: Arc<Mutex<Past>>,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("from", &self.from).finish_non_exhaustive()
    }
}

/// What has come about so far.
struct Past {
    samples: Merged<NormalizedMetric>,
    /// Samples that came and were not asked for yet.
    answers: BTreeMap<(MetricType, Kind), VecDeque<NormalizedMetric>>,
    sampled_at: Option<Timestamp>,
    told: Merged<Told>,
    /// How many of the shadows have been told.
    shadows: usize,
    waiting: VecDeque<WatchItem>,
    begun: bool,
    documents: BTreeMap<ObjectRef, Document>,
    topology: Topology,
    /// The workload of every object there ever was.
    workloads: BTreeMap<ObjectRef, ObjectRef>,
    fault: Option<Error>,
}

impl Replay {
    pub(crate) fn new(
        history: Arc<History>,
        clock: Arc<dyn Clock>,
        from: Timestamp,
    ) -> Result<Arc<Self>, Error> {
        let mut samples = history.samples()?;
        while samples.due().is_some_and(|time| time < from) {
            samples.next()?;
        }
        let past = Past {
            samples,
            answers: BTreeMap::new(),
            sampled_at: None,
            told: history.told()?,
            shadows: 0,
            waiting: VecDeque::new(),
            begun: false,
            documents: BTreeMap::new(),
            topology: Topology::default(),
            workloads: BTreeMap::new(),
            fault: None,
        };
        Ok(Arc::new(Replay { history, clock, from, past: Arc::new(Mutex::new(past)) }))
    }

    /// A file that could be read before and cannot now. What was replayed since is worth nothing.
    pub fn fault(&self) -> Option<Error> {
        self.lock().fault.take()
    }

    /// The workload of every object that the replay came across.
    pub fn workloads(&self) -> BTreeMap<ObjectRef, ObjectRef> {
        self.lock().workloads.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item that is due, or when to look again; `None` if nothing more comes.
    fn poll_watch(&self) -> Result<WatchItem, Option<Timestamp>> {
        let now = self.clock.now();
        let mut past = self.lock();
        if !past.begun {
            past.begun = true;
            past.tell_until(&self.history, now, EVENTS_LAST.before(self.from));
            // Other objects than `run` watches are read, not told.
            past.waiting.extend(Kind::WATCHED.into_iter().chain([Kind::Event]).map(WatchItem::Synced));
        }
        if past.waiting.is_empty() {
            past.tell_until(&self.history, now, Timestamp::MIN);
        }
        let due = past.due(&self.history);
        past.waiting.pop_front().ok_or(due)
    }
}

impl Past {
    fn due(&self, history: &History) -> Option<Timestamp> {
        let shadow = history.shadows().get(self.shadows).map(|(time, _)| *time);
        [self.told.due(), shadow].into_iter().flatten().min()
    }

    fn tell_until(&mut self, history: &History, now: Timestamp, events_from: Timestamp) {
        while let Some((time, shadow)) = history.shadows().get(self.shadows)
            && *time <= now
            && self.told.due().is_none_or(|told| *time <= told)
        {
            self.shadows += 1;
            self.shadow(shadow);
        }
        while self.told.due().is_some_and(|time| time <= now) {
            match self.told.next() {
                Ok(Some((time, told))) => self.tell(time, told, events_from),
                Ok(None) => break,
                Err(error) => {
                    self.fault.get_or_insert(error);
                    break;
                }
            }
            // In between, shadows whose time lies between two items.
            while let Some((time, shadow)) = history.shadows().get(self.shadows)
                && *time <= now
                && self.told.due().is_none_or(|told| *time <= told)
            {
                self.shadows += 1;
                self.shadow(shadow);
            }
        }
    }

    fn shadow(&mut self, shadow: &Shadow) {
        match shadow {
            Shadow::Applied(state) => {
                // Its true state may have come first after all.
                if !self.topology.contains(&state.object) {
                    self.topology.apply(state);
                    self.place(&state.object);
                    self.waiting.push_back(WatchItem::Applied(state.clone()));
                }
            }
            Shadow::Gone(object, uid) => {
                self.topology.remove(object);
                self.waiting.push_back(WatchItem::Deleted { object: object.clone(), uid: uid.clone() });
            }
        }
    }

    fn tell(&mut self, time: Timestamp, told: Told, events_from: Timestamp) {
        match told {
            Told::Event(event) => {
                if time >= events_from {
                    self.waiting.push_back(WatchItem::Event(event));
                }
            }
            Told::Applied(document) => {
                let Ok(state) = document.state() else { return };
                self.documents.insert(state.object.clone(), document);
                self.topology.apply(&state);
                self.place(&state.object);
                if Kind::WATCHED.contains(&state.object.kind) {
                    self.waiting.push_back(WatchItem::Applied(Box::new(state)));
                }
            }
            Told::Deleted(document) => {
                let (Ok(object), Ok(uid)) = (document.object(), document.uid()) else { return };
                self.documents.remove(&object);
                self.topology.remove(&object);
                if Kind::WATCHED.contains(&object.kind) {
                    self.waiting.push_back(WatchItem::Deleted { object, uid });
                }
            }
        }
    }

    fn place(&mut self, object: &ObjectRef) {
        if let Some(workload) = self.topology.workload_of(object) {
            self.workloads.insert(object.clone(), workload);
        }
        // A pod may be told before the set that owns it.
        for child in self.topology.children_of(object) {
            if let Some(workload) = self.topology.workload_of(child) {
                self.workloads.insert(child.clone(), workload);
            }
        }
    }

    fn sample_until(&mut self, now: Timestamp) {
        while self.samples.due().is_some_and(|time| time <= now) {
            match self.samples.next() {
                Ok(Some((time, sample))) => {
                    self.sampled_at = Some(time);
                    let place = (sample.metric_type.clone(), sample.object.kind.clone());
                    // What nobody asks for was counted when the history was opened.
                    if let Some(waiting) = self.answers.get_mut(&place) {
                        waiting.push_back(sample);
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    self.fault.get_or_insert(error);
                    return;
                }
            }
        }
    }
}

#[async_trait]
impl MetricSource for Replay {
    async fn sample(&self, query: &MetricQuery, now: Timestamp) -> Result<MetricAnswer, Failure> {
        let mut past = self.lock();
        if past.answers.is_empty() {
            let places = self.history.catalogue.iter();
            let places = places.map(|query| (query.metric_type.clone(), query.labels.kind.clone()));
            past.answers = places.map(|place| (place, VecDeque::new())).collect();
        }
        past.sample_until(now);
        let place = (query.metric_type.clone(), query.labels.kind.clone());
        let samples: Vec<_> = past.answers.get_mut(&place).map(std::mem::take).unwrap_or_default().into();
        match past.sampled_at {
            Some(last) if samples.is_empty() && Period::between(last, now) > SILENCE => {
                Err(Failure::Unavailable { message: format!("the history holds no sample since {last}") })
            }
            Some(_) | None => Ok(MetricAnswer { samples, ..MetricAnswer::default() }),
        }
    }
}

impl EventSource for Replay {
    fn watch(&self) -> BoxStream<'static, WatchItem> {
        stream::unfold(self.clone(), |replay| async move {
            loop {
                match replay.poll_watch() {
                    Ok(item) => return Some((item, replay)),
                    Err(Some(due)) => replay.clock.sleep_until(due).await,
                    Err(None) => futures::future::pending::<()>().await,
                }
            }
        })
        .boxed()
    }
}

#[async_trait]
impl ClusterReader for Replay {
    async fn get(&self, object: &ObjectRef) -> Result<Option<Document>, Failure> {
        let found = self.lock().documents.get(object).cloned();
        // Namespaces say little, and few histories hold them.
        if found.is_none() && object.kind != Kind::Namespace && !self.history.tells_of(object) {
            return Err(Failure::Unavailable { message: format!("the history holds no state of {object}") });
        }
        Ok(found)
    }

    async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Vec<Document>, Failure> {
        let past = self.lock();
        let inside = |object: &ObjectRef| {
            object.kind == *kind && namespace.is_none_or(|wanted| object.namespace.as_deref() == Some(wanted))
        };
        let found = past.documents.iter().filter(|(object, _)| inside(object));
        let found: Vec<_> = found.take(MAX_LIST + 1).map(|(_, document)| document.clone()).collect();
        if found.len() > MAX_LIST {
            let message = format!("more than {MAX_LIST} objects of kind {kind}");
            return Err(Failure::Rejected { reason: Rejection::Invalid, message });
        }
        Ok(found)
    }

    async fn pods_on(&self, node: &str) -> Result<Vec<Document>, Failure> {
        let past = self.lock();
        let pods = past.documents.values().filter(|document| document.text("/spec/nodeName") == Some(node));
        Ok(pods.cloned().collect())
    }

    async fn logs(&self, pod: &ObjectRef, _: &str, _: bool) -> Result<String, Failure> {
        let message = format!("a history holds no logs, not of {pod} either");
        Err(Failure::Rejected { reason: Rejection::NotFound, message })
    }

    async fn last_changed(&self, settings: &ObjectRef) -> Result<Option<Timestamp>, Failure> {
        Ok(self.lock().documents.get(settings).and_then(Document::contents_changed_at))
    }
}
