//! Digests compared: the target is read back and held against what the chunk promised.

use std::sync::Arc;

use connectors::{Result, Selection, Slice, Target};
use futures::StreamExt as _;
use model::{ChunkDigest, Column, KeyRange, RowEncoder, TablePlan};

use crate::expected::{Expected, Held, Promised};
use crate::progress::Progress;

/// What the comparison found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) matching: u64,
    pub(crate) different: u64,
    pub(crate) missing: u64,
    /// Further rows of the target at an expected key.
    pub(crate) repeated: u64,
    /// Over the target's rows at the expected keys whose equality is promised.
    pub(crate) digest: ChunkDigest,
}

impl Compared {
    pub(crate) const fn is_clean(&self) -> bool {
        self.different == 0 && self.missing == 0 && self.repeated == 0
    }
}

/// Reads the target's side of a chunk and compares it with what is expected; consumes the expectation. Rows of the
/// target at other keys are not looked at: under a merge policy they are its own.
pub(crate) async fn against_target(
    plan: &TablePlan,
    target: &dyn Target,
    range: &KeyRange,
    expected: Expected,
    progress: &Progress,
) -> Result<Compared> {
    let mut expected = expected;
    let rows = if plan.is_order_safe() || plan.key.is_empty() {
        Selection::Range(range.clone())
    } else {
        Selection::Keys(std::mem::take(&mut expected.keys))
    };
    let columns: Arc<[Column]> = plan.columns.iter().map(|c| c.target.clone()).collect();
    let slice = Slice { table: plan.target.clone(), columns, key: plan.target_key(), rows };
    if plan.key.is_empty() {
        return as_a_whole(plan, target, &slice, &expected, progress).await;
    }
    let is_missing = |promised: &&Promised| !promised.seen && promised.held != Held::Nothing;
    let mut compared = Compared::default();
    let mut encoder = RowEncoder::new(plan.canonical_types());
    let mut batches = target.read(&slice);
    while let Some(batch) = batches.next().await {
        progress.note();
        for row in batch?.rows {
            let key = expected.key_digest(&plan.key_of(&row));
            let Some(promised) = expected.rows.get_mut(&key) else {
                continue;
            };
            if std::mem::replace(&mut promised.seen, true) {
                compared.repeated += 1;
                continue;
            }
            match promised.held {
                Held::Any => compared.matching += 1,
                Held::Nothing => compared.different += 1,
                Held::Row(digest) => {
                    let found = encoder.digest(&row);
                    compared.digest.add_row(found);
                    if found == digest { compared.matching += 1 } else { compared.different += 1 }
                }
            }
        }
    }
    compared.missing = expected.rows.values().filter(is_missing).count() as u64;
    Ok(compared)
}

/// Without a key rows cannot be told apart: both sides are compared as multisets.
async fn as_a_whole(
    plan: &TablePlan,
    target: &dyn Target,
    slice: &Slice,
    expected: &Expected,
    progress: &Progress,
) -> Result<Compared> {
    let mut encoder = RowEncoder::new(plan.canonical_types());
    let mut digest = ChunkDigest::default();
    let mut batches = target.read(slice);
    while let Some(batch) = batches.next().await {
        progress.note();
        for row in batch?.rows {
            digest.add_row(encoder.digest(&row));
        }
    }
    let is_equal = digest == expected.digest;
    Ok(Compared {
        matching: if is_equal { digest.rows } else { 0 },
        different: if is_equal { 0 } else { digest.rows.max(1) },
        missing: expected.digest.rows.saturating_sub(digest.rows),
        repeated: 0,
        digest,
    })
}
