//! Sums and short lists for people who watch: how fast a run goes, what waits in the queue, how each chunk of a table
//! stands.

use model::{ChunkState, Pass, RunId};
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::events::{Event, event};
use crate::fields::{Fields as _, stored};
use crate::views::AttemptOutcome;

/// What all runs that are under way have left, over all their tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueTally {
    /// May be claimed now.
    pub ready: u64,
    /// Will be tried again, but not yet.
    pub retrying: u64,
    pub running: u64,
    /// Set aside after the last attempt.
    pub quarantined: u64,
    /// How long the one that may be claimed waits already, in milliseconds.
    pub oldest_ms: Option<u64>,
}

/// A chunk as one cell among many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkCell {
    pub pass: Pass,
    pub ordinal: u64,
    pub state: ChunkState,
    pub attempt: u32,
    pub rows: u64,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
}

/// Rows of the chunks that ended within one span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throughput {
    /// When the span begins: a multiple of its width.
    pub from_ms: i64,
    pub rows: u64,
}

impl Ledger {
    /// The number of the last event of a run; 0 before the first.
    pub async fn last_event_of(&self, run: RunId) -> Result<u64> {
        self.read("look for events", || async move {
            let sql = "SELECT COALESCE(MAX(seq), 0) AS seq FROM syncline_event WHERE run = ?";
            let query = sqlx::query(self.sql(sql)).bind(run.to_string());
            query.fetch_one(&self.shared.pool).await?.count("seq")
        })
        .await
    }

    /// The last events of a run, newest first, at most `limit`.
    pub async fn last_events(&self, run: RunId, limit: u32) -> Result<Vec<Event>> {
        self.read("list events", || async move {
            let sql = "SELECT seq, run, tbl, chunk, kind, detail, at_ms FROM syncline_event \
                WHERE run = ? ORDER BY seq DESC LIMIT ?";
            let rows = sqlx::query(self.sql(sql)).bind(run.to_string()).bind(i64::from(limit));
            rows.fetch_all(&self.shared.pool).await?.iter().map(event).collect()
        })
        .await
    }

    /// What is left of the runs that are under way.
    pub async fn queue_tally(&self) -> Result<QueueTally> {
        self.bulk("sum up the queue", || async move {
            let sql = "SELECT c.state AS state, CASE WHEN c.due_ms > {now} THEN 1 ELSE 0 END AS later, COUNT(*) AS n, \
                MIN(c.due_ms) AS due_ms, {now} AS now_ms FROM syncline_run r JOIN syncline_chunk c ON c.run = r.id \
                WHERE r.state = 'running' AND c.state IN ('ready', 'running', 'quarantined') GROUP BY c.state, later";
            let mut tally = QueueTally::default();
            for row in sqlx::query(self.sql(sql)).fetch_all(&self.shared.pool).await? {
                add(&mut tally, &row)?;
            }
            Ok(tally)
        })
        .await
    }

    /// Attempts that ended, by how, over all runs that the ledger has.
    pub async fn attempts_by_outcome(&self) -> Result<Vec<(AttemptOutcome, u64)>> {
        self.bulk("count attempts", || async move {
            let sql = "SELECT outcome, COUNT(*) AS n FROM syncline_attempt WHERE outcome IS NOT NULL GROUP BY outcome";
            let rows = sqlx::query(self.sql(sql)).fetch_all(&self.shared.pool).await?;
            rows.iter().map(|row| Ok((row.named("outcome")?, row.count("n")?))).collect()
        })
        .await
    }

    /// Every chunk of a table of a run, by pass and place, at most `limit`.
    pub async fn chunk_cells(&self, run: RunId, table: u32, limit: u32) -> Result<Vec<ChunkCell>> {
        self.bulk("list the chunks of a table", || async move {
            let sql = "SELECT pass, ordinal, state, attempt, c_read, started_ms, ended_ms FROM syncline_chunk \
                WHERE run = ? AND tbl = ? ORDER BY pass, ordinal LIMIT ?";
            let rows = sqlx::query(self.sql(sql)).bind(run.to_string()).bind(i64::from(table));
            rows.bind(i64::from(limit)).fetch_all(&self.shared.pool).await?.iter().map(cell).collect()
        })
        .await
    }

    /// Rows read by the chunks that ended well, by spans of `width_ms`, oldest first; spans without any are left out.
    pub async fn throughput(&self, run: RunId, width_ms: u64) -> Result<Vec<Throughput>> {
        self.bulk("sum up what a run read", || async move {
            let sql = "SELECT x.from_ms AS from_ms, CAST(SUM(x.c_read) AS {int}) AS n FROM (SELECT ended_ms - (ended_ms % ?) AS from_ms, \
                c_read FROM syncline_chunk WHERE run = ? AND state = 'done' AND ended_ms IS NOT NULL) x \
                GROUP BY x.from_ms ORDER BY x.from_ms";
            let query = sqlx::query(self.sql(sql)).bind(stored(width_ms.max(1))).bind(run.to_string());
            let rows = query.fetch_all(&self.shared.pool).await?;
            rows.iter().map(|row| Ok(Throughput { from_ms: row.int("from_ms")?, rows: row.count("n")? })).collect()
        })
        .await
    }
}

fn add(tally: &mut QueueTally, row: &AnyRow) -> std::result::Result<(), Cause> {
    let n = row.count("n")?;
    match (row.named("state")?, row.int("later")?) {
        (ChunkState::Ready, 0) => {
            tally.ready = n;
            let waits = row.int("now_ms")? - row.int("due_ms")?;
            tally.oldest_ms = Some(u64::try_from(waits).unwrap_or(0));
        }
        (ChunkState::Ready, _) => tally.retrying = n,
        (ChunkState::Running, _) => tally.running += n,
        (ChunkState::Quarantined, _) => tally.quarantined += n,
        (ChunkState::Done | ChunkState::Cancelled, _) => {}
    }
    Ok(())
}

fn cell(row: &AnyRow) -> std::result::Result<ChunkCell, Cause> {
    Ok(ChunkCell {
        pass: row.named("pass")?,
        ordinal: row.count("ordinal")?,
        state: row.named("state")?,
        attempt: row.small("attempt")?,
        rows: row.count("c_read")?,
        started_ms: row.opt_int("started_ms")?,
        ended_ms: row.opt_int("ended_ms")?,
    })
}
