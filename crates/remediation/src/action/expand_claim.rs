//! Ask for more storage for a claim that the workload's pods mount. A claim never shrinks, so this cannot be undone.

use kubewise_core::plan::PlanStep;
use kubewise_core::quantity;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Lower, Premise, Risk, Unmet, change, write_beside};

const STORAGE: &str = "/spec/resources/requests/storage";

/// Ask for more storage for a claim.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpandClaim {
    /// The claim's name.
    claim: String,
    /// A quantity such as `20Gi`, above what it asks for now.
    size: String,
}

impl Lower for ExpandClaim {
    const NAME: &'static str = "ExpandClaim";
    const RISK: Risk = Risk::High;
    const AMOUNTS: &'static [&'static str] = &["size"];

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        let name = &self.claim;
        let mut claims = premise.evidence.claims.iter();
        let claim = claims
            .find(|claim| claim.text("/metadata/name") == Some(name))
            .ok_or_else(|| Unmet(format!("there is no claim {name}")))?;
        if claim.text("/status/phase") != Some("Bound") {
            return Err(Unmet(format!("claim {name} is not bound to a volume")));
        }
        let before = claim.text(STORAGE).and_then(quantity::parse);
        let after = quantity::parse(&self.size);
        let (Some(before), Some(after)) = (before, after) else {
            return Err(Unmet(format!(
                "{} is not an amount of storage, or that of {name} is not known",
                self.size
            )));
        };
        if after <= before {
            return Err(Unmet(format!("a claim only grows, and {name} asks for as much already")));
        }
        let parameters = json!({ "claim": name, "size": self.size });
        let changes = change(claim, STORAGE, json!(self.size)).into_iter().collect();
        let description = format!("let claim {name} grow to {}", self.size);
        let mut step = write_beside(claim, premise.action(Self::NAME, parameters), changes, description)?;
        step.reversible = false;
        Ok(vec![step])
    }
}
