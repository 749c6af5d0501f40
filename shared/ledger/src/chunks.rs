//! Chunks: added in a chain, handed out when due, cancelled.

use std::time::Duration;

use model::{Attempt, Chunk, ChunkId, KeyRange, Pass, RunId, RunState, TableState};
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::{self, Fields as _, listed, marks, millis, stored};
use crate::transact::Write;

/// A chunk that a worker may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub chunk: ChunkId,
    /// What its claim must have seen.
    pub attempt: Attempt,
    pub table: u32,
    pub pass: Pass,
    /// It was handed out before, at this attempt, and nobody claimed it.
    pub is_again: bool,
}

/// What a finished chunk took, for the size of later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkCost {
    pub rows: u64,
    pub bytes: u64,
    pub read_ms: u64,
}

/// Columns of [`chunk_of`].
pub(crate) const COLUMNS: &str = "id, run, tbl, pass, ordinal, lower_key, upper_key, state, attempt";
/// Rows per INSERT and ids per UPDATE: far below every database's limit on bound values.
const BLOCK: usize = 500;

impl Ledger {
    /// Whether chunks of a table are in quarantine, in whatever pass.
    pub async fn has_quarantined_chunks(&self, run: RunId, table: u32) -> Result<bool> {
        self.read("look for quarantined chunks", || async move {
            let sql = "SELECT 1 AS n FROM syncline_chunk {by_state} WHERE run = ? AND state = 'quarantined' AND tbl = ? LIMIT 1";
            let found = sqlx::query(self.sql(sql)).bind(run.to_string()).bind(i64::from(table));
            Ok(found.fetch_optional(&self.shared.pool).await?.is_some())
        })
        .await
    }

    /// Adds chunks to the chain of a table's pass, in order; how many were new.
    ///
    /// The table must be `planning` or `working` in that pass, in a running run. The first chunk of a chain is open
    /// below; each further one has a higher ordinal and begins where the last ends; after one that is open above
    /// none is added. Whatever does not fit is left out, so two planners, or one that starts over, can neither
    /// double a range nor leave a gap. Who gets back fewer than it gave reads [`Ledger::last_chunk`] again.
    pub async fn add_chunks(
        &self,
        run: RunId,
        table: u32,
        pass: Pass,
        chunks: &[(u64, KeyRange)],
    ) -> Result<usize> {
        self.bulk("add chunks", || self.add_chunks_once(run, table, pass, chunks)).await
    }

    async fn add_chunks_once(
        &self,
        run: RunId,
        table: u32,
        pass: Pass,
        chunks: &[(u64, KeyRange)],
    ) -> std::result::Result<usize, Cause> {
        let mut tx = self.begin().await?;
        // The lock on the table makes planners of one table wait for each other.
        let standing = self.standing(&mut tx, run, table).await?;
        let takes = matches!(standing, Some((TableState::Planning | TableState::Working, at)) if at == pass);
        if !takes || !self.is_running(&mut tx, run).await? {
            return Ok(0);
        }
        let mut last = self.last_in(&mut tx, run, table, pass).await?;
        let mut fitting = Vec::new();
        for (ordinal, range) in chunks {
            let fits = match &last {
                None => range.lower.is_none(),
                Some((at, end)) => ordinal > at && end.is_some() && range.lower == *end,
            };
            if fits {
                last = Some((*ordinal, range.upper.clone()));
                fitting.push((*ordinal, range));
            }
        }
        for block in fitting.chunks(BLOCK) {
            self.insert(&mut tx, run, table, pass, block).await?;
        }
        tx.commit().await?;
        Ok(fitting.len())
    }

    pub(crate) async fn insert(
        &self,
        tx: &mut Write,
        run: RunId,
        table: u32,
        pass: Pass,
        chunks: &[(u64, &KeyRange)],
    ) -> std::result::Result<(), Cause> {
        let values = vec!["(?, ?, ?, ?, ?, ?, ?, 'ready', {now})"; chunks.len()].join(", ");
        let sql = format!(
            "INSERT INTO syncline_chunk (id, run, tbl, pass, ordinal, lower_key, upper_key, state, due_ms) VALUES {values}"
        );
        let mut insert = sqlx::query(self.sql(&sql)).persistent(chunks.len() == BLOCK || chunks.len() == 1);
        for (ordinal, range) in chunks {
            let key = |key: &Option<model::Key>| key.as_ref().map(|key| fields::json(key, "key")).transpose();
            insert = insert
                .bind(ChunkId::generate().to_string())
                .bind(run.to_string())
                .bind(i64::from(table))
                .bind(pass.name())
                .bind(stored(*ordinal))
                .bind(key(&range.lower)?)
                .bind(key(&range.upper)?);
        }
        insert.execute(tx.conn()).await?;
        Ok(())
    }

