//! The roll-up: chunk → table → run. Every figure is a sum over chunk rows, so a repeated settle, a restart or a
//! second coordinator cannot make it wrong.

use std::collections::BTreeMap;

use model::run::ChunkTally;
use model::{ChunkDigest, ChunkState, Counts, Pass, RunId, RunKind, RunRecord, RunState, TableProgress};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::counts::{COUNTS, SOURCE_DIGEST, TARGET_DIGEST, counts_of, digest_of, sum};
use crate::error::{Cause, Result};
use crate::fields::Fields as _;

use crate::tables::{self, TableRow, table_of};

/// One pass of one table, summed over its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassTally {
    pub table: u32,
    pub pass: Pass,
    pub chunks: ChunkTally,
    pub counts: Counts,
    /// Attempts beyond the first, yields and halts not counted.
    pub retries: u64,
    pub source_digest: ChunkDigest,
    pub target_digest: ChunkDigest,
    /// When its first chunk was claimed and its last one ended.
    pub span_ms: Option<(i64, i64)>,
}

impl Ledger {
    /// Every pass of every table of a run that has chunks, summed by one query.
    pub async fn pass_tallies(&self, run: RunId) -> Result<Vec<PassTally>> {
        self.bulk("sum up chunks", || async move {
            let mut snapshot = self.begin_snapshot().await?;
            let mut tx = snapshot.start().await?;
            let tallies = self.tallies(&mut tx, run).await?;
            tx.rollback().await?;
            Ok(tallies)
        })
        .await
    }

    /// The record of a run as of one moment. Counters and digests are those of the pass the run is for (copy, or
    /// verify); of other passes the record has what only they know: rows that match, differ or are missing from
    /// verify, extra rows from sweep, deleted rows from delete. Chunks and retries are those of all passes.
    pub async fn record(&self, run: RunId) -> Result<Option<RunRecord>> {
        self.bulk("sum up a run", || self.record_once(run)).await
    }

    async fn record_once(&self, id: RunId) -> std::result::Result<Option<RunRecord>, Cause> {
        let spec_name = match self.run_once(id).await? {
            Some(run) => run.spec.name.clone(),
            None => return Ok(None),
        };
        let mut snapshot = self.begin_snapshot().await?;
        let mut tx = snapshot.start().await?;
        let sql = "SELECT id, turn, kind, state, cause, waiting, paused_ms, limits, created_ms, ended_ms, {now} AS now_ms \
            FROM syncline_run WHERE id = ?";
        let row = sqlx::query(self.sql(sql)).bind(id.to_string()).fetch_one(&mut *tx).await?;
        let sql = format!("SELECT {} FROM syncline_table WHERE run = ? ORDER BY ordinal", tables::COLUMNS);
        let rows = sqlx::query(self.sql(&sql)).bind(id.to_string()).fetch_all(&mut *tx).await?;
        let tallies = self.tallies(&mut tx, id).await?;
        tx.rollback().await?;

        let kind: RunKind = row.named("kind")?;
        let mut by_table = BTreeMap::<u32, Vec<PassTally>>::new();
        for tally in tallies {
            by_table.entry(tally.table).or_default().push(tally);
        }
        let state: RunState = row.named("state")?;
        let mut record = RunRecord {
            id,
            turn: model::Turn(row.count("turn")?),
            kind,
            spec_name,
            state,
            cause: row.opt_json("cause")?,
            // What has ended waits for nothing, whatever was said of it last.
            waiting: if state.is_terminal() { None } else { row.opt_json("waiting")? },
            paused_ms: row.opt_int("paused_ms")?,
            limits: row.opt_json("limits")?.unwrap_or_default(),
            created_ms: row.int("created_ms")?,
            ended_ms: row.opt_int("ended_ms")?,
            now_ms: row.int("now_ms")?,
            counts: Counts::default(),
            chunks: ChunkTally::default(),
            retries: 0,
            tables: Vec::with_capacity(rows.len()),
        };
        for row in &rows {
            let table = table_of(row)?.table;
            let tallies = by_table.remove(&table.ordinal).unwrap_or_default();
            let progress = progress(table, kind, &tallies);
            record.counts += progress.counts;
            add_tally(&mut record.chunks, &progress.chunks);
            record.retries += progress.retries;
            record.tables.push(progress);
        }
        Ok(Some(record))
    }

