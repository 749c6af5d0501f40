//! What is refused before the first write.

use connectors::Target;
use model::{
    Column, ColumnPlan, Engine, ErrorKind, LogicalType, MergePolicy, RunKind, TableRef, TableSchema,
    TableSpec,
};

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
    engine: Engine,
) -> Result<(), PlanError> {
    // Documents without an `_id` are given one.
    let is_made_by_server = |name: &str| engine == Engine::Mongodb && name == "_id";
    let is_filled = |name: &&String| pairs.iter().any(|p| p.target.name == **name) || is_made_by_server(name);
    let unfilled = target.primary_key.iter().find(|name| !is_filled(name));
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
    let (longest, unit) = match engine {
        Engine::Mysql => (64, "characters"),
        Engine::Postgres => (63, "bytes"),
        Engine::Sqlserver => (128, "characters"),
        // Database and collection together; no database's name is so long.
        Engine::Mongodb => (190, "bytes"),
        Engine::Sqlite | Engine::Memory => (usize::MAX, "characters"),
    };
    let length = |name: &str| if unit == "bytes" { name.len() } else { name.chars().count() };
    let names = std::iter::once(&target.table.name).chain(target.columns.iter().map(|c| &c.name));
    for name in names {
        if length(name) > longest || name.contains('\0') || name.is_empty() {
            return Err(PlanError::new(
                ErrorKind::Unsupported,
                format!(
                    "the name `{}` is not one that {engine} takes (at most {longest} {unit})",
                    name.escape_debug()
                ),
                "choose another target name with `to:`, or leave the column out with `exclude:`",
            ));
        }
    }
    if engine == Engine::Mongodb { check_documents(target) } else { Ok(()) }
}

/// What MongoDB keeps for itself: dollars in names of collections, and the `_id`, which is the key.
fn check_documents(target: &TableSchema) -> Result<(), PlanError> {
    let name = &target.table.name;
    if name.contains('$') || name.starts_with("system.") {
        return Err(PlanError::new(
            ErrorKind::Unsupported,
            format!(
                "the name `{name}` is not one that a collection may have: no `$`, and not `system.` at its start"
            ),
            "choose another target name with `to:`",
        ));
    }
    let is_id = |column: &String| column == "_id";
    if target.columns.iter().any(|column| is_id(&column.name)) && !target.primary_key.iter().any(is_id) {
        return Err(PlanError::new(
            ErrorKind::Unsupported,
            format!("column `_id` of table `{name}` is not its key, and a document's `_id` is nothing else"),
            "leave the column out with `exclude: [_id]`, or make it the key with `key: [_id]`",
        ));
    }
    Ok(())
}

/// The key must tell rows apart on both sides: a primary key or unique index over exactly its columns.
pub(super) fn check_unique(
    source: &TableSchema,
    target: Option<&TableSchema>,
    columns: &[ColumnPlan],
    key: &[usize],
) -> Result<(), PlanError> {
    if key.is_empty() {
        return Ok(());
    }
    let at_source: Vec<&str> = key.iter().map(|i| columns[*i].source.name.as_str()).collect();
    let at_target: Vec<&str> = key.iter().map(|i| columns[*i].target.name.as_str()).collect();
    for (schema, names, side) in [(Some(source), at_source, "source"), (target, at_target, "target")] {
        let Some(schema) = schema.filter(|schema| !is_unique(schema, &names)) else { continue };
        return Err(PlanError::new(
            ErrorKind::Unsupported,
            format!(
                "table `{}` of the {side} has no primary key or unique index over exactly ({}): rows with one key \
                 could not be told apart",
                schema.table,
                names.join(", ")
            ),
            "add a unique index over the key's columns, or choose a `key:` that has one on both sides",
        ));
    }
    Ok(())
}

fn is_unique(schema: &TableSchema, names: &[&str]) -> bool {
    let same = |columns: &[String]| {
        columns.len() == names.len()
            && names.iter().all(|n| columns.iter().any(|c| c.eq_ignore_ascii_case(n)))
    };
    same(&schema.primary_key) || schema.indexes.iter().any(|index| index.unique && same(&index.columns))
}

