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
    if pass.is_over_target() { (&plan.target, plan.target_key()) } else { (&plan.source, plan.source_key()) }
}

/// Rows per chunk for a table nobody has read yet: measured on its first rows.
///
/// # Errors
/// The source cannot be read.
pub async fn first_size(source: &dyn Source, plan: &TablePlan, limits: &ChunkLimits) -> Result<u64> {
    let key = plan.source_key();
    if key.is_empty() {
        return Ok(limits.rows_max);
    }
    let upper = source.next_boundary(&plan.source, &key, None, sizing::SAMPLE_ROWS).await?;
    let slice = Slice {
        table: plan.source.clone(),
        columns: plan.columns.iter().map(|c| c.source.clone()).collect(),
        key,
        rows: Selection::Range(KeyRange { lower: None, upper }),
    };
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    let mut batches = source.read(&slice);
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        rows += batch.rows.len() as u64;
        bytes += batch.bytes;
    }
    Ok(sizing::first(rows, bytes, plan.source.row_estimate, limits))
}

/// The range that begins at `lower` and holds `rows` rows; its upper end is open if the table ends before.
///
/// # Errors
/// The database cannot be read.
pub async fn next_range(
    source: &dyn Source,
    table: &TableSchema,
    key: &[String],
    lower: Option<Key>,
    rows: u64,
) -> Result<KeyRange> {
    if key.is_empty() {
        return Ok(KeyRange::all());
    }
    let upper = source.next_boundary(table, key, lower.as_ref(), rows).await?;
    Ok(KeyRange { lower, upper })
}
