//! Whether this process lives, can work, and what it depends on.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use connectors::Role;
use futures::future::join_all;
use model::ConnectionSpec;
use schemars::JsonSchema;
use serde::Serialize;

use crate::Api;
use crate::problem::Result;

/// Longest wait for a database to say that it is there.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The process answers.
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// The ledger answers: without it nothing can be started, and nothing be told.
pub(crate) async fn readyz(State(api): State<Api>) -> (StatusCode, &'static str) {
    match tokio::time::timeout(ANSWER_MAX, api.ledger.now_ms()).await {
        Ok(Ok(_)) => (StatusCode::OK, "ok\n"),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the ledger does not answer\n"),
    }
}

/// What answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Version {
    version: &'static str,
}

pub(crate) async fn version(State(api): State<Api>) -> Json<Version> {
    Json(Version { version: api.version })
}

/// `healthy` or `unhealthy`, in all and each by itself.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    status: &'static str,
    ledger: &'static str,
    pipelines: Vec<PipelineHealth>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PipelineHealth {
    pipeline: String,
    source: &'static str,
    target: &'static str,
}

/// Ledger, and source and target of every pipeline. 503 if any of them is away.
pub(crate) async fn healthz(State(api): State<Api>) -> Result<(StatusCode, Json<Health>)> {
    let pipelines = api.ledger.pipelines().await?;
    let looks = pipelines.iter().map(|pipeline| async {
        let spec = &pipeline.spec;
        let (source, target) = tokio::join!(
            is_there(&api, &spec.source, Role::Source),
            is_there(&api, &spec.target, Role::Target)
        );
        PipelineHealth { pipeline: pipeline.name.clone(), source: word(source), target: word(target) }
    });
    let pipelines = join_all(looks).await;
    let all = pipelines.iter().all(|found| [found.source, found.target] == [word(true); 2]);
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(Health { status: word(all), ledger: word(true), pipelines })))
}

/// Whether the database of a connection answers, with the login that runs use.
pub(crate) async fn is_there(api: &Api, spec: &ConnectionSpec, role: Role) -> bool {
    let Ok(database) = api.connections.get(spec, role) else { return false };
    matches!(tokio::time::timeout(ANSWER_MAX, database.server()).await, Ok(Ok(_)))
}

pub(crate) const fn word(is_well: bool) -> &'static str {
    if is_well { "healthy" } else { "unhealthy" }
}
