//! Hold a Deployment's rollout where it is, and let it go on.

use kubewise_core::Kind;
use kubewise_core::plan::PlanStep;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Lower, Premise, Risk, Unmet};

const PAUSED: &str = "/spec/paused";

/// Hold the rollout where it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseRollout {}

impl Lower for PauseRollout {
    const NAME: &'static str = "PauseRollout";
    const RISK: Risk = Risk::Low;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        deployment(premise)?;
        let action = premise.action(Self::NAME, json!({}));
        premise.switch(action, PAUSED, true, format!("hold the rollout of {}", premise.object))
    }
}

/// Let the rollout go on. Only where KubeWise held it: else a person meant it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeRollout {}

impl Lower for ResumeRollout {
    const NAME: &'static str = "ResumeRollout";
    const RISK: Risk = Risk::Medium;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        deployment(premise)?;
        if !premise.ours(PAUSED) {
            return Err(Unmet(format!("KubeWise did not hold the rollout of {}", premise.object)));
        }
        let action = premise.action(Self::NAME, json!({}));
        let mut steps =
            premise.switch(action, PAUSED, false, format!("let the rollout of {} go on", premise.object))?;
        for step in &mut steps {
            step.disruption = premise.rollout_disruption();
        }
        Ok(steps)
    }
}

fn deployment(premise: &Premise<'_>) -> Result<(), Unmet> {
    if premise.object.kind == Kind::Deployment {
        Ok(())
    } else {
        Err(Unmet(format!("{} has no rollout that can be held", premise.object)))
    }
}
