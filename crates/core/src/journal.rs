//! What a saga writes down before it acts.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::id::SagaId;
use crate::object::ObjectRef;
use crate::plan::{FieldChange, RemediationPlan, Verdict};

/// Counts leaders. A write of an older epoch is refused, by the journal and by the fence on the object.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalEntry {
    pub saga: SagaId,
    /// 0 for `Opened`, then one more each time.
    pub sequence: u32,
    pub epoch: Epoch,
    pub time: Timestamp,
    pub body: JournalBody,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "camelCase")]
pub enum JournalBody {
    /// Takes the locks, all or none.
    Opened {
        plan: Box<RemediationPlan>,
        locks: Vec<ObjectRef>,
    },
    /// The before-image of a step, read from the object just now.
    Prepared {
        step: usize,
        before: BeforeImage,
    },
    /// The step's request is about to be sent.
    Started {
        step: usize,
        attempt: u32,
    },
    Succeeded {
        step: usize,
        detail: String,
    },
    /// The step ended without effect; surely so, unless the failure is `Unknown`.
    Failed {
        step: usize,
        failure: Failure,
    },
    Verified {
        phase: VerificationPhase,
        verdict: Verdict,
        reasons: Vec<String>,
    },
    UndoStarted {
        step: usize,
    },
    Undone {
        step: usize,
    },
    /// The field no longer held our value, or the step cannot be undone.
    UndoSkipped {
        step: usize,
        reason: String,
    },
    UndoFailed {
        step: usize,
        failure: Failure,
    },
    /// Gives the locks back, unless the outcome is `Stuck`; that one is closed once more, as handed over, when a person
    /// says so.
    Closed {
        outcome: Outcome,
        reason: String,
    },
}

/// The touched fields and the fence as they were before the step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BeforeImage {
    /// Path and value before; `after` is what the step writes.
    pub fields: Vec<FieldChange>,
    /// The fence annotation; `None` if the object had none.
    pub fence: Option<String>,
    /// Whether the object had any annotation at all.
    pub annotated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VerificationPhase {
    /// Soon after the act.
    Provisional,
    /// After the settle time.
    Settled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    Succeeded,
    RolledBack,
    /// Ended before anything was applied.
    Aborted,
    HandedOver,
    Stuck,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
