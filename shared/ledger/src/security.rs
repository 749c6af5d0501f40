//! Security events: payloads that nobody believed, refused log-ins. For the person responsible for security.
//!
//! Whoever floods a fleet with forged jobs must not be able to fill the ledger: a minute has a bounded number of rows,
//! the table has one too, and what is not written is still counted.

use serde_json::Value as Json;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::{Fields as _, json, stored};
use crate::transact::Counter;

/// Rows of one minute, over all workers: enough to see who, what and how often.
const MINUTE_MAX: i64 = 60;
/// Rows kept; about 30 MB at most. The oldest go first.
const KEPT_MAX: i64 = 100_000;
const MINUTE_MS: i64 = 60_000;

/// Something a person responsible for security should know.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityEvent {
    /// How many incidents there had been when this was written, over the whole ledger.
    pub seq: u64,
    pub at_ms: i64,
    /// Who met it.
    pub worker: String,
    /// A fixed name, such as `job-rejected`.
    pub kind: String,
    /// Never holds what was in a payload.
    pub detail: Json,
}

impl Ledger {
    /// Records `count` incidents of one kind as one row, or only counts them if this minute has its share of rows
    /// already; `false` then. Called twice, it records twice. `kind` is at most 64 characters.
    pub async fn security_event(&self, worker: &str, kind: &str, count: u64, detail: &Json) -> Result<bool> {
        self.write("record a security event", || self.security_once(worker, kind, count, detail)).await
    }

    async fn security_once(
        &self,
        worker: &str,
        kind: &str,
        count: u64,
        detail: &Json,
    ) -> std::result::Result<bool, Cause> {
        let mut tx = self.begin().await?;
        // The counter's lock makes writers wait for each other, so that the share is counted right.
        let first = self.numbers(&mut tx, Counter::Security, count.max(1)).await?;
        let last = first.saturating_add(stored(count.max(1)) - 1);
        // Incidents are numbered: of the last minute's share, the oldest row tells whether it is used up.
        let sql = "SELECT at_ms, {now} AS now_ms FROM syncline_security ORDER BY seq DESC LIMIT 1 OFFSET ?";
        let row = sqlx::query(self.sql(sql)).bind(MINUTE_MAX - 1).fetch_optional(tx.conn()).await?;
        let is_full = match row {
            Some(row) => row.int("now_ms")? - row.int("at_ms")? < MINUTE_MS,
            None => false,
        };
        if !is_full {
            let sql =
                "INSERT INTO syncline_security (seq, at_ms, worker, kind, detail) VALUES (?, {now}, ?, ?, ?)";
            let insert = sqlx::query(self.sql(sql)).bind(last).bind(worker).bind(kind);
            insert.bind(json(detail, "security event")?).execute(tx.conn()).await?;
            let sql = "SELECT seq FROM syncline_security ORDER BY seq DESC LIMIT 1 OFFSET ?";
            if let Some(row) = sqlx::query(self.sql(sql)).bind(KEPT_MAX).fetch_optional(tx.conn()).await? {
                let remove = sqlx::query(self.sql("DELETE FROM syncline_security WHERE seq <= ?"))
                    .bind(row.int("seq")?);
                remove.execute(tx.conn()).await?;
            }
        }
        tx.commit().await?;
        Ok(!is_full)
    }

    /// The latest security events, newest first, at most `limit`.
    pub async fn security_events(&self, limit: u32) -> Result<Vec<SecurityEvent>> {
        self.read("list security events", || async move {
            let sql =
                "SELECT seq, at_ms, worker, kind, detail FROM syncline_security ORDER BY seq DESC LIMIT ?";
            let rows = sqlx::query(self.sql(sql)).bind(i64::from(limit)).fetch_all(&self.shared.pool).await?;
            rows.iter().map(event).collect()
        })
        .await
    }

    /// How many incidents there were since the ledger was made, those that were only counted included.
    pub async fn security_count(&self) -> Result<u64> {
        self.read("count security events", || async move {
            let sql = "SELECT n FROM syncline_meta WHERE name = 'security'";
            let row = sqlx::query(self.sql(sql)).fetch_optional(&self.shared.pool).await?;
            row.map_or(Ok(0), |row| row.count("n"))
        })
        .await
    }
}

fn event(row: &AnyRow) -> std::result::Result<SecurityEvent, Cause> {
    Ok(SecurityEvent {
        seq: row.count("seq")?,
        at_ms: row.int("at_ms")?,
        worker: row.text("worker")?,
        kind: row.text("kind")?,
        detail: row.json("detail")?,
    })
}