    async fn is_running(&self, tx: &mut Write, run: RunId) -> std::result::Result<bool, Cause> {
        let row = sqlx::query(self.sql("SELECT state FROM syncline_run WHERE id = ?")).bind(run.to_string());
        let state = row.fetch_optional(tx.conn()).await?.map(|row| row.named("state")).transpose()?;
        Ok(state == Some(RunState::Running))
    }

    async fn last_in(
        &self,
        tx: &mut Write,
        run: RunId,
        table: u32,
        pass: Pass,
    ) -> std::result::Result<Option<(u64, Option<model::Key>)>, Cause> {
        let row = self.last_query(run, table, pass).fetch_optional(tx.conn()).await?;
        row.map(|row| Ok((row.count("ordinal")?, row.opt_json("upper_key")?))).transpose()
    }

    /// The last chunk of the chain: its ordinal and range. A planner goes on at its upper end; `None` there means
    /// that the chain is closed.
    pub async fn last_chunk(&self, run: RunId, table: u32, pass: Pass) -> Result<Option<(u64, KeyRange)>> {
        self.read("read the last chunk", || async move {
            let row = self.last_query(run, table, pass).fetch_optional(&self.shared.pool).await?;
            row.map(|row| Ok((row.count("ordinal")?, range_of(&row)?))).transpose()
        })
        .await
    }

    fn last_query(
        &self,
        run: RunId,
        table: u32,
        pass: Pass,
    ) -> sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments> {
        let sql = "SELECT ordinal, lower_key, upper_key FROM syncline_chunk WHERE run = ? AND tbl = ? AND pass = ? \
            ORDER BY ordinal DESC LIMIT 1";
        sqlx::query(self.sql(sql)).bind(run.to_string()).bind(i64::from(table)).bind(pass.name())
    }

    /// Up to `limit` ready chunks of these tables that are due and were not handed out in the last `requeue_after`,
    /// by table, pass and ordinal; they count as handed out now. Of two callers at once each gets different ones.
    /// None of a run that is not running, is paused, or is to be cancelled.
    pub async fn take_due(
        &self,
        run: RunId,
        tables: &[u32],
        limit: u32,
        requeue_after: Duration,
    ) -> Result<Vec<Due>> {
        if tables.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        self.write("take due chunks", || self.take_due_once(run, tables, limit, requeue_after)).await
    }

    async fn take_due_once(
        &self,
        run: RunId,
        tables: &[u32],
        limit: u32,
        requeue_after: Duration,
    ) -> std::result::Result<Vec<Due>, Cause> {
        let mut tx = self.begin().await?;
        // The lock on the run makes dispatchers wait for each other.
        let sql = self.sql("SELECT state, cancel_requested, paused_ms FROM syncline_run WHERE id = ? {lock}");
        let row = sqlx::query(sql).bind(run.to_string()).fetch_optional(tx.conn()).await?;
        let Some(row) = row else { return Ok(Vec::new()) };
        let is_held_back = row.int("cancel_requested")? != 0 || row.opt_int("paused_ms")?.is_some();
        if row.named::<RunState>("state")? != RunState::Running || is_held_back {
            return Ok(Vec::new());
        }
        let mut due: Vec<Due> = Vec::new();
        let mut sorted = tables.to_vec();
        sorted.sort_unstable();
        for block in sorted.chunks(BLOCK) {
            let left = i64::from(limit) - stored(due.len() as u64);
            if left > 0 {
                due.extend(self.select_due(&mut tx, run, block, left, requeue_after).await?);
            }
        }
        for block in due.chunks(BLOCK) {
            let block = listed(block);
            let ids = marks(block.len());
            let sql = format!(
                "UPDATE syncline_chunk SET queued_ms = {{now}} WHERE state = 'ready' AND id IN ({ids})"
            );
            let mut update = sqlx::query(self.sql(&sql));
            for due in block {
                update = update.bind(due.chunk.to_string());
            }
            update.execute(tx.conn()).await?;
        }
        tx.commit().await?;
        Ok(due)
    }

