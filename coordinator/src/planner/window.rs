//! Incremental tables: what a plan must know of the change column.

use model::watermark::{Incremental, Window, is_mark_type};
use model::{ColumnPlan, ErrorKind, RunSpec, TableSchema, TableSpec};
use sha2::{Digest as _, Sha256};

use super::error::PlanError;
use super::tables::PlannedTable;

/// The window of a table whose spec asks for one: still without its beginning, which the ledger knows.
pub(super) fn window(
    source: &TableSchema,
    columns: &[ColumnPlan],
    spec: &TableSpec,
) -> Result<Option<Window>, PlanError> {
    let Some(incremental) = &spec.incremental else { return Ok(None) };
    let name = &incremental.column;
    let refuse = |kind, what: String, next: &str| Err(PlanError::new(kind, what, next));
    let found = columns.iter().position(|pair| pair.reads(name));
    if found.is_none() && incremental.optional {
        return Ok(None);
    }
    let Some(column) = found else {
        let what =
            format!("column `{name}`, which tells changes, is not among those copied of `{}`", source.table);
        return refuse(ErrorKind::UnknownColumn, what, "correct `incremental:`; letter case matters");
    };
    let logical = &columns[column].source.logical;
    if !is_mark_type(logical) {
        let what =
            format!("column `{name}` of table `{}` is {logical}: it cannot tell changes", source.table);
        return refuse(ErrorKind::Unsupported, what, "name a column of times, or of numbers that rise");
    }
    Ok(Some(Window {
        column,
        since: None,
        proven: None,
        ahead_s: 0,
        shape: String::new(),
        sweeps: true,
        again: Vec::new(),
    }))
}

/// What a person should know of an incremental table.
pub(super) fn notes(
    source: &TableSchema,
    columns: &[ColumnPlan],
    spec: &TableSpec,
    window: Option<&Window>,
) -> Vec<String> {
    let Some(window) = window else {
        let whole = |asked: &Incremental| format!("no column {}: read whole each time", asked.column);
        return spec.incremental.iter().map(whole).collect();
    };
    let column = &columns[window.column].source;
    let mut notes = Vec::new();
    if column.nullable {
        notes.push(format!("rows with NULL in {} are read by the first run only", column.name));
    }
    let begins = |columns: &[String]| columns.first().is_some_and(|first| *first == column.name);
    let is_indexed = begins(&source.primary_key) || source.indexes.iter().any(|index| begins(&index.columns));
    if !is_indexed {
        notes.push(format!(
            "no index begins with {}: each run reads the whole table to find the changes",
            column.name
        ));
    }
    notes
}

/// Tells one way of copying a table from another: a watermark is worth nothing for a table that was read otherwise.
pub(super) fn set_shape(spec: &RunSpec, table: &mut PlannedTable) {
    let Some(column) = table.plan.window.as_ref().map(|window| window.column) else { return };
    let plan = &table.plan;
    let mut hash = Sha256::new();
    let mut put = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    put(&spec.source.address());
    put(&spec.target.address());
    put(&plan.target.table.to_string());
    put(&plan.columns[column].source.name);
    for pair in &plan.columns {
        put(&pair.source.name);
        put(&pair.source.native);
        put(&pair.target.name);
        // Rows that were copied under another rule are others by now.
        if let Some(rule) = &pair.rule {
            put(&serde_json::to_string(rule).unwrap_or_default());
        }
    }
    for nest in &plan.nests {
        for (source, target) in &nest.kept {
            put(&source.name);
            put(&source.native);
            put(&target.native);
        }
    }
    for place in &plan.key {
        put(&plan.columns[*place].source.name);
    }
    let shape = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    if let Some(window) = &mut table.plan.window {
        window.shape = shape;
    }
}
