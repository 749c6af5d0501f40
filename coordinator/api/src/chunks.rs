//! Chunks and their attempts. Their ranges hold keys, which are values of rows: they are not shown.

use axum::Json;
use axum::extract::{Path, State};
use ledger::{AttemptView, ChunkPage, ChunkView, Which};
use model::{ChunkId, ChunkState};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::extract::Query;
use crate::problem::{Problem, Result};
use crate::runs::{found, page_len};
use crate::{Api, time};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    limit: Option<u32>,
    after: Option<String>,
    table: Option<u32>,
    state: Option<String>,
}

/// By table, pass and place.
pub(crate) async fn list(
    State(api): State<Api>,
    Path(run): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Value>> {
    let run = found(&api, &run).await?;
    let limit = page_len(page.limit)?;
    let state = page.state.as_deref().map(str::parse::<ChunkState>).transpose();
    let state = state.map_err(|unknown| Problem::invalid(unknown.to_string()))?;
    let after = page.after.as_deref().map(id).transpose()?;
    let page = ChunkPage { table: page.table, state, after, limit };
    let chunks = api.ledger.chunks(run.id, page).await?;
    let is_full = u32::try_from(chunks.len()).is_ok_and(|len| len == limit);
    let next = chunks.last().filter(|_| is_full).map(|view| view.chunk.id);
    Ok(Json(json!({ "items": chunks.iter().map(view).collect::<Vec<_>>(), "next": next })))
}

/// With its attempts, oldest first.
pub(crate) async fn one(State(api): State<Api>, Path(chunk): Path<String>) -> Result<Json<Value>> {
    let chunk = known(&api, &chunk).await?;
    let attempts = api.ledger.attempts(chunk.chunk.id).await?;
    let mut view = view(&chunk);
    view["attempts"] = attempts.iter().map(attempt).collect();
    Ok(Json(view))
}

/// Sets a quarantined chunk going again.
pub(crate) async fn retry(State(api): State<Api>, Path(chunk): Path<String>) -> Result<Json<Value>> {
    let chunk = known(&api, &chunk).await?.chunk;
    if api.ledger.retry_chunks(chunk.run, Which::One(chunk.id)).await? == 0 {
        return Err(Problem::conflict(format!(
            "the chunk is {}; only quarantined ones are retried",
            chunk.state
        )));
    }
    Ok(Json(view(&known(&api, &chunk.id.to_string()).await?)))
}

fn id(text: &str) -> Result<ChunkId> {
    text.parse().map_err(|_| Problem::not_found("no chunk has this id"))
}

async fn known(api: &Api, text: &str) -> Result<ChunkView> {
    api.ledger.chunk(id(text)?).await?.ok_or_else(|| Problem::not_found("no chunk has this id"))
}

fn view(view: &ChunkView) -> Value {
    let at = |ms: Option<i64>| ms.and_then(time::precise);
    let chunk = &view.chunk;
    json!({
        "id": chunk.id, "run": chunk.run, "table": chunk.table, "pass": chunk.pass, "ordinal": chunk.ordinal,
        "state": chunk.state, "attempt": chunk.attempt, "tries": view.tries, "worker_deaths": view.worker_deaths,
        "worker": view.worker, "counts": view.counts, "read_ms": view.read_ms, "failure": view.failure,
        "started_at": at(view.started_ms), "ended_at": at(view.ended_ms),
        "due_at": at(Some(view.due_ms).filter(|_| chunk.state == ChunkState::Ready)),
    })
}

fn attempt(view: &AttemptView) -> Value {
    json!({
        "attempt": view.attempt, "worker": view.worker, "outcome": view.outcome.map(|outcome| outcome.name()),
        "failure": view.failure, "claimed_at": time::precise(view.claimed_ms),
        "ended_at": view.ended_ms.and_then(time::precise),
    })
}
