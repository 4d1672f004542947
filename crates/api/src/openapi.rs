//! The OpenAPI 3.1 document, made from the endpoints and from the types' own schemas.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::access::Scope;
use crate::endpoint::{self, Endpoint, Place, Verb, schema_of};
use crate::problem::{self, Problem};

/// Describes every endpoint and every type that it takes or gives.
pub fn openapi() -> Value {
    // OpenAPI 3.1 schemas are JSON Schema 2020-12; only the place of definitions differs.
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .with_transform(RecursiveTransform(as_written));
    let mut given = settings.clone().for_serialize().into_generator();
    let mut taken = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in endpoint::all() {
        let verb = match endpoint.verb {
            Verb::Get => "get",
            Verb::Post => "post",
        };
        let operation = operation(&endpoint, &mut given, &mut taken);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[verb] = operation;
    }
    let mut schemas = given.take_definitions(true);
    schemas.extend(taken.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "KubeWise",
            "description": "Trouble noticed in a Kubernetes cluster, and what was done about it.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed to change anything; beyond loopback also to read.",
                },
            },
        },
    })
}

/// JSON Schema means ISO 8601 by a duration, `PT15S`; periods are written `15s`.
fn as_written(schema: &mut Schema) {
    if schema.get("format").is_some_and(|format| format == "duration") {
        schema.remove("format");
    }
}

fn operation(endpoint: &Endpoint, given: &mut SchemaGenerator, taken: &mut SchemaGenerator) -> Value {
    let parameters: Vec<Value> = endpoint
        .parameters
        .iter()
        .map(|parameter| {
            json!({
                "name": parameter.name,
                "in": match parameter.place { Place::Path => "path", Place::Query => "query" },
                "required": parameter.place == Place::Path,
                "description": parameter.description,
                "schema": parameter.schema,
            })
        })
        .collect();
    let mut operation = json!({
        "operationId": endpoint.id,
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": responses(endpoint, given),
    });
    if let Some(body) = &endpoint.body {
        operation["requestBody"] = json!({ "required": body.required, "content": content("application/json", &(body.schema)(taken)) });
    }
    match endpoint.scope {
        Scope::Open => {}
        // Either alternative will do: on loopback none is needed.
        Scope::Read => operation["security"] = json!([{ "token": [] }, {}]),
        Scope::Write => operation["security"] = json!([{ "token": [] }]),
    }
    operation
}

fn responses(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for answer in &endpoint.answers {
        let schema = (answer.schema)(generator);
        let description = if answer.status == 200 { "The answer." } else { "The answer, with bad news." };
        responses.insert(
            answer.status.to_string(),
            json!({ "description": description, "content": content(answer.media_type, &schema) }),
        );
    }
    let gate: &[u16] = if endpoint.scope == Scope::Open { &[400] } else { &[400, 401, 403] };
    let problem = schema_of::<Problem>(generator);
    for status in gate.iter().chain(endpoint.problems) {
        responses.insert(
            status.to_string(),
            json!({ "description": meaning(*status), "content": content(problem::MEDIA_TYPE, &problem) }),
        );
    }
    responses.into()
}

fn content(media_type: &str, schema: &Schema) -> Value {
    json!({ media_type: { "schema": schema } })
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The query, the path or the body cannot be read.",
        401 => "The token is missing or wrong.",
        403 => "A token is needed, and none is configured.",
        404 => "There is no such record.",
        409 => "The plan no longer waits, or there is nothing to ask.",
        413 => "The body is too large.",
        415 => "The body is not JSON.",
        422 => "The body is not what is asked for.",
        503 => "Something that this needs does not answer now.",
        _ => "A fault of KubeWise.",
    }
}
