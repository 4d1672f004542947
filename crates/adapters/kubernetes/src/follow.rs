//! One kind, listed and then watched, for ever.
//!
//! kube's own `watcher` is not used for it: it takes up a watch that ended at once without a pause or a word, and
//! when a watch is refused with 410 it asks for the same place for ever.

use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kube::core::WatchEvent;
use kube::core::params::{ListParams, WatchParams};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;
use kubewise_core::document::Document;
use kubewise_core::port::WatchItem;
use kubewise_core::{Failure, Kind};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::answer::{Intent, Refusal};
use crate::connection::{Connection, collection};
use crate::reader::list_page;
use crate::told::Told;

/// The server ends each watch after this, in seconds. A connection that died silently is noticed no later.
const WATCH_SECONDS: u32 = 120;
/// How far the server's end of a watch may be from the time that we asked for.
const SLACK: Duration = Duration::from_secs(10);
/// The server's word for a resourceVersion from a future that it does not know: its store was put back.
const FROM_THE_FUTURE: &str = "Too large resource version";

pub(crate) fn follow(
    connection: Connection,
    kind: Kind,
    page_size: u32,
    told: Told,
) -> BoxStream<'static, WatchItem> {
    let follower = Follower {
        connection,
        kind,
        page_size,
        told,
        place: Place::Unlisted,
        items: VecDeque::new(),
        backoff: DefaultBackoff::default(),
        pause: None,
        interrupted: false,
    };
    stream::unfold(follower, |mut follower| async move {
        let item = follower.next().await;
        Some((item, follower))
    })
    .boxed()
}

struct Follower {
    connection: Connection,
    kind: Kind,
    page_size: u32,
    told: Told,
    place: Place,
    /// Ready to be told; at most a page, or what a new list lacked.
    items: VecDeque<WatchItem>,
    /// 0.8 s to 30 s; begins anew once the server has sent something.
    backoff: DefaultBackoff,
    pause: Option<Duration>,
    /// An interruption was told and its end was not.
    interrupted: bool,
}

enum Place {
    Unlisted,
    Listing { next: Option<String> },
    Listed { version: String },
    Watching { version: String, changes: BoxStream<'static, kube::Result<WatchEvent<Value>>>, since: Instant },
}

impl Follower {
    async fn next(&mut self) -> WatchItem {
        loop {
            if let Some(item) = self.items.pop_front() {
                return item;
            }
            if let Some(pause) = self.pause.take() {
                sleep(pause).await;
            }
            self.place = match std::mem::replace(&mut self.place, Place::Unlisted) {
                Place::Unlisted => {
                    self.told.begin();
                    Place::Listing { next: None }
                }
                Place::Listing { next } => self.list(next).await,
                Place::Listed { version } => self.start(version).await,
                Place::Watching { version, changes, since } => self.watch(version, changes, since).await,
            };
        }
    }

    async fn list(&mut self, next: Option<String>) -> Place {
        let what = format!("list {}", self.kind);
        let wanted =
            ListParams { limit: Some(self.page_size), continue_token: next, ..ListParams::default() };
        let page = list_page(&self.connection, &what, &self.kind, None, &wanted).await;
        let page = match page {
            Ok(page) => page,
            Err(failure) => return self.cut(failure, Place::Unlisted),
        };
        for item in page.items {
            self.told.applied(&Document(item), &mut self.items);
        }
        if page.next.is_some() {
            return Place::Listing { next: page.next };
        }
        self.told.end(&mut self.items);
        self.synced();
        Place::Listed { version: page.resource_version }
    }

    async fn start(&mut self, version: String) -> Place {
        let what = format!("watch {}", self.kind);
        let wanted = WatchParams { bookmarks: true, timeout: Some(WATCH_SECONDS), ..WatchParams::default() };
        let request = match collection(&self.kind, None).map(|collection| collection.watch(&wanted, &version))
        {
            Ok(Ok(request)) => request,
            Ok(Err(error)) => return self.cut(Failure::unavailable(&error), Place::Unlisted),
            Err(failure) => return self.cut(failure, Place::Unlisted),
        };
        let since = Instant::now();
        let starting = self.connection.client().request_events::<Value>(request);
        match timeout(self.connection.timeout(), starting).await {
            Ok(Ok(changes)) => {
                if self.interrupted {
                    self.synced();
                }
                Place::Watching { version, changes: changes.boxed(), since }
            }
            Ok(Err(error)) => {
                let refusal = Refusal::of_error(Intent::Read, &what, &error);
                let lost = matches!(refusal.code, Some(400 | 410))
                    || refusal.failure.message().contains(FROM_THE_FUTURE);
                self.cut(refusal.failure, if lost { Place::Unlisted } else { Place::Listed { version } })
            }
            Err(_) => {
                let message = format!("{what}: no answer within {:?}", self.connection.timeout());
                self.cut(Failure::Unavailable { message }, Place::Listed { version })
            }
        }
    }

    async fn watch(
        &mut self,
        version: String,
        mut changes: BoxStream<'static, kube::Result<WatchEvent<Value>>>,
        since: Instant,
    ) -> Place {
        let what = format!("watch {}", self.kind);
        let limit = Duration::from_secs(WATCH_SECONDS.into());
        let change = match timeout_at(since + limit + SLACK, changes.next()).await {
            Ok(Some(Ok(change))) => change,
            Ok(Some(Err(error))) => {
                let failure = Refusal::of_error(Intent::Read, &what, &error).failure;
                let garbled = matches!(error, kube::Error::SerdeError(_));
                return self.cut(failure, if garbled { Place::Unlisted } else { Place::Listed { version } });
            }
            Ok(None) if since.elapsed() + SLACK >= limit => return Place::Listed { version },
            Ok(None) => {
                let message = format!("{what}: cut after {} s", since.elapsed().as_secs());
                return self.cut(Failure::Unavailable { message }, Place::Listed { version });
            }
            Err(_) => {
                let message = format!("{what}: silent past its end");
                return self.cut(Failure::Unavailable { message }, Place::Listed { version });
            }
        };
        let version = match change {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let document = Document(object);
                self.told.applied(&document, &mut self.items);
                later(&document, version)
            }
            WatchEvent::Deleted(object) => {
                let document = Document(object);
                self.told.deleted(&document, &mut self.items);
                later(&document, version)
            }
            WatchEvent::Bookmark(bookmark) => bookmark.metadata.resource_version,
            // 410 says that our place is forgotten; after any other error it may be spoilt as well.
            WatchEvent::Error(status) => {
                let error = kube::Error::Api(status);
                return self.cut(Refusal::of_error(Intent::Read, &what, &error).failure, Place::Unlisted);
            }
        };
        self.backoff.reset();
        Place::Watching { version, changes, since }
    }

    fn cut(&mut self, failure: Failure, place: Place) -> Place {
        self.items.push_back(WatchItem::Interrupted { kind: self.kind.clone(), failure });
        self.interrupted = true;
        self.pause = self.backoff.next();
        place
    }

    fn synced(&mut self) {
        self.items.push_back(WatchItem::Synced(self.kind.clone()));
        self.interrupted = false;
    }
}

fn later(document: &Document, version: String) -> String {
    document.text("/metadata/resourceVersion").map_or(version, Into::into)
}
