//! Makes runs out of specs, and chunks out of tables.

use connectors::config::Role;
use ledger::{NewTable, Run, TableRow};
use model::chunk::next_planned;
use model::{ErrorKind, Failure, KeyRange, MergePolicy, Pass, RunKind, RunSpec, TablePlan, TableState};

use tracing::debug;

use super::{Coordinator, TickError, first_pass, ledger_error, log, window};
use crate::planner::{Known, PlanError, PlannedRun, cut, plan_known, plan_run, sizing};

/// Stores a new run of `spec`. The spec is planned first, so that what cannot work fails here, before any write to
/// source, target or ledger; the plan itself is made again by the reconciler and is not trusted to memory.
///
/// # Errors
/// What the planner found, or the ledger's refusal.
pub async fn submit(coordinator: &Coordinator, kind: RunKind, spec: &RunSpec) -> Result<Run, PlanError> {
    plan_run(spec, kind, &coordinator.connections).await?;
    let run = coordinator.ledger.create_run(kind, spec).await.map_err(|error| PlanError {
        kind: model::ErrorKind::ConnectionLost,
        what: error.to_string(),
        next: "check that the ledger can be reached and written".to_owned(),
    })?;
    coordinator.nudge.notify_one();
    Ok(run)
}

pub(super) async fn tick(coordinator: &Coordinator, run: &Run) -> Result<(), TickError> {
    let tables = coordinator.ledger.tables(run.id).await?;
    if tables.is_empty() || tables.iter().any(|t| t.state == TableState::Pending) {
        plan_tables(coordinator, run);
        return Ok(());
    }
    for table in tables.into_iter().filter(|t| t.state == TableState::Planning) {
        let (this, owner) = (coordinator.clone(), run.clone());
        let (ordinal, pass) = (table.ordinal, table.pass);
        coordinator.beside(run, ordinal, pass, async move { cut_table(&this, &owner, &table).await });
    }
    Ok(())
}

/// Plans all tables of a run, prepares their targets and stores the plans. Repeated as a whole after a crash: tables
/// already planned are left as they are.
fn plan_tables(coordinator: &Coordinator, run: &Run) {
    let (this, owner) = (coordinator.clone(), run.clone());
    coordinator.beside(run, u32::MAX, first_pass(run.kind), async move {
        failpoint::point("r1").await;
        let known = known_tables(&this, &owner).await?;
        let mut planned = match plan_known(&owner.spec, owner.kind, &this.connections, &known).await {
            Ok(planned) => planned,
            // What another coordinator has planned meanwhile may be at work already: its rows are no reason to refuse
            // the run. The next tick plans what is left, if anything is.
            Err(_) if known_tables(&this, &owner).await?.planned != known.planned => {
                // Its rows may be on the way already, and are no reason to refuse the run: the next tick plans what is
                // left, if anything is.
                debug!(run = %owner.id, "another coordinator has planned meanwhile");
                return Ok(());
            }
            Err(error) => {
                let (engine, operation) = (owner.spec.source.engine, format!("plan the run ({error})"));
                return Err(connectors::Error::new(error.kind, engine, operation));
            }
        };
        window::open_all(&this, &owner, &mut planned.tables).await?;
        let stored = store_tables(&this, &owner, &planned).await?;
        let source = this.connections.get(&owner.spec.source, Role::Source)?;
        for table in planned.tables {
            let found = stored.iter().find(|row| row.source == table.plan.source.table);
            let Some(ordinal) = found.filter(|row| row.state == TableState::Pending).map(|row| row.ordinal)
            else {
                continue;
            };
            let mut plan = table.plan;
            plan.rows_per_chunk = cut::first_size(&*source, &plan, &sizing::limits(&owner.spec)).await?;
            this.ledger
                .set_plan(owner.id, ordinal, &plan, first_pass(owner.kind), table.rows_estimate)
                .await
                .map_err(|e| ledger_error(&e))?;
            if owner.kind == RunKind::Copy {
                log::started(owner.id, &plan.source.table);
            }
            this.nudge.notify_one();
        }
        Ok(())
    });
}

