//! Recording what an attempt came to.

use std::time::Duration;

use model::chunk::Report;
use model::{
    Attempt, Chunk, ChunkId, ChunkOutcome, ChunkState, Counts, Disposition, Failure, Key, KeyRange, RunState,
};
use serde_json::json;

use crate::Ledger;
use crate::counts::{COUNTS, SOURCE_DIGEST, TARGET_DIGEST, stored_counts, stored_digest};
use crate::error::{Cause, Result};
use crate::events::Place;
use crate::fields::{self, Fields as _, millis, stored};
use crate::kept::Kept;
use crate::transact::Write;
use crate::views::AttemptOutcome;

/// The answer to a settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Recorded, now or by an earlier call of the same attempt; what the chunk is now.
    Yes(ChunkState),
    /// The attempt is not current any more: nothing was changed.
    Stale,
}

/// When a chunk that failed is tried again, if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    pub after: Duration,
    /// Attempts it has in all.
    pub attempts_max: u32,
}

/// What a settle makes of the chunk, decided before the first write.
struct Verdict<'a> {
    state: ChunkState,
    outcome: AttemptOutcome,
    /// Milliseconds until the chunk is due again.
    delay_ms: i64,
    /// 1 if the attempt is not to count towards the cap.
    refund: i64,
    failure: Option<&'a Failure>,
    event: &'static str,
}

impl Verdict<'_> {
    fn of<'a>(outcome: &'a ChunkOutcome, tries: u32, next: Again) -> Verdict<'a> {
        let (ready, gone) = (ChunkState::Ready, ChunkState::Quarantined);
        match outcome {
            ChunkOutcome::Done(_) => Verdict {
                state: ChunkState::Done,
                outcome: AttemptOutcome::Done,
                delay_ms: 0,
                refund: 0,
                failure: None,
                event: "chunk-done",
            },
            ChunkOutcome::Failed(failure) => {
                let again = matches!(failure.kind.disposition(), Disposition::Retry | Disposition::Shrink);
                let again = again && tries < next.attempts_max;
                Verdict {
                    state: if again { ready } else { gone },
                    outcome: if again { AttemptOutcome::Failed } else { AttemptOutcome::Quarantined },
                    delay_ms: millis(next.after),
                    refund: 0,
                    failure: Some(failure),
                    event: if again { "chunk-failed" } else { "chunk-quarantined" },
                }
            }
            ChunkOutcome::Halted(failure) => Verdict {
                state: ready,
                outcome: AttemptOutcome::Halted,
                delay_ms: 0,
                refund: 1,
                failure: Some(failure),
                event: "chunk-halted",
            },
            ChunkOutcome::Yielded => Verdict {
                state: ready,
                outcome: AttemptOutcome::Yielded,
                delay_ms: 0,
                refund: 1,
                failure: None,
                event: "chunk-yielded",
            },
        }
    }
}

impl Ledger {
    /// Records the outcome of a running attempt, in one transaction with all that follows from it. A settle of an
    /// attempt that is not current changes nothing; one repeated by the same attempt answers as the first did while
    /// nobody has claimed the chunk since.
    ///
    /// `Failed` is tried again as `next` says, if the kind allows it and the chunk has tries left, else the
    /// chunk is quarantined. `Yielded` and `Halted` cost no try; `Halted` also ends the run as failed. `Done` with a cut
    /// ends the chunk there, and a new one, ready at once, takes the rest.
    pub async fn settle(
        &self,
        chunk: ChunkId,
        attempt: Attempt,
        outcome: &ChunkOutcome,
        next: Again,
    ) -> Result<Settled> {
        self.write("settle a chunk", || self.settle_once(chunk, attempt, outcome, next)).await
    }

    async fn settle_once(
        &self,
        chunk: ChunkId,
        attempt: Attempt,
        outcome: &ChunkOutcome,
        next: Again,
    ) -> std::result::Result<Settled, Cause> {
        let mut tx = self.begin().await?;
        let Some((row, chunk)) = self.lock_chunk(&mut tx, chunk).await? else {
            return Ok(Settled::Stale);
        };
        if chunk.attempt != attempt {
            return Ok(Settled::Stale);
        }
        if chunk.state != ChunkState::Running {
            let settled = self.was_settled(&mut tx, &chunk).await?;
            return Ok(if settled { Settled::Yes(chunk.state) } else { Settled::Stale });
        }
        let verdict = Verdict::of(outcome, row.small("tries")?, next);
        if !self.put_verdict(&mut tx, &chunk, &verdict).await? {
            return Ok(Settled::Stale);
        }
        self.close_attempt(&mut tx, chunk.id, attempt, verdict.outcome, verdict.failure).await?;
        if let ChunkOutcome::Done(report) = outcome {
            self.put_report(&mut tx, &chunk, report).await?;
            self.replace_kept(&mut tx, &chunk, Kept::Quarantined, &report.quarantined).await?;
            self.replace_kept(&mut tx, &chunk, Kept::Conflicts, &report.conflicts).await?;
            if attempt.0 > 1 {
                self.settle_corrections(&mut tx, chunk.id, &report.quarantined).await?;
            }
            if let Some(cut) = &report.cut {
                self.split(&mut tx, &chunk, cut).await?;
            }
        }
        if matches!(outcome, ChunkOutcome::Halted(_)) {
            // The run's lock comes before the event counter's, as everywhere.
            self.run_state(&mut tx, chunk.run).await?;
        }
        self.put_settle_event(&mut tx, &chunk, &verdict, outcome).await?;
        if let ChunkOutcome::Halted(failure) = outcome {
            self.end_run(&mut tx, chunk.run, RunState::Failed, Some(failure)).await?;
        }
        tx.commit().await?;
        Ok(Settled::Yes(verdict.state))
    }

