//! The OpenAPI document, made of the list of routes and the types of bodies and answers. It is checked in at
//! `schema/openapi.v1.json`.

use std::sync::LazyLock;

use axum::http::{Method, header};
use axum::response::IntoResponse;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::problem::ProblemBody;
use crate::routes::{Route, Says, routes};

static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", openapi()));

pub(crate) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

/// The document, version 3.1.
fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<ProblemBody>();
    let mut paths = Map::new();
    for route in routes() {
        let of_path = paths.entry(route.path).or_insert_with(|| json!({}));
        of_path[route.method.as_str().to_ascii_lowercase()] = operation(&route, &problem, &mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Syncline",
            "version": "1",
            "description": "Pipelines, runs, chunks and workers. Keys and values of rows are never in an answer. Times are \
                RFC 3339, UTC. Without any token only this machine is answered; `x-role` is the role that a token needs.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route, problem: &Schema, schemas: &mut SchemaGenerator) -> Value {
    let says = match route.says {
        Says::Json(schema) => json!({ "application/json": { "schema": schema(schemas) } }),
        Says::Text(kind) => json!({ (kind): { "schema": { "type": "string" } } }),
    };
    let problems = json!({ "description": "Not done, and why", "content": { "application/problem+json": { "schema": problem } } });
    let mut operation = json!({
        "summary": route.summary,
        "operationId": name_of(route),
        "parameters": parameters(route, schemas),
        "responses": {
            route.status.to_string(): { "description": "Done", "content": says },
            "default": problems,
        },
    });
    if let Some(body) = route.takes {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": body(schemas) } } });
    }
    if let Some(role) = route.role {
        operation["security"] = json!([{ "token": [] }]);
        operation["x-role"] = json!(role);
    }
    operation
}

/// `post_v1_runs_run_pause`.
fn name_of(route: &Route) -> String {
    let path = route.path.replace(['{', '}'], "").replace(['/', '.'], "_");
    format!("{}{path}", route.method.as_str().to_ascii_lowercase())
}

fn parameters(route: &Route, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if route.method == Method::POST {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "A request that is sent again with the same key within a day is not done again, and is answered alike.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
        }));
    }
    let Some(asks) = route.asks else { return parameters };
    let reference = asks(schemas);
    let name = reference.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let known = name.and_then(|name| schemas.definitions_mut().shift_remove(name));
    let fields = known.as_ref().and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    for (name, schema) in fields.into_iter().flatten() {
        let mut schema = schema.clone();
        let told = schema.as_object_mut().and_then(|fields| fields.shift_remove("description"));
        let mut parameter = json!({ "name": name, "in": "query", "required": false, "schema": schema });
        if let Some(told) = told {
            parameter["description"] = told;
        }
        parameters.push(parameter);
    }
    parameters
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// Set to write the document instead of comparing it.
    const UPDATE_VARIABLE: &str = "SYNCLINE_UPDATE_SCHEMA";

    /// What clients were built from changes only where somebody sees it change.
    #[test]
    fn the_checked_in_document_is_the_generated_one() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schema/openapi.v1.json");
        if std::env::var_os(UPDATE_VARIABLE).is_some() {
            fs::write(&path, DOCUMENT.as_str()).expect("writes");
        }
        let checked_in = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(checked_in, *DOCUMENT, "set {UPDATE_VARIABLE}=1 and run this test to write it");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = openapi();
        let mut open = vec![&document];
        let mut references = 0;
        while let Some(value) = open.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(path) = fields.get("$ref").and_then(Value::as_str) {
                        references += 1;
                        assert!(document.pointer(path.trim_start_matches('#')).is_some(), "{path}");
                    }
                    open.extend(fields.values());
                }
                Value::Array(items) => open.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        assert!(references > routes().len(), "{references}");
    }
}
