//! Chunks and their attempts. Their ranges hold keys, which are values of rows: they are not shown.

use axum::Json;
use axum::extract::State;
use ledger::{ChunkPage, ChunkView, Which};
use model::{ChunkId, ChunkState};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Api;
use crate::answers::{AttemptAnswer, ChunkAnswer, ChunkHistory, Page};
use crate::extract::{Path, Query};
use crate::problem::{Problem, Result};
use crate::runs::{found, page_len};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AskedChunks")]
pub(crate) struct Asked {
    /// Chunks of a page, 1 to 500; 50 if absent.
    limit: Option<u32>,
    /// The last chunk of the page before.
    after: Option<String>,
    /// Chunks of this table only, by its number in the record.
    table: Option<u32>,
    /// Chunks in this state only.
    state: Option<String>,
}

/// By table, pass and place.
pub(crate) async fn list(
    State(api): State<Api>,
    Path(run): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page<ChunkAnswer>>> {
    let run = found(&api, &run).await?;
    let limit = page_len(asked.limit)?;
    let state = asked.state.as_deref().map(str::parse::<ChunkState>).transpose();
    let state = state.map_err(|unknown| Problem::invalid(unknown.to_string()))?;
    let after = asked.after.as_deref().map(id).transpose()?;
    let page = ChunkPage { table: asked.table, state, after, limit };
    let chunks = api.ledger.chunks(run.id, page).await?;
    Ok(Json(Page::of(&chunks, limit, |view| view.chunk.id.to_string())))
}

/// With its attempts, oldest first.
pub(crate) async fn one(State(api): State<Api>, Path(chunk): Path<String>) -> Result<Json<ChunkHistory>> {
    let chunk = known(&api, &chunk).await?;
    let attempts = api.ledger.attempts(chunk.chunk.id).await?;
    let attempts = attempts.iter().map(AttemptAnswer::from).collect();
    Ok(Json(ChunkHistory { chunk: (&chunk).into(), attempts }))
}

/// Sets a quarantined chunk going again.
pub(crate) async fn retry(State(api): State<Api>, Path(chunk): Path<String>) -> Result<Json<ChunkAnswer>> {
    let chunk = known(&api, &chunk).await?.chunk;
    if api.ledger.retry_chunks(chunk.run, Which::One(chunk.id)).await? == 0 {
        let detail = format!("the chunk is {}; only quarantined ones are retried", chunk.state);
        return Err(Problem::conflict(detail));
    }
    Ok(Json((&known(&api, &chunk.id.to_string()).await?).into()))
}

/// The id that a text is.
pub(crate) fn id(text: &str) -> Result<ChunkId> {
    text.parse().map_err(|_| Problem::not_found("no chunk has this id"))
}

/// The chunk of this id.
pub(crate) async fn known(api: &Api, text: &str) -> Result<ChunkView> {
    api.ledger.chunk(id(text)?).await?.ok_or_else(|| Problem::not_found("no chunk has this id"))
}
