//! A write that a fence refused: is someone newer at work, or has the ledger forgotten what was?

use connectors::config::Role;
use connectors::{Error, Fence, fence_of};
use model::{ChunkOutcome, ConnectionSpec, ErrorKind, Failure};
use tracing::info;

use crate::Worker;

/// The outcome of an attempt that was refused; `None` if a newer attempt sees to the chunk. If nobody does, because a
/// restored ledger gives out numbers that the target has seen long ago, the run halts: else the chunk would be taken
/// for one that workers die on.
pub(crate) async fn refused(
    worker: &Worker,
    target: &ConnectionSpec,
    fence: &Fence,
    error: &Error,
) -> Option<ChunkOutcome> {
    if is_behind(worker, target, fence, error.kind).await {
        let what = "the target has seen runs or attempts that the ledger does not know";
        return Some(ChunkOutcome::Halted(Failure::new(ErrorKind::LedgerBehind, format!("{error}; {what}"))));
    }
    if error.kind == ErrorKind::Overtaken {
        return Some(ChunkOutcome::Halted(error.failure()));
    }
    info!(error = %error, "fenced");
    None
}

/// Asks the target first: what it has seen by then, the ledger must know. An answer that cannot be had counts as no.
async fn is_behind(worker: &Worker, target: &ConnectionSpec, fence: &Fence, kind: ErrorKind) -> bool {
    let Ok(target) = worker.connections.get(target, Role::Target) else { return false };
    if kind == ErrorKind::Overtaken {
        let Ok(history) = target.history(fence.install).await else { return false };
        return worker.ledger.turn().await.is_ok_and(|turn| turn < history.turn);
    }
    let Ok(Some(seen)) = fence_of(&*target, (fence.install, fence.run), fence.chunk).await else {
        return false;
    };
    worker.ledger.is_behind(&[(fence.chunk, seen)]).await.unwrap_or(false)
}
