//! A NetworkPolicy that may stand behind the trouble.

use schemars::JsonSchema;
use serde::Serialize;

use crate::network::Suspect;

/// It was made or changed shortly before, and selects the workload's pods or those of what it needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkFacts {
    /// Empty if there is none.
    pub(crate) policy: String,
    /// In words: what happened, and how a person takes it back.
    pub(crate) told: String,
    pub(crate) undo: String,
}

impl NetworkFacts {
    pub(super) fn of(suspect: Option<&Suspect>) -> Self {
        let told = suspect.map(|suspect| NetworkFacts {
            policy: suspect.policy.name.to_string(),
            told: suspect.to_string(),
            undo: suspect.undo(),
        });
        told.unwrap_or_default()
    }
}
