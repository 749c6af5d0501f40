//! One chunk, start to finish: claim → read → convert → merge → verify → settle.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use tokio::time::Instant;

use connectors::Fence;
use futures::FutureExt as _;
use ledger::{Again, Claimed, Settled};
use model::chunk::ORDINAL_STEP;
use model::{Attempt, ChunkId, ChunkOutcome, Disposition, ErrorKind, Failure, Pass};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info, warn};

use crate::passes::Attempt as Work;
use crate::progress::Progress;
use crate::{Worker, behind, lease, retry};

/// Settling is tried this often before the chunk is left to the reaper.
const SETTLE_TRIES: u32 = 5;
/// What an attempt came to is held for so long while the ledger is away: an outage then costs no attempt.
const HOLD_MAX: Duration = Duration::from_secs(600);
const SETTLE_PAUSE: Duration = Duration::from_millis(500);

/// Processes one job. Always returns: what came of it is in the ledger, and what could not be written there is
/// found by the reaper when the lease ends.
pub(crate) async fn process(worker: &Worker, job: queue::ChunkJob, abort: &CancellationToken) {
    let Ok(chunk) = job.chunk.parse::<ChunkId>() else {
        warn!("job names no chunk");
        return;
    };
    failpoint::point("k0").await;
    // Passed when a job begins, which is after the one before was acknowledged.
    failpoint::point("k8").await;
    let claimed = match worker.ledger.claim(chunk, Attempt(job.attempt_seen), &worker.id, worker.lease).await
    {
        Ok(Some(claimed)) => claimed,
        Ok(None) => {
            debug!(%chunk, "chunk is settled or taken");
            return;
        }
        Err(error) => {
            warn!(%chunk, error = %error, "claim failed");
            worker.sight.doubt_ledger();
            return;
        }
    };
    failpoint::point_at("k1", claimed.chunk.ordinal / ORDINAL_STEP).await;
    let span = tracing::info_span!(
        "chunk", run = %claimed.chunk.run, table = claimed.chunk.table, chunk = %chunk, attempt = %claimed.chunk.attempt
    );
    async {
        let (attempt, ordinal) = (claimed.chunk.attempt, claimed.chunk.ordinal / ORDINAL_STEP);
        let retry = claimed.run.spec.retry;
        if let Some(outcome) = attempted(worker, claimed, abort).await {
            let next =
                Again { after: retry.delay(attempt.0, seam::fraction()), attempts_max: retry.attempts };
            settle(worker, (chunk, attempt), outcome, next, abort).await;
            failpoint::point_at("k7", ordinal).await;
        }
    }
    .instrument(span)
    .await;
    worker.settled.notify_one();
}

/// The outcome of the attempt, or `None` if the chunk is not ours any more and nothing may be said about it.
async fn attempted(worker: &Worker, claimed: Claimed, abort: &CancellationToken) -> Option<ChunkOutcome> {
    let (chunk, attempt) = (claimed.chunk.id, claimed.chunk.attempt);
    let progress = Progress::default();
    let work = AssertUnwindSafe(execute(worker, claimed, progress.clone())).catch_unwind();
    tokio::select! {
        biased;
        done = work => match done {
            Ok(outcome) => outcome,
            Err(_) => Some(ChunkOutcome::Failed(Failure::new(ErrorKind::Internal, "the worker panicked; this is a bug"))),
        },
        ended = lease::keep(worker, chunk, attempt, &progress) => match ended {
            lease::Ended::GiveBack => Some(ChunkOutcome::Yielded),
            lease::Ended::Stuck => {
                failpoint::reached("stuck");
                let what = format!("nothing moved for {:?}", worker.stuck_after);
                Some(ChunkOutcome::Failed(Failure::new(ErrorKind::Timeout, what)))
            }
            lease::Ended::Unreachable => {
                warn!("the ledger does not answer; the chunk is given back when it does");
                worker.sight.doubt_ledger();
                Some(ChunkOutcome::Yielded)
            }
            lease::Ended::Lost => {
                warn!("lease lost; the chunk was dropped");
                worker.sight.doubt_ledger();
                None
            }
        },
        () = abort.cancelled() => Some(ChunkOutcome::Yielded),
    }
}

