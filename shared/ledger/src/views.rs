//! Chunks and attempts as people see them.

use std::fmt;
use std::str::FromStr;

use model::chunk::UnknownName;
use model::{Attempt, Chunk, ChunkDigest, ChunkId, ChunkState, Counts, Failure, RunId, WorkerId};
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::chunks;
use crate::counts::{COUNTS, SOURCE_DIGEST, TARGET_DIGEST, counts_of, digest_of};
use crate::error::{Cause, Result};
use crate::fields::{Fields as _, stored};

/// A chunk with all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkView {
    pub chunk: Chunk,
    /// Attempts that count towards the cap.
    pub tries: u32,
    /// Workers that died on it.
    pub worker_deaths: u32,
    /// Who has it, or had it last.
    pub worker: Option<WorkerId>,
    pub counts: Counts,
    pub source_digest: Option<ChunkDigest>,
    pub target_digest: Option<ChunkDigest>,
    pub read_ms: u64,
    /// Why the last attempt did not finish.
    pub failure: Option<Failure>,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    /// When it may be claimed, if it is ready.
    pub due_ms: i64,
    pub lease_until_ms: Option<i64>,
}

/// Which chunks to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChunkPage {
    pub table: Option<u32>,
    pub state: Option<ChunkState>,
    /// The last chunk of the page before.
    pub after: Option<ChunkId>,
    pub limit: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    Done,
    /// To be tried again.
    Failed,
    /// Its failure set the chunk aside.
    Quarantined,
    /// Its failure stopped the run.
    Halted,
    Yielded,
    /// Its lease ended first.
    Lost,
}

impl AttemptOutcome {
    const ALL: [Self; 6] =
        [Self::Done, Self::Failed, Self::Quarantined, Self::Halted, Self::Yielded, Self::Lost];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Halted => "halted",
            Self::Yielded => "yielded",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AttemptOutcome {
    type Err = UnknownName;

    fn from_str(text: &str) -> std::result::Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.name() == text)
            .ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// Attempts that ended, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttemptTally {
    pub well: u64,
    /// Failed, or lost with their worker. What was given back counts nowhere.
    pub badly: u64,
}

/// One attempt at a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptView {
    pub attempt: Attempt,
    pub worker: WorkerId,
    pub claimed_ms: i64,
    pub ended_ms: Option<i64>,
    /// Absent while it runs.
    pub outcome: Option<AttemptOutcome>,
    pub failure: Option<Failure>,
}

impl Ledger {
    /// Chunks of a run, by table, pass and ordinal, one page at a time.
    pub async fn chunks(&self, run: RunId, page: ChunkPage) -> Result<Vec<ChunkView>> {
        self.read("list chunks", || self.chunks_once(run, page)).await
    }

    async fn chunks_once(&self, run: RunId, page: ChunkPage) -> std::result::Result<Vec<ChunkView>, Cause> {
        let after = match page.after {
            Some(chunk) => self.place_of(chunk).await?,
            None => None,
        };
        let mut filter = String::new();
        for (is_given, part) in [
            (page.table.is_some(), " AND tbl = ?"),
            (page.state.is_some(), " AND state = ?"),
            (after.is_some(), " AND (tbl > ? OR (tbl = ? AND (pass > ? OR (pass = ? AND ordinal > ?))))"),
        ] {
            filter.push_str(if is_given { part } else { "" });
        }
        let sql = format!("{} WHERE run = ?{filter} ORDER BY tbl, pass, ordinal LIMIT ?", select());
        let mut query = sqlx::query(self.sql(&sql)).bind(run.to_string());
        if let Some(table) = page.table {
            query = query.bind(i64::from(table));
        }
        if let Some(state) = page.state {
            query = query.bind(state.name());
        }
        if let Some((table, pass, ordinal)) = after {
            query = query.bind(table).bind(table).bind(pass.clone()).bind(pass).bind(ordinal);
        }
        query.bind(i64::from(page.limit)).fetch_all(&self.shared.pool).await?.iter().map(view_of).collect()
    }

    async fn place_of(&self, chunk: ChunkId) -> std::result::Result<Option<(i64, String, i64)>, Cause> {
        let row = sqlx::query(self.sql("SELECT tbl, pass, ordinal FROM syncline_chunk WHERE id = ?"))
            .bind(chunk.to_string());
        let row = row.fetch_optional(&self.shared.pool).await?;
        row.map(|row| Ok((row.int("tbl")?, row.text("pass")?, row.int("ordinal")?))).transpose()
    }

    /// One chunk.
    pub async fn chunk(&self, chunk: ChunkId) -> Result<Option<ChunkView>> {
        self.read("read a chunk", || async move {
            let sql = format!("{} WHERE id = ?", select());
            let row =
                sqlx::query(self.sql(&sql)).bind(chunk.to_string()).fetch_optional(&self.shared.pool).await?;
            row.map(|row| view_of(&row)).transpose()
        })
        .await
    }