    async fn tallies(
        &self,
        conn: &mut AnyConnection,
        run: RunId,
    ) -> std::result::Result<Vec<PassTally>, Cause> {
        let columns = COUNTS
            .into_iter()
            .chain(SOURCE_DIGEST)
            .chain(TARGET_DIGEST)
            .map(sum)
            .collect::<Vec<_>>()
            .join(", ");
        let sql = format!(
            "SELECT tbl, pass, state, COUNT(*) AS n, MIN(started_ms) AS first_ms, MAX(ended_ms) AS last_ms, \
             CAST(COALESCE(SUM(CASE WHEN tries > 1 THEN tries - 1 ELSE 0 END), 0) AS {{int}}) AS retries, {columns} \
             FROM syncline_chunk WHERE run = ? GROUP BY state, tbl, pass"
        );
        let rows = sqlx::query(self.sql(&sql)).bind(run.to_string()).fetch_all(conn).await?;
        let mut tallies = BTreeMap::<(u32, Pass), PassTally>::new();
        for row in &rows {
            let (table, pass): (u32, Pass) = (row.small("tbl")?, row.named("pass")?);
            let tally = tallies.entry((table, pass)).or_insert_with(|| PassTally::empty(table, pass));
            tally.add(row)?;
        }
        Ok(tallies.into_values().collect())
    }
}

impl PassTally {
    fn empty(table: u32, pass: Pass) -> Self {
        Self {
            table,
            pass,
            chunks: ChunkTally::default(),
            counts: Counts::default(),
            retries: 0,
            source_digest: ChunkDigest::default(),
            target_digest: ChunkDigest::default(),
            span_ms: None,
        }
    }

    /// Adds the sums over the chunks of one state.
    fn add(&mut self, row: &AnyRow) -> std::result::Result<(), Cause> {
        let count = row.count("n")?;
        match row.named("state")? {
            ChunkState::Ready => self.chunks.ready += count,
            ChunkState::Running => self.chunks.running += count,
            ChunkState::Done => self.chunks.done += count,
            ChunkState::Quarantined => self.chunks.quarantined += count,
            ChunkState::Cancelled => self.chunks.cancelled += count,
        }
        if let (Some(first), Some(last)) = (row.opt_int("first_ms")?, row.opt_int("last_ms")?) {
            let (from, to) = self.span_ms.unwrap_or((first, last));
            self.span_ms = Some((from.min(first), to.max(last)));
        }
        self.counts += counts_of(row)?;
        self.retries += row.count("retries")?;
        self.source_digest += digest_of(row, SOURCE_DIGEST)?.unwrap_or_default();
        self.target_digest += digest_of(row, TARGET_DIGEST)?.unwrap_or_default();
        Ok(())
    }
}

fn progress(table: TableRow, kind: RunKind, tallies: &[PassTally]) -> TableProgress {
    let main = match kind {
        RunKind::Copy => Pass::Copy,
        RunKind::Verify => Pass::Verify,
    };
    let mut progress = TableProgress {
        table: table.ordinal,
        source: table.source.to_string(),
        target: table.target.to_string(),
        mode: table.mode,
        state: table.state,
        counts: Counts::default(),
        chunks: ChunkTally::default(),
        retries: 0,
        source_digest: ChunkDigest::default(),
        target_digest: ChunkDigest::default(),
        rows_estimate: table.rows_estimate,
        notes: table.notes,
        cause: table.cause,
        started_ms: table.started_ms,
        ended_ms: table.ended_ms,
    };
    // A table ends with its run's last checks: how long its own rows took is what people want to know.
    if let Some((first, last)) = span(tallies) {
        progress.started_ms = Some(first);
        progress.ended_ms = progress.ended_ms.map(|_| last);
    }
    for tally in tallies {
        add_tally(&mut progress.chunks, &tally.chunks);
        progress.retries += tally.retries;
        let is_main = tally.pass == main || tally.pass == Pass::Again;
        progress.counts += if is_main { tally.counts } else { only_of(tally.pass, &tally.counts) };
        if is_main {
            progress.source_digest += tally.source_digest;
            progress.target_digest += tally.target_digest;
        }
    }
    progress
}

/// From the first claim of a chunk to the end of the last one, over all passes.
fn span(tallies: &[PassTally]) -> Option<(i64, i64)> {
    let spans = tallies.iter().filter_map(|tally| tally.span_ms);
    spans.reduce(|(from, to), (first, last)| (from.min(first), to.max(last)))
}

/// What only this pass knows: rows that an earlier pass read are not counted again.
fn only_of(pass: Pass, counts: &Counts) -> Counts {
    let none = Counts::default();
    match pass {
        Pass::Copy | Pass::Again => none,
        Pass::Verify => {
            Counts { matching: counts.matching, different: counts.different, missing: counts.missing, ..none }
        }
        Pass::Sweep => Counts { extra: counts.extra, ..none },
        Pass::Delete => Counts { deleted: counts.deleted, ..none },
    }
}

fn add_tally(sum: &mut ChunkTally, other: &ChunkTally) {
    sum.ready += other.ready;
    sum.running += other.running;
    sum.done += other.done;
    sum.quarantined += other.quarantined;
    sum.cancelled += other.cancelled;
}
