//! Change the bounds of a HorizontalPodAutoscaler, which owns the number of replicas.

use kubewise_core::plan::PlanStep;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Lower, Premise, Risk, Unmet, change, write_beside};
use crate::policy::{MAX_REPLICAS, replicas};

/// Change the bounds of the autoscaler that scales the workload. What is left out stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ChangeAutoscaler {
    /// The autoscaler's name.
    autoscaler: String,
    #[serde(default)]
    min_replicas: Option<u32>,
    #[serde(default)]
    max_replicas: Option<u32>,
}

impl Lower for ChangeAutoscaler {
    const NAME: &'static str = "ChangeAutoscaler";
    const RISK: Risk = Risk::Low;
    const AMOUNTS: &'static [&'static str] = &["minReplicas", "maxReplicas"];

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        let name = &self.autoscaler;
        let mut autoscalers = premise.evidence.autoscalers.iter();
        let document = autoscalers
            .find(|document| {
                document.text("/kind") == Some("HorizontalPodAutoscaler")
                    && document.text("/metadata/name") == Some(name)
            })
            .ok_or_else(|| Unmet(format!("there is no HorizontalPodAutoscaler {name}")))?;
        let bound = |wanted: Option<u32>, path: &str, default: u64| {
            wanted.map_or_else(|| document.number(path).unwrap_or(default), u64::from)
        };
        let (low, high) = ("/spec/minReplicas", MAX_REPLICAS);
        let (min, max) = (bound(self.min_replicas, low, 1), bound(self.max_replicas, high, 0));
        if min > max {
            return Err(Unmet(format!("the least, {min}, would be above the most, {max}")));
        }
        let wanted = [(self.min_replicas, low), (self.max_replicas, high)];
        let changes: Vec<_> =
            wanted.into_iter().filter_map(|(wanted, path)| change(document, path, json!(wanted?))).collect();
        if changes.is_empty() {
            return Err(Unmet(format!("HorizontalPodAutoscaler {name} has these bounds already")));
        }
        let mut parameters = json!({ "autoscaler": name });
        for (key, wanted) in [("minReplicas", self.min_replicas), ("maxReplicas", self.max_replicas)] {
            if let Some(wanted) = wanted {
                parameters[key] = json!(wanted);
            }
        }
        let description = format!("let HorizontalPodAutoscaler {name} scale between {min} and {max}");
        let action = premise.action(Self::NAME, parameters);
        let mut step = write_beside(document, action, changes, description)?;
        let running = replicas(&premise.workload.0);
        step.disruption = self.max_replicas.map_or(0, |most| running.saturating_sub(most));
        Ok(vec![step])
    }
}
