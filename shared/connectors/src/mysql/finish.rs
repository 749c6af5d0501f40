//! What follows the rows of a table that was made here: secondary indexes.

use std::sync::Arc;

use model::{Index, LogicalType, TablePlan, TableRef, TableSchema};

use super::mapping::GEOMETRY;
use super::session::{Lease, Pool, error};
use super::{catalog, ddl};
use crate::error::Result;
use crate::sql::Dialect;

pub(super) async fn build_indexes(pool: &Arc<Pool>, plan: &TablePlan) -> Result<Vec<String>> {
    let table = &plan.target.table;
    let operation = format!("build indexes of {table}");
    let mut lease = pool.lease(&operation).await?;
    let Some(mut planned) = catalog::describe(&mut lease, table).await? else {
        return Err(error(model::ErrorKind::UnknownTable, &operation).with_object(table.to_string()));
    };
    let mut notes = Vec::new();
    let mut clauses = Vec::new();
    for index in &plan.target.indexes {
        match wanted(index, &planned) {
            Wanted::There => {}
            Wanted::Build(made, clause) => {
                clauses.push((index.name.clone(), clause));
                planned.indexes.push(made);
            }
            Wanted::Impossible(why) => notes.push(format!("index {} was not built: {why}", index.name)),
        }
    }
    if !clauses.is_empty() {
        notes.extend(add(&mut lease, table, &clauses, &operation).await?);
    }
    lease.release();
    Ok(notes)
}

enum Wanted {
    There,
    /// The index as it will be, and the clause that adds it.
    Build(Index, String),
    Impossible(String),
}

/// What to do about one planned index.
fn wanted(index: &Index, actual: &TableSchema) -> Wanted {
    let columns = index.columns.clone();
    let same = |other: &[String]| other == columns.as_slice();
    if same(&actual.primary_key)
        || actual.indexes.iter().any(|i| same(&i.columns) && (i.unique || !index.unique))
    {
        return Wanted::There;
    }
    let Some(parts) = parts(&columns, actual) else {
        return Wanted::Impossible("it has a column of a type that cannot be indexed".to_owned());
    };
    let whole = parts.iter().all(|part| part.prefix.is_none());
    if index.unique && !whole {
        return Wanted::Impossible(
            "it is unique over text or binary columns without a short limit".to_owned(),
        );
    }
    let list: Vec<String> = parts.iter().map(Part::sql).collect();
    let unique = if index.unique { "UNIQUE " } else { "" };
    let made = Index { name: free_name(&index.name, actual), columns, unique: index.unique };
    let clause = format!("ADD {unique}INDEX {} ({})", Dialect::Mysql.ident(&made.name), list.join(", "));
    Wanted::Build(made, clause)
}

/// The source's name, cut to what is allowed, with a number behind it if the table has an index of that name.
fn free_name(name: &str, actual: &TableSchema) -> String {
    Dialect::Mysql.free_name(name, |name| {
        let name = name.to_lowercase();
        // `PRIMARY` is the server's own word.
        name != "primary" && actual.indexes.iter().all(|index| index.name.to_lowercase() != name)
    })
}

/// One column of an index.
struct Part {
    name: String,
    /// Characters or bytes of a prefix.
    prefix: Option<u64>,
}

impl Part {
    fn sql(&self) -> String {
        let name = Dialect::Mysql.ident(&self.name);
        self.prefix.map_or_else(|| name.clone(), |n| format!("{name}({n})"))
    }
}

/// The columns of an index, with prefixes where they would be too long; `None` if one cannot be indexed.
fn parts(columns: &[String], actual: &TableSchema) -> Option<Vec<Part>> {
    let described: Vec<_> = columns.iter().map(|name| actual.column(name)).collect::<Option<_>>()?;
    let share = ddl::INDEX_BYTES_MAX / columns.len().max(1) as u64;
    let widths: Vec<Option<u64>> = described.iter().map(|c| width(&c.logical)).collect();
    let total: u64 = widths.iter().map(|w| w.unwrap_or(ddl::INDEX_BYTES_MAX + 1)).sum();
    let fits = total <= ddl::INDEX_BYTES_MAX;
    described
        .into_iter()
        .zip(widths)
        .map(|(column, width)| {
            let too_wide = !fits && width.is_none_or(|w| w > share);
            let is_geometry = GEOMETRY.contains(&column.native.as_str());
            if column.logical == LogicalType::Json || (is_geometry && too_wide) {
                return None;
            }
            // Text is counted in characters, of four bytes each.
            let unit = if matches!(column.logical, LogicalType::Text { .. }) { 4 } else { 1 };
            let prefix = too_wide.then(|| (share / unit).min(255));
            Some(Part { name: column.name.clone(), prefix })
        })
        .collect()
}

