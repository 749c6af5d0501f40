//! Starts the runs of pipelines when they are due, and pauses a pipeline that cannot go on without a person.

use ledger::{Pipeline, Started};
use model::schedule::{IfRunning, Missed};
use model::{ErrorKind, RunState};
use tracing::{error, info, warn};

use super::{Coordinator, TickError};

/// A start that is later than this was missed: nobody was there to make it.
const MISSED_AFTER_MS: i64 = 60_000;

pub(super) async fn tick(coordinator: &Coordinator) -> Result<(), TickError> {
    if coordinator.only.is_some() {
        return Ok(());
    }
    let pipelines = coordinator.ledger.pipelines().await?;
    if pipelines.is_empty() {
        return Ok(());
    }
    let now = coordinator.ledger.now_ms().await?;
    for pipeline in &pipelines {
        pause_if_critical(coordinator, pipeline).await?;
        let (Some(due), Some(schedule)) = (pipeline.next_ms.filter(|due| *due <= now), &pipeline.schedule)
        else {
            continue;
        };
        if schedule.missed == Missed::Skip && now - due > MISSED_AFTER_MS {
            leave_out(coordinator, pipeline, due, "nobody was there to make it").await?;
            continue;
        }
        failpoint::point("p1").await;
        match coordinator.ledger.start_pipeline(&pipeline.name, Some(due)).await? {
            Started::Run(run) => {
                info!(pipeline = pipeline.name, run = %run, "run started by schedule");
                failpoint::point("p2").await;
                coordinator.nudge.notify_one();
            }
            Started::StillRuns(run) if schedule.if_running == IfRunning::Skip => {
                leave_out(coordinator, pipeline, due, &format!("{run} is still under way")).await?;
            }
            // Due until the run has ended; or somebody else was quicker.
            Started::StillRuns(_) | Started::No => {}
        }
    }
    Ok(())
}

async fn leave_out(
    coordinator: &Coordinator,
    pipeline: &Pipeline,
    due_ms: i64,
    why: &str,
) -> Result<(), TickError> {
    if coordinator.ledger.skip_start(&pipeline.name, due_ms).await? {
        warn!(pipeline = pipeline.name, "a start was left out: {why}");
    }
    Ok(())
}

/// What the next run would meet again, and nobody but a person can change, pauses the pipeline.
async fn pause_if_critical(coordinator: &Coordinator, pipeline: &Pipeline) -> Result<(), TickError> {
    let (Some(last), None) = (pipeline.last_run, pipeline.paused_ms) else { return Ok(()) };
    if pipeline.heeded == Some(last) {
        return Ok(());
    }
    let Some(run) = coordinator.ledger.run(last).await? else { return Ok(()) };
    let Some(cause) = run.cause.filter(|cause| run.state == RunState::Failed && is_critical(cause.kind))
    else {
        return Ok(());
    };
    if coordinator.ledger.pause_pipeline(&pipeline.name, Some((last, &cause))).await? {
        error!(pipeline = pipeline.name, run = %last, kind = %cause.kind, "the pipeline is paused: {}", cause.message);
    }
    Ok(())
}

/// Kinds that do not heal by themselves.
const fn is_critical(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Authentication
            | ErrorKind::Permission
            | ErrorKind::Tls
            | ErrorKind::UnknownDatabase
            | ErrorKind::UnknownTable
            | ErrorKind::UnknownColumn
            | ErrorKind::Drift
            | ErrorKind::DiskFull
            | ErrorKind::ReadOnly
            | ErrorKind::Refused
            | ErrorKind::Unsupported
    )
}
