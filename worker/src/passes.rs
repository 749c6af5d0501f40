//! The passes over one chunk: copy, verify, sweep, delete.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use connectors::config::Role;
use connectors::{ChunkWrite, Error, Fence, Result, Selection, Slice, Target};
use futures::StreamExt as _;
use ledger::{Ledger, Run};
use model::canonical::key_digest;
use model::chunk::{ORDINAL_STEP, Report};
use model::merge::Promise;
use model::spec::ChunkLimits;
use model::{
    Chunk, Column, Correction, Counts, ErrorKind, Key, KeyRange, Pass, Receipt, Row, RowBatch, TablePlan,
    WorkerId,
};
use tokio::time::Instant;

use crate::Worker;
use crate::convert;
use crate::correct::Corrections;
use crate::expected::Expected;
use crate::fields::Fields;
use crate::merge::{self, Tally};
use crate::pace::Paces;
use crate::progress::Progress;
use crate::split::Budget;
use crate::verify::{self, Compared};

/// Keys asked of the source in one statement.
const KEYS_PER_LOOKUP: usize = 500;

/// All that one attempt works with.
pub(crate) struct Attempt {
    pub(crate) chunk: Chunk,
    pub(crate) plan: Arc<TablePlan>,
    pub(crate) fence: Fence,
    source: Arc<dyn Target>,
    target: Arc<dyn Target>,
    limits: ChunkLimits,
    progress: Progress,
    /// Where the run's limits are kept, if it has any.
    paced: Option<Paced>,
    fields: Fields,
    corrections: Corrections,
}

/// Who must keep to the limits of its run.
struct Paced {
    paces: Paces,
    ledger: Ledger,
    worker: WorkerId,
}

/// How far a copy goes.
enum Reach {
    /// To the end of the chunk, or as far as the budget lets it.
    Within(Budget),
    /// Exactly to where an earlier attempt cut the chunk, if it did.
    Below(Option<Key>),
}

/// What a copy committed.
struct Copied {
    tally: Tally,
    read_ms: u64,
    cut: Option<Key>,
}

impl Attempt {
    pub(crate) fn new(
        worker: &Worker,
        (chunk, plan): (Chunk, Arc<TablePlan>),
        fence: Fence,
        run: &Run,
        progress: Progress,
    ) -> Result<Self> {
        let source = worker.connections.get(&run.spec.source, Role::Source)?;
        let target = worker.connections.get(&run.spec.target, Role::Target)?;
        let paced = (!run.limits.is_none()).then(|| Paced {
            paces: worker.paces.clone(),
            ledger: worker.ledger.clone(),
            worker: worker.id.clone(),
        });
        let fields = Fields::new(&plan, &worker.connections)?;
        let (limits, corrections) = (run.spec.chunk, Corrections::default());
        Ok(Self { chunk, plan, fence, source, target, limits, progress, paced, fields, corrections })
    }

    /// The same for a chunk that was done before, with what a person says about rows that it set aside.
    pub(crate) fn replaying(self, corrections: &[Correction]) -> Self {
        Self { corrections: Corrections::of_replay(&self.plan, corrections), ..self }
    }

    /// Copies the chunk in one fenced transaction, then verifies it. If an earlier attempt committed, only
    /// verifies, and reports what that attempt's receipt says.
    pub(crate) async fn copy(&self) -> Result<Report> {
        let write = self.target.begin(&self.plan, &self.fence).await?;
        let Some(receipt) = write.receipt().cloned() else {
            failpoint::point_at("k2", self.chunk.ordinal / ORDINAL_STEP).await;
            let budget = Budget::new(&self.chunk, &self.plan, &self.limits);
            let copied = self.copy_rows(write, Tally::new(&self.plan), Reach::Within(budget)).await?;
            return self.verified(copied).await;
        };
        drop(write);
        if let Some(report) = self.settle_receipt(&receipt).await? {
            return Ok(report);
        }
        self.merge_again(&receipt).await
    }