async fn execute(worker: &Worker, claimed: Claimed, progress: Progress) -> Option<ChunkOutcome> {
    let Claimed { chunk, run, plan, is_replay, corrections, .. } = claimed;
    let pass = chunk.pass;
    let fence = Fence {
        install: worker.ledger.install(),
        run: run.id,
        turn: run.turn,
        chunk: chunk.id,
        attempt: chunk.attempt,
    };
    let work = Work::new(worker, (chunk, plan), fence.clone(), &run, progress)
        .map(|work| if is_replay { work.replaying(&corrections) } else { work });
    let result = match work {
        Ok(work) => match pass {
            Pass::Copy | Pass::Again => retry::inside(|| work.copy()).await,
            Pass::Verify => retry::inside(|| work.verify()).await,
            Pass::Sweep => retry::inside(|| work.sweep()).await,
            Pass::Delete => match approved(worker, &work).await {
                Ok(approved) => retry::inside(|| work.delete(approved)).await,
                Err(failure) => return Some(ChunkOutcome::Failed(failure)),
            },
        },
        Err(error) => Err(error),
    };
    if let Err(error) = &result
        && worker.sight.blames(&worker.connections, &run.spec, error).await
    {
        info!(error = %error, "given back: a database is out of sight");
        return Some(ChunkOutcome::Yielded);
    }
    match result {
        Ok(report) => Some(ChunkOutcome::Done(report)),
        Err(error) if matches!(error.kind, ErrorKind::Fenced | ErrorKind::Overtaken) => {
            behind::refused(worker, &run.spec.target, &fence, &error).await
        }
        Err(error) => match error.kind.disposition() {
            Disposition::Stand => {
                failpoint::reached("fenced");
                info!(error = %error, "fenced");
                None
            }
            Disposition::Halt => {
                error!(component = "sync_service", operation = "sync_failed", cause = %error, "failed");
                Some(ChunkOutcome::Halted(error.failure()))
            }
            Disposition::Retry
            | Disposition::Shrink
            | Disposition::QuarantineRow
            | Disposition::QuarantineChunk => {
                warn!(error = %error, "attempt failed");
                Some(ChunkOutcome::Failed(error.failure()))
            }
        },
    }
}

/// Rows that the sweep of the same range counted. The delete pass has the sweep's ranges, place by place.
async fn approved(worker: &Worker, work: &Work) -> Result<u64, Failure> {
    let chunk = &work.chunk;
    let swept = worker.ledger.chunk_at(chunk.run, chunk.table, Pass::Sweep, chunk.ordinal).await;
    match swept {
        Ok(Some(swept)) if swept.chunk.range == chunk.range => Ok(swept.counts.extra),
        Ok(_) => Err(Failure::new(ErrorKind::Internal, "nobody counted the rows of this range")),
        Err(error) => Err(Failure::new(error.kind, error.to_string())),
    }
}

/// Tells the ledger, which may be away for a while: then the outcome is held, and with it the place of this chunk, since
/// without a ledger no other could be claimed. A settle that was written but not answered is refused as stale the
/// second time, which is as good.
async fn settle(
    worker: &Worker,
    (chunk, attempt): (ChunkId, Attempt),
    outcome: ChunkOutcome,
    next: Again,
    abort: &CancellationToken,
) {
    let give_up = Instant::now() + HOLD_MAX;
    for tried in 1.. {
        match worker.ledger.settle(chunk, attempt, &outcome, next).await {
            Ok(Settled::Yes(state)) => {
                debug!(%state, "settled");
                return;
            }
            Ok(Settled::Stale) => {
                failpoint::reached("stale-settle");
                info!("settle refused: a newer attempt owns the chunk");
                return;
            }
            Err(error) => {
                warn!(error = %error, "settle failed");
                worker.sight.doubt_ledger();
                let again = if error.is_away() { Instant::now() < give_up } else { tried < SETTLE_TRIES };
                if !again || abort.is_cancelled() {
                    return;
                }
                tokio::select! {
                    biased;
                    () = abort.cancelled() => {}
                    () = tokio::time::sleep(SETTLE_PAUSE) => {}
                }
            }
        }
    }
}
