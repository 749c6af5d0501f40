//! Runs: the record of each, and a person's word on it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ledger::{Heeded, Run, Which};
use model::{RunId, RunState};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answers::{Limits, Page, RecordAnswer, RetriedAnswer, RunAnswer};
use crate::extract::{Body, Path, Query};
use crate::problem::{Problem, Result};
use crate::{Api, commands};

const PAGE: u32 = 50;
const PAGE_MAX: u32 = 500;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AskedRuns")]
pub(crate) struct Asked {
    /// Runs of a page, 1 to 500; 50 if absent.
    limit: Option<u32>,
    /// The last run of the page before.
    after: Option<String>,
}

/// Rows of a page that is asked for.
pub(crate) fn page_len(limit: Option<u32>) -> Result<u32> {
    let limit = limit.unwrap_or(PAGE);
    if (1..=PAGE_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::invalid(format!("limit is from 1 to {PAGE_MAX}")))
    }
}

/// Newest first.
pub(crate) async fn list(State(api): State<Api>, Query(page): Query<Asked>) -> Result<Json<Page<RunAnswer>>> {
    let limit = page_len(page.limit)?;
    let before = match &page.after {
        None => None,
        Some(after) => Some(found(&api, after).await?.turn),
    };
    let runs = api.ledger.runs_before(before, limit).await?;
    Ok(Json(Page::of(&runs, limit, |run| run.id.to_string())))
}

/// The record, table by table.
pub(crate) async fn one(State(api): State<Api>, Path(run): Path<String>) -> Result<Json<RecordAnswer>> {
    let run = found(&api, &run).await?;
    let record = api.ledger.record(run.id).await?.ok_or_else(unknown)?;
    Ok(Json(RecordAnswer::new(&run, &record)))
}

pub(crate) async fn pause(State(api): State<Api>, Path(run): Path<String>) -> Result<Json<RunAnswer>> {
    let run = found(&api, &run).await?;
    match api.ledger.pause_run(run.id).await? {
        Heeded::Yes | Heeded::Already => after(&api, run.id).await,
        Heeded::No(state) => Err(cannot(&run, state)),
    }
}

pub(crate) async fn resume(State(api): State<Api>, Path(run): Path<String>) -> Result<Json<RunAnswer>> {
    let run = found(&api, &run).await?;
    if !commands::resume_run(&api.ledger, &run).await? {
        return Err(cannot(&run, run.state));
    }
    after(&api, run.id).await
}

/// Chunks in hand are given back within seconds; then it is cancelled.
pub(crate) async fn cancel(
    State(api): State<Api>,
    Path(run): Path<String>,
) -> Result<(StatusCode, Json<RunAnswer>)> {
    let run = found(&api, &run).await?;
    if !api.ledger.request_cancel(run.id).await? {
        return Err(cannot(&run, run.state));
    }
    Ok((StatusCode::ACCEPTED, after(&api, run.id).await?))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// Chunks of this table only, by its number in the record.
    table: Option<u32>,
}

/// Sets quarantined chunks going again.
pub(crate) async fn retry(
    State(api): State<Api>,
    Path(run): Path<String>,
    Query(retry): Query<Retry>,
) -> Result<Json<RetriedAnswer>> {
    let run = found(&api, &run).await?;
    let which = retry.table.map_or(Which::All, Which::Table);
    let chunks = api.ledger.retry_chunks(run.id, which).await?;
    Ok(Json(RetriedAnswer { run: run.id.to_string(), chunks }))
}

pub(crate) async fn limits(
    State(api): State<Api>,
    Path(run): Path<String>,
    Body(given): Body<Limits>,
) -> Result<Json<RunAnswer>> {
    let run = found(&api, &run).await?;
    if run.state.is_terminal() {
        return Err(cannot(&run, run.state));
    }
    if given.rows == Some(0) || given.bytes == Some(0) {
        return Err(Problem::invalid("a limit is at least 1; null takes it away, pause holds the run"));
    }
    api.ledger.set_limits(run.id, model::Limits { rows: given.rows, bytes: given.bytes }).await?;
    after(&api, run.id).await
}

/// The run of this id.
pub(crate) async fn found(api: &Api, id: &str) -> Result<Run> {
    let id: RunId = id.parse().map_err(|_| unknown())?;
    api.ledger.run(id).await?.ok_or_else(unknown)
}

async fn after(api: &Api, id: RunId) -> Result<Json<RunAnswer>> {
    Ok(Json((&api.ledger.run(id).await?.ok_or_else(unknown)?).into()))
}

pub(crate) fn unknown() -> Problem {
    Problem::not_found("no run has this id").next("GET /v1/runs")
}

fn cannot(run: &Run, state: RunState) -> Problem {
    Problem::conflict(format!("{} is {state}", run.id)).next(format!("GET /v1/runs/{}", run.id))
}