    /// An earlier attempt committed, and since then source or target has moved on: the rows are merged once more, now
    /// onto what that attempt wrote, and its inserts and updates stay counted.
    async fn merge_again(&self, receipt: &Receipt) -> Result<Report> {
        if self.plan.key.is_empty() {
            let operation = format!("copy table {}", self.plan.source.table);
            return Err(Error::new(ErrorKind::Refused, self.target.engine(), operation).with_object(
                "the table changed while it was copied and has no key to merge by; empty the target, run again",
            ));
        }
        let write = self.target.begin(&self.plan, &self.fence).await?;
        let again = Tally::again(&self.plan, receipt);
        let copied = self.copy_rows(write, again, Reach::Below(receipt.cut.clone())).await?;
        self.verified(copied).await
    }

    async fn verified(&self, copied: Copied) -> Result<Report> {
        let Copied { tally, read_ms, cut } = copied;
        failpoint::point_at("k5", self.chunk.ordinal / ORDINAL_STEP).await;
        let (source_digest, counts) = (tally.expected.digest, tally.total());
        let compared = self.verify_expected(&self.range(cut.as_ref()), tally.expected).await?;
        failpoint::point_at("k6", self.chunk.ordinal / ORDINAL_STEP).await;
        let counts = Counts { matching: compared.matching, ..counts };
        Ok(Report {
            counts,
            source_digest: Some(source_digest),
            target_digest: Some(compared.digest),
            quarantined: tally.quarantined,
            conflicts: tally.conflicts,
            read_ms,
            cut,
        })
    }

    /// One transaction: read, convert, merge, receipt, commit.
    async fn copy_rows(
        &self,
        mut write: Box<dyn ChunkWrite>,
        mut tally: Tally,
        reach: Reach,
    ) -> Result<Copied> {
        let (mut cut, budget) = match reach {
            Reach::Within(budget) => (None, Some(budget)),
            Reach::Below(cut) => (cut, None),
        };
        let slice = self.source_slice(cut.as_ref());
        let mut reading = Duration::ZERO;
        let mut batches = self.fields.nests.read(&*self.source, &*self.target, &slice);
        loop {
            let started = Instant::now();
            let next = batches.next().await;
            reading += started.elapsed();
            let Some(batch) = next else { break };
            let batch = batch?;
            if let Some(at) = budget.as_ref().and_then(|b| b.cut(&self.plan, tally.counts.bytes, &batch)) {
                cut = Some(at);
                break;
            }
            self.took(&batch).await;
            let rows = self.convert(batch, &mut tally)?;
            merge::rows(&mut *write, &self.plan, &mut tally, rows).await?;
            self.check_quarantine(&tally)?;
            failpoint::point_at("k3", self.chunk.ordinal / ORDINAL_STEP).await;
        }
        drop(batches);
        if !tally.corrected.is_empty() {
            let rows = self.corrected(&mut tally).await?;
            merge::rows(&mut *write, &self.plan, &mut tally, rows).await?;
        }
        write.commit(&self.receipt(&tally, cut.clone())).await?;
        self.progress.note();
        failpoint::point_at("k4", self.chunk.ordinal / ORDINAL_STEP).await;
        let read_ms = u64::try_from(reading.as_millis()).unwrap_or(u64::MAX);
        Ok(Copied { tally, read_ms, cut })
    }

    /// A batch of the source is in: that is progress, and counts against the run's limits.
    async fn took(&self, batch: &RowBatch) {
        self.progress.note();
        if let Some(Paced { paces, ledger, worker }) = &self.paced {
            let rows = (batch.rows.len() + batch.undecodable.len()) as u64;
            let size = (rows, batch.bytes);
            paces.pass((ledger, worker), self.fence.run, size, &self.progress).await;
        }
    }

    fn receipt(&self, tally: &Tally, cut: Option<Key>) -> Receipt {
        Receipt {
            v: 1,
            attempt: self.fence.attempt,
            counts: tally.total(),
            source_digest: tally.expected.digest,
            quarantined: tally.quarantined.clone(),
            conflicts: tally.conflicts.clone(),
            cut,
        }
    }

