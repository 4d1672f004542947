//! The wall clock.

use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use kubewise_core::port::Clock;
use kubewise_core::{Period, Timestamp};

/// Wall-clock time that cannot go backwards: the time at start plus what a monotonic clock has counted since.
#[derive(Debug)]
pub struct SystemClock {
    started_at: Timestamp,
    started: Instant,
}

impl SystemClock {
    #[expect(clippy::new_without_default, reason = "a clock is started at a moment, not defaulted")]
    pub fn new() -> Self {
        SystemClock { started_at: Timestamp::now(), started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Period::from(self.started.elapsed()).after(self.started_at)
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        tokio::time::sleep(Period::between(self.now(), deadline).as_duration()).boxed()
    }
}
