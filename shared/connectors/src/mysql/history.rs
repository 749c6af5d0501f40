//! What the own tables remember of an installation, and raising its turns.

use std::sync::Arc;

use model::{Attempt, ChunkId, ErrorKind, InstallId, RunId, TargetHistory, Turn};
use sqlx::mysql::MySqlRow;

use super::codec;
use super::session::Pool;
use crate::error::{Error, Result};

const READ: &str = "read who wrote the target";

pub(super) async fn history(pool: &Arc<Pool>, install: InstallId) -> Result<TargetHistory> {
    let turns = format!("SELECT MAX(turn) FROM _syncline_turn WHERE install = '{install}'");
    let turn = rows(pool, turns).await?.first().and_then(|row| codec::cell_number(row, 0)).unwrap_or(0);
    let runs = format!("SELECT DISTINCT run FROM _syncline_fence WHERE install = '{install}'");
    let runs = rows(pool, runs).await?;
    let runs = runs.iter().map(|row| text(row, 0)?.parse().map_err(|_| unreadable()));
    Ok(TargetHistory { turn: Turn(turn), runs: runs.collect::<Result<_>>()? })
}

pub(super) async fn attempts(
    pool: &Arc<Pool>,
    (install, run): (InstallId, RunId),
    after: Option<ChunkId>,
    limit: u32,
) -> Result<Vec<(ChunkId, Attempt)>> {
    let after = after.map(|chunk| format!("AND chunk > '{chunk}'")).unwrap_or_default();
    let sql = format!(
        "SELECT chunk, attempt FROM _syncline_fence WHERE install = '{install}' AND run = '{run}' {after} \
         ORDER BY chunk LIMIT {limit}"
    );
    let fences = rows(pool, sql).await?;
    let fences = fences.iter().map(|row| {
        let attempt =
            codec::cell_number(row, 1).and_then(|n| u32::try_from(n).ok()).ok_or_else(unreadable)?;
        Ok((text(row, 0)?.parse().map_err(|_| unreadable())?, Attempt(attempt)))
    });
    fences.collect()
}

pub(super) async fn raise_turns(pool: &Arc<Pool>, install: InstallId, turn: Turn) -> Result<u64> {
    let operation = format!("raise all turns to {}", turn.0);
    let sql = format!(
        "UPDATE _syncline_turn SET turn = {turn} WHERE install = '{install}' AND turn < {turn}",
        turn = turn.0
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

/// None where the own tables do not exist.
async fn rows(pool: &Arc<Pool>, sql: String) -> Result<Vec<MySqlRow>> {
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

fn text(row: &MySqlRow, at: usize) -> Result<&str> {
    codec::cell_text(row, at).ok_or_else(unreadable)
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Internal, model::Engine::Mysql, READ).with_object("_syncline_fence")
}