    /// Looked at after every batch, so that what is set aside cannot outgrow memory.
    fn check_quarantine(&self, tally: &Tally) -> Result<()> {
        if tally.quarantined.len() as u64 <= self.plan.quarantined_max {
            return Ok(());
        }
        let operation = format!("copy table {}", self.plan.source.table);
        Err(Error::new(ErrorKind::Refused, self.source.engine(), operation)
            .with_object("more rows would be quarantined than max_quarantined allows"))
    }

    /// Counts a batch and brings its rows into the target's types; those that cannot go to the quarantine.
    fn convert(&self, batch: RowBatch, tally: &mut Tally) -> Result<Vec<Row>> {
        tally.counts.read += (batch.rows.len() + batch.undecodable.len()) as u64;
        tally.counts.bytes += batch.bytes;
        for row in batch.undecodable {
            if self.corrections.has(&self.plan, &row.key) {
                tally.corrected.push(row);
            } else {
                tally.quarantine(row);
            }
        }
        let mut converted = Vec::with_capacity(batch.rows.len());
        for mut row in batch.rows {
            self.corrections.apply(&self.plan, &mut row);
            match convert::row(&self.plan, &self.fields, &*self.target, row) {
                Ok(row) => converted.push(row),
                Err(refusal) => tally.refuse(&self.plan, self.source.engine(), refusal)?,
            }
        }
        Ok(converted)
    }

    /// The rows that could not be decoded and were corrected, converted; once all others are read.
    async fn corrected(&self, tally: &mut Tally) -> Result<Vec<Row>> {
        self.corrections.rows((&self.plan, &self.fields), (&*self.source, &*self.target), tally).await
    }

    /// An earlier attempt committed: read the source again only to know what to compare the target with. `None` if
    /// they are not equal any more, because one of them has moved on: then the rows are merged once more.
    async fn settle_receipt(&self, receipt: &Receipt) -> Result<Option<Report>> {
        let (promise, cut) = (self.plan.policy.promise(), receipt.cut.as_ref());
        let mut tally = self.expectation(promise, cut).await?;
        let set_aside: HashSet<_> = receipt
            .quarantined
            .iter()
            .filter_map(|row| convert::key_to_target(&self.plan, &row.key.0))
            .map(|key| tally.expected.key_digest(&key))
            .collect();
        // What was set aside and can be written now, because it was mended, has yet to be.
        if self.corrections.is_replay
            && !self.plan.key.is_empty()
            && set_aside.iter().any(|key| tally.expected.rows.contains_key(key))
        {
            return Ok(None);
        }
        tally.expected.rows.retain(|key, _| !set_aside.contains(key));
        let compared = self.against_target(&self.range(cut), tally.expected).await?;
        // Rows that have left the range since are in another by now: what this one settles must be what it read.
        let is_same = promise == Promise::EveryKey || compared.digest == receipt.source_digest;
        Ok((compared.is_clean() && is_same).then_some(Report {
            counts: Counts { matching: compared.matching, ..receipt.counts },
            source_digest: Some(match promise {
                Promise::EqualRows => receipt.source_digest,
                // Of rows that are only promised to be there none is digested again, on either side.
                Promise::EveryKey => compared.digest,
            }),
            target_digest: Some(compared.digest),
            quarantined: receipt.quarantined.clone(),
            conflicts: receipt.conflicts.clone(),
            read_ms: 0,
            cut: receipt.cut.clone(),
        }))
    }

