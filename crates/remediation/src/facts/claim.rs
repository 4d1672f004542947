//! The volume claim that an incident is about.

use kubewise_core::{Kind, quantity};
use schemars::JsonSchema;
use serde::Serialize;

use crate::action::expand_claim::STORAGE;
use crate::evidence::Evidence;

/// The volume claim, if the incident is one's own: its volume fills up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimFacts {
    /// Empty if the incident is of another kind.
    pub(crate) name: String,
    /// The storage that it asks for, bytes.
    pub(crate) size: f64,
}

impl ClaimFacts {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let object = &evidence.incident.workload;
        let claim = evidence.workload.as_ref().filter(|_| object.kind == Kind::PersistentVolumeClaim);
        let size = claim.and_then(|claim| quantity::parse(claim.text(STORAGE)?));
        size.map_or_else(ClaimFacts::default, |size| ClaimFacts { name: object.name.to_string(), size })
    }
}
