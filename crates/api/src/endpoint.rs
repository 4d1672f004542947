//! A route together with its description, and the gate in front of it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::access::{Access, Scope};
use crate::api::Api;
use crate::problem::{ParameterError, Problem};
use crate::{feedback, inquiry, pause, plans, records, system};

/// How a type describes itself.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
}

pub(crate) struct Endpoint {
    pub(crate) verb: Verb,
    pub(crate) path: String,
    pub(crate) scope: Scope,
    pub(crate) handler: MethodRouter<Api>,
    /// Names the operation in generated clients.
    pub(crate) id: String,
    pub(crate) summary: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
    /// What comes when nothing is wrong, or with a status that is not an error of the request.
    pub(crate) answers: Vec<Answer>,
    /// Statuses that come with a [`Problem`], beside those that the gate gives.
    pub(crate) problems: &'static [u16],
}

pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) description: &'static str,
    pub(crate) schema: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
}

pub(crate) struct Body {
    pub(crate) schema: SchemaOf,
    pub(crate) required: bool,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media_type: &'static str,
    pub(crate) schema: SchemaOf,
}

impl Parameter {
    pub(crate) fn query(name: &'static str, description: &'static str, schema: Value) -> Self {
        Parameter { name, place: Place::Query, description, schema }
    }

    pub(crate) fn id(description: &'static str) -> Self {
        Parameter { name: "id", place: Place::Path, description, schema: json!({ "type": "string" }) }
    }
}

impl Answer {
    pub(crate) fn json<T: JsonSchema>(status: u16) -> Self {
        Answer { status, media_type: "application/json", schema: schema_of::<T> }
    }

    pub(crate) fn text(media_type: &'static str) -> Self {
        Answer { status: 200, media_type, schema: schema_of::<String> }
    }
}

/// Every endpoint there is.
pub(crate) fn all() -> Vec<Endpoint> {
    let mut all = system::endpoints();
    all.extend(records::endpoints());
    all.extend(plans::endpoints());
    all.extend(feedback::endpoints());
    all.extend(pause::endpoints());
    all.extend(inquiry::endpoints());
    all
}

pub(crate) fn routes(access: &Access) -> Router<Api> {
    all().into_iter().fold(Router::new(), |router, endpoint| {
        let gate = Gate {
            access: access.clone(),
            scope: endpoint.scope,
            parameters: endpoint
                .parameters
                .iter()
                .filter(|parameter| parameter.place == Place::Query)
                .map(|parameter| parameter.name)
                .collect(),
        };
        let handler = endpoint.handler.route_layer(from_fn_with_state(Arc::new(gate), pass));
        router.route(&endpoint.path, handler)
    })
}

struct Gate {
    access: Access,
    scope: Scope,
    parameters: Vec<&'static str>,
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let admitted = gate.access.admit(gate.scope, request.headers());
    match admitted.and_then(|()| check_query(request.uri(), &gate.parameters)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// A misspelt filter that is ignored would answer with everything, which reads like an answer to the question.
fn check_query(uri: &axum::http::Uri, known: &[&str]) -> Result<(), Problem> {
    let given = pairs(uri)?;
    let mut errors = Vec::new();
    for (position, (name, value)) in given.iter().enumerate() {
        let detail = if given[..position].iter().any(|(earlier, _)| earlier == name) {
            "given twice".into()
        } else if known.contains(&name.as_str()) {
            if !value.is_empty() {
                continue;
            }
            "empty; give a value or leave it out".into()
        } else if known.is_empty() {
            "unknown; this endpoint takes none".into()
        } else {
            match nearest(name, known.iter().copied()) {
                Some(near) => format!("unknown; did you mean `{near}`?"),
                None => format!("unknown; there are {}", known.join(", ")),
            }
        };
        errors.push(ParameterError { parameter: name.clone(), detail });
    }
    if errors.is_empty() { Ok(()) } else { Err(Problem::parameters(errors)) }
}

/// The query string, decoded.
pub(crate) fn pairs(uri: &axum::http::Uri) -> Result<Vec<(String, String)>, Problem> {
    match Query::try_from_uri(uri) {
        Ok(Query(pairs)) => Ok(pairs),
        Err(rejection) => {
            let detail = rejection.body_text();
            Err(Problem::parameters(vec![ParameterError { parameter: "query".into(), detail }]))
        }
    }
}

/// The valid word that was probably meant.
pub(crate) fn nearest<'a>(given: &str, valid: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this, two words have too little in common to be one misspelt.
    const ALIKE: f64 = 0.75;
    let given = given.to_lowercase();
    valid
        .map(|word| (strsim::jaro_winkler(&given, &word.to_lowercase()), word))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}
