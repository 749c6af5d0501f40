//! Rows that were changed on both sides.

use serde::{Deserialize, Serialize};

use crate::convert::convert;
use crate::key::Key;
use crate::merge::{MergePolicy, is_newer};
use crate::plan::TablePlan;
use crate::row::Row;
use crate::value::Value;

/// Characters or bytes of a value that are kept of it.
const VALUE_MAX: usize = 1_000;

/// Conflicts of a chunk that are kept; all are counted.
pub const CONFLICTS_MAX: usize = 1_000;

/// A row of the target was changed by others than us, and the source has another row at its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub key: Key,
    pub winner: Side,
    /// Which rule decided, such as `newest: updated_at`.
    pub rule: String,
    /// What the column of the rule holds.
    pub source_mark: Value,
    pub target_mark: Value,
    /// The other columns that differ, in the plan's order.
    pub columns: Vec<Difference>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    Source,
    Target,
}

impl Side {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// A column in which two rows differ. Of long values only the beginning is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub column: String,
    pub source: Value,
    pub target: Value,
}

impl Conflict {
    /// What there is to log of two rows at one key that are not equal, in the target's types. A row of the target that is
    /// older than both the source's and the window's beginning is what an earlier run wrote, and no conflict.
    #[must_use]
    pub fn between(plan: &TablePlan, source: &Row, target: &Row) -> Option<Self> {
        let at = plan.mark()?;
        let MergePolicy::NewestWins { column, .. } = &plan.policy else { return None };
        let winner =
            if MergePolicy::source_wins(&source[at], &target[at]) { Side::Source } else { Side::Target };
        let is_changed_since = plan.since().filter(|(window, _)| *window == at).is_some_and(|(_, since)| {
            let since = convert(since.clone(), &plan.columns[at].target.logical);
            since.is_ok_and(|since| is_newer(&target[at], &since))
        });
        if winner == Side::Source && !is_changed_since {
            return None;
        }
        let differs = |place: &usize| *place != at && source[*place] != target[*place];
        let difference = |place: usize| Difference {
            column: plan.columns[place].target.name.clone(),
            source: brief(&source[place]),
            target: brief(&target[place]),
        };
        Some(Self {
            key: plan.key_of(source),
            winner,
            rule: format!("newest: {column}"),
            source_mark: source[at].clone(),
            target_mark: target[at].clone(),
            columns: (0..plan.columns.len()).filter(differs).map(difference).collect(),
        })
    }
}

fn brief(value: &Value) -> Value {
    let cut = |text: &str| match text.char_indices().nth(VALUE_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "only these may be long")]
    match value {
        Value::Text(text) => Value::Text(cut(text)),
        Value::Json(text) => Value::Json(cut(text)),
        Value::Bytes(bytes) => Value::Bytes(bytes[..bytes.len().min(VALUE_MAX)].to_vec()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_values_the_beginning_is_kept() {
        let long = "é".repeat(1_500);
        let Value::Text(text) = brief(&Value::Text(long.clone())) else { panic!("a text") };
        assert!(text.ends_with('…') && text.chars().count() == 1_001 && long.starts_with(&text[..2_000]));
        assert_eq!(brief(&Value::Bytes(vec![7; 1_500])), Value::Bytes(vec![7; 1_000]));
        for short in [Value::Null, Value::Int(3), Value::Text("é".repeat(1_000))] {
            assert_eq!(brief(&short), short);
        }
    }
}
