//! A cluster that may not be configured, or not be reachable, yet: each call tries to connect until one succeeds,
//! so that KubeWise starts, says what is missing, and goes on by itself once it is there.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kubewise_core::document::Document;
use kubewise_core::port::{
    Clock, ClusterActor, ClusterReader, EventSource, Leadership, Notice, Notifier, Standing, WatchItem,
};
use kubewise_core::request::{ClusterRequest, Performed};
use kubewise_core::{Failure, Kind, ObjectRef, Period, Timestamp};
use kubewise_kubernetes::{Kubernetes, Lease, Options};
use tokio::sync::OnceCell;

/// Between two tries to begin the watch.
const RETRY_EVERY: Period = Period::from_secs(10);

/// Cheap to clone; clones share the connection.
#[derive(Clone)]
pub(crate) struct LateCluster {
    options: Options,
    clock: Arc<dyn Clock>,
    cluster: Arc<OnceCell<(Kubernetes, Lease)>>,
}

impl LateCluster {
    pub(crate) fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        LateCluster { options, clock, cluster: Arc::default() }
    }

    async fn connected(&self) -> Result<&(Kubernetes, Lease), Failure> {
        let connect = async || {
            let cluster = kubewise_kubernetes::connect(self.options.clone()).await?;
            let lease = cluster.leadership(self.clock.clone());
            Ok((cluster, lease))
        };
        let result: Result<_, kubewise_kubernetes::Error> = self.cluster.get_or_try_init(connect).await;
        result.map_err(|error| Failure::unavailable(&error))
    }
}

impl EventSource for LateCluster {
    fn watch(&self) -> BoxStream<'static, WatchItem> {
        let this = self.clone();
        // Until there is a cluster, say why not; then its watch for ever.
        stream::unfold(Some(this), |state| async move {
            let this = state?;
            Some(match this.connected().await {
                Ok((cluster, _)) => (cluster.watch(), None),
                Err(failure) => {
                    let kinds = this.options.kinds.clone();
                    let pause = this.clock.sleep_until(RETRY_EVERY.after(this.clock.now()));
                    let tell = move |kind| WatchItem::Interrupted { kind, failure: failure.clone() };
                    let told = stream::iter(kinds.into_iter().map(tell));
                    let wait = stream::once(pause).filter_map(|()| async { None });
                    (told.chain(wait).boxed(), Some(this))
                }
            })
        })
        .flatten()
        .boxed()
    }
}

#[async_trait]
impl ClusterReader for LateCluster {
    async fn get(&self, object: &ObjectRef) -> Result<Option<Document>, Failure> {
        self.connected().await?.0.get(object).await
    }

    async fn list(&self, kind: &Kind, namespace: Option<&str>) -> Result<Vec<Document>, Failure> {
        self.connected().await?.0.list(kind, namespace).await
    }

    async fn pods_on(&self, node: &str) -> Result<Vec<Document>, Failure> {
        self.connected().await?.0.pods_on(node).await
    }

    async fn logs(&self, pod: &ObjectRef, container: &str, previous: bool) -> Result<String, Failure> {
        self.connected().await?.0.logs(pod, container, previous).await
    }

    async fn last_changed(&self, settings: &ObjectRef) -> Result<Option<Timestamp>, Failure> {
        self.connected().await?.0.last_changed(settings).await
    }
}

#[async_trait]
impl ClusterActor for LateCluster {
    async fn perform(&self, request: &ClusterRequest, dry_run: bool) -> Result<Performed, Failure> {
        self.connected().await?.0.perform(request, dry_run).await
    }
}

#[async_trait]
impl Notifier for LateCluster {
    async fn notify(&self, notice: &Notice) -> Result<(), Failure> {
        self.connected().await?.0.notify(notice).await
    }
}

#[async_trait]
impl Leadership for LateCluster {
    async fn hold(&self) -> Result<Standing, Failure> {
        self.connected().await?.1.hold().await
    }

    async fn release(&self) -> Result<(), Failure> {
        match self.cluster.get() {
            Some((_, lease)) => lease.release().await,
            None => Ok(()),
        }
    }
}