/// Enters the planned tables that the run does not have yet, after those it has: told apart by name, since what a
/// pattern matches may have changed since the run began. A table that is waiting for a plan and is gone fails.
async fn store_tables(
    coordinator: &Coordinator,
    run: &Run,
    planned: &PlannedRun,
) -> Result<Vec<TableRow>, connectors::Error> {
    let ledger = &coordinator.ledger;
    let failed = |e: ledger::Error| ledger_error(&e);
    let known = ledger.tables(run.id).await.map_err(failed)?;
    let plans = || planned.tables.iter().map(|table| &table.plan);
    let new = plans().filter(|plan| !known.iter().any(|row| row.source == plan.source.table));
    let first = known.iter().map(|row| row.ordinal + 1).max().unwrap_or(0);
    let rows: Vec<NewTable> = new
        .zip(first..)
        .map(|(plan, ordinal)| NewTable {
            ordinal,
            source: plan.source.table.clone(),
            target: plan.target.table.clone(),
            mode: mode_name(&plan.policy).to_owned(),
        })
        .collect();
    ledger.add_tables(run.id, &rows).await.map_err(failed)?;
    let gone = |row: &&TableRow| {
        row.state == TableState::Pending && !plans().any(|plan| plan.source.table == row.source)
    };
    for row in known.iter().filter(gone) {
        let cause =
            Failure::new(ErrorKind::UnknownTable, format!("table {} is gone from the source", row.source));
        ledger.fail_table(run.id, row.ordinal, TableState::Failed, &cause).await.map_err(failed)?;
    }
    ledger.tables(run.id).await.map_err(failed)
}

/// What earlier runs of the spec left unfinished, and what this run has planned already.
async fn known_tables(coordinator: &Coordinator, run: &Run) -> Result<Known, connectors::Error> {
    let (ledger, failed) = (&coordinator.ledger, |e: ledger::Error| ledger_error(&e));
    let mut known = Known::default();
    let mut runs = ledger.runs(RUNS_LOOKED_AT).await.map_err(failed)?;
    runs.sort_by_key(|earlier| earlier.turn);
    let is_earlier = |r: &&Run| r.spec.name == run.spec.name && r.turn <= run.turn && r.kind == RunKind::Copy;
    for earlier in runs.iter().filter(is_earlier) {
        for table in ledger.tables(earlier.id).await.map_err(failed)? {
            let Some(plan) = table.plan else { continue };
            if earlier.id == run.id {
                known.planned.insert(table.source);
            }
            if table.state == TableState::Done {
                known.unfinished.remove(&table.target);
            } else if plan.create_target {
                known.unfinished.insert(table.target);
            }
        }
    }
    Ok(known)
}

const fn mode_name(policy: &MergePolicy) -> &'static str {
    match policy {
        MergePolicy::InsertOnly => "insert-only",
        MergePolicy::Mirror => "mirror",
        MergePolicy::KeepTarget | MergePolicy::SourceWins | MergePolicy::NewestWins { .. } => "merge",
    }
}

/// How far back a run looks at its forerunners.
pub(super) const RUNS_LOOKED_AT: u32 = 20;
/// Boundaries stored in one write: few enough that the first chunks run at once.
const CHUNKS_PER_WRITE: usize = 16;

