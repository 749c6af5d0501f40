//! Rows that were changed on both sides.

use model::{Chunk, ChunkId, Conflict, RunId, TableRef};

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::{self, Fields as _, stored};
use crate::quarantine::BLOCK;
use crate::transact::{Counter, Write};

/// A conflict, with where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictView {
    pub seq: u64,
    pub table: u32,
    pub source: TableRef,
    pub target: TableRef,
    pub chunk: ChunkId,
    pub conflict: Conflict,
    pub at_ms: i64,
}

impl Ledger {
    /// Replaces the conflicts of a chunk: its last attempt knows those of the earlier ones.
    pub(crate) async fn put_conflicts(
        &self,
        tx: &mut Write,
        chunk: &Chunk,
        conflicts: &[Conflict],
    ) -> std::result::Result<(), Cause> {
        let clear = sqlx::query(self.sql("DELETE FROM syncline_conflict WHERE chunk = ?"));
        clear.bind(chunk.id.to_string()).execute(tx.conn()).await?;
        for block in conflicts.chunks(BLOCK) {
            let first = self.numbers(tx, Counter::Conflict, block.len() as u64).await?;
            let values = vec!["(?, ?, ?, ?, ?, {now})"; block.len()].join(", ");
            let sql =
                format!("INSERT INTO syncline_conflict (seq, run, tbl, chunk, body, at_ms) VALUES {values}");
            let mut insert = sqlx::query(self.sql(&sql)).persistent(false);
            for (seq, conflict) in (first..).zip(block) {
                insert = insert
                    .bind(seq)
                    .bind(chunk.run.to_string())
                    .bind(i64::from(chunk.table))
                    .bind(chunk.id.to_string())
                    .bind(fields::json(conflict, "conflict")?);
            }
            insert.execute(tx.conn()).await?;
        }
        Ok(())
    }

    /// The conflicts of a run, or of one table of it, after number `after_seq`, at most `limit`. Of each chunk the first
    /// [`CONFLICTS_MAX`](model::conflict::CONFLICTS_MAX) are kept; the record counts all.
    pub async fn conflicts(
        &self,
        run: RunId,
        table: Option<u32>,
        after_seq: u64,
        limit: u32,
    ) -> Result<Vec<ConflictView>> {
        self.read("list conflicts", || async move {
            let only = if table.is_some() { "AND q.tbl = ?" } else { "" };
            let sql = format!(
                "SELECT q.seq AS seq, q.tbl AS tbl, q.chunk AS chunk, q.body AS body, q.at_ms AS at_ms, \
                 t.source AS source, t.target AS target FROM syncline_conflict q \
                 JOIN syncline_table t ON t.run = q.run AND t.ordinal = q.tbl \
                 WHERE q.run = ? AND q.seq > ? {only} ORDER BY q.seq LIMIT ?"
            );
            let mut select = sqlx::query(self.sql(&sql)).bind(run.to_string()).bind(stored(after_seq));
            if let Some(table) = table {
                select = select.bind(i64::from(table));
            }
            let rows = select.bind(i64::from(limit)).fetch_all(&self.shared.pool).await?;
            rows.iter()
                .map(|row| {
                    Ok(ConflictView {
                        seq: row.count("seq")?,
                        table: row.small("tbl")?,
                        source: row.json("source")?,
                        target: row.json("target")?,
                        chunk: row.named("chunk")?,
                        conflict: row.json("body")?,
                        at_ms: row.int("at_ms")?,
                    })
                })
                .collect()
        })
        .await
    }
}
