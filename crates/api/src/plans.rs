//! A person's word on a proposed plan.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::routing::post;
use kubewise_core::id::PlanId;
use kubewise_core::plan::RemediationPlan;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::access::Scope;
use crate::api::Api;
use crate::endpoint::{Answer, Body, Endpoint, Parameter, Verb, schema_of};
use crate::masked;
use crate::problem::Problem;
use crate::said::{LONGEST_REASON, name, said};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Approval {
    /// Who approves, for the record.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"\S"))]
    by: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refusal {
    /// Why, for the record and for whoever meets the trouble next.
    #[schemars(length(min = 1, max = 2000), regex(pattern = r"\S"))]
    reason: String,
    /// Who rejects, for the record.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100), regex(pattern = r"\S"))]
    by: Option<String>,
}

type PlanPath = Result<Path<String>, PathRejection>;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let decision = |name: &str, handler, id: &str, summary: &str, body| Endpoint {
        verb: Verb::Post,
        path: format!("/api/v1/plans/{{id}}/{name}"),
        scope: Scope::Write,
        handler,
        id: id.into(),
        summary: summary.into(),
        parameters: vec![Parameter::id("The plan's id.")],
        body: Some(body),
        answers: vec![Answer::json::<RemediationPlan>(200)],
        problems: &[404, 409, 413, 415, 422, 500, 503],
    };
    vec![
        decision(
            "approve",
            post(approve),
            "approvePlan",
            "Lets a proposed plan run; 409 if it no longer waits.",
            Body { schema: schema_of::<Approval>, required: false },
        ),
        decision(
            "reject",
            post(reject),
            "rejectPlan",
            "Refuses a proposed plan; 409 if it no longer waits.",
            Body { schema: schema_of::<Refusal>, required: true },
        ),
    ]
}

async fn approve(
    State(api): State<Api>,
    id: PlanPath,
    body: Result<Option<Json<Approval>>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(id) = id?;
    let Json(approval) = body?.unwrap_or_default();
    let by = name(approval.by)?;
    masked::plan(&api.control.approve(&PlanId::from(id.as_str()), &by).await?).map(Json)
}

async fn reject(
    State(api): State<Api>,
    id: PlanPath,
    body: Result<Json<Refusal>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(id) = id?;
    let Json(refusal) = body?;
    let by = name(refusal.by)?;
    let reason = said("reason", &refusal.reason, LONGEST_REASON)?;
    masked::plan(&api.control.reject(&PlanId::from(id.as_str()), &by, reason).await?).map(Json)
}
