//! Replace every pod of the workload by its own rollout strategy.

use kubewise_core::plan::{FieldChange, PlanStep};
use kubewise_core::request::pointer;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Lower, Premise, Risk, TEMPLATE, Unmet};

/// Set in the pod template; its value is the plan, so that the restart is recognised after a crash.
const RESTARTED_BY: &str = "kubewise.dev/restarted-by";

/// Replace every pod of the workload by its own rollout strategy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RolloutRestart {}

impl Lower for RolloutRestart {
    const NAME: &'static str = "RolloutRestart";
    const RISK: Risk = Risk::Medium;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        let template = premise.template()?;
        let value = json!(premise.plan.as_str());
        let annotations = template.pointer("/metadata/annotations").and_then(Value::as_object);
        let change = match (template.get("metadata"), annotations) {
            (_, Some(annotations)) => FieldChange {
                path: format!("{TEMPLATE}/metadata{}", pointer(&["annotations", RESTARTED_BY])),
                before: annotations.get(RESTARTED_BY).cloned(),
                after: Some(value),
            },
            (Some(_), None) => FieldChange {
                path: format!("{TEMPLATE}/metadata/annotations"),
                before: None,
                after: Some(json!({ RESTARTED_BY: value })),
            },
            (None, None) => FieldChange {
                path: format!("{TEMPLATE}/metadata"),
                before: None,
                after: Some(json!({ "annotations": { RESTARTED_BY: value } })),
            },
        };
        let mut step = premise.write(
            premise.action(Self::NAME, json!({})),
            vec![change],
            format!("restart {}", premise.object),
            premise.rollout_disruption(),
        );
        step.reversible = false;
        Ok(vec![step])
    }
}
