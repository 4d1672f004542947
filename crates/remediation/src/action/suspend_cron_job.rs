//! Let a CronJob start no Job for a while. Jobs that run go on.

use kubewise_core::Kind;
use kubewise_core::plan::PlanStep;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Lower, Premise, Risk, Unmet};

const SUSPEND: &str = "/spec/suspend";

/// Let the CronJob start no Job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SuspendCronJob {}

impl Lower for SuspendCronJob {
    const NAME: &'static str = "SuspendCronJob";
    const RISK: Risk = Risk::Low;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        cron_job(premise)?;
        let action = premise.action(Self::NAME, json!({}));
        premise.switch(action, SUSPEND, true, format!("let {} start no Job", premise.object))
    }
}

/// Let the CronJob start Jobs again. Only where KubeWise suspended it: else a person meant it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeCronJob {}

impl Lower for ResumeCronJob {
    const NAME: &'static str = "ResumeCronJob";
    const RISK: Risk = Risk::Low;

    fn lower(self, premise: &Premise<'_>) -> Result<Vec<PlanStep>, Unmet> {
        cron_job(premise)?;
        if !premise.ours(SUSPEND) {
            return Err(Unmet(format!("KubeWise did not suspend {}", premise.object)));
        }
        let action = premise.action(Self::NAME, json!({}));
        premise.switch(action, SUSPEND, false, format!("let {} start Jobs again", premise.object))
    }
}

fn cron_job(premise: &Premise<'_>) -> Result<(), Unmet> {
    if premise.object.kind == Kind::CronJob {
        Ok(())
    } else {
        Err(Unmet(format!("{} is not a CronJob", premise.object)))
    }
}
