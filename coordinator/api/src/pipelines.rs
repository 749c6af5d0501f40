//! Pipelines: when they run, how it went, and a person's word on them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use ledger::{Pipeline, Started};
use model::RunId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::extract::Body;
use crate::problem::{Problem, Result};
use crate::{Api, commands, time};

/// Seconds from start to start: up to a year.
const EVERY_S: std::ops::RangeInclusive<u64> = 1..=366 * 86_400;

pub(crate) async fn list(State(api): State<Api>) -> Result<Json<Value>> {
    let pipelines = api.ledger.pipelines().await?;
    Ok(Json(json!({ "items": pipelines.iter().map(view).collect::<Vec<_>>() })))
}

pub(crate) async fn one(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>> {
    Ok(Json(view(&named(&api, &name).await?)))
}

pub(crate) async fn trigger(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<(StatusCode, HeaderMap, Json<Value>)> {
    let pipeline = named(&api, &name).await?;
    started(start(&api, &pipeline).await?)
}

pub(crate) async fn pause(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>> {
    commands::pause(&api.ledger, &named(&api, &name).await?).await?;
    one(State(api), Path(name)).await
}

pub(crate) async fn resume(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>> {
    commands::resume(&api.ledger, &named(&api, &name).await?).await?;
    one(State(api), Path(name)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interval {
    /// Absent: what the file says.
    seconds: Option<u64>,
}

pub(crate) async fn interval(
    State(api): State<Api>,
    Path(name): Path<String>,
    Body(given): Body<Interval>,
) -> Result<Json<Value>> {
    named(&api, &name).await?;
    set_interval(&api, &name, given.seconds).await?;
    one(State(api), Path(name)).await
}

pub(crate) async fn set_interval(api: &Api, name: &str, seconds: Option<u64>) -> Result<()> {
    if seconds.is_some_and(|seconds| !EVERY_S.contains(&seconds)) {
        return Err(Problem::invalid("an interval is from one second to a year"));
    }
    api.ledger.set_pipeline_interval(name, seconds).await?;
    Ok(())
}

/// A run that begins now.
pub(crate) async fn start(api: &Api, pipeline: &Pipeline) -> Result<RunId> {
    let name = &pipeline.name;
    match api.ledger.start_pipeline(name, None).await? {
        Started::Run(run) => Ok(run),
        Started::StillRuns(run) => Err(Problem::conflict(format!("{run} of `{name}` is still under way"))
            .next(format!("GET /v1/runs/{run}"))),
        Started::No => Err(Problem::conflict(format!("pipeline `{name}` is paused"))
            .next(format!("POST /v1/pipelines/{name}/resume"))),
    }
}

/// The answer to a start.
pub(crate) fn started(run: RunId) -> Result<(StatusCode, HeaderMap, Json<Value>)> {
    let mut headers = HeaderMap::new();
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/runs/{run}")) {
        headers.insert(header::LOCATION, place);
    }
    Ok((StatusCode::ACCEPTED, headers, Json(json!({ "run_id": run }))))
}

async fn named(api: &Api, name: &str) -> Result<Pipeline> {
    let found = api.ledger.pipelines().await?.into_iter().find(|pipeline| pipeline.name == name);
    found.ok_or_else(|| Problem::not_found("no pipeline has this name").next("GET /v1/pipelines"))
}

/// The pipeline that is named, else the one marked `default`, else the only one.
pub(crate) async fn meant(api: &Api, name: Option<&str>) -> Result<Pipeline> {
    if let Some(name) = name {
        return named(api, name).await;
    }
    let mut pipelines = api.ledger.pipelines().await?;
    if let Some(at) = pipelines.iter().position(|pipeline| pipeline.is_default) {
        return Ok(pipelines.swap_remove(at));
    }
    let names = pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect::<Vec<_>>().join(", ");
    match (pipelines.pop(), pipelines.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Problem::not_found("there is no pipeline yet").next("syncline serve SPEC")),
        (Some(_), false) => {
            let detail = format!("none of these is the default: {names}");
            Err(Problem::conflict(detail).next("add ?pipeline=NAME, or `default: true` to a spec"))
        }
    }
}

fn view(pipeline: &Pipeline) -> Value {
    let at = |ms: Option<i64>| ms.and_then(time::precise);
    json!({
        "name": pipeline.name,
        "is_default": pipeline.is_default,
        "source": pipeline.spec.source.address(),
        "target": pipeline.spec.target.address(),
        "schedule": pipeline.schedule,
        "interval_set_seconds": pipeline.every_s,
        "paused_at": at(pipeline.paused_ms),
        "cause": pipeline.cause,
        "next_at": at(pipeline.next_ms),
        "last_run": pipeline.last_run,
        "last_start_at": at(pipeline.last_start_ms),
        "registered_at": at(Some(pipeline.registered_ms)),
    })
}
