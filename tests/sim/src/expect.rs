//! The model: what a run must leave in the target and say in its counters. It knows rows and policies, and nothing of
//! how the product comes to them.

use model::{Counts, MergePolicy, RunKind};

use crate::shape::{Cells, Rows, TableShape, is_bad};

/// What one table must come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) rows: Rows,
    /// Without `bytes`, which nobody promises.
    pub(crate) counts: Counts,
}

/// After a run over `source` onto `target`.
pub(crate) fn expected(table: &TableShape, kind: RunKind) -> Expected {
    match kind {
        RunKind::Copy => copied(table),
        RunKind::Verify => verified(table),
    }
}

fn copied(table: &TableShape) -> Expected {
    let mut rows = table.target.clone();
    let mut counts = Counts { read: table.source.len() as u64, ..Counts::default() };
    for (id, row) in &table.source {
        let there = table.target.get(id);
        if table.is_there && is_bad(row) {
            counts.quarantined += 1;
            continue;
        }
        match there {
            None => {
                counts.inserted += 1;
                rows.insert(*id, row.clone());
            }
            Some(there) if there == row => counts.unchanged += 1,
            Some(there) => match wins(&table.policy, row, there) {
                Some(true) => {
                    counts.updated += 1;
                    rows.insert(*id, row.clone());
                }
                Some(false) => {
                    counts.unchanged += 1;
                    counts.conflicts += u64::from(matches!(table.policy, MergePolicy::NewestWins { .. }));
                }
                None => counts.quarantined += 1,
            },
        }
    }
    counts.matching = counts.read - counts.quarantined;
    if table.policy == MergePolicy::Mirror {
        let before = rows.len();
        rows.retain(|id, _| table.source.contains_key(id));
        counts.deleted = (before - rows.len()) as u64;
        counts.extra = counts.deleted;
    }
    Expected { rows, counts }
}

/// Whether the source's row takes the place of a different one; `None` if neither may.
fn wins(policy: &MergePolicy, source: &Cells, target: &Cells) -> Option<bool> {
    match policy {
        MergePolicy::InsertOnly => None,
        MergePolicy::KeepTarget => Some(false),
        MergePolicy::SourceWins | MergePolicy::Mirror => Some(true),
        MergePolicy::NewestWins { .. } => Some(source.at >= target.at),
    }
}

fn verified(table: &TableShape) -> Expected {
    let mut counts = Counts { read: table.source.len() as u64, ..Counts::default() };
    for (id, row) in &table.source {
        match table.target.get(id) {
            _ if table.is_there && is_bad(row) => counts.quarantined += 1,
            None => counts.missing += 1,
            Some(there) if there == row => counts.matching += 1,
            Some(_) => counts.different += 1,
        }
    }
    counts.unchanged = counts.read - counts.quarantined;
    let is_extra = |id: &&i64| !table.source.contains_key(id);
    counts.extra = table.target.keys().filter(is_extra).count() as u64;
    Expected { rows: table.target.clone(), counts }
}