    /// The chunk of a run's table and pass at this ordinal.
    pub async fn chunk_at(
        &self,
        run: RunId,
        table: u32,
        pass: model::Pass,
        ordinal: u64,
    ) -> Result<Option<ChunkView>> {
        self.read("read a chunk", || async move {
            let sql = format!("{} WHERE run = ? AND tbl = ? AND pass = ? AND ordinal = ?", select());
            let query =
                sqlx::query(self.sql(&sql)).bind(run.to_string()).bind(i64::from(table)).bind(pass.name());
            let row = query.bind(stored(ordinal)).fetch_optional(&self.shared.pool).await?;
            row.map(|row| view_of(&row)).transpose()
        })
        .await
    }

    /// How the attempts of a spec's copies ended, since a time on the ledger's clock.
    pub async fn attempts_since(&self, spec_name: &str, since_ms: i64) -> Result<AttemptTally> {
        self.bulk("count attempts", || async move {
            let sql = "SELECT a.outcome AS outcome, COUNT(*) AS n FROM syncline_run r JOIN syncline_chunk c ON c.run = r.id \
                JOIN syncline_attempt a ON a.chunk = c.id WHERE r.name = ? AND r.kind = 'copy' \
                AND (r.ended_ms IS NULL OR r.ended_ms >= ?) AND a.ended_ms >= ? GROUP BY a.outcome";
            let query = sqlx::query(self.sql(sql)).bind(spec_name).bind(since_ms).bind(since_ms);
            tally(&query.fetch_all(&self.shared.pool).await?)
        })
        .await
    }

    /// How the attempts of one run ended.
    pub async fn attempts_of(&self, run: RunId) -> Result<AttemptTally> {
        self.bulk("count attempts", || async move {
            let sql = "SELECT a.outcome AS outcome, COUNT(*) AS n FROM syncline_chunk c JOIN syncline_attempt a ON a.chunk = c.id \
                WHERE c.run = ? AND a.outcome IS NOT NULL GROUP BY a.outcome";
            tally(&sqlx::query(self.sql(sql)).bind(run.to_string()).fetch_all(&self.shared.pool).await?)
        })
        .await
    }

    /// The attempts of a chunk, oldest first.
    pub async fn attempts(&self, chunk: ChunkId) -> Result<Vec<AttemptView>> {
        self.read("list attempts", || async move {
            let sql = "SELECT attempt, worker, claimed_ms, ended_ms, outcome, failure FROM syncline_attempt \
                WHERE chunk = ? ORDER BY attempt";
            let rows =
                sqlx::query(self.sql(sql)).bind(chunk.to_string()).fetch_all(&self.shared.pool).await?;
            rows.iter()
                .map(|row| {
                    Ok(AttemptView {
                        attempt: Attempt(row.small("attempt")?),
                        worker: WorkerId(row.text("worker")?),
                        claimed_ms: row.int("claimed_ms")?,
                        ended_ms: row.opt_int("ended_ms")?,
                        outcome: row.opt_named("outcome")?,
                        failure: row.opt_json("failure")?,
                    })
                })
                .collect()
        })
        .await
    }
}

fn tally(rows: &[AnyRow]) -> std::result::Result<AttemptTally, Cause> {
    let mut tally = AttemptTally::default();
    for row in rows {
        match row.named("outcome")? {
            AttemptOutcome::Done => tally.well += row.count("n")?,
            AttemptOutcome::Failed
            | AttemptOutcome::Quarantined
            | AttemptOutcome::Halted
            | AttemptOutcome::Lost => tally.badly += row.count("n")?,
            AttemptOutcome::Yielded => {}
        }
    }
    Ok(tally)
}

fn select() -> String {
    let figures = COUNTS.into_iter().chain(SOURCE_DIGEST).chain(TARGET_DIGEST).collect::<Vec<_>>().join(", ");
    format!(
        "SELECT {}, tries, deaths, worker, read_ms, failure, started_ms, ended_ms, due_ms, lease_until, {figures} \
         FROM syncline_chunk",
        chunks::COLUMNS
    )
}

fn view_of(row: &AnyRow) -> std::result::Result<ChunkView, Cause> {
    Ok(ChunkView {
        chunk: chunks::chunk_of(row)?,
        tries: row.small("tries")?,
        worker_deaths: row.small("deaths")?,
        worker: row.opt_text("worker")?.map(WorkerId),
        counts: counts_of(row)?,
        source_digest: digest_of(row, SOURCE_DIGEST)?,
        target_digest: digest_of(row, TARGET_DIGEST)?,
        read_ms: row.count("read_ms")?,
        failure: row.opt_json("failure")?,
        started_ms: row.opt_int("started_ms")?,
        ended_ms: row.opt_int("ended_ms")?,
        due_ms: row.int("due_ms")?,
        lease_until_ms: row.opt_int("lease_until")?,
    })
}
