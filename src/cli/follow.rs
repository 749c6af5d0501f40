//! Watches a run in the ledger until it ends.

use std::time::{Duration, Instant};

use ledger::Ledger;
use model::{RunId, RunRecord, RunState};
use service::Problem;
use service::problem::code;

use super::context::ledger_problem;
use super::progress::Progress;

/// Between looks at the run's state, at first: a small run is over in a moment.
const LOOK_FIRST: Duration = Duration::from_millis(10);
/// And after a while.
const LOOK_LATER: Duration = Duration::from_millis(100);
/// When that while is over.
const FIRST: Duration = Duration::from_secs(2);
/// Between looks at the whole record.
const RECORD_EVERY: Duration = Duration::from_millis(200);
/// Summing up a long run costs time: watching takes at most this part of it.
const RECORD_SHARE: u32 = 10;

/// Shows the run until it ends or `stop` is. Returns its record as of then.
pub(super) async fn follow(
    ledger: &Ledger,
    run: RunId,
    progress: &mut Progress<'_>,
    stop: impl Future<Output = ()>,
) -> Result<RunRecord, Problem> {
    let started = Instant::now();
    let mut next_record = started;
    let mut stop = std::pin::pin!(stop);
    loop {
        let state = state_of(ledger, run).await?;
        if state.is_terminal() || Instant::now() >= next_record {
            let asked = Instant::now();
            let record = record_of(ledger, run).await?;
            next_record = Instant::now() + RECORD_EVERY.max(asked.elapsed() * RECORD_SHARE);
            progress.update(&record);
            if record.state.is_terminal() {
                return Ok(record);
            }
        }
        let pause = if started.elapsed() < FIRST { LOOK_FIRST } else { LOOK_LATER };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = &mut stop => return record_of(ledger, run).await,
        }
    }
}

async fn state_of(ledger: &Ledger, run: RunId) -> Result<RunState, Problem> {
    let found = ledger.run(run).await.map_err(|error| ledger_problem(&error))?;
    found.map(|run| run.state).ok_or_else(|| gone(run))
}

/// The record of a run that exists.
pub(super) async fn record_of(ledger: &Ledger, run: RunId) -> Result<RunRecord, Problem> {
    let found = ledger.record(run).await.map_err(|error| ledger_problem(&error))?;
    found.ok_or_else(|| gone(run))
}

fn gone(run: RunId) -> Problem {
    Problem::new(code::RUN_UNKNOWN, run.to_string(), "syncline runs")
}
