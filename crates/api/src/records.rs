//! Lists of records, and single ones.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::routing::get;
use kubewise_core::action::{ActionStatus, ExecutedActionRecord};
use kubewise_core::anomaly::{AnomalyRecord, AnomalyStatus};
use kubewise_core::author::{AuthorCall, CallOutcome};
use kubewise_core::capture::{Capture, CaptureStatus};
use kubewise_core::event::{EventRecord, EventType};
use kubewise_core::feedback::{Feedback, Label};
use kubewise_core::incident::{Incident, IncidentStatus};
use kubewise_core::plan::{PlanStatus, RemediationPlan};
use kubewise_core::record::RecordKind;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use crate::access::Scope;
use crate::api::Api;
use crate::endpoint::{Answer, Endpoint, Parameter, Verb};
use crate::filter;
use crate::masked;
use crate::problem::Problem;

/// One page, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
struct List<T> {
    items: Vec<T>,
    /// Send it as `cursor` for the next page; null on the last.
    next: Option<String>,
}

/// The records of one kind.
struct Collection {
    kind: RecordKind,
    statuses: Vec<String>,
}

pub(crate) fn endpoints() -> Vec<Endpoint> {
    [
        collection::<AnomalyRecord, AnomalyStatus>(RecordKind::Anomaly, "anomalies", "Anomaly", "Anomalies"),
        collection::<Incident, IncidentStatus>(RecordKind::Incident, "incidents", "Incident", "Incidents"),
        collection::<RemediationPlan, PlanStatus>(RecordKind::Plan, "plans", "Plan", "Plans"),
        collection::<ExecutedActionRecord, ActionStatus>(RecordKind::Action, "actions", "Action", "Actions"),
        collection::<Capture, CaptureStatus>(RecordKind::Capture, "captures", "Capture", "Captures"),
        collection::<EventRecord, EventType>(RecordKind::Event, "events", "Event", "Events"),
        collection::<Feedback, Label>(RecordKind::Feedback, "feedback", "Feedback", "Feedback"),
        collection::<AuthorCall, CallOutcome>(RecordKind::Call, "calls", "Call", "Calls"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The list at `/api/v1/{path}` and its items; `T` is the record, `S` its status.
fn collection<T: JsonSchema, S: JsonSchema>(
    kind: RecordKind,
    path: &str,
    one: &str,
    many: &str,
) -> [Endpoint; 2] {
    let statuses = variants::<S>();
    let parameters = filter::parameters(&statuses);
    let listed = Arc::new(Collection { kind, statuses });
    let list = Endpoint {
        verb: Verb::Get,
        path: format!("/api/v1/{path}"),
        scope: Scope::Read,
        handler: get(async move |State(api): State<Api>, uri: Uri| list(&api, &listed, &uri).await),
        id: format!("list{many}"),
        summary: format!("{many}, newest first; all given filters must hold."),
        parameters,
        body: None,
        answers: vec![Answer::json::<List<T>>(200)],
        problems: &[500, 503],
    };
    let item = Endpoint {
        verb: Verb::Get,
        path: format!("/api/v1/{path}/{{id}}"),
        scope: Scope::Read,
        handler: get(async move |State(api): State<Api>, id: Result<Path<String>, PathRejection>| {
            item(&api, kind, id).await
        }),
        id: format!("get{one}"),
        summary: format!("One {}.", kind.as_str()),
        parameters: vec![Parameter::id("The record's id.")],
        body: None,
        answers: vec![Answer::json::<T>(200)],
        problems: &[404, 500, 503],
    };
    [list, item]
}

async fn list(api: &Api, collection: &Collection, uri: &Uri) -> Result<Json<List<Value>>, Problem> {
    let now = || api.introspection.status().now;
    let query = filter::parse(uri, collection.kind, &collection.statuses, now)?;
    let page = api.store.find(&query).await?;
    let items = page.records.iter().map(masked::record).collect::<Result<_, _>>()?;
    Ok(Json(List { items, next: page.next.map(|cursor| cursor.to_string()) }))
}

async fn item(
    api: &Api,
    kind: RecordKind,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let Path(id) = id?;
    let record = api.store.get(kind, &id).await?;
    masked::record(&record.ok_or_else(|| Problem::not_found(kind.as_str(), &id))?).map(Json)
}

/// The words of an enum without fields, as its schema has them: plain, or one by one with their descriptions.
fn variants<S: JsonSchema>() -> Vec<String> {
    let schema = SchemaGenerator::default().into_root_schema_for::<S>().to_value();
    let words = |schema: &Value| -> Vec<String> {
        let plain = schema["enum"].as_array().into_iter().flatten();
        plain.chain(schema.get("const")).filter_map(|word| Some(word.as_str()?.to_owned())).collect()
    };
    let described = schema["oneOf"].as_array().into_iter().flatten().flat_map(words);
    words(&schema).into_iter().chain(described).collect()
}
