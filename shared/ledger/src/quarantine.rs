//! Rows set aside for a person.

use model::{ChunkId, Pass, QuarantinedRow, RunId, TableRef};

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::Fields as _;
use crate::kept::Kept;

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

impl Ledger {
    /// The rows of a run, or of one table of it, that are in quarantine, after number `after_seq`, at most `limit`.
    pub async fn quarantined(
        &self,
        run: RunId,
        table: Option<u32>,
        after_seq: u64,
        limit: u32,
    ) -> Result<Vec<QuarantineView>> {
        self.read("list quarantined rows", || async move {
            let rows = self.kept_rows(Kept::Quarantined, run, table, (after_seq, limit)).await?;
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
        })
        .await
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
