//! Table plans: what a run will do to one table, decided before the first write.

use serde::{Deserialize, Serialize};

use crate::fields::FieldRule;
use crate::key::{Key, KeyRange};
use crate::merge::MergePolicy;
use crate::row::Row;
use crate::schema::{Column, LogicalType, TableSchema};
use crate::value::Value;
use crate::watermark::Window;

/// One column pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnPlan {
    pub source: Column,
    pub target: Column,
    /// The type both sides are digested as: the target's, with padding and length classes of either side.
    pub canonical: LogicalType,
    /// What may not survive, for people; such values are quarantined, never bent.
    pub loss: Option<String>,
    /// What becomes of its values on the way, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<FieldRule>,
}

impl ColumnPlan {
    /// Whether no column of the source is behind it: `source` then only gives it a name.
    #[must_use]
    pub fn is_added(&self) -> bool {
        self.rule.as_ref().is_some_and(FieldRule::is_added)
    }

    /// Whether this column of the source is behind it.
    #[must_use]
    pub fn reads(&self, column: &str) -> bool {
        !self.is_added() && self.source.name == column
    }

    /// What a correction of this column is given as: it stands for what the source holds, so what a rule changes is the
    /// source's, and all else the target's.
    #[must_use]
    pub fn corrected_as(&self) -> &Column {
        let is_changed = self.rule.as_ref().is_some_and(|rule| !rule.keeps_values());
        if is_changed { &self.source } else { &self.target }
    }
}

/// Rows of another table of the source that become documents in a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NestPlan {
    /// The other table; `columns` are those that are read.
    pub table: TableSchema,
    /// Its columns that tell which row theirs is, each with that row's column.
    pub on: Vec<(String, String)>,
    pub order_by: Vec<String>,
    /// Its columns that are kept, and as what.
    pub kept: Vec<(Column, Column)>,
    /// One document, or none, instead of a list.
    pub one: bool,
}

/// The mass-delete guard: a sweep that finds more than either limit holds the table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DeleteGuard {
    pub rows: u64,
    /// Percent of the target's rows, 0 to 100.
    pub percent: f64,
}

impl Default for DeleteGuard {
    fn default() -> Self {
        Self { rows: 1_000, percent: 10.0 }
    }
}

impl DeleteGuard {
    /// Whether deleting `extra` of `total` rows needs a person's approval: more than either limit allows.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a percentage of row counts needs no last digit")]
    pub fn refuses(&self, extra: u64, total: u64) -> bool {
        extra > 0 && (extra > self.rows || extra as f64 * 100.0 > self.percent * total as f64)
    }
}

/// What a run will do to one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TablePlan {
    /// Version of this form.
    pub v: u8,
    /// The source table; `columns` are those that are read, in plan order.
    pub source: TableSchema,
    /// The target table as it is or will be; `columns` in plan order.
    pub target: TableSchema,
    /// Those that no column of the source is behind come last.
    pub columns: Vec<ColumnPlan>,
    /// Columns of the source that are read only because others are made of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Column>,
    /// What the fields are made of that hold rows of other tables, in the order of these fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nests: Vec<NestPlan>,
    /// Places of the key columns in `columns`, in key order.
    pub key: Vec<usize>,
    pub policy: MergePolicy,
    /// The table is missing at the target and will be made.
    pub create_target: bool,
    /// The target was empty when planned: rows are inserted without looking first.
    pub fresh: bool,
    /// Tables of a wave wait for the waves below: parents before children.
    pub wave: u32,
    /// The table is in a cycle of foreign keys: they are not checked row by row but at the end.
    pub in_cycle: bool,
    pub rows_per_chunk: u64,
    pub delete_guard: DeleteGuard,
    /// Rows of this table that may be quarantined before it fails.
    pub quarantined_max: u64,
    /// Warnings for people: index advice, coarser collations, declared losses.
    pub notes: Vec<String>,
    /// The changes that an incremental run reads; absent where the table is not incremental.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The only part of the source that a copy reads; absent where it reads all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<KeyRange>,
}

