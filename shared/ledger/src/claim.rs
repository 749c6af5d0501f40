//! Claiming a chunk and keeping it.

use std::sync::Arc;
use std::time::Duration;

use model::{
    Attempt, Chunk, ChunkId, ChunkState, Correction, RunState, TablePlan, TableState, Waiting, WorkerId,
};
use sqlx::any::AnyRow;
use uuid::Uuid;

use crate::Ledger;
use crate::chunks;
use crate::error::{Cause, Result};
use crate::fields::{Fields as _, millis};
use crate::reap::Expired;
use crate::retry::retrying;
use crate::runs::Run;
use crate::tables::TableRow;
use crate::transact::Write;

/// A chunk that is ours until the lease ends, with all a worker needs.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// As it now stands: `running`, its attempt the claim's own.
    pub chunk: Chunk,
    /// Attempts that count towards the cap, this one included.
    pub tries: u32,
    pub table: TableRow,
    pub plan: Arc<TablePlan>,
    pub run: Run,
    /// It was done before, with rows in quarantine, and is read again for their sake.
    pub is_replay: bool,
    /// What a person says about rows of it; none unless it is a replay.
    pub corrections: Vec<Correction>,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// The lease is renewed. `give_back`: the run is paused, to be cancelled, or no longer runs; yield.
    Ours { give_back: bool },
    /// Somebody else has the chunk, or it is settled: write nothing more.
    Lost,
}

/// One call of `claim`, through all its tries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) chunk: ChunkId,
    pub(crate) seen: Attempt,
    pub(crate) worker: &'a WorkerId,
    pub(crate) lease: Duration,
    pub(crate) token: Uuid,
}

impl Ledger {
    /// Claims a chunk that stood at attempt `seen`: it becomes `running` under attempt `seen + 1`. Of any number of
    /// callers at most one gets it. `None`, and nothing changed, if it stands elsewhere, is not due, or its run or
    /// table is not at work. A chunk whose lease has expired is reaped first.
    pub async fn claim(
        &self,
        chunk: ChunkId,
        seen: Attempt,
        worker: &WorkerId,
        lease: Duration,
    ) -> Result<Option<Claimed>> {
        let ask = Ask { chunk, seen, worker, lease, token: Uuid::new_v4() };
        self.write("claim a chunk", || self.claim_once(ask)).await
    }

    pub(crate) async fn claim_once(&self, ask: Ask<'_>) -> std::result::Result<Option<Claimed>, Cause> {
        let mut tx = self.begin().await?;
        let Some((row, chunk)) = self.lock_chunk(&mut tx, ask.chunk).await? else {
            return Ok(None);
        };
        let next = Attempt(ask.seen.0.saturating_add(1));
        let is_ours =
            row.opt_text("claim_token")?.as_deref() == Some(ask.token.simple().to_string().as_str());
        if is_ours && chunk.attempt == next && chunk.state == ChunkState::Running {
            // Claimed by a try whose answer was lost.
            drop(tx);
            return self.claimed(chunk, row.small("tries")?).await.map(Some);
        }
        if chunk.attempt != ask.seen || !self.may_run(&mut tx, &chunk).await? {
            return Ok(None);
        }
        let now = row.int("now_ms")?;
        let tries = row.small("tries")?;
        match chunk.state {
            ChunkState::Ready if row.int("due_ms")? <= now => {}
            ChunkState::Running if row.opt_int("lease_until")?.is_some_and(|until| until < now) => {
                let expired = Expired::of(&row, &chunk)?;
                if self.reap_one(&mut tx, &expired).await? != Some(ChunkState::Ready) {
                    tx.commit().await?;
                    return Ok(None);
                }
            }
            ChunkState::Ready
            | ChunkState::Running
            | ChunkState::Done
            | ChunkState::Quarantined
            | ChunkState::Cancelled => return Ok(None),
        }
        if !self.put_claim(&mut tx, ask, next).await? {
            return Ok(None);
        }
        tx.commit().await?;
        let chunk = Chunk { state: ChunkState::Running, attempt: next, ..chunk };
        self.claimed(chunk, tries.saturating_add(1)).await.map(Some)
    }

    /// A chunk and its row, which stay so for this transaction.
    pub(crate) async fn lock_chunk(
        &self,
        tx: &mut Write,
        chunk: ChunkId,
    ) -> std::result::Result<Option<(AnyRow, Chunk)>, Cause> {
        let sql = format!(
            "SELECT {}, tries, deaths, worker, claim_token, lease_until, due_ms, {{now}} AS now_ms \
             FROM syncline_chunk WHERE id = ? {{lock}}",
            chunks::COLUMNS
        );
        let row = sqlx::query(self.sql(&sql)).bind(chunk.to_string()).fetch_optional(tx.conn()).await?;
        row.map(|row| chunks::chunk_of(&row).map(|chunk| (row, chunk))).transpose()
    }

