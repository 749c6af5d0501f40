//! The passes over one chunk: copy, verify, sweep, delete.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use connectors::config::Role;
use connectors::{ChunkWrite, Connections, Error, Fence, Result, Selection, Slice, Target};
use futures::StreamExt as _;
use model::canonical::key_digest;
use model::chunk::Report;
use model::merge::Promise;
use model::{Chunk, Column, Counts, ErrorKind, Key, Receipt, Row, RowBatch, RunSpec, TablePlan};
use tokio::time::Instant;

use crate::convert;
use crate::expected::Expected;
use crate::merge::{self, Tally};
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
}

impl Attempt {
    pub(crate) fn new(
        chunk: Chunk,
        plan: Arc<TablePlan>,
        fence: Fence,
        spec: &RunSpec,
        connections: &Connections,
    ) -> Result<Self> {
        let source = connections.get(&spec.source, Role::Source)?;
        let target = connections.get(&spec.target, Role::Target)?;
        Ok(Self { chunk, plan, fence, source, target })
    }

    /// Copies the chunk in one fenced transaction, then verifies it. If an earlier attempt committed, only
    /// verifies, and reports what that attempt's receipt says.
    pub(crate) async fn copy(&self) -> Result<Report> {
        let write = self.target.begin(&self.plan, &self.fence).await?;
        let Some(receipt) = write.receipt().cloned() else {
            failpoint::point_at("k2", self.chunk.ordinal).await;
            let (tally, read_ms) = self.copy_rows(write, Tally::new(&self.plan)).await?;
            return self.verified(tally, read_ms).await;
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
        let again = Tally { is_fresh: false, ..Tally::new(&self.plan) };
        let (mut tally, read_ms) = self.copy_rows(write, again).await?;
        let counts = &mut tally.counts;
        for (earlier, now) in
            [(receipt.counts.inserted, &mut counts.inserted), (receipt.counts.updated, &mut counts.updated)]
        {
            let carried = earlier.min(counts.unchanged);
            *now += carried;
            counts.unchanged -= carried;
        }
        self.verified(tally, read_ms).await
    }

    async fn verified(&self, tally: Tally, read_ms: u64) -> Result<Report> {
        failpoint::point_at("k5", self.chunk.ordinal).await;
        let source_digest = tally.expected.digest;
        let compared = self.verify_expected(tally.expected).await?;
        failpoint::point_at("k6", self.chunk.ordinal).await;
        let counts = Counts { matching: compared.matching, ..tally.counts };
        Ok(Report {
            counts,
            source_digest: Some(source_digest),
            target_digest: Some(compared.digest),
            quarantined: tally.quarantined,
            read_ms,
        })
    }

    /// One transaction: read, convert, merge, receipt, commit.
    async fn copy_rows(&self, mut write: Box<dyn ChunkWrite>, mut tally: Tally) -> Result<(Tally, u64)> {
        let slice = self.source_slice();
        let mut reading = Duration::ZERO;
        let mut batches = self.source.read(&slice);
        loop {
            let started = Instant::now();
            let next = batches.next().await;
            reading += started.elapsed();
            let Some(batch) = next else { break };
            let rows = self.convert(batch?, &mut tally);
            merge::rows(&mut *write, &self.plan, &mut tally, rows).await?;
            self.check_quarantine(&tally)?;
            failpoint::point_at("k3", self.chunk.ordinal).await;
        }
        drop(batches);
        write.commit(&self.receipt(&tally)).await?;
        failpoint::point_at("k4", self.chunk.ordinal).await;
        Ok((tally, u64::try_from(reading.as_millis()).unwrap_or(u64::MAX)))
    }

    fn receipt(&self, tally: &Tally) -> Receipt {
        Receipt {
            v: 1,
            attempt: self.fence.attempt,
            counts: tally.counts,
            source_digest: tally.expected.digest,
            quarantined: tally.quarantined.clone(),
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
    fn convert(&self, batch: RowBatch, tally: &mut Tally) -> Vec<Row> {
        tally.counts.read += (batch.rows.len() + batch.undecodable.len()) as u64;
        tally.counts.bytes += batch.bytes;
        for row in batch.undecodable {
            tally.quarantine(row);
        }
        let mut converted = Vec::with_capacity(batch.rows.len());
        for row in batch.rows {
            match convert::row(&self.plan, &*self.target, row) {
                Ok(row) => converted.push(row),
                Err(row) => tally.quarantine(row),
            }
        }
        converted
    }

    /// An earlier attempt committed: read the source again only to know what to compare the target with. `None` if
    /// they are not equal any more, because one of them has moved on: then the rows are merged once more.
    async fn settle_receipt(&self, receipt: &Receipt) -> Result<Option<Report>> {
        let promise = self.plan.policy.promise();
        let mut tally = self.expectation(promise).await?;
        let set_aside: HashSet<_> = receipt
            .quarantined
            .iter()
            .filter_map(|row| convert::key_to_target(&self.plan, &row.key.0))
            .map(|key| tally.expected.key_digest(&key))
            .collect();
        tally.expected.rows.retain(|key, _| !set_aside.contains(key));
        let range = &self.chunk.range;
        let compared = verify::against_target(&self.plan, &*self.target, range, tally.expected).await?;
        Ok(compared.is_clean().then_some(Report {
            counts: Counts { matching: compared.matching, ..receipt.counts },
            source_digest: Some(match promise {
                Promise::EqualRows => receipt.source_digest,
                // Of rows that are only promised to be there none is digested again, on either side.
                Promise::EveryKey => compared.digest,
            }),
            target_digest: Some(compared.digest),
            quarantined: receipt.quarantined.clone(),
            read_ms: 0,
        }))
    }

    /// Reads the source and notes what its rows should be in the target.
    async fn expectation(&self, promise: Promise) -> Result<Tally> {
        let slice = self.source_slice();
        let mut tally = Tally::new(&self.plan);
        let equal_rows = promise == Promise::EqualRows;
        let mut batches = self.source.read(&slice);
        while let Some(batch) = batches.next().await {
            let rows = self.convert(batch?, &mut tally);
            self.check_quarantine(&tally)?;
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
        Ok(tally)
    }

    async fn verify_expected(&self, expected: Expected) -> Result<Compared> {
        let compared = verify::against_target(&self.plan, &*self.target, &self.chunk.range, expected).await?;
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
        let tally = self.expectation(Promise::EqualRows).await?;
        let read_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let source_digest = tally.expected.digest;
        let compared =
            verify::against_target(&self.plan, &*self.target, &self.chunk.range, tally.expected).await?;
        let counts = Counts {
            unchanged: tally.counts.read - tally.counts.quarantined,
            matching: compared.matching,
            different: compared.different,
            missing: compared.missing,
            extra: compared.repeated,
            ..tally.counts
        };
        Ok(Report {
            counts,
            source_digest: Some(source_digest),
            target_digest: Some(compared.digest),
            quarantined: tally.quarantined,
            read_ms,
        })
    }

    /// Counts target rows whose key the source lacks.
    pub(crate) async fn sweep(&self) -> Result<Report> {
        let mut tally = Tally::new(&self.plan);
        self.orphans(&mut tally, None).await?;
        Ok(report(tally.counts))
    }

    /// Deletes target rows whose key the source lacks, in one fenced transaction: no more than `approved`, which is what
    /// the sweep of the same range counted and the guard let pass.
    pub(crate) async fn delete(&self, approved: u64) -> Result<Report> {
        let mut write = self.target.begin(&self.plan, &self.fence).await?;
        if let Some(receipt) = write.receipt().cloned() {
            return Ok(Report { quarantined: receipt.quarantined, ..report(receipt.counts) });
        }
        let mut tally = Tally::new(&self.plan);
        self.orphans(&mut tally, Some(&mut *write)).await?;
        if tally.counts.deleted + tally.quarantined.len() as u64 > approved {
            let operation = format!("delete from {}", self.plan.target.table);
            return Err(Error::new(ErrorKind::Refused, self.target.engine(), operation).with_object(
                "the source lacks more rows than when they were counted; nothing was deleted here",
            ));
        }
        write.commit(&self.receipt(&tally)).await?;
        Ok(Report { quarantined: tally.quarantined, ..report(tally.counts) })
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

    fn source_slice(&self) -> Slice {
        Slice {
            table: self.plan.source.clone(),
            columns: self.plan.columns.iter().map(|c| c.source.clone()).collect(),
            key: self.plan.source_key(),
            rows: Selection::Range(self.chunk.range.clone()),
        }
    }
}

const fn report(counts: Counts) -> Report {
    Report { counts, source_digest: None, target_digest: None, quarantined: Vec::new(), read_ms: 0 }
}
