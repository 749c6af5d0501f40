//! What the own tables remember of an installation, and raising its turns.

use model::{Attempt, ChunkId, Engine, ErrorKind, InstallId, RunId, TargetHistory, Turn};

use super::Sqlite;
use crate::error::{Error, Result};

const READ: &str = "read who wrote the target";

pub(super) async fn history(db: &Sqlite, install: InstallId) -> Result<TargetHistory> {
    if !has_own_tables(db).await? {
        return Ok(TargetHistory::default());
    }
    let install = install.to_string();
    let turn = sqlx::query_scalar("SELECT MAX(turn) FROM _syncline_turn WHERE install = ?")
        .bind(&install)
        .fetch_one(&db.pool);
    let turn: Option<i64> = db.bounded(READ, turn).await?;
    let runs = sqlx::query_scalar("SELECT DISTINCT run FROM _syncline_fence WHERE install = ?")
        .bind(&install)
        .fetch_all(&db.pool);
    let runs: Vec<String> = db.bounded(READ, runs).await?;
    let turn = Turn(turn.and_then(|turn| u64::try_from(turn).ok()).unwrap_or(0));
    let runs = runs.iter().map(|run| run.parse().map_err(|_| unreadable()));
    Ok(TargetHistory { turn, runs: runs.collect::<Result<_>>()? })
}

pub(super) async fn attempts(
    db: &Sqlite,
    (install, run): (InstallId, RunId),
    after: Option<ChunkId>,
    limit: u32,
) -> Result<Vec<(ChunkId, Attempt)>> {
    if !has_own_tables(db).await? {
        return Ok(Vec::new());
    }
    // An empty text is below every id.
    let fences = sqlx::query_as(
        "SELECT chunk, attempt FROM _syncline_fence WHERE install = ? AND run = ? AND chunk > ? ORDER BY chunk LIMIT ?",
    )
    .bind(install.to_string())
    .bind(run.to_string())
    .bind(after.map(|chunk| chunk.to_string()).unwrap_or_default())
    .bind(limit)
    .fetch_all(&db.pool);
    let fences: Vec<(String, i64)> = db.bounded(READ, fences).await?;
    let fences = fences.iter().map(|(chunk, attempt)| {
        let attempt = u32::try_from(*attempt).map_err(|_| unreadable())?;
        Ok((chunk.parse().map_err(|_| unreadable())?, Attempt(attempt)))
    });
    fences.collect()
}

pub(super) async fn raise_turns(db: &Sqlite, install: InstallId, turn: Turn) -> Result<u64> {
    if !has_own_tables(db).await? {
        return Ok(0);
    }
    let _writer = db.writer.lock().await;
    let turn = i64::try_from(turn.0).unwrap_or(i64::MAX);
    let work = sqlx::query("UPDATE _syncline_turn SET turn = ? WHERE install = ? AND turn < ?")
        .bind(turn)
        .bind(install.to_string())
        .bind(turn)
        .execute(&db.pool);
    Ok(db.bounded("raise all turns", work).await?.rows_affected())
}

async fn has_own_tables(db: &Sqlite) -> Result<bool> {
    let count = sqlx::query_scalar(
        "SELECT COUNT(*) FROM sqlite_master WHERE name IN ('_syncline_turn', '_syncline_fence')",
    )
    .fetch_one(&db.pool);
    let count: i64 = db.bounded(READ, count).await?;
    Ok(count == 2)
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Internal, Engine::Sqlite, READ).with_object("_syncline_fence")
}
