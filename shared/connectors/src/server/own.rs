//! Syncline's own tables in the target: `_syncline_turn` remembers which run of which installation holds a table,
//! `_syncline_fence` the highest attempt at a chunk and its receipt.

use std::borrow::Cow;
use std::sync::Arc;

use model::{Attempt, ChunkId, ErrorKind, InstallId, RunId, TablePlan, TargetHistory, Turn};

use super::pool::{Answer, Lease, Pool};
use super::{Protocol, cell_number, error};
use crate::error::{Error, Result};

/// What names of Syncline's own tables begin with.
pub(crate) const OWN_PREFIX: &str = "_syncline_";

const READ: &str = "read who wrote the target";

pub(crate) async fn history<P: Protocol>(pool: &Arc<Pool<P>>, install: InstallId) -> Result<TargetHistory> {
    let turns = format!("SELECT MAX(turn) FROM _syncline_turn WHERE install = '{install}'");
    let turn = rows::<P>(pool, turns).await?.first().and_then(|row| cell_number::<P>(row, 0)).unwrap_or(0);
    let runs = format!("SELECT DISTINCT run FROM _syncline_fence WHERE install = '{install}'");
    let runs = rows::<P>(pool, runs).await?;
    let runs = runs.iter().map(|row| text::<P>(row, 0)?.parse().map_err(|_| unreadable::<P>()));
    Ok(TargetHistory { turn: Turn(turn), runs: runs.collect::<Result<_>>()? })
}

pub(crate) async fn attempts<P: Protocol>(
    pool: &Arc<Pool<P>>,
    (install, run): (InstallId, RunId),
    after: Option<ChunkId>,
    limit: u32,
) -> Result<Vec<(ChunkId, Attempt)>> {
    let after = after.map(|chunk| format!("AND chunk > '{chunk}'")).unwrap_or_default();
    let (top, limit) = P::DIALECT.limit(limit);
    let sql = format!(
        "SELECT {top}chunk, attempt FROM _syncline_fence WHERE install = '{install}' AND run = '{run}' {after} \
         ORDER BY chunk{limit}"
    );
    let fences = rows::<P>(pool, sql).await?;
    let fences = fences.iter().map(|row| {
        let attempt =
            cell_number::<P>(row, 1).and_then(|n| u32::try_from(n).ok()).ok_or_else(unreadable::<P>)?;
        Ok((text::<P>(row, 0)?.parse().map_err(|_| unreadable::<P>())?, Attempt(attempt)))
    });
    fences.collect()
}

pub(crate) async fn raise_turns<P: Protocol>(
    pool: &Arc<Pool<P>>,
    install: InstallId,
    turn: Turn,
) -> Result<u64> {
    let operation = format!("raise all turns to {}", turn.0);
    let sql = format!(
        "UPDATE _syncline_turn SET turn = {turn} WHERE install = '{install}' AND turn < {turn}{counted}",
        turn = turn.0,
        counted = P::COUNTED,
    );
    let mut lease = pool.lease(&operation).await?;
    match lease.run(&operation, sql).await {
        Ok(answers) => {
            lease.release();
            Ok(answers.iter().map(|answer| answer.affected).sum())
        }
        Err(failed) if failed.kind == ErrorKind::UnknownTable => Ok(0),
        Err(failed) => Err(failed),
    }
}

pub(crate) async fn forget_run<P: Protocol>(
    pool: &Arc<Pool<P>>,
    install: InstallId,
    run: RunId,
) -> Result<()> {
    let operation = format!("forget run {run}");
    let mut lease = pool.lease(&operation).await?;
    let sql = format!("DELETE FROM _syncline_fence WHERE install = '{install}' AND run = '{run}'");
    match lease.run_long(&operation, sql).await {
        Ok(_) => {
            lease.release();
            Ok(())
        }
        Err(failed) if failed.kind == ErrorKind::UnknownTable => Ok(()),
        Err(failed) => Err(failed),
    }
}

/// None where the own tables do not exist.
async fn rows<P: Protocol>(pool: &Arc<Pool<P>>, sql: String) -> Result<Vec<P::Row>> {
    let mut lease = pool.lease(READ).await?;
    match lease.rows(READ, sql).await {
        Ok(rows) => {
            lease.release();
            Ok(rows)
        }
        Err(failed) if failed.kind == ErrorKind::UnknownTable => Ok(Vec::new()),
        Err(failed) => Err(failed),
    }
}

fn text<P: Protocol>(row: &P::Row, at: usize) -> Result<Cow<'_, str>> {
    P::text(row, at).ok_or_else(unreadable::<P>)
}

fn unreadable<P: Protocol>() -> Error {
    error::<P>(ErrorKind::Internal, READ).with_object("_syncline_fence")
}

/// Waits for writers that hold the turn shared, so that none of an older run is left when this returns.
pub(crate) async fn raise_turn<P: Protocol>(
    lease: &mut Lease<P>,
    plan: &TablePlan,
    install: InstallId,
    turn: Turn,
    operation: &str,
) -> Result<()> {
    let name = P::DIALECT.literal(&P::turn_name(&plan.target.table, lease.server()));
    let answers = lease.run(operation, P::raise_turn_sql(&name, install, turn)).await?;
    check_turn::<P>(&answers, plan, (install, turn), ErrorKind::Overtaken, operation)?;
    lease.run(operation, "COMMIT".to_owned()).await?;
    Ok(())
}

/// Refuses writers of older runs, and of other installations as errors of kind `stranger`.
pub(crate) fn check_turn<P: Protocol>(
    answers: &[Answer<P::Row>],
    plan: &TablePlan,
    (install, turn): (InstallId, Turn),
    stranger: ErrorKind,
    operation: &str,
) -> Result<()> {
    let refused = |kind, object: String| Err(error::<P>(kind, operation).with_object(object));
    let table = &plan.target.table;
    let unprepared = || format!("table {table}, which this run has not prepared");
    let Some(row) = answers.iter().find_map(|a| a.rows.first()) else {
        return refused(ErrorKind::Fenced, unprepared());
    };
    let holder = P::text(row, 0).unwrap_or_default();
    if holder != install.to_string() {
        let why = format!(
            "table {table}: another installation writes this table ({holder}; its row in _syncline_turn says so)"
        );
        return refused(stranger, why);
    }
    match cell_number::<P>(row, 1) {
        Some(held) if held == turn.0 => Ok(()),
        Some(held) if held > turn.0 => {
            refused(ErrorKind::Overtaken, format!("table {table}, which a newer run holds"))
        }
        _ => refused(ErrorKind::Fenced, unprepared()),
    }
}
