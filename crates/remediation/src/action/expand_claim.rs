//! Ask for more storage for a claim that the workload's pods mount. A claim never shrinks, so this cannot be undone.

use kubewise_core::plan::PlanStep;
use kubewise_core::quantity;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::set_resources::Amount;
use super::{Lower, Premise, Risk, Unmet, change, write_beside};

pub(crate) const STORAGE: &str = "/spec/resources/requests/storage";

/// Ask for more storage for a claim.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpandClaim {
    /// The claim's name.
    claim: String,
    /// Bytes, or a quantity such as `20Gi`, above what it asks for now.
    size: Amount,
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
        let Some(before) = before else {
            return Err(Unmet(format!("how much storage {name} asks for is not known")));
        };
        let written = self.size.written("storage")?;
        let size = if let Amount::Quantity(text) = self.size { text } else { written };
        let after = quantity::parse(&size).unwrap_or_default();
        if after <= before {
            return Err(Unmet(format!("a claim only grows, and {name} asks for as much already")));
        }
        let parameters = json!({ "claim": name, "size": size });
        let changes = change(claim, STORAGE, json!(size)).into_iter().collect();
        let description = format!("let claim {name} grow to {size}");
        let mut step = write_beside(claim, premise.action(Self::NAME, parameters), changes, description)?;
        step.reversible = false;
        Ok(vec![step])
    }
}
