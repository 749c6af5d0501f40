//! Counters and digests as columns: what a chunk's row holds, and sums over many.

use model::{ChunkDigest, Counts};

use crate::error::Cause;
use crate::fields::{Fields, stored};

/// Columns of [`Counts`], in the order of [`counts_of`] and [`stored_counts`].
pub(crate) const COUNTS: [&str; 13] = [
    "c_read",
    "c_inserted",
    "c_updated",
    "c_unchanged",
    "c_filtered",
    "c_quarantined",
    "c_deleted",
    "c_bytes",
    "c_matching",
    "c_different",
    "c_missing",
    "c_extra",
    "c_conflicts",
];

/// Columns of a digest of the source, then of the target: rows, and four limbs of 32 bits, lowest first.
pub(crate) const SOURCE_DIGEST: [&str; 5] = ["s_rows", "s_d0", "s_d1", "s_d2", "s_d3"];
pub(crate) const TARGET_DIGEST: [&str; 5] = ["t_rows", "t_d0", "t_d1", "t_d2", "t_d3"];

pub(crate) fn counts_of(row: &impl Fields) -> Result<Counts, Cause> {
    let [
        read,
        inserted,
        updated,
        unchanged,
        filtered,
        quarantined,
        deleted,
        bytes,
        matching,
        different,
        missing,
        extra,
        conflicts,
    ] = COUNTS;
    Ok(Counts {
        read: row.count(read)?,
        inserted: row.count(inserted)?,
        updated: row.count(updated)?,
        unchanged: row.count(unchanged)?,
        filtered: row.count(filtered)?,
        quarantined: row.count(quarantined)?,
        deleted: row.count(deleted)?,
        bytes: row.count(bytes)?,
        matching: row.count(matching)?,
        different: row.count(different)?,
        missing: row.count(missing)?,
        extra: row.count(extra)?,
        conflicts: row.count(conflicts)?,
    })
}

pub(crate) fn stored_counts(counts: &Counts) -> [i64; 13] {
    [
        counts.read,
        counts.inserted,
        counts.updated,
        counts.unchanged,
        counts.filtered,
        counts.quarantined,
        counts.deleted,
        counts.bytes,
        counts.matching,
        counts.different,
        counts.missing,
        counts.extra,
        counts.conflicts,
    ]
    .map(stored)
}

/// The digest in these columns of a chunk, or of sums over chunks; absent if its rows are.
pub(crate) fn digest_of(row: &impl Fields, columns: [&'static str; 5]) -> Result<Option<ChunkDigest>, Cause> {
    let [rows, limbs @ ..] = columns;
    let Some(rows) = row.opt_count(rows)? else {
        return Ok(None);
    };
    let mut sum = 0_u128;
    for (place, limb) in limbs.into_iter().enumerate() {
        // A sum of limbs may exceed 32 bits: the carry goes up, and off the top modulo 2^128.
        sum = sum.wrapping_add(u128::from(row.count(limb)?) << (32 * place));
    }
    Ok(Some(ChunkDigest { rows, sum }))
}

pub(crate) fn stored_digest(digest: Option<&ChunkDigest>) -> [Option<i64>; 5] {
    let Some(digest) = digest else { return [None; 5] };
    let limb = |place: u32| i64::try_from((digest.sum >> (32 * place)) & u128::from(u32::MAX)).ok();
    [Some(stored(digest.rows)), limb(0), limb(1), limb(2), limb(3)]
}

/// `SUM` of a column under its own name, 0 over nothing, as an integer on every database (MySQL and PostgreSQL sum to decimals).
pub(crate) fn sum(column: &str) -> String {
    format!("CAST(COALESCE(SUM({column}), 0) AS {{int}}) AS {column}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Columns without a database.
    struct Sums(Vec<(&'static str, i64)>);

    impl Fields for Sums {
        fn opt_int(&self, column: &'static str) -> Result<Option<i64>, Cause> {
            Ok(self.0.iter().find(|(name, _)| *name == column).map(|(_, value)| *value))
        }
        fn opt_text(&self, column: &'static str) -> Result<Option<String>, Cause> {
            Err(Cause::Unreadable { column })
        }
        fn opt_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, Cause> {
            Err(Cause::Unreadable { column })
        }
    }

    proptest! {
        #[test]
        fn sums_of_limbs_are_the_sum_of_digests(digests in prop::collection::vec((0..1_000_000_u64, any::<u128>()), 1..50)) {
            let mut whole = ChunkDigest::default();
            let mut sums = [0_i64; 5];
            for (rows, sum) in digests {
                let digest = ChunkDigest { rows, sum };
                whole += digest;
                for (sum, part) in sums.iter_mut().zip(stored_digest(Some(&digest))) {
                    *sum += part.expect("a digest has all parts");
                }
            }
            let row = Sums(SOURCE_DIGEST.into_iter().zip(sums).collect());
            prop_assert_eq!(digest_of(&row, SOURCE_DIGEST).expect("reads"), Some(whole));
        }
    }
}
