//! Incoming rows meet the target's: one algorithm for every engine, over the primitives of `ChunkWrite`.

use std::collections::{BTreeSet, HashMap, HashSet};

use connectors::{ChunkWrite, Error, Result};
use model::conflict::{CONFLICTS_MAX, Side};
use model::fields::OnFail;
use model::{
    Conflict, Counts, Disposition, Engine, ErrorKind, Key, MergePolicy, QuarantinedRow, Receipt, Row,
    RowDigest, TablePlan, Verdict,
};

use crate::convert::{self, Refusal};
use crate::expected::Expected;

/// What a chunk has come to so far.
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    pub(crate) quarantined: Vec<QuarantinedRow>,
    /// The first of them; all are counted.
    pub(crate) conflicts: Vec<Conflict>,
    /// Keys of rows that are marked as deleted, in the target's types.
    pub(crate) marked: Vec<Key>,
    /// Rows that cannot be decoded, of which a person has said what they are to be.
    pub(crate) corrected: Vec<QuarantinedRow>,
    pub(crate) expected: Expected,
    /// What an earlier attempt committed, onto which this one merges: what it wrote and deleted stays counted.
    pub(crate) earlier: Counts,
    /// The target held no rows when the run was planned and no earlier attempt wrote any.
    pub(crate) is_fresh: bool,
}

impl Tally {
    pub(crate) fn new(plan: &TablePlan) -> Self {
        Self {
            counts: Counts::default(),
            quarantined: Vec::new(),
            conflicts: Vec::new(),
            marked: Vec::new(),
            corrected: Vec::new(),
            expected: Expected::new(plan),
            earlier: Counts::default(),
            is_fresh: plan.fresh,
        }
    }

    /// For merging once more onto what an earlier attempt committed. Conflicts that the target won are found again.
    pub(crate) fn again(plan: &TablePlan, receipt: &Receipt) -> Self {
        let mut tally = Self { is_fresh: false, earlier: receipt.counts, ..Self::new(plan) };
        let won = receipt.conflicts.iter().filter(|conflict| conflict.winner == Side::Source);
        won.cloned().for_each(|conflict| tally.note(conflict));
        tally
    }

    /// What all attempts came to.
    pub(crate) fn total(&self) -> Counts {
        let mut total = self.counts;
        for (earlier, now) in
            [(self.earlier.inserted, &mut total.inserted), (self.earlier.updated, &mut total.updated)]
        {
            let carried = earlier.min(total.unchanged);
            *now += carried;
            total.unchanged -= carried;
        }
        total.deleted += self.earlier.deleted;
        total
    }

    fn note(&mut self, conflict: Conflict) {
        self.counts.conflicts += 1;
        if self.conflicts.len() < CONFLICTS_MAX {
            self.conflicts.push(conflict);
        }
    }

    /// Does with a row that cannot be written what its rule says.
    ///
    /// # Errors
    /// By its rule the run ends.
    pub(crate) fn refuse(&mut self, plan: &TablePlan, engine: Engine, refusal: Refusal) -> Result<()> {
        match refusal.then {
            OnFail::Quarantine => self.quarantine(refusal.row),
            OnFail::Skip => self.counts.filtered += 1,
            OnFail::Fail => return Err(refusal.error(plan, engine)),
            OnFail::Delete => match convert::key_to_target(plan, &refusal.row.key.0) {
                Some(key) => self.marked.push(key),
                // The target cannot hold a row of this key.
                None => self.counts.unchanged += 1,
            },
        }
        Ok(())
    }

    pub(crate) fn quarantine(&mut self, row: QuarantinedRow) {
        self.counts.quarantined += 1;
        self.quarantined.push(row);
    }
}

