//! The end, in order: collecting, detecting, planning, executing, saving. Each phase has its time limit.

use std::sync::Arc;

use kubewise_core::Period;
use kubewise_core::port::Clock;
use tokio_util::sync::CancellationToken;

use crate::options::ShutdownOptions;

/// One phase: told to stop by one token, says that it has by the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phase {
    pub(crate) stop: CancellationToken,
    pub(crate) stopped: CancellationToken,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Phases {
    pub(crate) collect: Phase,
    pub(crate) detect: Phase,
    pub(crate) plan: Phase,
    pub(crate) execute: Phase,
    /// The Lease is kept until no saga can act any more.
    pub(crate) lead: Phase,
    pub(crate) save: Phase,
}

impl Phases {
    /// Ends every phase. Returns the names of those that did not end within their limit.
    pub(crate) async fn end(&self, limits: &ShutdownOptions, clock: &Arc<dyn Clock>) -> Vec<&'static str> {
        let order = [
            ("collect", &self.collect, limits.collect),
            ("detect", &self.detect, limits.detect),
            ("plan", &self.plan, limits.plan),
            ("execute", &self.execute, limits.execute),
            ("lead", &self.lead, limits.save),
            ("save", &self.save, limits.save),
        ];
        let mut late = Vec::new();
        for (name, phase, limit) in order {
            if !phase.end(limit, clock).await {
                tracing::warn!(phase = name, %limit, "did not stop within its limit");
                late.push(name);
            }
        }
        late
    }
}

impl Phase {
    async fn end(&self, limit: Period, clock: &Arc<dyn Clock>) -> bool {
        self.stop.cancel();
        tokio::select! {
            biased;
            () = self.stopped.cancelled() => true,
            () = clock.sleep_until(limit.after(clock.now())) => false,
        }
    }
}