/// The policy as it holds for this table: `newest` needs a column whose values have an order that both sides share.
pub(super) fn policy(
    source: &TableSchema,
    columns: &[ColumnPlan],
    spec: &TableSpec,
) -> Result<MergePolicy, PlanError> {
    let MergePolicy::NewestWins { column, or_source } = &spec.policy else { return Ok(spec.policy.clone()) };
    let Some(pair) = columns.iter().find(|c| c.source.name == *column || c.target.name == *column) else {
        if *or_source {
            return Ok(MergePolicy::SourceWins);
        }
        return Err(PlanError::new(
            ErrorKind::UnknownColumn,
            format!(
                "column `{column}` of `policy: {{ newest: {column} }}` is not among those copied of `{}`",
                source.table
            ),
            "name a column that both sides have and that changes with every update",
        ));
    };
    let has_order = matches!(
        pair.target.logical,
        LogicalType::Int { .. }
            | LogicalType::Decimal { .. }
            | LogicalType::Float64
            | LogicalType::Date
            | LogicalType::Time { .. }
            | LogicalType::DateTime { .. }
            | LogicalType::Instant { .. }
    );
    if has_order {
        return Ok(spec.policy.clone());
    }
    Err(PlanError::new(
        ErrorKind::Unsupported,
        format!(
            "column `{column}` of table `{}` is {}: which of two is newer cannot be told",
            source.table, pair.target.native
        ),
        "name a column of numbers, dates or times",
    ))
}

/// A mirror deletes what the source lacks, so it must be able to ask for a key in the one form in which it is stored.
/// SQLite keeps dates, times, UUIDs and undeclared values as text in whatever spelling they came.
pub(super) fn check_mirror_key(
    columns: &[ColumnPlan],
    key: &[usize],
    engines: (Engine, Engine),
) -> Result<(), PlanError> {
    let spelled = |engine: Engine, column: &Column| {
        engine == Engine::Sqlite
            && !matches!(
                column.logical,
                LogicalType::Int { .. } | LogicalType::Text { .. } | LogicalType::Bool | LogicalType::Date
            )
    };
    for pair in key.iter().map(|i| &columns[*i]) {
        for (engine, column) in [(engines.0, &pair.source), (engines.1, &pair.target)] {
            if spelled(engine, column) && column.native != "UUID_TEXT" {
                return Err(PlanError::new(
                    ErrorKind::Unsupported,
                    format!(
                        "key column `{}` is {} in SQLite, which may spell one value in several ways: a mirror could \
                         delete rows that are there",
                        column.name,
                        if column.native.is_empty() { "without a type" } else { &column.native }
                    ),
                    "use `mode: merge`, or a key of integers or text",
                ));
            }
        }
    }
    Ok(())
}

/// A mirror deletes rows of its own tables only: not those that the target would take along.
pub(super) fn check_cascades(target: &TableSchema, children: &[TableRef]) -> Result<(), PlanError> {
    if children.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = children.iter().map(|child| format!("`{child}`")).collect();
    Err(PlanError::new(
        ErrorKind::Refused,
        format!(
            "deleting rows of `{}` would change rows of {} by ON DELETE rules of the target",
            target.table,
            names.join(", ")
        ),
        "change those foreign keys to RESTRICT, or let the table delete nothing: `mode: merge`, and no `on_fail: delete`",
    ))
}

/// A name under `exclude:` that no column has is a mistake, and the column that was meant would be copied.
pub(super) fn check_excluded(source: &TableSchema, spec: &TableSpec) -> Result<(), PlanError> {
    match spec.exclude.iter().find(|name| !source.columns.iter().any(|c| c.name == **name)) {
        // A pattern's tables need not all have the column.
        Some(_) if spec.is_pattern() => Ok(()),
        Some(name) => Err(PlanError::new(
            ErrorKind::UnknownColumn,
            format!(
                "column `{name}` under `exclude:` of table `{}` does not exist at the source",
                source.table
            ),
            "correct the name; letter case matters",
        )),
        None => Ok(()),
    }
}
