//! Taking chunks back from workers that died.

use model::failure::WORKER_DEATHS_MAX;
use model::{Chunk, ChunkState, ErrorKind, Failure, RetryPolicy, RunId};
use serde_json::json;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::chunks;
use crate::error::{Cause, Result};
use crate::events::Place;
use crate::fields::{self, Fields as _};
use crate::transact::Write;
use crate::views::AttemptOutcome;

/// What [`Ledger::reap`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Chunks that may be claimed again.
    pub ready: u64,
    /// Chunks set aside: too many workers died on them, or their attempts are used up.
    pub quarantined: u64,
}

/// A running chunk whose lease is over.
pub(crate) struct Expired {
    chunk: Chunk,
    tries: u32,
    deaths: u32,
    worker: Option<String>,
}

impl Expired {
    pub(crate) fn of(row: &AnyRow, chunk: &Chunk) -> std::result::Result<Self, Cause> {
        let (tries, deaths) = (row.small("tries")?, row.small("deaths")?);
        Ok(Self { chunk: chunk.clone(), tries, deaths, worker: row.opt_text("worker")? })
    }
}

/// Chunks looked up at once.
const BLOCK: i64 = 200;

impl Ledger {
    /// Takes back every chunk whose lease is over: it becomes ready at once (its attempt stays, the next claim
    /// raises it), or is quarantined after too many deaths. Its attempt is closed as lost. Safe to call from
    /// several processes and at any time.
    pub async fn reap(&self) -> Result<Reaped> {
        const REAP: &str = "take back expired leases";
        let mut reaped = Reaped::default();
        loop {
            let expired = self.read(REAP, || self.expired()).await?;
            if expired.is_empty() {
                return Ok(reaped);
            }
            for expired in &expired {
                // A transaction each: one that held several chunks could lock out those who settle.
                match self.write(REAP, || self.reap_alone(expired)).await? {
                    Some(ChunkState::Ready) => reaped.ready += 1,
                    Some(_) => reaped.quarantined += 1,
                    None => {}
                }
            }
        }
    }

    async fn expired(&self) -> std::result::Result<Vec<Expired>, Cause> {
        let sql = format!(
            "SELECT {}, tries, deaths, worker FROM syncline_chunk WHERE state = 'running' AND lease_until < {{now}} \
             ORDER BY id LIMIT ?",
            chunks::COLUMNS
        );
        let rows = sqlx::query(self.sql(&sql)).bind(BLOCK).fetch_all(&self.shared.pool).await?;
        rows.iter().map(|row| Expired::of(row, &chunks::chunk_of(row)?)).collect()
    }

    async fn reap_alone(&self, expired: &Expired) -> std::result::Result<Option<ChunkState>, Cause> {
        let mut tx = self.begin().await?;
        let became = self.reap_one(&mut tx, expired).await?;
        tx.commit().await?;
        Ok(became)
    }

    /// Attempts that the chunks of a run have.
    async fn attempts_max(&self, tx: &mut Write, run: RunId) -> std::result::Result<u32, Cause> {
        if let Some(spec) = self.shared.cache.spec(run) {
            return Ok(spec.retry.attempts);
        }
        let sql = self.sql("SELECT spec FROM syncline_run WHERE id = ?");
        let row = sqlx::query(sql).bind(run.to_string()).fetch_one(tx.conn()).await?;
        Ok(row.json::<Retries>("spec")?.retry.attempts)
    }

    /// Takes back one chunk; what it became, or `None` if it is no longer as it was read.
    pub(crate) async fn reap_one(
        &self,
        tx: &mut Write,
        expired: &Expired,
    ) -> std::result::Result<Option<ChunkState>, Cause> {
        let Expired { chunk, tries, deaths, worker } = expired;
        let deaths = deaths.saturating_add(1);
        let attempts_max = self.attempts_max(tx, chunk.run).await?;
        let is_over = deaths >= WORKER_DEATHS_MAX || *tries >= attempts_max;
        let state = if is_over { ChunkState::Quarantined } else { ChunkState::Ready };
        let failure = death(deaths, *tries, attempts_max);
        let sql = "UPDATE syncline_chunk SET state = ?, deaths = ?, failure = ?, lease_until = NULL, due_ms = {now}, \
            queued_ms = NULL, ended_ms = {now} \
            WHERE id = ? AND attempt = ? AND state = 'running' AND lease_until < {now}";
        let taken = sqlx::query(self.sql(sql))
            .bind(state.name())
            .bind(i64::from(deaths))
            .bind(fields::json(&failure, "failure")?)
            .bind(chunk.id.to_string())
            .bind(i64::from(chunk.attempt.0))
            .execute(tx.conn())
            .await?;
        if taken.rows_affected() == 0 {
            return Ok(None);
        }
        self.close_attempt(tx, chunk.id, chunk.attempt, AttemptOutcome::Lost, Some(&failure)).await?;
        let detail = json!({ "attempt": chunk.attempt, "worker": worker, "state": state, "deaths": deaths });
        self.put_event(tx, Place::chunk(chunk.run, chunk.table, chunk.id), "chunk-lost", &detail).await?;
        Ok(Some(state))
    }
}

/// The one part of a spec that is needed here: it can be read even where the rest is of a later version.
#[derive(serde::Deserialize)]
struct Retries {
    #[serde(default)]
    retry: RetryPolicy,
}

fn death(deaths: u32, tries: u32, attempts_max: u32) -> Failure {
    let workers = if deaths == 1 { "1 worker" } else { &format!("{deaths} workers") };
    let message = if deaths < WORKER_DEATHS_MAX && tries >= attempts_max {
        format!("{workers} died on this chunk and its {tries} attempts are used up")
    } else {
        format!("{workers} died on this chunk")
    };
    Failure::new(ErrorKind::WorkerDied, message)
}
