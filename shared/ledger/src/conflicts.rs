//! Rows that were changed on both sides.

use model::{ChunkId, Conflict, RunId, TableRef};

use crate::Ledger;
use crate::error::Result;
use crate::fields::Fields as _;
use crate::kept::Kept;

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
            let rows = self.kept_rows(Kept::Conflicts, run, table, (after_seq, limit)).await?;
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
