//! KubeWise itself: health, readiness, metrics, configuration, status, and this API's description.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use kubewise_core::autonomy::AutonomyReport;
use kubewise_core::health::{ComponentHealth, HealthStatus, Status};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::access::Scope;
use crate::api::Api;
use crate::endpoint::{Answer, Endpoint, Parameter, Verb, nearest, pairs};
use crate::openapi::openapi;
use crate::problem::{ParameterError, Problem};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const LEVELS: [&str; 3] = ["basic", "detailed", "dependencies"];

/// Health at the level that was asked for.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    status: HealthStatus,
    /// Loops and queues; at level `detailed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<BTreeMap<String, ComponentHealth>>,
    /// Prometheus, Kubernetes, the store; at levels `detailed` and `dependencies`.
    #[serde(skip_serializing_if = "Option::is_none")]
    dependencies: Option<BTreeMap<String, ComponentHealth>>,
}

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let plain = |path: &str, scope, handler, id: &str, summary: &str, answers| Endpoint {
        verb: Verb::Get,
        path: path.into(),
        scope,
        handler,
        id: id.into(),
        summary: summary.into(),
        parameters: Vec::new(),
        body: None,
        answers,
        problems: &[],
    };
    vec![
        Endpoint {
            parameters: vec![Parameter::query(
                "level",
                "How much to tell: the status alone, everything (the default), or what KubeWise depends on.",
                json!({ "type": "string", "enum": LEVELS, "default": "detailed" }),
            )],
            ..plain(
                "/health",
                Scope::Open,
                get(health),
                "getHealth",
                "How KubeWise does; 503 if it cannot do its work, or does not know yet.",
                vec![Answer::json::<Health>(200), Answer::json::<Health>(503)],
            )
        },
        plain(
            "/livez",
            Scope::Open,
            get(async || ([(header::CONTENT_TYPE, PLAIN)], "ok\n")),
            "getLiveness",
            "Whether the process serves.",
            vec![Answer::text(PLAIN)],
        ),
        Endpoint {
            problems: &[503],
            ..plain(
                "/readyz",
                Scope::Open,
                get(ready),
                "getReadiness",
                "Whether KubeWise does its work; 503 with the reason if not.",
                vec![Answer::text(PLAIN)],
            )
        },
        plain(
            "/metrics",
            Scope::Read,
            get(async |State(api): State<Api>| {
                ([(header::CONTENT_TYPE, OPEN_METRICS)], api.introspection.metrics())
            }),
            "getMetrics",
            "KubeWise's own metrics in OpenMetrics text.",
            vec![Answer::text(OPEN_METRICS)],
        ),
        plain(
            "/openapi.json",
            Scope::Read,
            get(async || Json(openapi())),
            "getOpenapi",
            "This description.",
            vec![Answer::json::<Value>(200)],
        ),
        plain(
            "/api/v1/config",
            Scope::Read,
            get(async |State(api): State<Api>| Json(api.introspection.configuration())),
            "getConfig",
            "The effective configuration, secrets masked.",
            vec![Answer::json::<Value>(200)],
        ),
        Endpoint {
            problems: &[500, 503],
            ..plain(
                "/api/v1/autonomy",
                Scope::Read,
                get(async |State(api): State<Api>| -> Result<_, Problem> {
                    Ok(Json(api.introspection.autonomy().await?))
                }),
                "getAutonomy",
                "How far each action is trusted with each class of workloads, and why.",
                vec![Answer::json::<AutonomyReport>(200)],
            )
        },
        plain(
            "/api/v1/status",
            Scope::Read,
            get(async |State(api): State<Api>| Json(api.introspection.status())),
            "getStatus",
            "What KubeWise does right now: mode, leadership, queries, queues, counts.",
            vec![Answer::json::<Status>(200)],
        ),
    ]
}

async fn health(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    let level = pairs(&uri)?.into_iter().find(|(name, _)| name == "level").map(|(_, level)| level);
    let level = level.as_deref().unwrap_or("detailed");
    if !LEVELS.contains(&level) {
        let hint = nearest(level, LEVELS.into_iter()).map(|near| format!("; did you mean `{near}`?"));
        let detail =
            format!("`{level}` is not a level; levels are {}{}", LEVELS.join(", "), hint.unwrap_or_default());
        return Err(Problem::parameters(vec![ParameterError { parameter: "level".into(), detail }]));
    }
    let report = api.introspection.health();
    let health = Health {
        status: report.status,
        components: (level == "detailed").then_some(report.components),
        dependencies: (level != "basic").then_some(report.dependencies),
    };
    let code = if works(report.status) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((code, Json(health)).into_response())
}

async fn ready(State(api): State<Api>) -> Result<Response, Problem> {
    let report = api.introspection.health();
    if works(report.status) {
        return Ok(([(header::CONTENT_TYPE, PLAIN)], "ok\n").into_response());
    }
    let missing: Vec<String> = report
        .components
        .iter()
        .chain(&report.dependencies)
        .filter(|(_, part)| !works(part.status))
        .map(|(name, part)| format!("{name} is {:?}: {}", part.status, part.message))
        .collect();
    Err(Problem::unavailable(format!("not ready ({:?}): {}", report.status, missing.join("; "))))
}

/// Nothing known yet is not health.
fn works(status: HealthStatus) -> bool {
    match status {
        HealthStatus::Healthy | HealthStatus::Degraded => true,
        HealthStatus::Unhealthy | HealthStatus::Unknown => false,
    }
}
