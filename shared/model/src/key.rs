//! Keys and key ranges. Rust never orders keys: only the database that owns them does.

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// Most columns a key may have.
pub const KEY_COLUMNS_MAX: usize = 16;

/// The position of a row: one value per key column, none of them NULL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key(pub Vec<Value>);

/// A half-open range `[lower, upper)` in the owning database's order; an absent end is unbounded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyRange {
    pub lower: Option<Key>,
    pub upper: Option<Key>,
}

impl KeyRange {
    /// The whole table.
    #[must_use]
    pub const fn all() -> Self {
        Self { lower: None, upper: None }
    }

    /// Cuts at `boundaries` (ascending in the owner's order): ranges that can neither gap nor overlap, the first
    /// open below, the last open above. `n` boundaries give `n + 1` ranges.
    #[must_use]
    pub fn partition(boundaries: Vec<Key>) -> Vec<Self> {
        let mut ranges = Vec::with_capacity(boundaries.len() + 1);
        let mut lower = None;
        for boundary in boundaries {
            ranges.push(Self { lower: lower.take(), upper: Some(boundary.clone()) });
            lower = Some(boundary);
        }
        ranges.push(Self { lower, upper: None });
        ranges
    }
}

/// Whether the ranges, in this order, cover everything exactly once: the first is open below, the last above, and
/// each begins where the one before it ends.
#[must_use]
pub fn is_complete_chain(ranges: &[KeyRange]) -> bool {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return false;
    };
    first.lower.is_none()
        && last.upper.is_none()
        && ranges.windows(2).all(|pair| pair[0].upper.is_some() && pair[0].upper == pair[1].lower)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(n: i64) -> Key {
        Key(vec![Value::Int(n)])
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the keys of these tests are integers")]
    fn holds(range: &KeyRange, n: i64) -> bool {
        let bound = |k: &Key| match k.0[0] {
            Value::Int(v) => v,
            _ => unreachable!("integer keys only"),
        };
        range.lower.as_ref().is_none_or(|k| bound(k) <= n)
            && range.upper.as_ref().is_none_or(|k| n < bound(k))
    }

    proptest! {
        #[test]
        fn every_key_falls_in_exactly_one_range(mut cuts in prop::collection::vec(-50..50_i64, 0..12), probe in -60..60_i64) {
            cuts.sort_unstable();
            cuts.dedup();
            let ranges = KeyRange::partition(cuts.into_iter().map(key).collect());
            prop_assert!(is_complete_chain(&ranges));
            prop_assert_eq!(ranges.iter().filter(|r| holds(r, probe)).count(), 1);
        }

        #[test]
        fn a_missing_range_breaks_the_chain(cuts in prop::collection::btree_set(-50..50_i64, 2..12), drop in 0..12_usize) {
            let mut ranges = KeyRange::partition(cuts.into_iter().map(key).collect());
            let drop = drop % ranges.len();
            ranges.remove(drop);
            prop_assert!(!is_complete_chain(&ranges));
        }
    }
}