    async fn select_due(
        &self,
        tx: &mut Write,
        run: RunId,
        tables: &[u32],
        limit: i64,
        requeue_after: Duration,
    ) -> std::result::Result<Vec<Due>, Cause> {
        let tables = listed(tables);
        let sql = format!(
            "SELECT id, attempt, tbl, pass, queued_ms FROM syncline_chunk {{by_state}} WHERE run = ? AND state = 'ready' AND tbl IN ({}) \
             AND due_ms <= {{now}} AND (queued_ms IS NULL OR queued_ms <= {{now}} - ?) \
             ORDER BY tbl, pass, ordinal LIMIT ?",
            marks(tables.len())
        );
        let mut select = sqlx::query(self.sql(&sql)).bind(run.to_string());
        for table in tables {
            select = select.bind(i64::from(*table));
        }
        let rows = select.bind(millis(requeue_after)).bind(limit).fetch_all(tx.conn()).await?;
        rows.iter()
            .map(|row| {
                let attempt = Attempt(row.small("attempt")?);
                Ok(Due {
                    chunk: row.named("id")?,
                    attempt,
                    table: row.small("tbl")?,
                    pass: row.named("pass")?,
                    is_again: row.opt_int("queued_ms")?.is_some(),
                })
            })
            .collect()
    }

    /// Lets every ready chunk of a run be handed out at once, whenever it was handed out last.
    pub(crate) async fn hand_out_again(&self, tx: &mut Write, run: RunId) -> std::result::Result<(), Cause> {
        let sql = "UPDATE syncline_chunk SET queued_ms = NULL WHERE run = ? AND state = 'ready' \
            AND queued_ms IS NOT NULL";
        sqlx::query(self.sql(sql)).bind(run.to_string()).execute(tx.conn()).await?;
        Ok(())
    }

    /// Cancels every ready chunk of a run that is to be cancelled; how many, 0 if it is not (any more). Repeat it
    /// until no chunk runs: yielded ones come back as ready.
    pub async fn cancel_ready_chunks(&self, run: RunId) -> Result<u64> {
        self.bulk("cancel chunks", || async move {
            let mut tx = self.begin_bulk().await?;
            let sql = "UPDATE syncline_chunk SET state = 'cancelled', ended_ms = {now} WHERE run = ? AND state = 'ready' \
                AND EXISTS (SELECT 1 FROM syncline_run r WHERE r.id = syncline_chunk.run AND r.cancel_requested = 1)";
            let cancelled = sqlx::query(self.sql(sql)).bind(run.to_string()).execute(tx.conn()).await?.rows_affected();
            tx.commit().await?;
            Ok(cancelled)
        })
        .await
    }

    /// What the last `limit` finished chunks of a pass took, latest ordinal first.
    pub async fn recent_chunk_costs(
        &self,
        run: RunId,
        table: u32,
        pass: Pass,
        limit: u32,
    ) -> Result<Vec<ChunkCost>> {
        self.read("read what chunks took", || async move {
            let sql = "SELECT c_read, c_bytes, read_ms FROM syncline_chunk {by_state} WHERE run = ? AND state = 'done' AND tbl = ? \
                AND pass = ? ORDER BY ordinal DESC LIMIT ?";
            let select = sqlx::query(self.sql(sql));
            let select = select.bind(run.to_string()).bind(i64::from(table)).bind(pass.name());
            let rows = select.bind(i64::from(limit)).fetch_all(&self.shared.pool).await?;
            rows.iter()
                .map(|row| {
                    let (rows, bytes) = (row.count("c_read")?, row.count("c_bytes")?);
                    Ok(ChunkCost { rows, bytes, read_ms: row.count("read_ms")? })
                })
                .collect()
        })
        .await
    }
}

pub(crate) fn range_of(row: &AnyRow) -> std::result::Result<KeyRange, Cause> {
    Ok(KeyRange { lower: row.opt_json("lower_key")?, upper: row.opt_json("upper_key")? })
}

pub(crate) fn chunk_of(row: &AnyRow) -> std::result::Result<Chunk, Cause> {
    Ok(Chunk {
        id: row.named("id")?,
        run: row.named("run")?,
        table: row.small("tbl")?,
        pass: row.named("pass")?,
        ordinal: row.count("ordinal")?,
        range: range_of(row)?,
        state: row.named("state")?,
        attempt: Attempt(row.small("attempt")?),
    })
}
