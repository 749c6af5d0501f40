//! The heartbeat: keeps a claim, learns of cancellation, and knows when the claim must be taken for lost.

use ledger::Beat;
use model::{Attempt, ChunkId};
use tokio::time::Instant;

use crate::Worker;
use crate::progress::Progress;

/// Why the heartbeat ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Someone else has the chunk.
    Lost,
    /// The ledger could not be reached before the lease ran out.
    Unreachable,
    /// The run is paused or cancelled.
    GiveBack,
    /// The attempt made no step for as long as a worker may.
    Stuck,
}

/// Beats until the claim is lost or wanted back, or nothing has moved for too long. A lease is trusted for less than it
/// lasts: until its end less a margin, counted from when the last confirmed beat was *sent*.
pub(crate) async fn keep(worker: &Worker, chunk: ChunkId, attempt: Attempt, progress: &Progress) -> Ended {
    let (lease, margin) = (worker.lease, worker.lease / 6);
    let mut trusted_until = Instant::now() + lease - margin;
    let mut moved = (progress.steps(), Instant::now());
    loop {
        // Six beats fit into one lease, so that some may be lost.
        tokio::time::sleep(lease / 6).await;
        let sent = Instant::now();
        if progress.steps() != moved.0 {
            moved = (progress.steps(), sent);
        } else if sent - moved.1 > worker.stuck_after {
            return Ended::Stuck;
        }
        let left = trusted_until.saturating_duration_since(sent);
        match tokio::time::timeout(left, worker.ledger.beat(chunk, attempt, lease)).await {
            Ok(Ok(Beat::Ours { give_back: true })) => return Ended::GiveBack,
            Ok(Ok(Beat::Ours { give_back: false })) => trusted_until = sent + lease - margin,
            Ok(Ok(Beat::Lost)) => return Ended::Lost,
            Err(_) => return Ended::Unreachable,
            Ok(Err(error)) => tracing::warn!(error = %error, "heartbeat failed"),
        }
    }
}
