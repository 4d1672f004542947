//! The detecting loop: the one owner of the detector.

use std::sync::Arc;
use std::time::Duration;

use kubewise_core::port::WatchItem;
use kubewise_core::state::ObjectState;
use kubewise_core::{Period, Timestamp};
use kubewise_detector::{Change, Detector, Observation};
use kubewise_remediation::policy::MODE_ANNOTATION;
use tokio::sync::mpsc;

use crate::runtime::Shared;
use crate::shutdown::Phase;

/// Samples of workloads that were silent for this long are of no use to anybody.
const FORGET_AFTER: Period = Period::from_mins(30);

/// What it takes in besides samples.
pub(crate) struct Inputs {
    pub(crate) watch: mpsc::Receiver<WatchItem>,
    pub(crate) lessons: mpsc::Receiver<Observation>,
}

pub(crate) async fn run(shared: Arc<Shared>, mut detector: Detector, inputs: Inputs, phase: Phase) {
    let Inputs { mut watch, mut lessons } = inputs;
    let every = shared.options.tick;
    let mut next_tick = every.after(shared.clock.now());
    let mut tick = shared.clock.sleep_until(next_tick);
    let mut busy = Duration::ZERO;
    let mut forgot_at = shared.clock.now();
    loop {
        // The watch goes first: samples are understood by the objects it tells.
        let turn = tokio::select! {
            biased;
            item = watch.recv(), if !watch.is_closed() || !watch.is_empty() => {
                item.map_or(Turn::Nothing, |item| Turn::Observe(vec![Observation::Watch(item)]))
            }
            Some(lesson) = lessons.recv() => Turn::Observe(vec![lesson]),
            batch = shared.samples.take(shared.options.batches.samples) => {
                if batch.is_empty() { Turn::End } else { Turn::Observe(batch) }
            }
            () = &mut tick => Turn::Tick,
        };
        let started = shared.clock.now();
        match turn {
            Turn::Nothing => {}
            Turn::Observe(batch) => {
                for observation in &batch {
                    remember(&shared, &detector, observation);
                    heed(&shared, &detector, observation, started);
                    let changes = detector.observe(observation, started);
                    apply(&shared, changes, started);
                }
                // Judging is pure work: let the other loops have their turn.
                tokio::task::yield_now().await;
            }
            Turn::Tick => {
                let changes = detector.tick(started);
                apply(&shared, changes, started);
                let stats = detector.stats();
                shared.telemetry.detected(&stats);
                shared.health.detected(stats, started);
                shared.telemetry.queue("samples", shared.samples.len(), 0);
                shared.telemetry.detect_busy(busy.as_secs_f64() / every.as_secs_f64());
                busy = Duration::ZERO;
                if Period::between(forgot_at, started) > FORGET_AFTER {
                    shared.recent.forget_before(FORGET_AFTER.before(started));
                    forgot_at = started;
                }
                next_tick = every.after(next_tick).max(started);
                tick = shared.clock.sleep_until(next_tick);
            }
            Turn::End if phase.stop.is_cancelled() => break,
            Turn::End => phase.stop.cancelled().await,
        }
        busy += Period::between(started, shared.clock.now()).as_duration();
    }
    phase.stopped.cancel();
}

enum Turn {
    Observe(Vec<Observation>),
    Tick,
    /// The watch is closed and empty.
    Nothing,
    /// The sample queue is closed and empty.
    End,
}

fn remember(shared: &Shared, detector: &Detector, observation: &Observation) {
    if let Observation::Metric(sample) = observation
        && let Some(workload) = detector.workload_of(&sample.object)
    {
        shared.recent.add(&workload, sample);
    }
}

/// A mode that was set on a workload or namespace counts at once, however long a trouble was observed by then.
fn heed(shared: &Shared, detector: &Detector, observation: &Observation, now: Timestamp) {
    let Observation::Watch(WatchItem::Applied(state)) = observation else { return };
    let mode = |state: &ObjectState| state.annotations.get(MODE_ANNOTATION).cloned();
    if detector.state(&state.object).and_then(mode) != mode(state) {
        shared.incidents.mode_changed(&state.object, now);
    }
}

fn apply(shared: &Shared, changes: Vec<Change>, now: Timestamp) {
    for change in changes {
        shared.incidents.apply(change, now);
    }
}
