//! The circuit breaker: a machine of values that is told the time.

use kubewise_core::health::BreakerState;
use kubewise_core::{Period, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerOptions {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open before trials are let through.
    pub open_for: Period,
    /// Calls let through at one time while half-open, and successes in a row that close it.
    pub trials: u32,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        BreakerOptions { failures: 5, open_for: Period::from_secs(30), trials: 2 }
    }
}

/// Closed lets calls through; open refuses them; half-open lets a few through to see.
#[derive(Debug)]
pub struct Breaker {
    options: BreakerOptions,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Timestamp },
    HalfOpen { running: u32, successes: u32 },
}

/// A call that was let through; it must be told how it ended. A trial that is dropped gives its place back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    trial: bool,
}

impl Breaker {
    pub fn new(options: BreakerOptions) -> Self {
        Breaker { options, state: State::Closed { failures: 0 } }
    }

    /// The state as of `now`.
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Lets a call through, or says until when there is no use in asking.
    pub(crate) fn admit(&mut self, now: Timestamp) -> Result<Permit, Timestamp> {
        if let State::Open { until } = self.state {
            if now < until {
                return Err(until);
            }
            self.state = State::HalfOpen { running: 0, successes: 0 };
        }
        match &mut self.state {
            State::HalfOpen { running, .. } if *running >= self.options.trials.max(1) => {
                Err(Period::from_secs(1).after(now))
            }
            State::HalfOpen { running, .. } => {
                *running += 1;
                Ok(Permit { trial: true })
            }
            State::Closed { .. } | State::Open { .. } => Ok(Permit { trial: false }),
        }
    }

    pub(crate) fn succeeded(&mut self, permit: Permit) {
        match &mut self.state {
            State::Closed { failures } => *failures = 0,
            State::HalfOpen { running, successes } if permit.trial => {
                *running = running.saturating_sub(1);
                *successes += 1;
                if *successes >= self.options.trials.max(1) {
                    self.state = State::Closed { failures: 0 };
                }
            }
            State::HalfOpen { .. } | State::Open { .. } => {} // a call from before the breaker opened
        }
    }

    pub(crate) fn failed(&mut self, permit: Permit, now: Timestamp) {
        let open = match &mut self.state {
            State::Closed { failures } => {
                *failures += 1;
                *failures >= self.options.failures.max(1)
            }
            State::HalfOpen { .. } => permit.trial,
            State::Open { .. } => false,
        };
        if open {
            self.state = State::Open { until: self.options.open_for.after(now) };
        }
    }

    /// The call was given up before it ended.
    pub(crate) fn abandoned(&mut self, permit: Permit) {
        if let State::HalfOpen { running, .. } = &mut self.state
            && permit.trial
        {
            *running = running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
