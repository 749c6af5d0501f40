//! Pipelines: when they run, how it went, and a person's word on them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use ledger::{Pipeline, Start, Started};
use model::RunId;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answers::{Page, PipelineAnswer, StartedAnswer};
use crate::extract::{Body, Path};
use crate::problem::{Problem, Result};
use crate::{Api, commands};

/// Seconds from start to start: up to a year.
const EVERY_S: std::ops::RangeInclusive<u64> = 1..=366 * 86_400;

pub(crate) async fn list(State(api): State<Api>) -> Result<Json<Page<PipelineAnswer>>> {
    let pipelines = api.ledger.pipelines().await?;
    Ok(Json(Page::whole(pipelines.iter().map(PipelineAnswer::from).collect())))
}

pub(crate) async fn one(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<PipelineAnswer>> {
    Ok(Json((&named(&api, &name).await?).into()))
}

pub(crate) async fn trigger(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<(StatusCode, HeaderMap, Json<StartedAnswer>)> {
    let pipeline = named(&api, &name).await?;
    started(start(&api, &pipeline).await?)
}

pub(crate) async fn pause(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<PipelineAnswer>> {
    commands::pause(&api.ledger, &named(&api, &name).await?).await?;
    one(State(api), Path(name)).await
}

pub(crate) async fn resume(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<PipelineAnswer>> {
    commands::resume(&api.ledger, &named(&api, &name).await?).await?;
    one(State(api), Path(name)).await
}

/// How long from start to start.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PipelineInterval")]
pub(crate) struct Interval {
    /// `null`: what the file says.
    seconds: Option<u64>,
}

pub(crate) async fn interval(
    State(api): State<Api>,
    Path(name): Path<String>,
    Body(given): Body<Interval>,
) -> Result<Json<PipelineAnswer>> {
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
    match api.ledger.start_pipeline(name, Start::Asked).await? {
        Started::Run(run) => Ok(run),
        Started::StillRuns(run) => Err(Problem::conflict(format!("{run} of `{name}` is still under way"))
            .next(format!("GET /v1/runs/{run}"))),
        Started::No => Err(Problem::conflict(format!("pipeline `{name}` is paused"))
            .next(format!("POST /v1/pipelines/{name}/resume"))),
    }
}

/// The answer to a start.
pub(crate) fn started(run: RunId) -> Result<(StatusCode, HeaderMap, Json<StartedAnswer>)> {
    let mut headers = HeaderMap::new();
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/runs/{run}")) {
        headers.insert(header::LOCATION, place);
    }
    Ok((StatusCode::ACCEPTED, headers, Json(StartedAnswer { run_id: run.to_string() })))
}

pub(crate) async fn named(api: &Api, name: &str) -> Result<Pipeline> {
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
