//! When a chunk proves too big: what it has copied so far is committed, and the rest becomes a chunk of its own.

use model::spec::ChunkLimits;
use model::{Chunk, Key, Pass, RowBatch, TablePlan, chunk};
use tokio::time::Instant;

/// A chunk that takes so many times what it should is cut: less would cut at every hiccup.
const TOO_BIG: u64 = 5;

/// What one attempt may take before its chunk is cut.
#[derive(Debug)]
pub(crate) struct Budget {
    until: Instant,
    bytes: u64,
    /// There is a key to cut at, and room in the chain for the rest.
    may_cut: bool,
}

impl Budget {
    pub(crate) fn new(chunk: &Chunk, plan: &TablePlan, limits: &ChunkLimits) -> Self {
        let time = std::time::Duration::from_millis(limits.target_ms.saturating_mul(TOO_BIG));
        Self {
            until: Instant::now() + time,
            bytes: limits.target_bytes.saturating_mul(TOO_BIG),
            may_cut: !plan.key.is_empty()
                && chunk.pass != Pass::Again
                && chunk::next_split(chunk.ordinal).is_some(),
        }
    }

    /// Where to cut, in front of this batch, if the chunk has taken too much already. The rows of a batch
    /// come in order, so everything before its first row is copied; where a row could not be decoded its place is
    /// not known, and a later batch will do.
    pub(crate) fn cut(&self, plan: &TablePlan, copied_bytes: u64, batch: &RowBatch) -> Option<Key> {
        let is_over = copied_bytes > 0 && (copied_bytes > self.bytes || Instant::now() > self.until);
        if !self.may_cut || !is_over || !batch.undecodable.is_empty() {
            return None;
        }
        batch.rows.first().map(|row| plan.place_of(row))
    }
}
