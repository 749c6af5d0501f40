//! How an incoming row meets the one at its key.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::failure::ErrorKind;
use crate::value::Value;

/// The merge policy of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "policy")]
pub enum MergePolicy {
    /// Never changes an existing row. An identical one is tolerated, a different one quarantined.
    InsertOnly,
    /// Inserts what is missing and leaves existing rows as they are.
    KeepTarget,
    /// The source's values win.
    SourceWins,
    /// The row whose `column` is later wins; on a tie the source's, since two changes may share a second. If the source
    /// alone has NULL there, the target's stays.
    NewestWins {
        column: String,
        /// A table without the column is merged as by `SourceWins`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        or_source: bool,
    },
    /// As `SourceWins`, and rows gone from the source go from the target, under a guard.
    Mirror,
}

/// What to do with one incoming row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Insert,
    Update,
    /// The target stays as it is.
    Keep,
    Quarantine(ErrorKind),
}

/// Which rows a verify may demand to be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// Every source row is in the target, equal.
    EqualRows,
    /// Every source key is in the target; rows may differ by policy.
    EveryKey,
}

impl MergePolicy {
    /// The verdict on an incoming row. `existing` tells whether its key is in the target; if it is, `equal`
    /// tells whether the rows are, and `newer` whether the source's mark is not the earlier (`NewestWins` alone asks).
    #[must_use]
    pub fn decide(&self, existing: bool, equal: bool, newer: bool) -> Verdict {
        match self {
            _ if !existing => Verdict::Insert,
            _ if equal => Verdict::Keep,
            Self::InsertOnly => Verdict::Quarantine(ErrorKind::KeyExists),
            Self::KeepTarget => Verdict::Keep,
            Self::SourceWins | Self::Mirror => Verdict::Update,
            Self::NewestWins { .. } if newer => Verdict::Update,
            Self::NewestWins { .. } => Verdict::Keep,
        }
    }

    /// Whether the row with mark `source` beats one with mark `target`, under `NewestWins`.
    #[must_use]
    pub fn source_wins(source: &Value, target: &Value) -> bool {
        !is_newer(target, source)
    }

    /// What verification can demand after a copy under this policy.
    #[must_use]
    pub const fn promise(&self) -> Promise {
        match self {
            Self::InsertOnly | Self::SourceWins | Self::Mirror => Promise::EqualRows,
            Self::KeepTarget | Self::NewestWins { .. } => Promise::EveryKey,
        }
    }

    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::InsertOnly => "insert-only",
            Self::KeepTarget => "keep-target",
            Self::SourceWins => "source-wins",
            Self::NewestWins { .. } => "newest-wins",
            Self::Mirror => "mirror",
        }
    }
}

/// Whether mark `source` is later than mark `target`. NULL is earlier than anything; marks of different kinds
/// cannot be compared: neither is later.
#[must_use]
pub fn is_newer(source: &Value, target: &Value) -> bool {
    match (source, target) {
        (Value::Null, _) => false,
        (_, Value::Null) => true,
        (Value::Int(a), Value::Int(b)) => a > b,
        (Value::UInt(a), Value::UInt(b)) => a > b,
        (Value::UInt(_), Value::Int(_)) => true,
        (Value::Date(a), Value::Date(b)) => a > b,
        (Value::DateTime(a), Value::DateTime(b)) | (Value::Instant(a), Value::Instant(b)) => a > b,
        (Value::Time(a), Value::Time(b)) => a > b,
        (Value::Float64(a), Value::Float64(b)) => a > b,
        (Value::Decimal(a), Value::Decimal(b)) => {
            compare_decimals(a.as_str(), b.as_str()) == Ordering::Greater
        }
        _ => false,
    }
}

/// The order of two values of one column, whatever the database's own: texts by their bytes, NULL first.
#[must_use]
pub fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Float32(a), Value::Float32(b)) => a.total_cmp(b),
        _ if is_newer(a, b) => Ordering::Greater,
        _ if is_newer(b, a) => Ordering::Less,
        _ => Ordering::Equal,
    }
}

/// Compares two fixed-point texts of one scale.
fn compare_decimals(a: &str, b: &str) -> Ordering {
    match (a.strip_prefix('-'), b.strip_prefix('-')) {
        (Some(a), Some(b)) => compare_decimals(b, a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_column_have_an_order() {
        let decimal = |text: &str| Value::Decimal(text.parse().expect("a decimal"));
        for (less, more) in [
            (Value::Null, Value::Int(-1)),
            (Value::Int(9), Value::Int(10)),
            (Value::Int(9), Value::UInt(u64::MAX)),
            (Value::Text("10".to_owned()), Value::Text("9".to_owned())),
            (decimal("-10.5"), decimal("-9.5")),
            (Value::Float32(-1.0), Value::Float32(2.0)),
            (Value::Bool(false), Value::Bool(true)),
        ] {
            assert_eq!((order(&less, &more), order(&more, &less)), (Ordering::Less, Ordering::Greater));
            assert_eq!(order(&less, &less.clone()), Ordering::Equal);
        }
    }

    #[test]
    fn each_policy_meets_each_case() {
        let newest = MergePolicy::NewestWins { column: "at".to_owned(), or_source: false };
        let policies =
            [MergePolicy::InsertOnly, MergePolicy::KeepTarget, MergePolicy::SourceWins, MergePolicy::Mirror];
        for policy in policies.iter().chain([&newest]) {
            assert_eq!(policy.decide(false, false, true), Verdict::Insert);
            assert_eq!(policy.decide(true, true, true), Verdict::Keep);
        }
        assert_eq!(policies[0].decide(true, false, true), Verdict::Quarantine(ErrorKind::KeyExists));
        assert_eq!(policies[1].decide(true, false, true), Verdict::Keep);
        assert_eq!(policies[2].decide(true, false, false), Verdict::Update);
        assert_eq!(newest.decide(true, false, true), Verdict::Update);
        assert_eq!(newest.decide(true, false, false), Verdict::Keep);
    }

    #[test]
    fn later_is_later_and_null_never_is() {
        let decimal = |t: &str| Value::Decimal(t.parse().expect("a decimal"));
        assert!(is_newer(&decimal("10.0"), &decimal("9.9")));
        assert!(is_newer(&decimal("-1.0"), &decimal("-2.0")));
        assert!(!is_newer(&Value::Null, &Value::Int(1)));
        assert!(is_newer(&Value::Int(1), &Value::Null));
        assert!(!is_newer(&Value::Int(1), &Value::Int(1)));
        let source_wins = MergePolicy::source_wins;
        assert!(source_wins(&Value::Int(1), &Value::Int(1)), "a tie");
        assert!(!source_wins(&Value::Null, &Value::Int(1)) && source_wins(&Value::Null, &Value::Null));
        assert!(source_wins(&Value::Int(2), &Value::Int(1)) && !source_wins(&Value::Int(1), &Value::Int(2)));
    }
}
