//! Whether the ledger was restored to an older state, and raising its turns above what it has forgotten.

use std::collections::HashMap;

use model::{Attempt, ChunkId, RunId, Turn};

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::{Fields as _, listed, marks, stored};
use crate::transact::Counter;

/// Ids looked up at once.
const BLOCK: usize = 500;

impl Ledger {
    /// The highest turn that was given out; 0 before the first run.
    pub async fn turn(&self) -> Result<Turn> {
        self.read("read the turn", || async move { Ok(Turn(self.counter(Counter::Turn).await?)) }).await
    }

    /// The number of the last event. It never falls, unless the ledger is restored to an older state.
    pub async fn last_event(&self) -> Result<u64> {
        self.read("read the last event's number", || self.counter(Counter::Event)).await
    }

    async fn counter(&self, counter: Counter) -> std::result::Result<u64, Cause> {
        let read = sqlx::query(self.sql("SELECT n FROM syncline_meta WHERE name = ?")).bind(counter.name());
        read.fetch_one(&self.shared.pool).await?.count("n")
    }

    /// Those of `runs` that the ledger does not have.
    pub async fn unknown_runs(&self, runs: &[RunId]) -> Result<Vec<RunId>> {
        let mut unknown = Vec::new();
        for run in runs {
            let sql = "SELECT 1 AS n FROM syncline_run WHERE id = ?";
            let found = self.read("look for a run", || async move {
                let row = sqlx::query(self.sql(sql)).bind(run.to_string());
                Ok(row.fetch_optional(&self.shared.pool).await?.is_some())
            });
            if !found.await? {
                unknown.push(*run);
            }
        }
        Ok(unknown)
    }

    /// Whether any of these attempts is one that the ledger has not given out: of a chunk that it does not have, or
    /// that stands at a lower attempt.
    pub async fn is_behind(&self, attempts: &[(ChunkId, Attempt)]) -> Result<bool> {
        for block in attempts.chunks(BLOCK) {
            if self.read("look for attempts", || self.is_behind_once(block)).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_behind_once(&self, attempts: &[(ChunkId, Attempt)]) -> std::result::Result<bool, Cause> {
        let asked = listed(attempts);
        let sql = format!("SELECT id, attempt FROM syncline_chunk WHERE id IN ({})", marks(asked.len()));
        let mut select = sqlx::query(self.sql(&sql));
        for (chunk, _) in asked {
            select = select.bind(chunk.to_string());
        }
        let mut known = HashMap::with_capacity(attempts.len());
        for row in select.fetch_all(&self.shared.pool).await? {
            known.insert(row.named::<ChunkId>("id")?, Attempt(row.small("attempt")?));
        }
        Ok(attempts.iter().any(|(chunk, attempt)| known.get(chunk).is_none_or(|at| at < attempt)))
    }

    /// Takes a turn above `found` and above all that were given out, for no run: who raises tables to it keeps every
    /// earlier run from them. Each call takes another.
    pub async fn raise_turn(&self, found: Turn) -> Result<Turn> {
        self.write("raise the turn", || async move {
            let mut tx = self.begin().await?;
            let sql = "UPDATE syncline_meta SET n = ? WHERE name = ? AND n < ?";
            let (name, found) = (Counter::Turn.name(), stored(found.0));
            sqlx::query(self.sql(sql)).bind(found).bind(name).bind(found).execute(tx.conn()).await?;
            let turn = self.numbers(&mut tx, Counter::Turn, 1).await?;
            tx.commit().await?;
            u64::try_from(turn).map(Turn).map_err(|_| Cause::Unreadable { column: "n" })
        })
        .await
    }
}
