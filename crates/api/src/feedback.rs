//! A person's word on an incident, and the suppressions that come of it.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::routing::post;
use kubewise_core::feedback::{Feedback, LONGEST_SUPPRESSION, Label, Said};
use kubewise_core::id::{FeedbackId, IncidentId};
use kubewise_core::incident::Incident;
use kubewise_core::{Period, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::Scope;
use crate::api::Api;
use crate::endpoint::{Answer, Body, Endpoint, Parameter, Verb, schema_of};
use crate::problem::Problem;
use crate::said::{LONGEST_REASON, name, said};

/// What is said of an incident.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Word {
    /// `True`: it was trouble. `False`: it was none. `Expected`: such is to be held back until `until`.
    label: Label,
    /// Who says it; of a suppression its owner. Needed for `Expected`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100), regex(pattern = r"\S"))]
    by: Option<String>,
    /// Why; needed for `Expected`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2000), regex(pattern = r"\S"))]
    reason: Option<String>,
    /// When the suppression ends, at most 90 days ahead; only for `Expected`, and needed there.
    #[serde(default)]
    until: Option<Timestamp>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Release {
    /// What was seen to, for the record.
    #[schemars(length(min = 1, max = 2000), regex(pattern = r"\S"))]
    reason: String,
    /// Who says so, for the record.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100), regex(pattern = r"\S"))]
    by: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct End {
    /// Who ends it, for the record.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"\S"))]
    by: Option<String>,
}

type IdPath = Result<Path<String>, PathRejection>;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let answer = || vec![Answer::json::<Feedback>(200)];
    vec![
        Endpoint {
            verb: Verb::Post,
            path: "/api/v1/incidents/{id}/feedback".into(),
            scope: Scope::Write,
            handler: post(say),
            id: "sayFeedback".into(),
            summary: "Says whether an incident was trouble; or suppresses its like for a while.".into(),
            parameters: vec![Parameter::id("The incident's id.")],
            body: Some(Body { schema: schema_of::<Word>, required: true }),
            answers: answer(),
            problems: &[404, 413, 415, 422, 500, 503],
        },
        Endpoint {
            verb: Verb::Post,
            path: "/api/v1/incidents/{id}/release".into(),
            scope: Scope::Write,
            handler: post(release),
            id: "releaseIncident".into(),
            summary:
                "Gives back what a stuck repair holds, since a person saw to it; 409 if it is not stuck."
                    .into(),
            parameters: vec![Parameter::id("The incident's id.")],
            body: Some(Body { schema: schema_of::<Release>, required: true }),
            answers: vec![Answer::json::<Incident>(200)],
            problems: &[404, 409, 413, 415, 422, 500, 503],
        },
        Endpoint {
            verb: Verb::Post,
            path: "/api/v1/feedback/{id}/end".into(),
            scope: Scope::Write,
            handler: post(end),
            id: "endSuppression".into(),
            summary: "Ends a suppression now; 409 if it is none or is over.".into(),
            parameters: vec![Parameter::id("The feedback's id.")],
            body: Some(Body { schema: schema_of::<End>, required: false }),
            answers: answer(),
            problems: &[404, 409, 413, 415, 422, 500, 503],
        },
    ]
}

async fn say(
    State(api): State<Api>,
    id: IdPath,
    body: Result<Json<Word>, JsonRejection>,
) -> Result<Json<Feedback>, Problem> {
    let Path(id) = id?;
    let Json(word) = body?;
    if word.label == Label::Expected {
        check_suppression(&word, api.introspection.status().now)?;
    } else if word.until.is_some() {
        return Err(Problem::body(format!("`until` is only for Expected; {} has no end", word.label)));
    }
    let reason = word.reason.as_deref().map(|reason| said("reason", reason, LONGEST_REASON)).transpose()?;
    let said = Said {
        label: word.label,
        reason: reason.unwrap_or_default().into(),
        by: name(word.by)?,
        until: word.until,
    };
    Ok(Json(api.control.say(&IncidentId::from(id.as_str()), said).await?))
}

/// A suppression has a reason, an owner and an end.
fn check_suppression(word: &Word, now: Timestamp) -> Result<(), Problem> {
    let needed =
        [("by", word.by.is_some()), ("reason", word.reason.is_some()), ("until", word.until.is_some())];
    let missing: Vec<&str> = needed.iter().filter(|(_, given)| !given).map(|(field, _)| *field).collect();
    if !missing.is_empty() {
        return Err(Problem::body(format!("Expected also needs `{}`", missing.join("`, `"))));
    }
    let until = word.until.unwrap_or(now);
    if until <= now {
        return Err(Problem::body(format!("`until` is {until}, which is over; it is {now}")));
    }
    if Period::between(now, until) > LONGEST_SUPPRESSION {
        return Err(Problem::body(format!("`until` is {until}; at most 90 days ahead can be suppressed")));
    }
    Ok(())
}

async fn release(
    State(api): State<Api>,
    id: IdPath,
    body: Result<Json<Release>, JsonRejection>,
) -> Result<Json<Incident>, Problem> {
    let Path(id) = id?;
    let Json(release) = body?;
    let by = name(release.by)?;
    let reason = said("reason", &release.reason, LONGEST_REASON)?;
    Ok(Json(api.control.release(&IncidentId::from(id.as_str()), &by, reason).await?))
}

async fn end(
    State(api): State<Api>,
    id: IdPath,
    body: Result<Option<Json<End>>, JsonRejection>,
) -> Result<Json<Feedback>, Problem> {
    let Path(id) = id?;
    let Json(end) = body?.unwrap_or_default();
    Ok(Json(api.control.end_suppression(&FeedbackId::from(id.as_str()), &name(end.by)?).await?))
}
