//! Digests: order-free fingerprints that add up. Proof against accident, not against forgery.

use std::fmt;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// First 16 bytes of SHA-256 over a row's canonical form, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowDigest(pub u128);

impl RowDigest {
    #[must_use]
    pub fn of(canonical: &[u8]) -> Self {
        let hash = Sha256::digest(canonical);
        let mut head = [0_u8; 16];
        head.copy_from_slice(&hash[..16]);
        Self(u128::from_be_bytes(head))
    }
}

/// Row count and sum of row digests modulo 2^128. Unlike XOR of CRCs it sees a row that occurs twice and equal
/// changes made to two rows. Stored as `<rows>:<32 hex digits>`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ChunkDigest {
    pub rows: u64,
    pub sum: u128,
}

impl ChunkDigest {
    pub const fn add_row(&mut self, row: RowDigest) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row.0);
    }
}

impl Add for ChunkDigest {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, sum: self.sum.wrapping_add(other.sum) }
    }
}

impl AddAssign for ChunkDigest {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for ChunkDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:032x}", self.rows, self.sum)
    }
}

impl From<ChunkDigest> for String {
    fn from(digest: ChunkDigest) -> String {
        digest.to_string()
    }
}

/// The text is not `<rows>:<32 hex digits>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of the form <rows>:<32 hex digits>")]
pub struct DigestError;

impl FromStr for ChunkDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (rows, sum) = text.split_once(':').ok_or(DigestError)?;
        Ok(Self {
            rows: rows.parse().map_err(|_| DigestError)?,
            sum: u128::from_str_radix(sum, 16).map_err(|_| DigestError)?,
        })
    }
}

impl TryFrom<String> for ChunkDigest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest_of(rows: &[Vec<u8>]) -> ChunkDigest {
        let mut digest = ChunkDigest::default();
        for row in rows {
            digest.add_row(RowDigest::of(row));
        }
        digest
    }

    proptest! {
        #[test]
        fn order_and_chunking_do_not_matter(mut rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..20), cut in 0..20_usize) {
            let whole = digest_of(&rows);
            let cut = cut.min(rows.len());
            prop_assert_eq!(digest_of(&rows[..cut]) + digest_of(&rows[cut..]), whole);
            rows.reverse();
            prop_assert_eq!(digest_of(&rows), whole);
            prop_assert_eq!(whole.to_string().parse::<ChunkDigest>(), Ok(whole));
        }

        #[test]
        fn one_changed_bit_is_seen(rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9), 1..9), at in any::<usize>(), bit in 0..8_u8) {
            let mut changed = rows.clone();
            let row = at % rows.len();
            changed[row][0] ^= 1 << bit;
            prop_assert_ne!(digest_of(&rows), digest_of(&changed));
        }
    }

    #[test]
    fn a_doubled_row_and_paired_changes_are_seen() {
        let row = |text: &str| text.as_bytes().to_vec();
        assert_ne!(digest_of(&[row("a"), row("a")]), digest_of(&[]));
        assert_ne!(
            digest_of(&[row("1 ACTIVE"), row("2 ACTIVE")]),
            digest_of(&[row("1 LOCKED"), row("2 LOCKED")])
        );
    }

    #[test]
    fn the_row_digest_is_the_head_of_sha_256() {
        assert_eq!(RowDigest::of(b"abc").0, 0xba7816bf_8f01cfea_414140de_5dae2223);
    }
}
