//! How many rows a chunk should have.

use model::spec::ChunkLimits;
use model::{Engine, RunSpec};

/// Rows of the first look at a table, which tells how wide its rows are.
pub const SAMPLE_ROWS: u64 = 1_000;
/// Rows of a window's first chunks. Changes are looked up and updated one by one: a few thousand are work enough for
/// a worker, and as one chunk the others would have none.
pub const WINDOW_ROWS_FIRST: u64 = 5_000;
/// Fewest rows a chunk is planned with.
const ROWS_MIN: u64 = 10;
/// More chunks than this a table does not get: they get more rows instead.
const CHUNKS_MAX: u64 = 50_000;
/// Observations that count: the last ones.
pub const RECENT_CHUNKS: u32 = 10;

/// Rows that one transaction of MongoDB writes well: it keeps them all in its cache, and refuses what is more than that
/// holds.
const MONGODB_ROWS_MAX: u64 = 5_000;

/// The limits of a spec as its target's transactions allow.
#[must_use]
pub fn limits(spec: &RunSpec) -> ChunkLimits {
    let asked = spec.chunk;
    if spec.target.engine == Engine::Mongodb {
        return ChunkLimits { rows_max: asked.rows_max.min(MONGODB_ROWS_MAX), ..asked };
    }
    asked
}

/// What a finished chunk took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub rows: u64,
    pub bytes: u64,
    pub read_ms: u64,
}

/// Rows for the first chunks, from a sample.
#[must_use]
pub fn first(sampled_rows: u64, sampled_bytes: u64, estimate: Option<u64>, limits: &ChunkLimits) -> u64 {
    let width = (sampled_bytes / sampled_rows.max(1)).max(1);
    clamp(limits.target_bytes / width, estimate, limits)
}

/// Rows for the next chunks, from what the last ones took: towards the target in bytes and in reading time, by the
/// slower decile; at most half as many again, a tenth when a chunk took five times its target.
#[must_use]
pub fn next(current: u64, recent: &[Cost], estimate: Option<u64>, limits: &ChunkLimits) -> u64 {
    if recent.is_empty() {
        return current;
    }
    let mut wanted: Vec<u64> = recent
        .iter()
        .map(|cost| {
            if cost.rows == 0 {
                return current.saturating_mul(3) / 2;
            }
            let by_bytes = cost.rows.saturating_mul(limits.target_bytes) / cost.bytes.max(1);
            let by_time = cost.rows.saturating_mul(limits.target_ms) / cost.read_ms.max(1);
            by_bytes.min(by_time)
        })
        .collect();
    wanted.sort_unstable();
    let rows = wanted[wanted.len() / 10];
    let overlong =
        recent.iter().any(|c| c.bytes > 5 * limits.target_bytes || c.read_ms > 5 * limits.target_ms);
    let rows = if overlong { rows.min(current / 10) } else { rows.min(current.saturating_mul(3) / 2) };
    clamp(rows, estimate, limits)
}

fn clamp(rows: u64, estimate: Option<u64>, limits: &ChunkLimits) -> u64 {
    let floor = (estimate.unwrap_or(0) / CHUNKS_MAX).max(ROWS_MIN).min(limits.rows_max.max(1));
    rows.clamp(floor, limits.rows_max.max(floor))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ChunkLimits = ChunkLimits { rows_max: 100_000, target_bytes: 16 << 20, target_ms: 2_000 };

    #[test]
    fn wide_rows_make_small_chunks() {
        assert_eq!(first(1_000, 1_000_000, None, &LIMITS), 16_777);
        assert_eq!(first(10, 10 << 20, None, &LIMITS), 16);
        assert_eq!(first(1_000, 10, None, &LIMITS), 100_000);
        assert_eq!(first(0, 0, None, &LIMITS), 100_000);
    }

    #[test]
    fn growth_is_slow_and_shrinking_fast() {
        let cost = |rows, read_ms| Cost { rows, bytes: rows * 100, read_ms };
        assert_eq!(next(1_000, &[cost(1_000, 10)], None, &LIMITS), 1_500);
        assert_eq!(next(1_000, &[cost(1_000, 4_000)], None, &LIMITS), 500);
        assert_eq!(next(1_000, &[cost(1_000, 20_000)], None, &LIMITS), 100);
        assert_eq!(next(1_000, &[], None, &LIMITS), 1_000);
    }

    #[test]
    fn huge_tables_get_larger_chunks_instead_of_more() {
        let tight = ChunkLimits { rows_max: 100_000, target_bytes: 1, target_ms: 1 };
        assert_eq!(first(1_000, 100_000, Some(1_000_000_000), &tight), 20_000);
    }
}
