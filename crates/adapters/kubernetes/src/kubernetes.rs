//! One cluster: what the ports of this crate are implemented on.

use std::fmt;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kubewise_core::Kind;
use kubewise_core::port::{Clock, EventSource, WatchItem};

use crate::connection::{Connection, configuration};
use crate::follow::follow;
use crate::lease::Lease;
use crate::options::{Error, Options};
use crate::told::Told;

/// A cluster. Cheap to clone.
#[derive(Clone)]
pub struct Kubernetes {
    pub(crate) reads: Connection,
    /// Apart from `reads`, so that an act never queues behind lists.
    pub(crate) writes: Connection,
    pub(crate) options: Arc<Options>,
}

/// Reads who and where; does not call the cluster, which may come up later.
pub async fn connect(options: Options) -> Result<Kubernetes, Error> {
    options.validate()?;
    let config = configuration(&options).await?;
    Ok(Kubernetes {
        reads: Connection::new(config.clone(), options.timeout).await?,
        writes: Connection::new(config, options.timeout).await?,
        options: Arc::new(options),
    })
}

impl Kubernetes {
    /// This process as a candidate for the Lease. Each call makes another candidate: take one for a process.
    pub fn leadership(&self, clock: Arc<dyn Clock>) -> Lease {
        Lease::new(self.writes.clone(), &self.options, clock)
    }
}

impl EventSource for Kubernetes {
    /// Nothing is buffered beyond one page for each kind: when the consumer pauses, so do the watches.
    fn watch(&self) -> BoxStream<'static, WatchItem> {
        let objects = self.options.kinds.iter().filter(|kind| **kind != Kind::Event);
        let told = objects.map(|kind| (kind.clone(), Told::objects()));
        let events = (Kind::Event, Told::events(self.options.events.clone()));
        let page_size = self.options.page_size;
        let kinds = told.chain([events]);
        stream::select_all(kinds.map(|(kind, told)| follow(self.reads.clone(), kind, page_size, told)))
            .boxed()
    }
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubernetes").field("options", &self.options).finish_non_exhaustive()
    }
}