    /// Reads the source and notes what its rows should be in the target.
    async fn expectation(&self, promise: Promise, cut: Option<&Key>) -> Result<Tally> {
        let slice = self.source_slice(cut);
        let mut tally = Tally::new(&self.plan);
        let equal_rows = promise == Promise::EqualRows;
        let mut batches = self.fields.nests.read(&*self.source, &*self.target, &slice);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            self.took(&batch).await;
            let rows = self.convert(batch, &mut tally)?;
            self.check_quarantine(&tally)?;
            self.expect(&mut tally, rows, equal_rows);
            std::mem::take(&mut tally.marked).into_iter().for_each(|key| tally.expected.refuse_key(key));
        }
        drop(batches);
        let rows = self.corrected(&mut tally).await?;
        self.expect(&mut tally, rows, equal_rows);
        Ok(tally)
    }

    fn expect(&self, tally: &mut Tally, rows: Vec<Row>, equal_rows: bool) {
        for row in rows {
            let key = self.plan.key_of(&row);
            if equal_rows {
                let digest = tally.expected.row_digest(&row);
                tally.expected.accept(key, digest);
            } else {
                tally.expected.accept_key(key);
            }
        }
    }

    async fn verify_expected(&self, range: &KeyRange, expected: Expected) -> Result<Compared> {
        let compared = self.against_target(range, expected).await?;
        if compared.is_clean() {
            return Ok(compared);
        }
        let operation = format!("verify table {}", self.plan.target.table);
        let found = format!(
            "{} rows differ, {} are missing, {} are there twice",
            compared.different, compared.missing, compared.repeated
        );
        Err(Error::new(ErrorKind::Diverged, self.target.engine(), operation).with_object(found))
    }

    /// Compares both sides and writes nothing: row by row, whatever the policy lets differ.
    pub(crate) async fn verify(&self) -> Result<Report> {
        let started = Instant::now();
        let tally = self.expectation(Promise::EqualRows, None).await?;
        let read_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let source_digest = tally.expected.digest;
        let compared = self.against_target(&self.chunk.range, tally.expected).await?;
        let counts = Counts {
            unchanged: tally.counts.read - tally.counts.quarantined - tally.counts.filtered,
            matching: compared.matching,
            different: compared.different,
            missing: compared.missing,
            extra: compared.repeated,
            ..tally.counts
        };
        Ok(Report {
            source_digest: Some(source_digest),
            target_digest: Some(compared.digest),
            quarantined: tally.quarantined,
            read_ms,
            ..Report::of(counts)
        })
    }

    /// Counts target rows whose key the source lacks.
    pub(crate) async fn sweep(&self) -> Result<Report> {
        let mut tally = Tally::new(&self.plan);
        self.orphans(&mut tally, None).await?;
        Ok(Report::of(tally.counts))
    }

    /// Deletes target rows whose key the source lacks, in one fenced transaction: no more than `approved`, which is what
    /// the sweep of the same range counted and the guard let pass.
    pub(crate) async fn delete(&self, approved: u64) -> Result<Report> {
        let mut write = self.target.begin(&self.plan, &self.fence).await?;
        if let Some(receipt) = write.receipt().cloned() {
            return Ok(Report { quarantined: receipt.quarantined, ..Report::of(receipt.counts) });
        }
        let mut tally = Tally::new(&self.plan);
        self.orphans(&mut tally, Some(&mut *write)).await?;
        if tally.counts.deleted + tally.quarantined.len() as u64 > approved {
            let operation = format!("delete from {}", self.plan.target.table);
            return Err(Error::new(ErrorKind::Refused, self.target.engine(), operation).with_object(
                "the source lacks more rows than when they were counted; nothing was deleted here",
            ));
        }
        write.commit(&self.receipt(&tally, None)).await?;
        Ok(Report { quarantined: tally.quarantined, ..Report::of(tally.counts) })
    }

    /// Streams the target's keys of this chunk and asks the source for them, list by list. Those it lacks are counted,
    /// or deleted where there is a transaction to do it in.
    async fn orphans(&self, tally: &mut Tally, mut write: Option<&mut dyn ChunkWrite>) -> Result<()> {
        let columns: Arc<[Column]> =
            self.plan.key.iter().map(|i| self.plan.columns[*i].target.clone()).collect();
        let slice = Slice {
            table: self.plan.target.clone(),
            columns,
            key: self.plan.target_key(),
            rows: Selection::Range(self.chunk.range.clone()),
        };
        let mut batches = self.target.read(&slice);
        while let Some(batch) = batches.next().await {
            self.progress.note();
            let batch = batch?;
            // A key that cannot be read is nothing the source has; it is counted, never deleted.
            if write.is_none() {
                let unreadable = batch.undecodable.len() as u64;
                tally.counts.read += unreadable;
                tally.counts.unchanged += unreadable;
                tally.counts.extra += unreadable;
            }
            for keys in batch.rows.chunks(KEYS_PER_LOOKUP) {
                let keys: Vec<Key> = keys.iter().cloned().map(Key).collect();
                let read = keys.len() as u64;
                let orphans = self.absent_at_source(keys).await?;
                match &mut write {
                    Some(write) => merge::delete(&mut **write, tally, orphans).await?,
                    None => {
                        tally.counts.read += read;
                        tally.counts.unchanged += read;
                        tally.counts.extra += orphans.len() as u64;
                    }
                }
            }
        }
        Ok(())
    }

    /// Those of these target keys that the source does not have: neither by their bytes nor, where its collation finds
    /// a row all the same, by its own comparison.
    async fn absent_at_source(&self, keys: Vec<Key>) -> Result<Vec<Key>> {
        let types = self.plan.key_types();
        let asked: Vec<Key> = keys.iter().filter_map(|key| convert::key_to_source(&self.plan, key)).collect();
        let found = self.source_keys(asked).await?;
        let there: HashSet<_> = found.iter().flatten().map(|key| key_digest(key, &types)).collect();
        let known: HashSet<_> = keys.iter().map(|key| key_digest(key, &types)).collect();
        let mut absent: Vec<Key> =
            keys.into_iter().filter(|key| !there.contains(&key_digest(key, &types))).collect();
        let has_strangers = found.iter().any(|key| {
            // A row with a key that was not asked for, or that cannot be told.
            key.as_ref().is_none_or(|key| !known.contains(&key_digest(key, &types)))
        });
        if has_strangers {
            for at in (0..absent.len()).rev() {
                let Some(key) = convert::key_to_source(&self.plan, &absent[at]) else { continue };
                if !self.source_keys(vec![key]).await?.is_empty() {
                    absent.swap_remove(at);
                }
            }
        }
        Ok(absent)
    }

    /// Keys of the source's rows at these keys, in the target's types; `None` for one that cannot be told.
    async fn source_keys(&self, keys: Vec<Key>) -> Result<Vec<Option<Key>>> {
        let slice = Slice {
            table: self.plan.source.clone(),
            columns: self.plan.key.iter().map(|i| self.plan.columns[*i].source.clone()).collect(),
            key: self.plan.source_key(),
            rows: Selection::Keys(keys),
        };
        let mut found = Vec::new();
        let mut batches = self.source.read(&slice);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            found.extend(batch.undecodable.iter().map(|_| None));
            found.extend(batch.rows.iter().map(|row| convert::key_to_target(&self.plan, row)));
        }
        Ok(found)
    }

    async fn against_target(&self, range: &KeyRange, expected: Expected) -> Result<Compared> {
        verify::against_target(&self.plan, &*self.target, range, expected, &self.progress).await
    }

    /// The chunk's range, or the part of it below the cut; within that of the plan, if it has one.
    fn range(&self, cut: Option<&Key>) -> KeyRange {
        let KeyRange { lower, upper } = self.chunk.range.clone();
        let part = self.plan.range.clone().unwrap_or_default();
        KeyRange { lower: lower.or(part.lower), upper: cut.cloned().or(upper).or(part.upper) }
    }

    /// The rows of the range, or those of them that the window shows; or those that are looked up again.
    fn source_rows(&self, cut: Option<&Key>) -> Selection {
        if self.chunk.pass == Pass::Again {
            let again = self.plan.window.iter().flat_map(|window| &window.again);
            return Selection::Keys(
                again.filter_map(|key| convert::key_to_source(&self.plan, key)).collect(),
            );
        }
        Selection::of_source(&self.plan, self.range(cut))
    }

    fn source_slice(&self, cut: Option<&Key>) -> Slice {
        Slice {
            table: self.plan.source.clone(),
            columns: self.plan.source_columns().cloned().collect(),
            key: self.plan.source_key(),
            rows: self.source_rows(cut),
        }
    }
}
