//! Questions about plans and their author. What asks the author costs money, and so needs the token; everything else
//! reads.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::routing::{MethodRouter, get, post};
use kubewise_core::author::{Explanation, Question, Spending, Trial};
use kubewise_core::id::IncidentId;
use serde_json::Value;

use crate::access::Scope;
use crate::api::Api;
use crate::endpoint::{Answer, Endpoint, Parameter, Verb};
use crate::masked;
use crate::problem::Problem;

type Id = Result<Path<String>, PathRejection>;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let question = |verb, path: &str, handler: MethodRouter<Api>, id: &str, summary: &str, answer| Endpoint {
        verb,
        path: path.into(),
        scope: match verb {
            Verb::Get => Scope::Read,
            Verb::Post => Scope::Write,
        },
        handler,
        id: id.into(),
        summary: summary.into(),
        parameters: vec![Parameter::id("The incident's id.")],
        body: None,
        answers: vec![answer],
        problems: &[404, 500, 503],
    };
    vec![
        Endpoint {
            parameters: vec![Parameter::id("The id of a plan or an incident.")],
            problems: &[404, 409, 500, 503],
            ..question(
                Verb::Get,
                "/api/v1/plans/{id}/prompt",
                get(prompt),
                "getPrompt",
                "What was sent to the author, or would be; 409 if there is nothing to ask.",
                Answer::json::<Question>(200),
            )
        },
        question(
            Verb::Get,
            "/api/v1/incidents/{id}/explanation",
            get(explanation),
            "getExplanation",
            "The incident told to a person: as the author told it before, or from a template. Asks nobody.",
            Answer::json::<Explanation>(200),
        ),
        question(
            Verb::Post,
            "/api/v1/incidents/{id}/explanation",
            post(explain),
            "explainIncident",
            "Has the author tell the incident to a person, within the caps; else from a template, with the reason.",
            Answer::json::<Explanation>(200),
        ),
        question(
            Verb::Get,
            "/api/v1/incidents/{id}/plan",
            get(trial),
            "tryPlan",
            "What would be planned now; nothing is kept or done, and the author is not asked.",
            Answer::json::<Trial>(200),
        ),
        Endpoint {
            parameters: Vec::new(),
            problems: &[],
            ..question(
                Verb::Get,
                "/api/v1/spending",
                get(async |State(api): State<Api>| Json(api.inquiry.spending())),
                "getSpending",
                "What the author has cost, and the caps.",
                Answer::json::<Spending>(200),
            )
        },
    ]
}

async fn prompt(State(api): State<Api>, id: Id) -> Result<Json<Question>, Problem> {
    let Path(id) = id?;
    Ok(Json(api.inquiry.prompt(&id).await?))
}

async fn explanation(State(api): State<Api>, id: Id) -> Result<Json<Explanation>, Problem> {
    let Path(id) = id?;
    Ok(Json(api.inquiry.explain(&IncidentId::from(id.as_str()), false).await?))
}

async fn explain(State(api): State<Api>, id: Id) -> Result<Json<Explanation>, Problem> {
    let Path(id) = id?;
    Ok(Json(api.inquiry.explain(&IncidentId::from(id.as_str()), true).await?))
}

async fn trial(State(api): State<Api>, id: Id) -> Result<Json<Value>, Problem> {
    let Path(id) = id?;
    masked::plan(&api.inquiry.try_plan(&IncidentId::from(id.as_str())).await?).map(Json)
}
