//! The completeness of a pass: its chunks cover everything exactly once.

use model::{Pass, RunId};
use sqlx::Row as _;

use crate::Ledger;
use crate::error::Result;
use crate::fields::Fields as _;

/// Chunks read at once: memory stays flat and no connection is held for long.
const PAGE: i64 = 2_000;

impl Ledger {
    /// Whether the chunks of a pass are a complete chain: the first open below, the last above, each beginning where
    /// the one before it ends. Keys are compared as stored, byte by byte. `false` for no chunks at all.
    pub async fn check_chain(&self, run: RunId, table: u32, pass: Pass) -> Result<bool> {
        self.bulk("check the chain of chunks", || async move {
            let sql = "SELECT ordinal, lower_key, upper_key FROM syncline_chunk WHERE run = ? AND tbl = ? AND pass = ? \
                AND ordinal > ? ORDER BY ordinal LIMIT ?";
            let (mut after, mut end): (i64, Option<Vec<u8>>) = (-1, None);
            loop {
                let page = sqlx::query(self.sql(sql)).bind(run.to_string()).bind(i64::from(table)).bind(pass.name());
                let rows = page.bind(after).bind(PAGE).fetch_all(&self.shared.pool).await?;
                if rows.is_empty() {
                    return Ok(after >= 0 && end.is_none());
                }
                for row in rows {
                    let lower: Option<Vec<u8>> = row.try_get("lower_key")?;
                    let is_first = after < 0;
                    if lower != end || lower.is_none() != is_first {
                        return Ok(false);
                    }
                    end = row.try_get("upper_key")?;
                    after = row.int("ordinal")?;
                }
            }
        })
        .await
    }
}