impl TablePlan {
    /// Types the rows are digested as, in plan order.
    #[must_use]
    pub fn canonical_types(&self) -> Vec<LogicalType> {
        self.columns.iter().map(|c| c.canonical.clone()).collect()
    }

    /// The columns to read at the source: those behind `columns`, place by place, then the inputs. Rows of the source
    /// have this order until they are converted.
    pub fn source_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|pair| !pair.is_added()).map(|pair| &pair.source).chain(&self.inputs)
    }

    /// Where a column of the source stands that a person may correct.
    #[must_use]
    pub fn place_to_correct(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|pair| pair.reads(column))
    }

    /// Types of the key columns as digested, in key order.
    #[must_use]
    pub fn key_types(&self) -> Vec<LogicalType> {
        self.key.iter().map(|i| self.columns[*i].canonical.clone()).collect()
    }

    /// Key column names at the source.
    #[must_use]
    pub fn source_key(&self) -> Vec<String> {
        self.key.iter().map(|i| self.columns[*i].source.name.clone()).collect()
    }

    /// Columns of the source by which a copy is cut and read, in order: the key; in a window the change column before it.
    #[must_use]
    pub fn cut_by(&self) -> Vec<String> {
        self.cut_places().map(|place| self.columns[place].source.name.clone()).collect()
    }

    /// Where a row stands among those columns.
    #[must_use]
    pub fn place_of(&self, row: &Row) -> Key {
        Key(self.cut_places().map(|place| row[place].clone()).collect())
    }

    fn cut_places(&self) -> impl Iterator<Item = usize> + '_ {
        let first = self.since().map(|(column, _)| column);
        first.into_iter().chain(self.key.iter().copied().filter(move |place| Some(*place) != first))
    }

    /// The change column's place and the value where the window begins, if not all rows are read.
    #[must_use]
    pub fn since(&self) -> Option<(usize, &Value)> {
        let window = self.window.as_ref()?;
        window.since.as_ref().map(|since| (window.column, since))
    }

    /// The place of the column by which the newest of two rows is told, if that decides.
    #[must_use]
    pub fn mark(&self) -> Option<usize> {
        let MergePolicy::NewestWins { column, .. } = &self.policy else { return None };
        self.columns.iter().position(|c| c.source.name == *column || c.target.name == *column)
    }

    /// Where the first range of a copy begins to count: the beginning of the window, if there is one.
    #[must_use]
    pub fn start(&self) -> Option<Key> {
        self.since().map(|(_, since)| Key(vec![since.clone()]))
    }

    /// Key column names at the target.
    #[must_use]
    pub fn target_key(&self) -> Vec<String> {
        self.key.iter().map(|i| self.columns[*i].target.name.clone()).collect()
    }

    /// The key of a row in plan order.
    #[must_use]
    pub fn key_of(&self, row: &Row) -> Key {
        Key(self.key.iter().map(|i| row[*i].clone()).collect())
    }

    /// Whether a key range of the source is the same range at the target: only for integers on both sides.
    /// Collations order text in many ways, engines order UUIDs in several, and SQLite keeps dates as text. The rows of a
    /// window lie anywhere.
    #[must_use]
    pub fn is_order_safe(&self) -> bool {
        if self.since().is_some() {
            return false;
        }
        let is_int = |logical: &LogicalType| matches!(logical, LogicalType::Int { .. });
        self.key
            .iter()
            .all(|i| is_int(&self.columns[*i].source.logical) && is_int(&self.columns[*i].target.logical))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_lets_small_deletes_through_and_holds_mass_deletes() {
        let guard = DeleteGuard::default();
        assert!(!guard.refuses(0, 0));
        assert!(!guard.refuses(100, 1_000));
        assert!(guard.refuses(101, 1_000));
        assert!(guard.refuses(1_001, 1_000_000));
        assert!(guard.refuses(1, 1));
    }
}