/// Cuts one table for its current pass, from the last boundary that is stored. Two coordinators that cut the same table
/// find the same boundaries, or the second finds the place taken.
async fn cut_table(coordinator: &Coordinator, run: &Run, table: &TableRow) -> Result<(), connectors::Error> {
    let Some(plan) = table.plan.clone() else {
        return Ok(());
    };
    let (ledger, pass) = (&coordinator.ledger, table.pass);
    let failed = |e: ledger::Error| ledger_error(&e);
    let (connection, role) = if pass.is_over_target() {
        (&run.spec.target, Role::Target)
    } else {
        (&run.spec.source, Role::Source)
    };
    let database = coordinator.connections.get(connection, role)?;
    if pass == Pass::Copy {
        // The plan is stored: whatever is made at the target from here on is known to be ours.
        let target = coordinator.connections.get(&run.spec.target, Role::Target)?;
        target.prepare(&plan, ledger.install(), run.turn).await?;
    }
    let (schema, key) =
        if pass == Pass::Again { (&plan.source, Vec::new()) } else { cut::owner(&plan, pass) };
    let mut rows = plan.rows_per_chunk.max(1);
    while !coordinator.tasks.is_closed() && !is_held_back(coordinator, run).await.map_err(failed)? {
        // Asked again for every page: another coordinator may be cutting the same table.
        let (mut ordinal, mut lower) =
            match ledger.last_chunk(run.id, table.ordinal, pass).await.map_err(failed)? {
                None => (0, None),
                Some((last, KeyRange { upper: Some(upper), .. })) => (next_planned(last), Some(upper)),
                Some((_, KeyRange { upper: None, .. })) => {
                    let (from, to) = ((TableState::Planning, pass), (TableState::Working, pass));
                    ledger.advance_table(run.id, table.ordinal, from, to).await.map_err(failed)?;
                    return Ok(());
                }
            };
        // The first chunk goes alone and at once; later ones by the page.
        let page_len = if ordinal == 0 { 1 } else { CHUNKS_PER_WRITE };
        let mut page = Vec::with_capacity(page_len);
        if pass == Pass::Delete {
            // The ranges that were swept and approved, and no others.
            let swept = ledger.chunk_at(run.id, table.ordinal, Pass::Sweep, ordinal).await.map_err(failed)?;
            page.extend(swept.map(|swept| (ordinal, swept.chunk.range)));
            ordinal = next_planned(ordinal);
            lower = None;
        }
        if plan.range.is_some() {
            // A part is one chunk: a worker that finds it too big leaves a rest.
            page.push((ordinal, KeyRange::all()));
        }
        while page.len() < page_len && (ordinal == 0 || lower.is_some()) {
            let from = lower.clone().or_else(|| plan.start().filter(|_| !pass.is_over_target()));
            let upper = cut::next_upper(&*database, schema, &key, from, rows).await?;
            let range = KeyRange { lower: lower.take(), upper };
            if range.upper.is_some() && range.upper == range.lower {
                let operation = format!("cut table {}", schema.table);
                return Err(connectors::Error::new(ErrorKind::Refused, database.engine(), operation)
                    .with_object("many rows share one key: its columns do not tell rows apart"));
            }
            lower.clone_from(&range.upper);
            page.push((ordinal, range));
            ordinal = next_planned(ordinal);
        }
        if ledger.add_chunks(run.id, table.ordinal, pass, &page).await.map_err(failed)? == 0 {
            // Another coordinator was quicker, or the run has ended: the next tick will see.
            return Ok(());
        }
        failpoint::point("r2").await;
        coordinator.nudge.notify_one();
        rows = adapted(coordinator, run, table, rows).await.map_err(failed)?;
    }
    Ok(())
}

/// Whether a person wants no more of the run for now: cutting goes on where it stopped.
async fn is_held_back(coordinator: &Coordinator, run: &Run) -> Result<bool, ledger::Error> {
    Ok(coordinator.ledger.run(run.id).await?.is_none_or(|run| run.is_held_back()))
}

/// Rows for the next chunks, from what finished ones took.
async fn adapted(
    coordinator: &Coordinator,
    run: &Run,
    table: &TableRow,
    rows: u64,
) -> Result<u64, ledger::Error> {
    if table.pass.is_over_target() {
        return Ok(rows);
    }
    let recent = coordinator
        .ledger
        .recent_chunk_costs(run.id, table.ordinal, table.pass, sizing::RECENT_CHUNKS)
        .await?;
    let costs: Vec<sizing::Cost> =
        recent.iter().map(|c| sizing::Cost { rows: c.rows, bytes: c.bytes, read_ms: c.read_ms }).collect();
    Ok(sizing::next(rows, &costs, table.rows_estimate, &sizing::limits(&run.spec)))
}

/// Whether the pass after `pass` exists for this table.
pub(super) fn next_pass(run: &Run, plan: &TablePlan, pass: Pass) -> Option<Pass> {
    match (run.kind, pass) {
        (RunKind::Copy, Pass::Copy) if window::has_again(plan) => Some(Pass::Again),
        (RunKind::Copy, Pass::Copy | Pass::Again) if window::sweeps(plan) => Some(Pass::Sweep),
        (RunKind::Copy, Pass::Sweep) => Some(Pass::Delete),
        (RunKind::Verify, Pass::Verify) => Some(Pass::Sweep),
        _ => None,
    }
}
