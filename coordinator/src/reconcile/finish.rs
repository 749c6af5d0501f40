//! Closes passes, tables and runs.

use connectors::WITHOUT_PARENT;
use connectors::config::Role;
use ledger::{Run, TableRow};
use model::run::ChunkTally;
use model::{Counts, ErrorKind, Failure, Pass, RunKind, RunState, TableState};
use tracing::{info, warn};

use super::plan::{RUNS_LOOKED_AT, next_pass};
use super::{Coordinator, TickError, ledger_error, log, window};

pub(super) async fn tick(coordinator: &Coordinator, run: &Run) -> Result<(), TickError> {
    let tables = coordinator.ledger.tables(run.id).await?;
    if tables.is_empty() {
        return Ok(());
    }
    if tables.iter().any(|t| t.state == TableState::Working) {
        let tallies = coordinator.ledger.pass_tallies(run.id).await?;
        for table in tables.iter().filter(|t| t.state == TableState::Working) {
            let tally = tallies.iter().find(|t| t.table == table.ordinal && t.pass == table.pass);
            let (chunks, counts) = tally.map_or_else(Default::default, |t| (t.chunks, t.counts));
            if chunks.open() == 0 && chunks.total() > 0 {
                failpoint::point("r5").await;
                pass_ended(coordinator, run, table, chunks, counts).await?;
            }
        }
    }
    // Tables finish when all rows of all tables are in: foreign keys need their parents.
    let all_in = tables.iter().all(|t| t.state.is_terminal() || t.state == TableState::Finishing);
    if all_in {
        for table in tables.iter().filter(|t| t.state == TableState::Finishing) {
            let (this, owner, row) = (coordinator.clone(), run.clone(), table.clone());
            coordinator.beside(run, table.ordinal, Pass::Copy, async move {
                finish_table(&this, &owner, &row).await
            });
        }
    }
    if tables.iter().all(|t| t.state.is_terminal()) {
        finish_run(coordinator, run, &tables).await?;
    }
    Ok(())
}

/// Ends a run on a person's wish: chunks that run are given back by their workers at the next heartbeat.
pub(super) async fn cancel(coordinator: &Coordinator, run: &Run) -> Result<(), TickError> {
    coordinator.ledger.cancel_ready_chunks(run.id).await?;
    let tallies = coordinator.ledger.pass_tallies(run.id).await?;
    if tallies.iter().all(|t| t.chunks.open() == 0) {
        coordinator.ledger.finish_run(run.id, RunState::Cancelled, None).await?;
    }
    Ok(())
}

/// Every chunk of the pass is settled: on to the next pass, or to finishing, or to a halt.
async fn pass_ended(
    coordinator: &Coordinator,
    run: &Run,
    table: &TableRow,
    chunks: ChunkTally,
    counts: Counts,
) -> Result<(), TickError> {
    let ledger = &coordinator.ledger;
    let Some(plan) = &table.plan else { return Ok(()) };
    if !ledger.check_chain(run.id, table.ordinal, table.pass).await? {
        let failure =
            Failure::new(ErrorKind::Internal, format!("the chunks of {} leave a gap", table.source));
        ledger.fail_table(run.id, table.ordinal, TableState::Failed, &failure).await?;
        return Ok(());
    }
    if counts.quarantined > plan.quarantined_max {
        let failure = Failure::new(
            ErrorKind::Refused,
            format!(
                "{} rows of {} are in quarantine, more than max_quarantined allows",
                counts.quarantined, table.source
            ),
        );
        ledger.fail_table(run.id, table.ordinal, TableState::Failed, &failure).await?;
        return Ok(());
    }
    if table.pass == Pass::Sweep
        && run.kind == RunKind::Copy
        && plan.delete_guard.refuses(counts.extra, counts.read)
    {
        let failure = Failure::new(
            ErrorKind::Refused,
            format!(
                "the source lacks {} of the {} rows in {}: more than the guard lets a mirror delete",
                counts.extra, counts.read, table.target
            ),
        );
        ledger.fail_table(run.id, table.ordinal, TableState::Held, &failure).await?;
        return Ok(());
    }
    let next = match next_pass(run, plan, table.pass) {
        Some(Pass::Delete) if counts.extra == 0 => None,
        // With chunks missing nobody knows what the source holds.
        Some(Pass::Sweep)
            if run.kind == RunKind::Copy && ledger.has_quarantined_chunks(run.id, table.ordinal).await? =>
        {
            ledger
                .add_note(run.id, table.ordinal, "nothing was deleted: some chunks are in quarantine")
                .await?;
            None
        }
        Some(Pass::Delete) if chunks.quarantined > 0 => {
            let note = "nothing was deleted: parts of the target could not be compared with the source";
            ledger.add_note(run.id, table.ordinal, note).await?;
            None
        }
        // A whole-table comparison has no keys to look for.
        Some(Pass::Sweep) if plan.key.is_empty() => None,
        next => next,
    };
    let to = match next {
        Some(pass) => (TableState::Planning, pass),
        None => (TableState::Finishing, table.pass),
    };
    ledger.advance_table(run.id, table.ordinal, (TableState::Working, table.pass), to).await?;
    coordinator.nudge.notify_one();
    Ok(())
}

