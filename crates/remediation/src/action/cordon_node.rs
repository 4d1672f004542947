//! Let no new pod come to a node, and let them come again. Pods that run there stay.

use kubewise_core::Kind;
use kubewise_core::plan::PlanStep;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Lower, Premise, Risk, Unmet};

const UNSCHEDULABLE: &str = "/spec/unschedulable";

/// Let no new pod come to the node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CordonNode {}

impl Lower for CordonNode {
    const NAME: &'static str = "CordonNode";
    const RISK: Risk = Risk::Low;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        node(premise)?;
        let action = premise.action(Self::NAME, json!({}));
        premise.switch(action, UNSCHEDULABLE, true, format!("let no new pod come to {}", premise.object))
    }
}

/// Let pods come to the node again. Only where KubeWise cordoned it: else a person meant it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UncordonNode {}

impl Lower for UncordonNode {
    const NAME: &'static str = "UncordonNode";
    const RISK: Risk = Risk::Low;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        node(premise)?;
        if !premise.ours(UNSCHEDULABLE) {
            return Err(Unmet(format!("KubeWise did not cordon {}", premise.object)));
        }
        let action = premise.action(Self::NAME, json!({}));
        premise.switch(action, UNSCHEDULABLE, false, format!("let pods come to {} again", premise.object))
    }
}

pub(super) fn node(premise: &Premise<'_>) -> Result<(), Unmet> {
    if premise.object.kind == Kind::Node {
        Ok(())
    } else {
        Err(Unmet(format!("{} is not a node", premise.object)))
    }
}
