//! `kubewise demo --record`: what the ports tell goes to files as well.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use kubewise_core::metric::{MetricAnswer, MetricQuery};
use kubewise_core::port::{ClusterActor, EventSource, MetricSource, WatchItem};
use kubewise_core::request::{ClusterRequest, Performed};
use kubewise_core::{Failure, Kind, Timestamp};
use kubewise_replay::{Error, Recorder};
use kubewise_runtime::Ports;
use kubewise_sim::World;

/// Kinds that are read for evidence and not watched: written down as they are at the start.
const READ_ONLY: [Kind; 4] =
    [Kind::ResourceQuota, Kind::LimitRange, Kind::NetworkPolicy, Kind::ControllerRevision];

/// A recording that goes on. Clones share it.
#[derive(Clone)]
pub(crate) struct Recording {
    world: World,
    kept: Arc<Mutex<Kept>>,
}

struct Kept {
    /// `None` once it is finished.
    recorder: Option<Recorder>,
    fault: Option<Error>,
    /// When KubeWise last wrote, and how many changes were told since in that instant.
    wrote: Option<(Timestamp, u32)>,
}

impl Recording {
    pub(crate) fn begin(folder: &Path, world: &World) -> Result<Self> {
        let recorder = Recorder::create(folder).context("the recording cannot begin")?;
        let kept = Arc::new(Mutex::new(Kept { recorder: Some(recorder), fault: None, wrote: None }));
        let recording = Recording { world: world.clone(), kept };
        for document in READ_ONLY.iter().flat_map(|kind| world.list(kind, None)) {
            recording.write(|recorder| recorder.applied(world.now(), &document));
        }
        Ok(recording)
    }

    /// Puts itself around the ports that tell.
    pub(crate) fn listen(&self, ports: &mut Ports) {
        ports.metrics = Arc::new(Heard { port: ports.metrics.clone(), recording: self.clone() });
        ports.events = Arc::new(Heard { port: ports.events.clone(), recording: self.clone() });
        ports.actor = Arc::new(Heard { port: ports.actor.clone(), recording: self.clone() });
    }

    /// Everything is in the files when it returns.
    pub(crate) fn finish(&self) -> Result<()> {
        let mut kept = self.lock();
        let recorder = kept.recorder.take();
        match kept.fault.take() {
            Some(fault) => Err(fault).context("the recording is not whole"),
            None => recorder.map_or(Ok(()), Recorder::finish).context("the recording is not whole"),
        }
    }

    fn write(&self, write: impl FnOnce(&mut Recorder) -> Result<(), Error>) {
        let mut kept = self.lock();
        let Some(recorder) = &mut kept.recorder else { return };
        if let Err(error) = write(recorder) {
            kept.fault.get_or_insert(error);
        }
    }

    fn tell(&self, item: &WatchItem) {
        match item {
            // The watch tells what the pipeline needs of it; a file shall hold all of it.
            WatchItem::Applied(state) => {
                if let Some(document) = self.world.get(&state.object) {
                    let time = self.moment();
                    self.write(|recorder| recorder.applied(time, &document));
                }
            }
            WatchItem::Deleted { object, uid } => {
                let time = self.moment();
                self.write(|recorder| recorder.deleted(time, object, uid));
            }
            WatchItem::Event(event) => self.write(|recorder| recorder.event(event)),
            WatchItem::Synced(_) | WatchItem::Interrupted { .. } => {}
        }
    }

    /// Now; but what follows a write of KubeWise within the same instant, as it does in the simulation, is told a
    /// little later. A replay that told cause and repair at once would leave nobody the time to notice the cause.
    fn moment(&self) -> Timestamp {
        let now = self.world.now();
        let mut kept = self.lock();
        match &mut kept.wrote {
            Some((at, after)) if *at == now => {
                *after += 1;
                now.saturating_add(Duration::from_micros((*after).into())).unwrap_or(now)
            }
            Some(_) | None => now,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port that is listened to.
struct Heard<P: ?Sized> {
    recording: Recording,
    port: Arc<P>,
}

#[async_trait]
impl MetricSource for Heard<dyn MetricSource> {
    async fn sample(&self, query: &MetricQuery, now: Timestamp) -> Result<MetricAnswer, Failure> {
        let answer = self.port.sample(query, now).await?;
        self.recording.write(|recorder| answer.samples.iter().try_for_each(|sample| recorder.sample(sample)));
        Ok(answer)
    }
}

impl EventSource for Heard<dyn EventSource> {
    fn watch(&self) -> BoxStream<'static, WatchItem> {
        let recording = self.recording.clone();
        self.port.watch().inspect(move |item| recording.tell(item)).boxed()
    }
}

#[async_trait]
impl ClusterActor for Heard<dyn ClusterActor> {
    async fn perform(&self, request: &ClusterRequest, dry_run: bool) -> Result<Performed, Failure> {
        if !dry_run {
            let now = self.recording.world.now();
            let mut kept = self.recording.lock();
            if kept.wrote.is_none_or(|(at, _)| at != now) {
                kept.wrote = Some((now, 0));
            }
        }
        self.port.perform(request, dry_run).await
    }
}
