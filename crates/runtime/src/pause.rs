//! The pause in force, and how people set and end it. Written to the store before it counts, so that whoever was told
//! that KubeWise is paused finds it paused after a restart as well.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kubewise_core::pause::Pause;
use kubewise_core::port::RecordStore;
use kubewise_core::record::{Extra, Record, SchemaVersion};
use kubewise_core::{Failure, Rejection, Timestamp};

#[derive(Debug, Default)]
pub(crate) struct Pauses {
    in_force: Mutex<Option<Pause>>,
    /// One word at a time: two people who pause at once are told one after the other.
    deciding: tokio::sync::Mutex<()>,
}

impl Pauses {
    pub(crate) fn restored(in_force: Option<Pause>) -> Self {
        Pauses { in_force: Mutex::new(in_force), ..Pauses::default() }
    }

    pub(crate) fn in_force(&self) -> Option<Pause> {
        self.lock().clone()
    }

    pub(crate) async fn pause(
        &self,
        store: &dyn RecordStore,
        by: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Pause, Failure> {
        let _deciding = self.deciding.lock().await;
        if let Some(pause) = self.in_force() {
            return Err(conflict(format!("it is paused already, by {}: {}", pause.by, pause.reason)));
        }
        let pause = Pause {
            version: SchemaVersion::CURRENT,
            by: by.into(),
            reason: reason.into(),
            since: now,
            ended_at: None,
            ended_by: None,
            extra: Extra::new(),
        };
        // Nothing is begun from here on, even if the store should fail: then the caller learns that it does not last.
        *self.lock() = Some(pause.clone());
        if let Err(failure) = store.save(&[Record::Pause(pause.clone())]).await {
            *self.lock() = None;
            return Err(failure);
        }
        tracing::warn!(by, reason, "paused: nothing is begun until it is resumed");
        Ok(pause)
    }

    pub(crate) async fn resume(
        &self,
        store: &dyn RecordStore,
        by: &str,
        now: Timestamp,
    ) -> Result<Pause, Failure> {
        let _deciding = self.deciding.lock().await;
        let Some(mut pause) = self.in_force() else { return Err(conflict("it is not paused".into())) };
        pause.ended_at = Some(now);
        pause.ended_by = Some(by.into());
        store.save(&[Record::Pause(pause.clone())]).await?;
        *self.lock() = None;
        tracing::warn!(by, "resumed");
        Ok(pause)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pause>> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn conflict(message: String) -> Failure {
    Failure::Rejected { reason: Rejection::Conflict, message }
}