/// Indexes and foreign keys of one table; every step may be repeated.
async fn finish_table(
    coordinator: &Coordinator,
    run: &Run,
    table: &TableRow,
) -> Result<(), connectors::Error> {
    let Some(plan) = &table.plan else { return Ok(()) };
    failpoint::point("r6").await;
    let failed = |e: ledger::Error| ledger_error(&e);
    if run.kind == RunKind::Copy {
        let target = coordinator.connections.get(&run.spec.target, Role::Target)?;
        let mut notes = plan.notes.clone();
        if plan.create_target {
            notes.extend(target.build_indexes(plan).await?);
        }
        notes.extend(target.check_foreign_keys(plan).await?);
        for note in notes {
            coordinator.ledger.add_note(run.id, table.ordinal, &note).await.map_err(failed)?;
        }
    }
    // The rows are in, and only now does the watermark pass them: a crash before this reads them once more.
    window::close(coordinator, run, table).await.map_err(failed)?;
    failpoint::point("w1").await;
    let (from, to) = ((TableState::Finishing, table.pass), (TableState::Done, table.pass));
    coordinator.ledger.advance_table(run.id, table.ordinal, from, to).await.map_err(failed)?;
    Ok(())
}

async fn finish_run(coordinator: &Coordinator, run: &Run, tables: &[TableRow]) -> Result<(), TickError> {
    let ledger = &coordinator.ledger;
    let Some(record) = ledger.record(run.id).await? else {
        return Ok(());
    };
    let failed = tables.iter().find(|t| matches!(t.state, TableState::Failed | TableState::Held));
    let (state, cause) = match failed {
        Some(table) => (RunState::Failed, table.cause.clone()),
        None => {
            let is_clean = record.chunks.quarantined == 0
                && ledger.quarantined_count(run.id, None).await? == 0
                && record.counts.different + record.counts.missing == 0
                && (run.kind == RunKind::Copy || record.counts.extra == 0)
                && record.tables.iter().all(|t| t.source_digest == t.target_digest)
                && !record.tables.iter().any(|t| t.notes.iter().any(|n| n.contains(WITHOUT_PARENT)));
            (if is_clean { RunState::Done } else { RunState::DoneWithQuarantine }, None)
        }
    };
    if ledger.finish_run(run.id, state, cause).await? {
        info!(run = %run.id, state = %state, "run ended");
        log::ended(&record);
        // What a queue that is away keeps of an ended run, workers clear away: the ledger lets them claim nothing.
        if let Err(error) = coordinator.queue.clear_run(&run.id.to_string()).await {
            warn!(run = %run.id, error = %error, "the queue was not cleared of an ended run");
        }
        let is_whole = state.ended_well();
        if is_whole
            && run.kind == RunKind::Copy
            && let Err(error) = forget_earlier_runs(coordinator, run).await
        {
            warn!(run = %run.id, error = %error, "fences of earlier runs stay in the target");
        }
    }
    Ok(())
}

/// Fences of ended runs of the same spec go once this run holds the turn of all its tables: not earlier, or a worker of
/// an ended run that wakes up late would find neither fence nor turn against it.
async fn forget_earlier_runs(coordinator: &Coordinator, run: &Run) -> Result<(), connectors::Error> {
    let target = coordinator.connections.get(&run.spec.target, Role::Target)?;
    let runs = coordinator.ledger.runs(RUNS_LOOKED_AT).await.map_err(|e| ledger_error(&e))?;
    for earlier in
        runs.iter().filter(|r| r.spec.name == run.spec.name && r.turn < run.turn && r.state.is_terminal())
    {
        target.forget_run(coordinator.ledger.install(), earlier.id).await?;
    }
    Ok(())
}
