//! A person's word that nothing shall be begun, until a person takes it back.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{Extra, SchemaVersion};

/// One pause, from a person's word to a person's word. It is kept, so that a restart does not end it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    #[serde(default)]
    pub version: SchemaVersion,
    pub by: String,
    pub reason: String,
    pub since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

impl Pause {
    pub fn id(&self) -> String {
        format!("pause-{}", self.since.as_nanosecond())
    }

    pub fn in_force(&self) -> bool {
        self.ended_at.is_none()
    }
}
