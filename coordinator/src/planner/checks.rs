//! What is refused before the first write.

use connectors::Target;
use model::{Column, ColumnPlan, Engine, ErrorKind, MergePolicy, RunKind, TableSchema, TableSpec};

use super::compare;
use super::error::PlanError;

/// A column that holds less than what its engine would hold for the source's is refused, unless the spec allows it.
pub(super) fn check_width(
    source: &Column,
    existing: &Column,
    target: &dyn Target,
    table: &TableSchema,
) -> Result<(), PlanError> {
    let best = target.column_for(source).logical;
    let lost = compare::loss(&best, &existing.logical)
        .and_then(|_| compare::loss(&source.logical, &existing.logical));
    match lost {
        Some(lost) => Err(PlanError::new(
            ErrorKind::Refused,
            format!(
                "column `{}` of table `{}` is {} at the source but {} at the target: {lost}",
                source.name, table.table, source.native, existing.native
            ),
            format!(
                "widen the target column, or write `on_lossy_type: quarantine` at table `{}` to set aside rows that \
                 do not fit",
                table.table
            ),
        )),
        None => Ok(()),
    }
}

/// A key column of the target that nothing fills cannot identify rows.
pub(super) fn check_unfilled(
    target: &TableSchema,
    pairs: &[ColumnPlan],
    source: &TableSchema,
) -> Result<(), PlanError> {
    let unfilled = target.primary_key.iter().find(|name| !pairs.iter().any(|p| p.target.name == **name));
    match unfilled {
        Some(name) => Err(PlanError::new(
            ErrorKind::UnknownColumn,
            format!("key column `{name}` of target table `{}` has no column at the source", target.table),
            format!("give table `{}` a key that both sides have with `key:`", source.table),
        )),
        None => Ok(()),
    }
}

/// A table without a usable key can only be loaded as a whole, into an empty table.
pub(super) fn check_keyless(
    source: &TableSchema,
    key: &[usize],
    spec: &TableSpec,
    target_rows: u64,
    kind: RunKind,
) -> Result<(), PlanError> {
    if !key.is_empty() || kind == RunKind::Verify {
        return Ok(());
    }
    if spec.policy != MergePolicy::InsertOnly {
        return Err(PlanError::new(
            ErrorKind::Unsupported,
            format!(
                "table `{}` has no primary key and no unique key without NULLs: its rows cannot be merged",
                source.table
            ),
            format!(
                "name unique columns with `key: [..]`, or load it once with `mode: insert-only` (table `{}`)",
                source.table
            ),
        ));
    }
    if target_rows > 0 {
        return Err(PlanError::new(
            ErrorKind::KeyExists,
            format!(
                "table `{}` has no key and its target holds rows: they cannot be told apart",
                source.table
            ),
            "empty the target table first, or name unique columns with `key: [..]`",
        ));
    }
    Ok(())
}

/// Identifiers longer than the target engine takes are refused now, not at CREATE TABLE.
pub(super) fn check_names(target: &TableSchema, engine: Engine) -> Result<(), PlanError> {
    let longest = match engine {
        Engine::Mysql => 64,
        Engine::Sqlite | Engine::Memory => usize::MAX,
    };
    let names = std::iter::once(&target.table.name).chain(target.columns.iter().map(|c| &c.name));
    for name in names {
        if name.chars().count() > longest || name.contains('\0') || name.is_empty() {
            return Err(PlanError::new(
                ErrorKind::Unsupported,
                format!(
                    "the name `{}` is not one that {engine} takes (at most {longest} characters)",
                    name.escape_debug()
                ),
                "choose another target name with `to:`, or leave the column out with `exclude:`",
            ));
        }
    }
    Ok(())
}
