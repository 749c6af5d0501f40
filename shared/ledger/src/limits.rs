//! Limits of runs, and each worker's share of them.
//!
//! Of a limit that several workers share each has an equal part, which is its own until its share ends. A worker that
//! joins waits until the others have heard of it; the part of one that is gone is nobody's until its share has ended. So
//! the parts in use never sum to more than the limit.

use std::time::Duration;

use model::{Limits, RunId, WorkerId};
use serde_json::json;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::events::Place;
use crate::fields::{self, Fields as _, millis};

/// A share is renewed this often by whoever needs it.
pub const SHARE_RENEWED_AFTER: Duration = Duration::from_secs(1);
/// A share that is not renewed ends after this time.
pub const SHARE_LASTS: Duration = Duration::from_secs(4);
/// Who joins waits so long: every other has renewed its share by then.
const JOINING_TAKES: Duration = Duration::from_millis(1_500);

/// A worker's part of a run's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What this worker may do in a second; no limits at all if the run has none (any more).
    pub limits: Limits,
    /// The share may be used only after this time.
    pub after: Duration,
}

impl Ledger {
    /// Sets what a run may do in a second. Workers heed it within [`SHARE_RENEWED_AFTER`], those that know of no limit
    /// yet with their next chunk. `false` if there is no such run.
    pub async fn set_limits(&self, run: RunId, limits: Limits) -> Result<bool> {
        self.write("set limits", || self.set_limits_once(run, limits)).await
    }

    async fn set_limits_once(&self, run: RunId, limits: Limits) -> std::result::Result<bool, Cause> {
        let mut tx = self.begin().await?;
        if self.run_state(&mut tx, run).await?.is_none() {
            return Ok(false);
        }
        let stored = (!limits.is_none()).then(|| fields::json(&limits, "limit")).transpose()?;
        let set = sqlx::query(self.sql("UPDATE syncline_run SET limits = ? WHERE id = ?"));
        set.bind(stored).bind(run.to_string()).execute(tx.conn()).await?;
        self.put_event(&mut tx, Place::run(run), "limits-set", &json!({ "limits": limits })).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes or renews a worker's share of a run's limits.
    pub async fn share(&self, run: RunId, worker: &WorkerId) -> Result<Share> {
        self.write("share limits", || self.share_once(run, worker)).await
    }

    async fn share_once(&self, run: RunId, worker: &WorkerId) -> std::result::Result<Share, Cause> {
        let mut tx = self.begin().await?;
        let sql = self.sql("SELECT limits, {now} AS now_ms FROM syncline_run WHERE id = ? {lock}");
        let row = sqlx::query(sql).bind(run.to_string()).fetch_optional(tx.conn()).await?;
        // The lock on the run makes workers that join at once see one another.
        let Some(row) = row else { return Ok(Share { limits: Limits::default(), after: Duration::ZERO }) };
        let Some(limits) = row.opt_json::<Limits>("limits")? else {
            return Ok(Share { limits: Limits::default(), after: Duration::ZERO });
        };
        let now = row.int("now_ms")?;
        let sql = "DELETE FROM syncline_share WHERE run = ? AND until_ms < ?";
        sqlx::query(self.sql(sql)).bind(run.to_string()).bind(now).execute(tx.conn()).await?;
        let until = now + millis(SHARE_LASTS);
        let sql = "UPDATE syncline_share SET until_ms = ? WHERE run = ? AND worker = ?";
        let renewed = sqlx::query(self.sql(sql)).bind(until).bind(run.to_string()).bind(worker.0.as_str());
        if renewed.execute(tx.conn()).await?.rows_affected() == 0 {
            let sql = "INSERT INTO syncline_share (run, worker, since_ms, until_ms) VALUES (?, ?, ?, ?)";
            let join = sqlx::query(self.sql(sql)).bind(run.to_string()).bind(worker.0.as_str());
            join.bind(now).bind(until).execute(tx.conn()).await?;
        }
        let sql = "SELECT worker, since_ms FROM syncline_share WHERE run = ?";
        let rows = sqlx::query(self.sql(sql)).bind(run.to_string()).fetch_all(tx.conn()).await?;
        tx.commit().await?;
        let mut after = 0;
        for row in &rows {
            // The first of all has nobody to wait for.
            if rows.len() > 1 && row.text("worker")? == worker.0 {
                after = (row.int("since_ms")? + millis(JOINING_TAKES) - now).max(0);
            }
        }
        let after = Duration::from_millis(u64::try_from(after).unwrap_or(0));
        Ok(Share { limits: limits.part(rows.len() as u64), after })
    }
}
