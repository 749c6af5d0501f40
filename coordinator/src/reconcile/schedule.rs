//! Starts the runs of pipelines when they are due, and pauses a pipeline that cannot go on without a person.

use ledger::{Pipeline, Run, Start, Started};
use model::schedule::{IfRunning, Missed, When};
use model::{ErrorKind, RunKind, RunState};
use tracing::{error, info, warn};

use super::plan::RUNS_LOOKED_AT;
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
        let Some(schedule) = &pipeline.schedule else { continue };
        if let When::After(before) = &schedule.when {
            start_after(coordinator, pipeline, before).await?;
            continue;
        }
        let Some(due) = pipeline.next_ms.filter(|due| *due <= now) else { continue };
        if schedule.missed == Missed::Skip && now - due > MISSED_AFTER_MS {
            leave_out(coordinator, pipeline, due, "nobody was there to make it").await?;
            continue;
        }
        match start(coordinator, pipeline, Start::Due(due)).await? {
            Started::StillRuns(run) if schedule.if_running == IfRunning::Skip => {
                leave_out(coordinator, pipeline, due, &format!("{run} is still under way")).await?;
            }
            // Due until the run has ended; or somebody else was quicker.
            Started::Run(_) | Started::StillRuns(_) | Started::No => {}
        }
    }
    Ok(())
}

async fn start(coordinator: &Coordinator, pipeline: &Pipeline, why: Start) -> Result<Started, TickError> {
    failpoint::point("p1").await;
    let started = coordinator.ledger.start_pipeline(&pipeline.name, why).await?;
    if let Started::Run(run) = started {
        info!(pipeline = pipeline.name, %run, "run started by schedule");
        failpoint::point("p2").await;
        coordinator.nudge.notify_one();
    }
    Ok(started)
}

/// Starts a pipeline if a run of the one before it has ended well since it began last. While it runs or is paused it stays
/// due.
async fn start_after(coordinator: &Coordinator, pipeline: &Pipeline, before: &str) -> Result<(), TickError> {
    if pipeline.paused_ms.is_some() {
        return Ok(());
    }
    let runs = coordinator.ledger.runs_of(before, RUNS_LOOKED_AT).await?;
    let ended = runs.iter().filter(|run| has_ended_well(run)).filter_map(|run| run.ended_ms).max();
    if let Some(ended) = ended.filter(|ended| pipeline.is_due_after(*ended)) {
        start(coordinator, pipeline, Start::After(ended)).await?;
    }
    Ok(())
}

/// A comparison has if both sides are equal.
fn has_ended_well(run: &Run) -> bool {
    match run.kind {
        RunKind::Copy => run.state.ended_well(),
        RunKind::Verify => run.state == RunState::Done,
    }
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

/// Kinds that nobody heals without knowing of it here: a disk that is full, or a server that takes no writes, is looked at
/// again with the next start.
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
            | ErrorKind::Refused
            | ErrorKind::Unsupported
    )
}
