//! Rows set aside for a person.

use model::{Chunk, ChunkId, Pass, QuarantinedRow, RunId, TableRef};

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::{self, Fields as _, stored};
use crate::transact::{Counter, Write};

/// A row in quarantine, with where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineView {
    pub seq: u64,
    pub table: u32,
    pub source: TableRef,
    pub target: TableRef,
    pub chunk: ChunkId,
    pub pass: Pass,
    pub row: QuarantinedRow,
    pub at_ms: i64,
}

/// Rows per INSERT: far below every database's limit on bound values and on the size of a statement.
pub(crate) const BLOCK: usize = 200;

impl Ledger {
    /// Replaces the rows a chunk has in quarantine: after a retry only what its last attempt says stands.
    pub(crate) async fn put_quarantined(
        &self,
        tx: &mut Write,
        chunk: &Chunk,
        rows: &[QuarantinedRow],
    ) -> std::result::Result<(), Cause> {
        let clear = sqlx::query(self.sql("DELETE FROM syncline_quarantine WHERE chunk = ?"))
            .bind(chunk.id.to_string());
        clear.execute(tx.conn()).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let first = self.numbers(tx, Counter::Quarantine, rows.len() as u64).await?;
        let mut numbered = (first..).zip(rows).peekable();
        while numbered.peek().is_some() {
            let block: Vec<_> = numbered.by_ref().take(BLOCK).collect();
            let values = vec!["(?, ?, ?, ?, ?, {now})"; block.len()].join(", ");
            let sql = format!(
                "INSERT INTO syncline_quarantine (seq, run, tbl, chunk, body, at_ms) VALUES {values}"
            );
            let mut insert = sqlx::query(self.sql(&sql)).persistent(false);
            for (seq, row) in block {
                insert = insert
                    .bind(seq)
                    .bind(chunk.run.to_string())
                    .bind(i64::from(chunk.table))
                    .bind(chunk.id.to_string())
                    .bind(fields::json(row, "quarantined row")?);
            }
            insert.execute(tx.conn()).await?;
        }
        Ok(())
    }

    /// The rows of a run, or of one table of it, that are in quarantine, after number `after_seq`, at most `limit`.
    pub async fn quarantined(
        &self,
        run: RunId,
        table: Option<u32>,
        after_seq: u64,
        limit: u32,
    ) -> Result<Vec<QuarantineView>> {
        self.read("list quarantined rows", || self.quarantined_once(run, table, after_seq, limit)).await
    }

    async fn quarantined_once(
        &self,
        run: RunId,
        table: Option<u32>,
        after_seq: u64,
        limit: u32,
    ) -> std::result::Result<Vec<QuarantineView>, Cause> {
        let only = if table.is_some() { "AND q.tbl = ?" } else { "" };
        let sql = format!(
            "SELECT q.seq AS seq, q.tbl AS tbl, q.chunk AS chunk, q.body AS body, q.at_ms AS at_ms, \
             t.source AS source, t.target AS target, c.pass AS pass FROM syncline_quarantine q \
             JOIN syncline_table t ON t.run = q.run AND t.ordinal = q.tbl JOIN syncline_chunk c ON c.id = q.chunk \
             WHERE q.run = ? AND q.seq > ? {only} ORDER BY q.seq LIMIT ?"
        );
        let mut select = sqlx::query(self.sql(&sql)).bind(run.to_string()).bind(stored(after_seq));
        if let Some(table) = table {
            select = select.bind(i64::from(table));
        }
        let rows = select.bind(i64::from(limit)).fetch_all(&self.shared.pool).await?;
        rows.iter()
            .map(|row| {
                Ok(QuarantineView {
                    seq: row.count("seq")?,
                    table: row.small("tbl")?,
                    source: row.json("source")?,
                    target: row.json("target")?,
                    chunk: row.named("chunk")?,
                    pass: row.named("pass")?,
                    row: row.json("body")?,
                    at_ms: row.int("at_ms")?,
                })
            })
            .collect()
    }

    /// Whether rows of a chunk are in quarantine.
    pub(crate) async fn has_quarantined(&self, chunk: ChunkId) -> std::result::Result<bool, Cause> {
        let sql = self.sql("SELECT 1 AS n FROM syncline_quarantine WHERE chunk = ? LIMIT 1");
        let row = sqlx::query(sql).bind(chunk.to_string()).fetch_optional(&self.shared.pool).await?;
        Ok(row.is_some())
    }

    /// How many rows of a run, or of one table of it, are in quarantine.
    pub async fn quarantined_count(&self, run: RunId, table: Option<u32>) -> Result<u64> {
        self.read("count quarantined rows", || async move {
            let only = if table.is_some() { "AND tbl = ?" } else { "" };
            let sql = format!("SELECT COUNT(*) AS n FROM syncline_quarantine WHERE run = ? {only}");
            let mut count = sqlx::query(self.sql(&sql)).bind(run.to_string());
            if let Some(table) = table {
                count = count.bind(i64::from(table));
            }
            count.fetch_one(&self.shared.pool).await?.count("n")
        })
        .await
    }
}
