//! Rows in transit.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::failure::ErrorKind;
use crate::key::Key;
use crate::schema::Column;
use crate::value::Value;

/// One row: a value per column, in the order its batch or plan names.
pub type Row = Vec<Value>;

/// Rows of one chunk that are in memory at once, bounded in rows and bytes by the reader.
#[derive(Debug, Clone)]
pub struct RowBatch {
    pub columns: Arc<[Column]>,
    pub rows: Vec<Row>,
    /// Rows the reader could not decode: key cells that could be read, the column and what was wrong with it.
    pub undecodable: Vec<QuarantinedRow>,
    /// Size of the rows as estimated by [`Value::size`].
    pub bytes: u64,
}

impl RowBatch {
    #[must_use]
    pub const fn new(columns: Arc<[Column]>) -> Self {
        Self { columns, rows: Vec::new(), undecodable: Vec::new(), bytes: 0 }
    }

    pub fn push(&mut self, row: Row) {
        self.bytes += row.iter().map(|v| v.size() as u64).sum::<u64>();
        self.rows.push(row);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.undecodable.is_empty()
    }

    /// Whether another row should wait for the next batch.
    #[must_use]
    pub fn is_full(&self, rows_max: usize, bytes_max: u64) -> bool {
        self.rows.len() + self.undecodable.len() >= rows_max || self.bytes >= bytes_max
    }
}

/// A row set aside for a person: which one, which column, why. Never its other values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedRow {
    pub key: Key,
    pub column: Option<String>,
    pub kind: ErrorKind,
    /// What is wrong, without any value.
    pub reason: String,
}

/// What a person says that a column of a quarantined row is to be, in place of what the source holds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// As the quarantine has it.
    pub key: Key,
    pub column: String,
    /// As text, whatever the column's type; absent is NULL.
    pub value: Option<String>,
}

impl std::fmt::Debug for Correction {
    /// Without the value, and without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Correction").field("column", &self.column).finish_non_exhaustive()
    }
}
