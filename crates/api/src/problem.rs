//! RFC 9457: every error of the API has this one shape.

use std::any::Any;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kubewise_core::{Failure, Rejection};
use schemars::JsonSchema;
use serde::Serialize;

pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, for programs (`type`, `status`) and for people (`title`, `detail`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// `urn:kubewise:problem:` and a stable name.
    #[serde(rename = "type")]
    pub problem_type: String,
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// What was wrong this time, and what would be right.
    pub detail: String,
    /// All faults of the query, not the first only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ParameterError>,
}

/// One query parameter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ParameterError {
    pub parameter: String,
    pub detail: String,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        name: &str,
        title: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Problem {
            problem_type: format!("urn:kubewise:problem:{name}"),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    pub(crate) fn no_such_endpoint(path: &str) -> Self {
        let detail = format!("there is no `{path}`; /openapi.json lists what there is");
        Problem::new(StatusCode::NOT_FOUND, "no-such-endpoint", "No such endpoint", detail)
    }

    pub(crate) fn method_not_allowed(method: &str, path: &str) -> Self {
        let detail = format!("`{path}` does not take {method}; the `allow` header names what it takes");
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
    }

    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        let detail = format!("there is no {what} `{id}`; it may be older than the retention");
        Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    pub(crate) fn parameters(errors: Vec<ParameterError>) -> Self {
        let each: Vec<_> = errors.iter().map(|one| format!("{}: {}", one.parameter, one.detail)).collect();
        let title = "Invalid query parameters";
        Problem {
            errors,
            ..Problem::new(StatusCode::BAD_REQUEST, "invalid-parameter", title, each.join("; "))
        }
    }

    pub(crate) fn body(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", "Invalid body", detail)
    }

    pub(crate) fn unauthorized(detail: &str) -> Self {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail)
    }

    pub(crate) fn forbidden(detail: &str) -> Self {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Unavailable", detail)
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    /// The panic itself goes to the log only.
    pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(panic = text, "a request handler panicked");
        Problem::internal("a fault of KubeWise; its log has the details")
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let detail = failure.to_string();
        match failure {
            Failure::Rejected { reason: Rejection::NotFound, .. } => {
                Problem::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
            }
            Failure::Rejected { reason: Rejection::Conflict | Rejection::Superseded, .. } => {
                Problem::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
            }
            Failure::Rejected { reason: Rejection::Forbidden, .. } => Problem::forbidden(&detail),
            Failure::Rejected { reason: Rejection::Invalid, .. } => Problem::internal(detail),
            Failure::Unknown { .. } | Failure::RateLimited { .. } | Failure::Unavailable { .. } => {
                Problem::unavailable(detail)
            }
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Problem::new(rejection.status(), "invalid-body", "Invalid body", rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Problem::new(rejection.status(), "invalid-path", "Invalid path", rejection.body_text())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(r#"Bearer realm="kubewise""#);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