/// Writes converted rows under the plan's policy.
///
/// # Errors
/// What concerns more than single rows; those are set aside in the tally.
pub(crate) async fn rows(
    write: &mut dyn ChunkWrite,
    plan: &TablePlan,
    tally: &mut Tally,
    rows: Vec<Row>,
) -> Result<()> {
    // First: another row may have what only one may have.
    delete_marked(write, plan, tally).await?;
    if rows.is_empty() {
        return Ok(());
    }
    if tally.is_fresh || plan.key.is_empty() {
        match write.insert(&rows).await {
            Ok(()) => {
                tally.counts.inserted += rows.len() as u64;
                accept_all(plan, tally, &rows);
                return Ok(());
            }
            Err(error) if !concerns_rows(&error) => return Err(error),
            Err(_) => {}
        }
    }
    let Sorted { inserts, updates, changed } = sort_out(write, plan, tally, rows).await?;
    bisect(write, plan, tally, inserts, Change::Insert).await?;
    let changed: Vec<usize> = changed.into_iter().collect();
    bisect(write, plan, tally, updates, Change::Update(&changed)).await
}

/// Rows by what is to be done with them.
#[derive(Default)]
struct Sorted {
    inserts: Vec<Row>,
    updates: Vec<Row>,
    /// Places at which any row to update differs from what is there.
    changed: BTreeSet<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change<'a> {
    Insert,
    /// In the columns at these places.
    Update(&'a [usize]),
}

fn accept_all(plan: &TablePlan, tally: &mut Tally, rows: &[Row]) {
    for row in rows {
        let digest = tally.expected.row_digest(row);
        tally.expected.accept(plan.key_of(row), digest);
    }
}

/// Compares rows with those at their keys.
async fn sort_out(
    write: &mut dyn ChunkWrite,
    plan: &TablePlan,
    tally: &mut Tally,
    rows: Vec<Row>,
) -> Result<Sorted> {
    let keys: Vec<Key> = rows.iter().map(|row| plan.key_of(row)).collect();
    let found =
        if keys.iter().all(|k| k.0.is_empty()) { Vec::new() } else { write.existing(&keys).await?.rows };
    let mut present: HashMap<RowDigest, (RowDigest, Row)> = HashMap::with_capacity(found.len());
    for row in found {
        let (key, digest) = (tally.expected.key_digest(&plan.key_of(&row)), tally.expected.row_digest(&row));
        present.insert(key, (digest, row));
    }
    let mark = plan.mark();
    let mut sorted = Sorted::default();
    for (row, key) in rows.into_iter().zip(keys) {
        let digest = tally.expected.row_digest(&row);
        let existing = present.get(&tally.expected.key_digest(&key));
        let equal = existing.is_some_and(|(there, _)| *there == digest);
        let newer =
            existing.zip(mark).is_some_and(|((_, there), at)| MergePolicy::source_wins(&row[at], &there[at]));
        if let Some(conflict) =
            existing.filter(|_| !equal).and_then(|(_, there)| Conflict::between(plan, &row, there))
        {
            tally.note(conflict);
        }
        match plan.policy.decide(existing.is_some(), equal, newer) {
            Verdict::Insert => sorted.inserts.push(row),
            Verdict::Update => {
                let differing = existing.map(|(_, there)| tally.expected.differing(&row, there));
                sorted.changed.extend(differing.unwrap_or_default());
                sorted.updates.push(row);
            }
            Verdict::Keep => {
                tally.counts.unchanged += 1;
                if equal { tally.expected.accept(key, digest) } else { tally.expected.accept_key(key) }
            }
            Verdict::Quarantine(kind) => tally.quarantine(QuarantinedRow {
                key,
                column: None,
                kind,
                reason: "the target holds a different row at this key".to_owned(),
            }),
        }
    }
    Ok(sorted)
}

/// Applies a change to all rows; where the database refuses some of them, finds out which by halving.
async fn bisect(
    write: &mut dyn ChunkWrite,
    plan: &TablePlan,
    tally: &mut Tally,
    rows: Vec<Row>,
    change: Change<'_>,
) -> Result<()> {
    let mut pending = vec![rows];
    while let Some(mut rows) = pending.pop() {
        if rows.is_empty() {
            continue;
        }
        let done = match change {
            Change::Insert => write.insert(&rows).await,
            Change::Update(changed) => write.update(&rows, changed).await,
        };
        match done {
            Ok(()) => {
                let n = rows.len() as u64;
                match change {
                    Change::Insert => tally.counts.inserted += n,
                    Change::Update(_) => tally.counts.updated += n,
                }
                accept_all(plan, tally, &rows);
            }
            Err(error) if !concerns_rows(&error) => return Err(error),
            // No row is at fault for a server that is too slow even for one.
            Err(error) if rows.len() == 1 && error.kind == ErrorKind::StatementTimeout => return Err(error),
            Err(error) if rows.len() == 1 => tally.quarantine(refused(plan.key_of(&rows[0]), &error)),
            Err(_) => {
                let second = rows.split_off(rows.len() / 2);
                pending.push(second);
                pending.push(rows);
            }
        }
    }
    Ok(())
}

/// Deletes the rows that are marked; those that the target does not have are as they should be. What only the target takes
/// for the same key is another row, and stays.
async fn delete_marked(write: &mut dyn ChunkWrite, plan: &TablePlan, tally: &mut Tally) -> Result<()> {
    let mut marked = std::mem::take(&mut tally.marked);
    if marked.is_empty() {
        return Ok(());
    }
    let found = if tally.is_fresh { Vec::new() } else { write.existing(&marked).await?.rows };
    let digests: HashSet<RowDigest> = marked.iter().map(|key| tally.expected.key_digest(key)).collect();
    let mut there: Vec<Key> = found.iter().map(|row| plan.key_of(row)).collect();
    there.retain(|key| digests.contains(&tally.expected.key_digest(key)));
    tally.counts.unchanged += (marked.len() - there.len()) as u64;
    let set_aside = tally.quarantined.len();
    delete(write, tally, there).await?;
    let refused = &tally.quarantined[set_aside..];
    marked.retain(|key| !refused.iter().any(|row| row.key == *key));
    tally.counts.quarantined += refused.len() as u64;
    marked.into_iter().for_each(|key| tally.expected.refuse_key(key));
    Ok(())
}

/// Deletes the rows at these keys; those the database refuses to delete are set aside.
///
/// # Errors
/// As [`rows`].
pub(crate) async fn delete(write: &mut dyn ChunkWrite, tally: &mut Tally, keys: Vec<Key>) -> Result<()> {
    let mut pending = vec![keys];
    while let Some(mut keys) = pending.pop() {
        if keys.is_empty() {
            continue;
        }
        match write.delete(&keys).await {
            Ok(rows) => tally.counts.deleted += rows,
            Err(error) if !concerns_rows(&error) => return Err(error),
            Err(error) if keys.len() == 1 && error.kind == ErrorKind::StatementTimeout => return Err(error),
            Err(error) if keys.len() == 1 => {
                tally.quarantined.push(refused(keys.remove(0), &error));
            }
            Err(_) => {
                let second = keys.split_off(keys.len() / 2);
                pending.push(second);
                pending.push(keys);
            }
        }
    }
    Ok(())
}

fn concerns_rows(error: &Error) -> bool {
    matches!(error.kind.disposition(), Disposition::QuarantineRow | Disposition::Shrink)
}

fn refused(key: Key, error: &Error) -> QuarantinedRow {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kind itself is shown beside")]
    let reason = match error.kind {
        ErrorKind::DuplicateKey => "another row of the target holds the same unique value",
        ErrorKind::ForeignKey => "the target refuses the row for a foreign key",
        ErrorKind::Check => "the target refuses the row for a check constraint",
        ErrorKind::NotNull => "the target column takes no NULL",
        ErrorKind::TooLong => "the value is too long for the target column",
        ErrorKind::OutOfRange => "the value is out of the target column's range",
        ErrorKind::Encoding => "the target column's character set lacks a character of the text",
        ErrorKind::TooLarge => "the row is larger than one statement to the target may be",
        _ => "the target refuses the row",
    };
    QuarantinedRow { key, column: error.object.clone(), kind: error.kind, reason: reason.to_owned() }
}
