//! Cutting a table: boundaries from the owning database, one after the other, so that the first chunk runs while the
//! next boundary is sought.

use connectors::{Result, Selection, Slice, Source};
use futures::StreamExt as _;
use model::spec::ChunkLimits;
use model::{Key, KeyRange, Pass, TablePlan, TableSchema};

use super::sizing;

/// The side whose key order cuts the chunks of a pass.
#[must_use]
pub fn owner(plan: &TablePlan, pass: Pass) -> (&TableSchema, Vec<String>) {
    if pass.is_over_target() { (&plan.target, plan.target_key()) } else { (&plan.source, plan.cut_by()) }
}

/// Rows per chunk for a table nobody has read yet: measured on its first rows.
///
/// # Errors
/// The source cannot be read.
pub async fn first_size(source: &dyn Source, plan: &TablePlan, limits: &ChunkLimits) -> Result<u64> {
    let by = plan.cut_by();
    if by.is_empty() {
        return Ok(limits.rows_max);
    }
    let start = plan.start();
    let upper = source.next_boundary(&plan.source, &by, start.as_ref(), sizing::SAMPLE_ROWS).await?;
    if start.is_some() && upper.is_none() {
        return Ok(limits.rows_max); // Few changes, or no index by which they could be cut.
    }
    let slice = Slice {
        table: plan.source.clone(),
        columns: plan.source_columns().cloned().collect(),
        key: plan.source_key(),
        rows: Selection::of_source(plan, KeyRange { lower: None, upper }),
    };
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    let mut batches = source.read(&slice);
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        rows += batch.rows.len() as u64;
        bytes += batch.bytes;
    }
    let rows = sizing::first(rows, bytes, plan.source.row_estimate, limits);
    Ok(if start.is_some() { rows.min(sizing::WINDOW_ROWS_FIRST) } else { rows })
}

/// Where the range ends that begins at `lower` and holds `rows` rows; `None` if the table ends before.
///
/// # Errors
/// The database cannot be read.
pub async fn next_upper(
    source: &dyn Source,
    table: &TableSchema,
    key: &[String],
    lower: Option<Key>,
    rows: u64,
) -> Result<Option<Key>> {
    if key.is_empty() {
        return Ok(None);
    }
    source.next_boundary(table, key, lower.as_ref(), rows).await
}
