//! Commands that are more than one word to the ledger; the command line gives the same.

use ledger::{Heeded, Ledger, Pipeline, Result, Run};
use model::RunState;

/// A pipeline starts nothing any more, and the run that is under way rests.
///
/// # Errors
/// Those of the ledger.
pub async fn pause(ledger: &Ledger, pipeline: &Pipeline) -> Result<()> {
    ledger.pause_pipeline(&pipeline.name, None).await?;
    if let Some(run) = pipeline.last_run {
        // One that has ended cannot be paused, and need not be.
        ledger.pause_run(run).await?;
    }
    Ok(())
}

/// A paused pipeline goes on, and so does the run that was held.
///
/// # Errors
/// Those of the ledger.
pub async fn resume(ledger: &Ledger, pipeline: &Pipeline) -> Result<()> {
    ledger.resume_pipeline(&pipeline.name).await?;
    if let Some(run) = pipeline.last_run {
        ledger.go_on(run).await?;
    }
    Ok(())
}

/// A paused run goes on; a failed or cancelled one is set going again. Whether anything of it is left to do.
///
/// # Errors
/// Those of the ledger.
pub async fn resume_run(ledger: &Ledger, run: &Run) -> Result<bool> {
    let is_over = matches!(run.state, RunState::Failed | RunState::Cancelled);
    if is_over || run.cancel_requested {
        return ledger.resume_run(run.id).await;
    }
    Ok(!matches!(ledger.go_on(run.id).await?, Heeded::No(_)))
}
