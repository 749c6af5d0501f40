//! Workers: who they are and when they were last seen. For people; leases decide.

use model::WorkerId;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::Fields as _;

/// A worker process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    pub id: WorkerId,
    pub host: String,
    pub pid: u32,
    pub version: String,
    /// Chunks it works on at once.
    pub slots: u32,
    pub started_ms: i64,
    pub seen_ms: i64,
    /// Since when it is asked to finish what it holds and leave.
    pub drain_ms: Option<i64>,
    /// When it said goodbye; a worker that died did not.
    pub retired_ms: Option<i64>,
    /// Chunks it holds.
    pub running: u64,
}

/// A worker that was not seen for so long is taken for dead.
const SILENT_AFTER_MS: i64 = 20_000;

/// How a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Alive,
    /// It finishes what it holds, and leaves.
    Draining,
    /// It has not been seen of late, and has not said goodbye.
    Silent,
    Left,
}

impl Standing {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Draining => "draining",
            Self::Silent => "silent",
            Self::Left => "left",
        }
    }
}

impl WorkerView {
    /// At this time on the ledger's clock.
    #[must_use]
    pub const fn standing(&self, now_ms: i64) -> Standing {
        if self.retired_ms.is_some() {
            Standing::Left
        } else if now_ms - self.seen_ms > SILENT_AFTER_MS {
            Standing::Silent
        } else if self.drain_ms.is_some() {
            Standing::Draining
        } else {
            Standing::Alive
        }
    }
}

/// Workers listed; the ones seen last.
const LISTED_MAX: i64 = 1_000;

impl Ledger {
    /// Enters a worker. A second call of the same worker counts as a sign of life. Whether it is to stay; `false` once
    /// somebody has asked it to drain.
    pub async fn register_worker(
        &self,
        id: &WorkerId,
        host: &str,
        pid: u32,
        version: &str,
        slots: u32,
    ) -> Result<bool> {
        self.write("register a worker", || self.register_once(id, host, pid, version, slots)).await
    }

    async fn register_once(
        &self,
        id: &WorkerId,
        host: &str,
        pid: u32,
        version: &str,
        slots: u32,
    ) -> std::result::Result<bool, Cause> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE syncline_worker SET seen_ms = {now}, retired_ms = NULL WHERE id = ?";
        let seen = sqlx::query(self.sql(sql)).bind(id.0.as_str()).execute(tx.conn()).await?;
        if seen.rows_affected() == 0 {
            let sql = "INSERT INTO syncline_worker (id, host, pid, version, slots, started_ms, seen_ms) \
                VALUES (?, ?, ?, ?, ?, {now}, {now})";
            let put =
                sqlx::query(self.sql(sql)).bind(id.0.as_str()).bind(host).bind(i64::from(pid)).bind(version);
            put.bind(i64::from(slots)).execute(tx.conn()).await?;
        }
        let asked =
            sqlx::query(self.sql("SELECT drain_ms FROM syncline_worker WHERE id = ?")).bind(id.0.as_str());
        let stays = asked.fetch_one(tx.conn()).await?.opt_int("drain_ms")?.is_none();
        tx.commit().await?;
        Ok(stays)
    }

    /// Asks a worker to finish what it holds and leave; it learns that by its next sign of life. `false` if it is
    /// unknown, gone, or was asked before.
    pub async fn drain_worker(&self, id: &WorkerId) -> Result<bool> {
        self.touch(
            id,
            "drain a worker",
            "UPDATE syncline_worker SET drain_ms = {now} WHERE id = ? AND drain_ms IS NULL AND retired_ms IS NULL",
        )
        .await
    }

    /// A sign of life; `false` if the ledger does not know the worker or has seen it retire.
    pub async fn beat_worker(&self, id: &WorkerId) -> Result<bool> {
        self.touch(
            id,
            "record a worker's life",
            "UPDATE syncline_worker SET seen_ms = {now} WHERE id = ? AND retired_ms IS NULL",
        )
        .await
    }

    /// The worker says goodbye; `false` if it had, or is unknown.
    pub async fn retire_worker(&self, id: &WorkerId) -> Result<bool> {
        self.touch(
            id,
            "retire a worker",
            "UPDATE syncline_worker SET retired_ms = {now} WHERE id = ? AND retired_ms IS NULL",
        )
        .await
    }

    /// Declares a worker dead that somebody saw dead: it retires, and the leases it holds end now, so that nobody
    /// waits for them. If it lives after all it finds its chunks taken, as after any expired lease. How many chunks
    /// it held; 0 the second time.
    pub async fn bury_worker(&self, id: &WorkerId) -> Result<u64> {
        let held = self
            .write("bury a worker", || async move {
                let mut tx = self.begin().await?;
                let sql = "UPDATE syncline_worker SET retired_ms = {now} WHERE id = ? AND retired_ms IS NULL";
                sqlx::query(self.sql(sql)).bind(id.0.as_str()).execute(tx.conn()).await?;
                let sql = "UPDATE syncline_chunk SET lease_until = {now} - 1 WHERE worker = ? AND state = 'running'";
                let held = sqlx::query(self.sql(sql)).bind(id.0.as_str()).execute(tx.conn()).await?.rows_affected();
                tx.commit().await?;
                Ok(held)
            })
            .await?;
        self.reap().await?;
        Ok(held)
    }

    async fn touch(&self, id: &WorkerId, operation: &'static str, sql: &'static str) -> Result<bool> {
        self.write(operation, || async move {
            let mut tx = self.begin().await?;
            let touched =
                sqlx::query(self.sql(sql)).bind(id.0.as_str()).execute(tx.conn()).await?.rows_affected();
            tx.commit().await?;
            Ok(touched > 0)
        })
        .await
    }

    /// The workers seen last, with what they hold, latest first.
    pub async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.read("list workers", || async move {
            let sql = "SELECT id, host, pid, version, slots, started_ms, seen_ms, drain_ms, retired_ms, (SELECT COUNT(*) FROM \
                syncline_chunk c WHERE c.state = 'running' AND c.worker = w.id) AS running \
                FROM syncline_worker w ORDER BY seen_ms DESC, id LIMIT ?";
            let rows = sqlx::query(self.sql(sql)).bind(LISTED_MAX).fetch_all(&self.shared.pool).await?;
            rows.iter()
                .map(|row| {
                    Ok(WorkerView {
                        id: WorkerId(row.text("id")?),
                        host: row.text("host")?,
                        pid: row.small("pid")?,
                        version: row.text("version")?,
                        slots: row.small("slots")?,
                        started_ms: row.int("started_ms")?,
                        seen_ms: row.int("seen_ms")?,
                        drain_ms: row.opt_int("drain_ms")?,
                        retired_ms: row.opt_int("retired_ms")?,
                        running: row.count("running")?,
                    })
                })
                .collect()
        })
        .await
    }
}
