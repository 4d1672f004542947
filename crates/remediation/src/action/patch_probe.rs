//! Give a probe of a container more patience. It is never made stricter: that could take down what serves.

use kubewise_core::plan::{FieldChange, PlanStep};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Lower, Premise, Risk, TEMPLATE, Unmet};

/// Beyond an hour a probe tells nothing any more.
const LONGEST_SECONDS: u32 = 3_600;
/// The API server's defaults.
const DEFAULTS: [(&str, u32); 4] =
    [("initialDelaySeconds", 0), ("timeoutSeconds", 1), ("periodSeconds", 10), ("failureThreshold", 3)];

/// Give a probe more patience. What is left out stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PatchProbe {
    container: String,
    probe: Probe,
    #[serde(default)]
    initial_delay_seconds: Option<u32>,
    #[serde(default)]
    timeout_seconds: Option<u32>,
    #[serde(default)]
    period_seconds: Option<u32>,
    #[serde(default)]
    failure_threshold: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Probe {
    Liveness,
    Readiness,
    Startup,
}

impl Probe {
    fn as_str(self) -> &'static str {
        match self {
            Probe::Liveness => "liveness",
            Probe::Readiness => "readiness",
            Probe::Startup => "startup",
        }
    }
}

impl Lower for PatchProbe {
    const NAME: &'static str = "PatchProbe";
    const RISK: Risk = Risk::Medium;
    const AMOUNTS: &'static [&'static str] =
        &["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold"];

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        let (index, container) = premise.container(&self.container)?;
        let (name, probe) = (&self.container, self.probe.as_str());
        let current = container
            .get(format!("{probe}Probe"))
            .ok_or_else(|| Unmet(format!("container {name} has no {probe} probe")))?;
        let wanted =
            [self.initial_delay_seconds, self.timeout_seconds, self.period_seconds, self.failure_threshold];
        let base = format!("{TEMPLATE}/spec/containers/{index}");
        // The index alone could mean another container by the time of the write.
        let mut changes = vec![FieldChange {
            path: format!("{base}/name"),
            before: Some(json!(name)),
            after: Some(json!(name)),
        }];
        let mut parameters = json!({ "container": name, "probe": probe });
        let mut told = Vec::new();
        for ((key, default), wanted) in DEFAULTS.into_iter().zip(wanted) {
            let Some(wanted) = wanted else { continue };
            let before = current.get(key).cloned();
            let now = before.as_ref().and_then(Value::as_u64).unwrap_or(default.into());
            if u64::from(wanted) < now || wanted > LONGEST_SECONDS {
                return Err(Unmet(format!("{key} of {wanted} gives the probe no more patience than {now}")));
            }
            parameters[key] = json!(wanted);
            if u64::from(wanted) > now {
                told.push(format!("{key} from {now} to {wanted}"));
                let path = format!("{base}/{probe}Probe/{key}");
                changes.push(FieldChange { path, before, after: Some(json!(wanted)) });
            }
        }
        if told.is_empty() {
            return Err(Unmet(format!("the {probe} probe of {name} has this patience already")));
        }
        Ok(vec![premise.write(
            premise.action(Self::NAME, parameters),
            changes,
            format!("set {} of the {probe} probe of {name} of {}", told.join(" and "), premise.object),
            premise.rollout_disruption(),
        )])
    }
}