    /// Whether the chunk's current attempt was settled, not lost.
    async fn was_settled(&self, tx: &mut Write, chunk: &Chunk) -> std::result::Result<bool, Cause> {
        let sql = "SELECT outcome FROM syncline_attempt WHERE chunk = ? AND attempt = ?";
        let row = sqlx::query(self.sql(sql)).bind(chunk.id.to_string()).bind(i64::from(chunk.attempt.0));
        let outcome = row
            .fetch_optional(tx.conn())
            .await?
            .map(|row| row.opt_named::<AttemptOutcome>("outcome"))
            .transpose()?
            .flatten();
        Ok(outcome.is_some_and(|outcome| outcome != AttemptOutcome::Lost))
    }

    async fn put_verdict(
        &self,
        tx: &mut Write,
        chunk: &Chunk,
        verdict: &Verdict<'_>,
    ) -> std::result::Result<bool, Cause> {
        let sql = "UPDATE syncline_chunk SET state = ?, tries = tries - ?, lease_until = NULL, due_ms = {now} + ?, \
            queued_ms = NULL, ended_ms = {now}, failure = ? WHERE id = ? AND attempt = ? AND state = 'running'";
        let put = sqlx::query(self.sql(sql))
            .bind(verdict.state.name())
            .bind(verdict.refund)
            .bind(verdict.delay_ms)
            .bind(verdict.failure.map(|failure| fields::json(failure, "failure")).transpose()?)
            .bind(chunk.id.to_string())
            .bind(i64::from(chunk.attempt.0))
            .execute(tx.conn())
            .await?;
        Ok(put.rows_affected() > 0)
    }

    pub(crate) async fn close_attempt(
        &self,
        tx: &mut Write,
        chunk: ChunkId,
        attempt: Attempt,
        outcome: AttemptOutcome,
        failure: Option<&Failure>,
    ) -> std::result::Result<(), Cause> {
        let sql = "UPDATE syncline_attempt SET outcome = ?, failure = ?, ended_ms = {now} \
            WHERE chunk = ? AND attempt = ? AND ended_ms IS NULL";
        let close = sqlx::query(self.sql(sql))
            .bind(outcome.name())
            .bind(failure.map(|failure| fields::json(failure, "failure")).transpose()?)
            .bind(chunk.to_string())
            .bind(i64::from(attempt.0));
        close.execute(tx.conn()).await?;
        Ok(())
    }

    /// The measured figures of a chunk that is done.
    async fn put_report(
        &self,
        tx: &mut Write,
        chunk: &Chunk,
        report: &Report,
    ) -> std::result::Result<(), Cause> {
        let columns: Vec<&str> = COUNTS.into_iter().chain(SOURCE_DIGEST).chain(TARGET_DIGEST).collect();
        let sql =
            format!("UPDATE syncline_chunk SET {} = ?, read_ms = ? WHERE id = ?", columns.join(" = ?, "));
        let mut put = sqlx::query(self.sql(&sql));
        for count in stored_counts(&report.counts) {
            put = put.bind(count);
        }
        for part in stored_digest(report.source_digest.as_ref()) {
            put = put.bind(part);
        }
        for part in stored_digest(report.target_digest.as_ref()) {
            put = put.bind(part);
        }
        put.bind(stored(report.read_ms)).bind(chunk.id.to_string()).execute(tx.conn()).await?;
        Ok(())
    }

    /// Ends the chunk at `cut`; a new one behind it in the chain takes the rest.
    async fn split(&self, tx: &mut Write, chunk: &Chunk, cut: &Key) -> std::result::Result<(), Cause> {
        let place = model::chunk::next_split(chunk.ordinal).ok_or(Cause::Unstorable { what: "split" })?;
        let sql = "UPDATE syncline_chunk SET upper_key = ? WHERE id = ?";
        let cut_off = sqlx::query(self.sql(sql)).bind(fields::json(cut, "key")?).bind(chunk.id.to_string());
        cut_off.execute(tx.conn()).await?;
        let rest = KeyRange { lower: Some(cut.clone()), upper: chunk.range.upper.clone() };
        self.insert(tx, chunk.run, chunk.table, chunk.pass, &[(place, &rest)]).await?;
        let detail = json!({ "attempt": chunk.attempt, "pass": chunk.pass, "rest": place });
        let place = Place::chunk(chunk.run, chunk.table, chunk.id);
        self.put_event(tx, place, "chunk-split", &detail).await.map(drop)
    }

    async fn put_settle_event(
        &self,
        tx: &mut Write,
        chunk: &Chunk,
        verdict: &Verdict<'_>,
        outcome: &ChunkOutcome,
    ) -> std::result::Result<(), Cause> {
        let Counts { read, quarantined, .. } = match outcome {
            ChunkOutcome::Done(report) => report.counts,
            ChunkOutcome::Failed(_) | ChunkOutcome::Halted(_) | ChunkOutcome::Yielded => Counts::default(),
        };
        let detail = match verdict.failure {
            Some(failure) => json!({ "attempt": chunk.attempt, "pass": chunk.pass, "failure": failure }),
            None => {
                json!({ "attempt": chunk.attempt, "pass": chunk.pass, "read": read, "quarantined": quarantined })
            }
        };
        let place = Place::chunk(chunk.run, chunk.table, chunk.id);
        self.put_event(tx, place, verdict.event, &detail).await.map(drop)
    }
}