/// Bytes of a column in an index at most; `None` if it has no limit.
const fn width(logical: &LogicalType) -> Option<u64> {
    match logical {
        LogicalType::Text { max_chars, .. } => match max_chars {
            Some(n) => Some(*n * 4),
            None => None,
        },
        LogicalType::Bytes { max_bytes, .. } => *max_bytes,
        LogicalType::Decimal { .. } | LogicalType::AnyDecimal => Some(30),
        LogicalType::Uuid => Some(16),
        LogicalType::Json => None,
        LogicalType::Bool
        | LogicalType::Int { .. }
        | LogicalType::Float32
        | LogicalType::Float64
        | LogicalType::Date
        | LogicalType::Time { .. }
        | LogicalType::DateTime { .. }
        | LogicalType::Instant { .. } => Some(8),
    }
}

/// Adds all indexes in one pass over the table; if that fails, one by one, to find out which it was.
async fn add(
    lease: &mut Lease,
    table: &TableRef,
    clauses: &[(String, String)],
    operation: &str,
) -> Result<Vec<String>> {
    let alter = |list: &[&str]| format!("ALTER TABLE {} {}", Dialect::Mysql.table(table), list.join(", "));
    let all: Vec<&str> = clauses.iter().map(|(_, clause)| clause.as_str()).collect();
    match lease.run_long(operation, alter(&all)).await {
        Ok(_) => return Ok(Vec::new()),
        Err(failed) if failed.ends_all() => return Err(failed),
        Err(_) => {}
    }
    let mut notes = Vec::new();
    for (name, clause) in clauses {
        match lease.run_long(operation, alter(&[clause])).await {
            Ok(_) => {}
            Err(failed) if failed.ends_all() => return Err(failed),
            Err(failed) => notes.push(format!("index {name} was not built: {}", failed.reason())),
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use model::Column;

    use super::*;

    fn table(columns: Vec<Column>, indexes: &[&str]) -> TableSchema {
        let index = |name: &&str| Index { name: (*name).to_owned(), columns: vec![], unique: false };
        TableSchema {
            table: TableRef::named("t"),
            columns,
            primary_key: vec![],
            indexes: indexes.iter().map(index).collect(),
            foreign_keys: vec![],
            row_estimate: None,
        }
    }

    #[test]
    fn index_names_are_cut_and_numbered() {
        assert_eq!(free_name("by_name", &table(vec![], &["other"])), "by_name");
        assert_eq!(free_name("by_name", &table(vec![], &["BY_NAME", "by_name_2"])), "by_name_3");
        assert_eq!(free_name("Primary", &table(vec![], &[])), "Primary_2");
        assert_eq!(free_name(&"é".repeat(70), &table(vec![], &[])).chars().count(), 64);
    }

    #[test]
    fn wide_text_is_indexed_by_a_prefix_and_documents_not_at_all() {
        let text = |name: &str, max_chars| {
            Column::new(name, LogicalType::Text { max_chars, fixed: false, long: false }, true)
        };
        let actual = table(
            vec![
                text("short", Some(50)),
                text("wide", Some(800)),
                text("long", None),
                Column::new("j", LogicalType::Json, true),
            ],
            &[],
        );
        let list = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            parts(&names, &actual).map(|parts| parts.iter().map(Part::sql).collect::<Vec<_>>().join(", "))
        };
        assert_eq!(list(&["short"]).as_deref(), Some("`short`"));
        assert_eq!(list(&["short", "wide"]).as_deref(), Some("`short`, `wide`(255)"));
        assert_eq!(
            list(&["wide", "long", "short", "long"]).as_deref(),
            Some("`wide`(192), `long`(192), `short`, `long`(192)")
        );
        assert_eq!(list(&["j"]), None);
    }
}
