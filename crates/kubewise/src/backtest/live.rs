//! Virtual time over a history: the clock jumps to whatever is to be done next.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::executor::LocalPool;
use futures::future::FutureExt;
use futures::task::LocalSpawn;
use indicatif::{ProgressBar, ProgressStyle};
use kubewise_core::port::Clock;
use kubewise_core::{Period, Timestamp};
use kubewise_replay::{Bystander, History, Replay};
use kubewise_runtime::{Runtime, Telemetry};
use kubewise_sim::{MemoryStore, VirtualClock};

use crate::backtest::Window;
use crate::backtest::outcome::{self, Outcome};
use crate::config::Loaded;
use crate::wiring;

/// Of virtual time; more often nobody could see.
const SHOW_EVERY: Period = Period::from_mins(1);

/// What came of a history, and the replay that knows its objects.
pub(crate) struct Lived {
    pub(crate) outcome: Outcome,
    pub(crate) replay: Arc<Replay>,
}

pub(crate) fn live(loaded: Loaded, history: &Arc<History>, window: Window) -> Result<Lived> {
    let mode = loaded.settings.policy.mode;
    let virtual_clock = VirtualClock::starting_at(window.since);
    let clock: Arc<dyn Clock> = Arc::new(virtual_clock.clone());
    let replay = history.replay(clock.clone(), window.since).context("the history cannot be read again")?;
    let bystander = Arc::new(Bystander::new(clock.clone()));
    let store = MemoryStore::default();
    let (ports, setup) = wiring::replayed(loaded, clock, replay.clone(), bystander.clone(), &store)?;
    let mut tasks = LocalPool::new();
    let runtime = tasks.run_until(Runtime::new(ports, setup, Telemetry::new()));
    for (_, future) in runtime.context("the runtime cannot start")?.loops() {
        let spawned = tasks.spawner().spawn_local_obj(future.boxed_local().into());
        debug_assert!(spawned.is_ok(), "the pool lives as long as this function");
    }
    let bar = bar(window);
    let mut shown = window.since;
    loop {
        tasks.run_until_stalled();
        if let Some(fault) = replay.fault() {
            return Err(fault).context("the history cannot be read again");
        }
        let now = virtual_clock.now();
        if now >= window.until {
            break;
        }
        if Period::between(shown, now) >= SHOW_EVERY {
            shown = now;
            bar.set_position(Period::between(window.since, now).as_duration().as_secs());
            bar.set_message(at(now));
        }
        let next = virtual_clock.next_deadline().map_or(window.until, |next| next.min(window.until));
        virtual_clock.advance(next.max(now));
    }
    bar.finish_and_clear();
    let outcome = outcome::gather(history, &store, &bystander, window, mode)?;
    Ok(Lived { outcome, replay })
}

/// To the minute.
fn at(now: Timestamp) -> String {
    now.strftime("%Y-%m-%d %H:%M").to_string()
}

/// On standard error, and only if that is a terminal.
fn bar(window: Window) -> ProgressBar {
    let bar = ProgressBar::new(Period::between(window.since, window.until).as_duration().as_secs());
    let style = ProgressStyle::with_template("replaying {wide_bar} {msg} {percent}% (about {eta} left)");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
