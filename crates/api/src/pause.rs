//! A person's word that nothing shall be begun, and that it may again.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::routing::post;
use kubewise_core::pause::Pause;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::Scope;
use crate::api::Api;
use crate::endpoint::{Answer, Body, Endpoint, Verb, schema_of};
use crate::problem::Problem;
use crate::said::{LONGEST_REASON, name, said};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Pausing {
    /// Why, for whoever wonders that nothing is done.
    #[schemars(length(min = 1, max = 2000), regex(pattern = r"\S"))]
    reason: String,
    /// Who pauses, for the record.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100), regex(pattern = r"\S"))]
    by: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Resumption {
    /// Who resumes, for the record.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"\S"))]
    by: Option<String>,
}

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let word = |path: &str, handler, id: &str, summary: &str, body| Endpoint {
        verb: Verb::Post,
        path: path.into(),
        scope: Scope::Write,
        handler,
        id: id.into(),
        summary: summary.into(),
        parameters: Vec::new(),
        body: Some(body),
        answers: vec![Answer::json::<Pause>(200)],
        problems: &[409, 413, 415, 422, 500, 503],
    };
    vec![
        word(
            "/api/v1/pause",
            post(pause),
            "pause",
            "Begins nothing from now on, also after a restart; harm is still undone. 409 if it is paused already.",
            Body { schema: schema_of::<Pausing>, required: true },
        ),
        word(
            "/api/v1/resume",
            post(resume),
            "resume",
            "Takes the pause back; 409 if there is none.",
            Body { schema: schema_of::<Resumption>, required: false },
        ),
    ]
}

async fn pause(
    State(api): State<Api>,
    body: Result<Json<Pausing>, JsonRejection>,
) -> Result<Json<Pause>, Problem> {
    let Json(pausing) = body?;
    let by = name(pausing.by)?;
    let reason = said("reason", &pausing.reason, LONGEST_REASON)?;
    Ok(Json(api.control.pause(&by, reason).await?))
}

async fn resume(
    State(api): State<Api>,
    body: Result<Option<Json<Resumption>>, JsonRejection>,
) -> Result<Json<Pause>, Problem> {
    let Json(resumption) = body?.unwrap_or_default();
    let by = name(resumption.by)?;
    Ok(Json(api.control.resume(&by).await?))
}
