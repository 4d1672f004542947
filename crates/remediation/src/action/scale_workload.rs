//! Set the number of replicas.

use kubewise_core::Kind;
use kubewise_core::plan::{FieldChange, PlanStep};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Lower, Premise, Risk, Unmet};

/// Set the number of replicas.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScaleWorkload {
    /// 1 or more.
    replicas: i64,
}

impl Lower for ScaleWorkload {
    const NAME: &'static str = "ScaleWorkload";
    const RISK: Risk = Risk::Low;
    const AMOUNTS: &'static [&'static str] = &["replicas"];

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        if !matches!(premise.object.kind, Kind::Deployment | Kind::StatefulSet) {
            return Err(Unmet(format!("{} has no number of replicas to set", premise.object)));
        }
        let replicas = i32::try_from(self.replicas)
            .ok()
            .filter(|replicas| *replicas >= 0)
            .ok_or_else(|| Unmet(format!("{} is not a number of replicas", self.replicas)))?;
        let before = premise.workload.0.pointer("/spec/replicas").cloned();
        let current = before.as_ref().and_then(serde_json::Value::as_i64).unwrap_or(1);
        if current == i64::from(replicas) {
            return Err(Unmet(format!("{} has {replicas} replicas already", premise.object)));
        }
        let change = FieldChange { path: "/spec/replicas".into(), before, after: Some(json!(replicas)) };
        let lost = u32::try_from(current - i64::from(replicas)).unwrap_or(0);
        Ok(vec![premise.write(
            premise.action(Self::NAME, json!({ "replicas": replicas })),
            vec![change],
            format!("scale {} from {current} to {replicas} replicas", premise.object),
            lost,
        )])
    }
}
