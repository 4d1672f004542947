//! The collecting loops: each query on its own interval, and the watch.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kubewise_core::metric::MetricQuery;
use kubewise_core::port::{EventSource, WatchItem};
use kubewise_core::{Period, Timestamp};
use tokio::sync::{Semaphore, mpsc};

use crate::runtime::Shared;
use crate::shutdown::Phase;

/// Polls every query of the catalogue until told to stop.
pub(crate) async fn poll(shared: Arc<Shared>, queries: Vec<MetricQuery>, phase: Phase) {
    let places = Semaphore::new(shared.options.collect.concurrency.max(1));
    let polls: FuturesUnordered<_> = queries
        .iter()
        .enumerate()
        .map(|(index, query)| poll_query(&shared, query, index as u64, &places))
        .collect();
    let all = polls.collect::<()>();
    tokio::select! {
        biased;
        () = phase.stop.cancelled() => {}
        () = all => phase.stop.cancelled().await, // an empty catalogue
    }
    shared.samples.close();
}

/// One query forever: a failure of one does not touch the others.
async fn poll_query(shared: &Shared, query: &MetricQuery, index: u64, places: &Semaphore) {
    let interval = shared.options.collect.interval.unwrap_or(query.interval).max(Period::from_secs(1));
    let mut random = fastrand::Rng::with_seed(shared.seed ^ index);
    let jitter = shared.options.collect.jitter.clamp(0.0, 1.0) * interval.as_secs_f64();
    let mut jittered = |moment: Timestamp| seconds(random.f64() * jitter).after(moment);
    let mut due = shared.clock.now();
    loop {
        shared.clock.sleep_until(jittered(due)).await;
        let Ok(place) = places.acquire().await else { return };
        let now = shared.clock.now();
        let answer = shared.ports.metrics.sample(query, now).await;
        drop(place);
        let now = shared.clock.now();
        let (samples, answered) = match answer {
            Ok(answer) => {
                shared.telemetry.samples(answer.samples.len(), answer.dropped.total());
                shared.health.query_answered(&query.name, &answer, now);
                (answer.samples, true)
            }
            Err(failure) => {
                tracing::warn!(query = query.name, %failure, "query failed");
                shared.health.query_failed(&query.name, &failure);
                (Vec::new(), false)
            }
        };
        let displaced = shared.samples.push(samples, query.name.clone(), answered);
        shared.telemetry.queue("samples", shared.samples.len(), displaced);
        // After a long stall the missed polls are left out, not made up for.
        due = interval.after(due).max(shared.clock.now());
    }
}

fn seconds(seconds: f64) -> Period {
    Period::from_millis((seconds * 1000.0) as u64)
}

/// Hands on what the watch tells. A full queue makes the watch wait: nothing of it is left out.
pub(crate) async fn watch(
    shared: Arc<Shared>,
    source: Arc<dyn EventSource>,
    queue: mpsc::Sender<WatchItem>,
    phase: Phase,
) {
    let mut items = source.watch();
    loop {
        let item = tokio::select! {
            biased;
            () = phase.stop.cancelled() => break,
            item = items.next() => item,
        };
        let Some(item) = item else {
            tracing::error!("the watch ended");
            shared.health.watch_ended(shared.clock.now());
            phase.stop.cancelled().await;
            break;
        };
        shared.telemetry.watch_item();
        shared.health.watched(&item, shared.clock.now());
        let handed_on = tokio::select! {
            biased;
            () = phase.stop.cancelled() => break,
            handed_on = queue.send(item) => handed_on,
        };
        if handed_on.is_err() {
            break;
        }
    }
    phase.stopped.cancel();
}
