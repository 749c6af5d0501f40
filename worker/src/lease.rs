//! The heartbeat: keeps a claim, learns of cancellation, and knows when the claim must be taken for lost.

use std::time::Duration;

use ledger::{Beat, Ledger};
use model::{Attempt, ChunkId};
use tokio::time::Instant;

/// Why the heartbeat ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Someone else has the chunk, or the ledger could not be reached before the lease ran out.
    Lost,
    /// The run was cancelled or paused.
    Cancelled,
}

/// Beats until the claim is lost or the run cancelled. A lease is trusted for less than it lasts: until its end less
/// a margin, counted from when the last confirmed beat was *sent*.
pub(crate) async fn keep(ledger: &Ledger, chunk: ChunkId, attempt: Attempt, lease: Duration) -> Ended {
    let margin = lease / 6;
    let mut trusted_until = Instant::now() + lease - margin;
    loop {
        tokio::time::sleep(lease / 6).await;
        let sent = Instant::now();
        let left = trusted_until.saturating_duration_since(sent);
        match tokio::time::timeout(left, ledger.beat(chunk, attempt, lease)).await {
            Ok(Ok(Beat::Ours { cancel: true })) => return Ended::Cancelled,
            Ok(Ok(Beat::Ours { cancel: false })) => trusted_until = sent + lease - margin,
            Ok(Ok(Beat::Lost)) | Err(_) => return Ended::Lost,
            Ok(Err(error)) => tracing::warn!(error = %error, "heartbeat failed"),
        }
    }
}
