//! Workers, and sending one home.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use model::WorkerId;
use serde_json::{Value, json};

use crate::problem::{Problem, Result};
use crate::{Api, time};

/// A worker that was not seen for so long is taken for dead.
const SILENT_AFTER_MS: i64 = 20_000;

pub(crate) async fn list(State(api): State<Api>) -> Result<Json<Value>> {
    let now = api.ledger.now_ms().await?;
    let workers = api.ledger.workers().await?;
    let items: Vec<Value> = workers
        .iter()
        .map(|worker| {
            let state = if worker.retired_ms.is_some() {
                "left"
            } else if now - worker.seen_ms > SILENT_AFTER_MS {
                "silent"
            } else if worker.drain_ms.is_some() {
                "draining"
            } else {
                "alive"
            };
            json!({
                "id": worker.id, "host": worker.host, "pid": worker.pid, "version": worker.version, "state": state,
                "slots": worker.slots, "running": worker.running, "started_at": time::precise(worker.started_ms),
                "seen_at": time::precise(worker.seen_ms),
            })
        })
        .collect();
    Ok(Json(json!({ "items": items })))
}

/// Asks a worker to finish what it holds and leave.
pub(crate) async fn drain(
    State(api): State<Api>,
    Path(worker): Path<String>,
) -> Result<(StatusCode, Json<Value>)> {
    if !api.ledger.drain_worker(&WorkerId(worker.clone())).await? {
        let known = api.ledger.workers().await?.into_iter().find(|known| known.id.0 == worker);
        return Err(match known {
            None => Problem::not_found("no worker has this id"),
            Some(_) => Problem::conflict("the worker has left, or was asked before"),
        });
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": worker, "state": "draining" }))))
}
