//! How far an action type is trusted with a class of workloads, earned by what became of it there.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{Kind, ObjectRef};
use crate::plan::Mode;

/// The rungs of trust, lowest first. A level only ever lowers the mode that policy allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It did harm although people had approved it: for a while it is not even proposed.
    Observe,
    /// A person decides; it has not yet helped here.
    Propose,
    /// A person decides; it has helped here, and is on its way to `auto`.
    Approve,
    /// It acts by itself.
    Auto,
}

impl Level {
    /// The highest mode in which the action may be planned.
    pub fn mode(self) -> Mode {
        match self {
            Level::Observe => Mode::Observe,
            Level::Propose | Level::Approve => Mode::Propose,
            Level::Auto => Mode::Auto,
        }
    }

    /// One step back; from the lowest there is none.
    #[must_use]
    pub fn below(self) -> Self {
        match self {
            Level::Auto => Level::Approve,
            Level::Approve => Level::Propose,
            Level::Propose | Level::Observe => Level::Observe,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Observe => "observe",
            Level::Propose => "propose",
            Level::Approve => "approve",
            Level::Auto => "auto",
        })
    }
}

/// Workloads that are trusted alike: one kind in one namespace. Names come and go and have too few repairs each to
/// learn from; a namespace is whose the workloads are, and a kind is what an action does to them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadClass {
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
}

impl WorkloadClass {
    pub fn of(workload: &ObjectRef) -> Self {
        WorkloadClass { kind: workload.kind.clone(), namespace: workload.namespace.clone() }
    }
}

/// `Deployment in shop`, `Node`.
impl fmt::Display for WorkloadClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} in {namespace}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

/// How far one action type is trusted with one class, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trust {
    /// Name of the action type.
    pub action: String,
    pub class: WorkloadClass,
    /// What was earned.
    pub level: Level,
    /// In what mode it is planned: what was earned, and never above what is configured for the namespace. Modes of
    /// single workloads and annotations go before the namespace's.
    pub mode: Mode,
    /// Verified successes since it was last set back.
    pub successes: u32,
    /// What did not help, or did harm, since then; the setback counts.
    pub failures: u32,
    /// Lower confidence bound of the rate of success.
    pub bound: f64,
    /// When it was last set back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_back_at: Option<Timestamp>,
    /// What leads one step up, in words.
    pub next: String,
}

/// What `kubewise autonomy` shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AutonomyReport {
    /// Whether the levels count; otherwise the mode alone decides.
    pub enabled: bool,
    /// By action and class.
    pub items: Vec<Trust>,
}
