//! Who may act. Nothing touches the Lease until something needs a leader, so that observing writes nothing.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kubewise_core::health::LeadershipStatus;
use kubewise_core::journal::Epoch;
use kubewise_core::port::{Clock, Leadership, Standing};
use kubewise_core::{Period, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Telemetry;

/// Between renewals: several fit between a renewal and the moment a holder must stop, as client-go has it.
const RENEW_EVERY: Period = Period::from_secs(2);

pub(crate) struct Leader {
    port: Arc<dyn Leadership>,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
    state: Mutex<State>,
    sought: Notify,
}

struct State {
    status: LeadershipStatus,
    /// The epoch, and until when it may be acted under.
    term: Option<(Epoch, Timestamp)>,
    sought: bool,
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Leader {
    pub(crate) fn new(port: Arc<dyn Leadership>, clock: Arc<dyn Clock>, telemetry: Telemetry) -> Self {
        let state = State { status: LeadershipStatus::NotSought, term: None, sought: false };
        Leader { port, clock, telemetry, state: Mutex::new(state), sought: Notify::new() }
    }

    /// The epoch to act under right now, if this process may act.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        let now = self.clock.now();
        self.lock().term.filter(|(_, until)| now < *until).map(|(epoch, _)| epoch)
    }

    /// Takes or renews the leadership, and keeps it from now on.
    pub(crate) async fn seek(&self) -> Option<Epoch> {
        let held = self.epoch();
        if held.is_none() {
            self.hold().await;
        }
        self.lock().sought = true;
        self.sought.notify_one();
        self.epoch()
    }

    pub(crate) fn status(&self) -> LeadershipStatus {
        self.lock().status.clone()
    }

    /// Renews while it was ever sought; gives up the leadership at the end.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let sought = self.lock().sought;
            if sought {
                self.hold().await;
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = self.clock.sleep_until(RENEW_EVERY.after(self.clock.now())) => {}
                }
            } else {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = self.sought.notified() => {}
                }
            }
        }
        let held = self.lock().term.take().is_some();
        if held && let Err(failure) = self.port.release().await {
            tracing::warn!(%failure, "the Lease could not be released; it will expire");
        }
    }

    async fn hold(&self) {
        let standing = self.port.hold().await;
        let now = self.clock.now();
        let mut state = self.lock();
        match standing {
            Ok(Standing::Leader { epoch, until }) => {
                state.term = Some((epoch, until));
                state.status = LeadershipStatus::Leading { epoch: epoch.0 };
            }
            Ok(Standing::Follower { holder }) => {
                state.term = None;
                state.status = LeadershipStatus::Following { holder };
            }
            Err(failure) => {
                tracing::warn!(%failure, "the Lease could not be renewed");
                // The term goes on until its end: nobody else can have taken over before.
                if state.term.is_none_or(|(_, until)| until <= now) {
                    state.term = None;
                    state.status = LeadershipStatus::Lost { message: failure.to_string() };
                }
            }
        }
        self.telemetry.leading(state.term.is_some());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
