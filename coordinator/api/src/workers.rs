//! Workers, what waits for them, and sending one home.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::WorkerId;

use crate::Api;
use crate::answers::{Page, QueueAnswer, WorkerAnswer};
use crate::extract::Path;
use crate::problem::{Problem, Result};

/// The ones seen last first.
pub(crate) async fn list(State(api): State<Api>) -> Result<Json<Page<WorkerAnswer>>> {
    let now = api.ledger.now_ms().await?;
    let workers = api.ledger.workers().await?;
    Ok(Json(Page::whole(workers.iter().map(|worker| WorkerAnswer::new(worker, now)).collect())))
}

/// What all runs that are under way have left.
pub(crate) async fn queue(State(api): State<Api>) -> Result<Json<QueueAnswer>> {
    Ok(Json(QueueAnswer::new(api.ledger.queue_tally().await?)))
}

/// Asks a worker to finish what it holds and leave.
pub(crate) async fn drain(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<WorkerAnswer>)> {
    let asked = api.ledger.drain_worker(&WorkerId(id.clone())).await?;
    let now = api.ledger.now_ms().await?;
    let known = api.ledger.workers().await?.into_iter().find(|known| known.id.0 == id);
    match (known, asked) {
        (Some(worker), true) => Ok((StatusCode::ACCEPTED, Json(WorkerAnswer::new(&worker, now)))),
        (Some(_), false) => Err(Problem::conflict("the worker has left, or was asked before")),
        (None, _) => Err(Problem::not_found("no worker has this id")),
    }
}