    /// Whether the chunk's run and table are at work.
    async fn may_run(&self, tx: &mut Write, chunk: &Chunk) -> std::result::Result<bool, Cause> {
        let sql = "SELECT r.state AS run_state, r.cancel_requested AS cancel_requested, r.paused_ms AS paused_ms, \
            r.waiting AS waiting, t.state AS table_state, t.plan_version AS plan_version FROM syncline_run r JOIN syncline_table t ON t.run = r.id \
            WHERE r.id = ? AND t.ordinal = ?";
        let row = sqlx::query(self.sql(sql)).bind(chunk.run.to_string()).bind(i64::from(chunk.table));
        let Some(row) = row.fetch_optional(tx.conn()).await? else {
            return Ok(false);
        };
        Ok(row.named::<RunState>("run_state")? == RunState::Running
            && row.int("cancel_requested")? == 0
            && row.opt_int("paused_ms")?.is_none()
            && row.opt_json::<Waiting>("waiting")?.is_none_or(|waiting| waiting.on != Waiting::BRAKE)
            && !row.named::<TableState>("table_state")?.is_terminal()
            && row.int("plan_version")? > 0)
    }

    async fn put_claim(
        &self,
        tx: &mut Write,
        ask: Ask<'_>,
        next: Attempt,
    ) -> std::result::Result<bool, Cause> {
        let sql = "UPDATE syncline_chunk SET attempt = ?, tries = tries + 1, state = 'running', worker = ?, \
            claim_token = ?, lease_until = {now} + ?, started_ms = {now}, ended_ms = NULL \
            WHERE id = ? AND attempt = ? AND state = 'ready'";
        let claimed = sqlx::query(self.sql(sql))
            .bind(i64::from(next.0))
            .bind(ask.worker.0.as_str())
            .bind(ask.token.simple().to_string())
            .bind(millis(ask.lease))
            .bind(ask.chunk.to_string())
            .bind(i64::from(ask.seen.0))
            .execute(tx.conn())
            .await?;
        if claimed.rows_affected() == 0 {
            return Ok(false);
        }
        let sql = "INSERT INTO syncline_attempt (chunk, attempt, worker, claimed_ms) VALUES (?, ?, ?, {now})";
        let insert = sqlx::query(self.sql(sql)).bind(ask.chunk.to_string()).bind(i64::from(next.0));
        insert.bind(ask.worker.0.as_str()).execute(tx.conn()).await?;
        Ok(true)
    }

    async fn claimed(&self, chunk: Chunk, tries: u32) -> std::result::Result<Claimed, Cause> {
        let run = self.run_once(chunk.run).await?.ok_or(Cause::Unreadable { column: "run" })?;
        let table =
            self.table_once(chunk.run, chunk.table).await?.ok_or(Cause::Unreadable { column: "tbl" })?;
        let plan = table.plan.clone().ok_or(Cause::Unreadable { column: "plan" })?;
        // Rows are in quarantine once an attempt was settled, never after one that was lost.
        let is_replay = chunk.attempt.0 > 1 && self.has_quarantined(chunk.id).await?;
        let corrections =
            if is_replay { self.corrections_of(&self.shared.pool, chunk.id).await? } else { Vec::new() };
        Ok(Claimed { chunk, tries, table, plan, run, is_replay, corrections })
    }

    /// Renews the lease of a running attempt, even one that has just expired if nobody has taken the chunk. `Lost`
    /// changes nothing.
    pub async fn beat(&self, chunk: ChunkId, attempt: Attempt, lease: Duration) -> Result<Beat> {
        // Two tries, the second on another connection, fit in between a beat and the end of its lease.
        let each = (lease / 3).min(self.shared.deadline);
        retrying("renew a lease", self.shared.deadline, each, || self.beat_once(chunk, attempt, lease)).await
    }

    async fn beat_once(
        &self,
        chunk: ChunkId,
        attempt: Attempt,
        lease: Duration,
    ) -> std::result::Result<Beat, Cause> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE syncline_chunk SET lease_until = {now} + ? WHERE id = ? AND attempt = ? AND state = 'running'";
        let ours =
            sqlx::query(self.sql(sql)).bind(millis(lease)).bind(chunk.to_string()).bind(i64::from(attempt.0));
        if ours.execute(tx.conn()).await?.rows_affected() == 0 {
            return Ok(Beat::Lost);
        }
        let sql = "SELECT r.state AS state, r.cancel_requested AS cancel_requested, r.paused_ms AS paused_ms FROM syncline_run r \
            JOIN syncline_chunk c ON c.run = r.id WHERE c.id = ?";
        let row = sqlx::query(self.sql(sql)).bind(chunk.to_string()).fetch_one(tx.conn()).await?;
        tx.commit().await?;
        let give_back = row.int("cancel_requested")? != 0
            || row.opt_int("paused_ms")?.is_some()
            || row.named::<RunState>("state")? != RunState::Running;
        Ok(Beat::Ours { give_back })
    }
}
