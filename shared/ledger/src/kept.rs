//! Rows of chunks that are kept for a person, numbered: the quarantine, and the log of conflicts.

use model::{Chunk, RunId};
use serde::Serialize;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::Cause;
use crate::fields::{self, stored};
use crate::transact::{Counter, Write};

/// Rows per INSERT: far below every database's limit on bound values and on the size of a statement.
const BLOCK: usize = 200;

/// What rows are kept for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept {
    Quarantined,
    Conflicts,
}

impl Kept {
    const fn table(self) -> &'static str {
        match self {
            Self::Quarantined => "syncline_quarantine",
            Self::Conflicts => "syncline_conflict",
        }
    }

    const fn counter(self) -> Counter {
        match self {
            Self::Quarantined => Counter::Quarantine,
            Self::Conflicts => Counter::Conflict,
        }
    }
}

impl Ledger {
    /// Replaces the rows that are kept of a chunk: only what its last attempt says stands.
    pub(crate) async fn replace_kept<T: Serialize + Sync>(
        &self,
        tx: &mut Write,
        chunk: &Chunk,
        kept: Kept,
        rows: &[T],
    ) -> Result<(), Cause> {
        let table = kept.table();
        // Of a first attempt there is nothing to replace.
        if rows.is_empty() && chunk.attempt.0 <= 1 {
            return Ok(());
        }
        let clear = sqlx::query(self.sql(&format!("DELETE FROM {table} WHERE chunk = ?")));
        clear.bind(chunk.id.to_string()).execute(tx.conn()).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut seq = self.numbers(tx, kept.counter(), rows.len() as u64).await?;
        for block in rows.chunks(BLOCK) {
            let values = vec!["(?, ?, ?, ?, ?, {now})"; block.len()].join(", ");
            let sql = format!("INSERT INTO {table} (seq, run, tbl, chunk, body, at_ms) VALUES {values}");
            let mut insert = sqlx::query(self.sql(&sql)).persistent(false);
            for row in block {
                insert = insert
                    .bind(seq)
                    .bind(chunk.run.to_string())
                    .bind(i64::from(chunk.table))
                    .bind(chunk.id.to_string())
                    .bind(fields::json(row, table)?);
                seq += 1;
            }
            insert.execute(tx.conn()).await?;
        }
        Ok(())
    }

    /// The rows that are kept of a run, or of one table of it, after number `after_seq`, at most `limit`: `seq`, `tbl`,
    /// `chunk`, `body`, `at_ms`, and where they are from, `source`, `target`, `pass`.
    pub(crate) async fn kept_rows(
        &self,
        kept: Kept,
        run: RunId,
        table: Option<u32>,
        (after_seq, limit): (u64, u32),
    ) -> Result<Vec<AnyRow>, Cause> {
        let only = if table.is_some() { "AND q.tbl = ?" } else { "" };
        let sql = format!(
            "SELECT q.seq AS seq, q.tbl AS tbl, q.chunk AS chunk, q.body AS body, q.at_ms AS at_ms, \
             t.source AS source, t.target AS target, c.pass AS pass FROM {} q \
             JOIN syncline_table t ON t.run = q.run AND t.ordinal = q.tbl JOIN syncline_chunk c ON c.id = q.chunk \
             WHERE q.run = ? AND q.seq > ? {only} ORDER BY q.seq LIMIT ?",
            kept.table()
        );
        let mut select = sqlx::query(self.sql(&sql)).bind(run.to_string()).bind(stored(after_seq));
        if let Some(table) = table {
            select = select.bind(i64::from(table));
        }
        Ok(select.bind(i64::from(limit)).fetch_all(&self.shared.pool).await?)
    }
}
