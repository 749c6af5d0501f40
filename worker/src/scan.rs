//! What a copy would set aside, counted before anything is written: every row of the source goes through the conversion
//! that a worker would do. What only the target can refuse when it is written (a second key, a check) is not seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::{Result, Selection, Slice, Target};
use futures::StreamExt as _;
use model::fields::OnFail;
use model::{Column, ErrorKind, KeyRange, QuarantinedRow, TablePlan};
use serde::Serialize;

use crate::convert;
use crate::fields::Fields;

/// What a scan found in one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scan {
    /// Rows read.
    pub rows: u64,
    /// Rows that a rule leaves out.
    pub skipped: u64,
    /// Why rows would be set aside, the most frequent reason first. A row counts once, at its first column.
    pub refused: Vec<Refused>,
    /// What columns of rows that come over would lose, as the plan says; a row counts at each such column.
    pub cut: Vec<Cut>,
}

/// Rows of which a column keeps less than there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    pub column: String,
    /// Without a value.
    pub loss: &'static str,
    pub rows: u64,
}

/// Rows that one column of the source cannot bring over, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    pub column: Option<String>,
    pub kind: ErrorKind,
    /// Without a value.
    pub reason: String,
    pub rows: u64,
}

impl Scan {
    /// Rows that would be set aside.
    #[must_use]
    pub fn refused_rows(&self) -> u64 {
        self.refused.iter().map(|refused| refused.rows).sum()
    }
}

/// Reads the whole table once, as one statement, with memory for a batch; writes nothing.
///
/// # Errors
/// The source could not be read.
pub async fn scan(
    plan: &TablePlan,
    fields: &Fields,
    source: &dyn Target,
    target: &dyn Target,
) -> Result<Scan> {
    let columns: Arc<[Column]> = plan.source_columns().cloned().collect();
    let slice = Slice {
        table: plan.source.clone(),
        columns,
        key: plan.source_key(),
        rows: Selection::Range(KeyRange::all()),
    };
    let (mut rows, mut skipped, mut reasons, mut cuts) = (0, 0, BTreeMap::new(), BTreeMap::new());
    let mut note = |refused: QuarantinedRow| {
        let why = (refused.column, refused.kind.to_string(), refused.reason);
        reasons.entry(why).or_insert((refused.kind, 0)).1 += 1;
    };
    let mut batches = fields.nests.read(source, target, &slice);
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        rows += (batch.rows.len() + batch.undecodable.len()) as u64;
        batch.undecodable.into_iter().for_each(&mut note);
        for row in batch.rows {
            let lost = convert::lost(plan, target, &row);
            match convert::row(plan, fields, target, row) {
                Ok(_) => lost.into_iter().for_each(|lost| *cuts.entry(lost).or_insert(0) += 1),
                Err(refused) if matches!(refused.then, OnFail::Skip | OnFail::Delete) => skipped += 1,
                Err(refused) => note(refused.row),
            }
        }
    }
    let cut = cuts.into_iter().map(|((column, loss), rows)| Cut { column, loss, rows }).collect();
    let mut refused: Vec<Refused> = reasons
        .into_iter()
        .map(|((column, _, reason), (kind, rows))| Refused { column, kind, reason, rows })
        .collect();
    refused.sort_by_key(|refused| std::cmp::Reverse(refused.rows));
    Ok(Scan { rows, skipped, refused, cut })
}
