//! Where the cluster would be written to: refuses, and records what it was asked for.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kubewise_core::journal::Epoch;
use kubewise_core::port::{Clock, ClusterActor, Leadership, Notice, Notifier, Standing};
use kubewise_core::request::{ClusterRequest, Performed};
use kubewise_core::{Failure, ObjectRef, Period, Rejection, Timestamp};

/// A plan asks once for each of its ten steps; so many are of a thousand plans.
const MAX_ASKED: usize = 10_000;
/// As long as a Lease holds.
const TERM: Period = Period::from_secs(15);

/// A write that was asked for and not done.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub time: Timestamp,
    pub request: ClusterRequest,
}

impl Asked {
    pub fn object(&self) -> &ObjectRef {
        match &self.request {
            ClusterRequest::Patch { object, .. } | ClusterRequest::Create { object, .. } => object,
            ClusterRequest::Evict { pod, .. } => pod,
        }
    }
}

/// Leads, since nobody else is there, and writes nothing, ever.
#[derive(Debug)]
pub struct Bystander {
    clock: Arc<dyn Clock>,
    asked: Mutex<Vec<Asked>>,
}

impl Bystander {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Bystander { clock, asked: Mutex::default() }
    }

    /// Every write so far, in order; of an endless run the first ten thousand.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl ClusterActor for Bystander {
    async fn perform(&self, request: &ClusterRequest, _dry_run: bool) -> Result<Performed, Failure> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() < MAX_ASKED {
            asked.push(Asked { time: self.clock.now(), request: request.clone() });
        }
        let message = "would have been done; a backtest touches nothing".into();
        Err(Failure::Rejected { reason: Rejection::Forbidden, message })
    }
}

#[async_trait]
impl Notifier for Bystander {
    async fn notify(&self, _: &Notice) -> Result<(), Failure> {
        Ok(())
    }
}

#[async_trait]
impl Leadership for Bystander {
    async fn hold(&self) -> Result<Standing, Failure> {
        Ok(Standing::Leader { epoch: Epoch(1), until: TERM.after(self.clock.now()) })
    }

    async fn release(&self) -> Result<(), Failure> {
        Ok(())
    }
}
