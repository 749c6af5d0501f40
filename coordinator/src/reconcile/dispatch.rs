//! Queues what is due, a window at a time: the queue never holds more than a few jobs per worker, so that losing it
//! costs a moment.

use std::time::Duration;

use ledger::{Due, Run, TableRow};
use model::{Pass, TableState};
use queue::ChunkJob;
use serde_json::json;
use tracing::{info, warn};

use super::{Coordinator, TickError, brake};

/// Jobs in the queue per chunk that can run at once.
const WINDOW_FACTOR: usize = 4;
/// Never fewer: short chunks must not run out between two looks at the ledger.
const WINDOW_MIN: usize = 16;
/// Never more jobs than this in the queue.
const WINDOW_MAX: usize = 1_000;
/// A job that nobody claimed for so long is taken for lost and sent again; a double is harmless.
const REQUEUE_AFTER: Duration = Duration::from_secs(10);
/// The same while the queue is empty: a job that waits for a worker would be in it. So a queue that forgot everything is
/// filled again at once. What a worker has in hand keeps its id there, and is not queued twice.
const REQUEUE_AFTER_EMPTY: Duration = Duration::from_secs(1);

/// # Errors
/// Of the ledger only if it concerns more than one run.
pub(super) async fn tick(coordinator: &Coordinator, runs: &[Run]) -> Result<(), TickError> {
    let depth = coordinator.queue.depth().await?;
    let window = (coordinator.concurrency * WINDOW_FACTOR).clamp(WINDOW_MIN, WINDOW_MAX);
    let requeue_after = if depth.ready == 0 { REQUEUE_AFTER_EMPTY } else { REQUEUE_AFTER };
    let mut room = window.saturating_sub(usize::try_from(depth.ready).unwrap_or(usize::MAX));
    for run in runs.iter().filter(|run| !run.is_held_back()) {
        if room == 0 {
            break;
        }
        if brake::holds(coordinator, run) {
            continue;
        }
        // A run whose plans cannot be read must not keep the others waiting.
        match dispatch_run(coordinator, run, room, requeue_after).await {
            Ok(jobs) => room = room.saturating_sub(jobs),
            Err(TickError::Queue(error)) => return Err(error.into()),
            Err(error) => warn!(run = %run.id, error = %error, "nothing dispatched"),
        }
    }
    Ok(())
}

/// Queues up to `room` due chunks of one run; how many.
async fn dispatch_run(
    coordinator: &Coordinator,
    run: &Run,
    room: usize,
    requeue_after: Duration,
) -> Result<usize, TickError> {
    let tables = coordinator.ledger.tables(run.id).await?;
    let eligible: Vec<u32> = tables.iter().filter(|t| is_eligible(t, &tables)).map(|t| t.ordinal).collect();
    if eligible.is_empty() {
        return Ok(0);
    }
    let limit = u32::try_from(room).unwrap_or(u32::MAX);
    let due = coordinator.ledger.take_due(run.id, &eligible, limit, requeue_after).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let install = coordinator.ledger.install().to_string();
    let job =
        |due: &Due| ChunkJob::new(install.clone(), run.id.to_string(), due.chunk.to_string(), due.attempt.0);
    let (again, first): (Vec<&Due>, Vec<&Due>) = due.iter().partition(|due| due.is_again);
    failpoint::point("r3").await;
    coordinator.queue.push(&first.into_iter().map(job).collect::<Vec<_>>()).await?;
    let lost = coordinator.queue.push(&again.into_iter().map(job).collect::<Vec<_>>()).await?;
    failpoint::point("r4").await;
    if lost > 0 {
        info!(run = %run.id, jobs = lost, "queue rebuilt from ledger");
        coordinator.ledger.event(run.id, None, None, "queue-rebuilt", &json!({ "jobs": lost })).await?;
    }
    Ok(due.len())
}

/// Whether a table's chunks may run: parents are copied before children, children deleted before parents.
fn is_eligible(table: &TableRow, tables: &[TableRow]) -> bool {
    if !matches!(table.state, TableState::Planning | TableState::Working) {
        return false;
    }
    let wave = |t: &TableRow| t.plan.as_ref().map_or(0, |plan| plan.wave);
    let rows_are_in = |t: &TableRow| {
        t.state.is_terminal()
            || (t.state != TableState::Pending && !matches!(t.pass, Pass::Copy | Pass::Again))
            || t.state == TableState::Finishing
    };
    match table.pass {
        Pass::Verify | Pass::Sweep => true,
        Pass::Copy | Pass::Again => tables.iter().filter(|t| wave(t) < wave(table)).all(rows_are_in),
        Pass::Delete => tables
            .iter()
            .filter(|t| wave(t) > wave(table))
            .all(|t| t.state.is_terminal() || t.state == TableState::Finishing),
    }
}
