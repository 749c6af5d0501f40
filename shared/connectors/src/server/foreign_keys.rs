//! Foreign keys once the rows are in: those that the target has are checked, those that it lacks are added.

use std::sync::Arc;

use model::{ErrorKind, ForeignKey, TablePlan, TableRef, TableSchema};

use super::pool::{Lease, Pool};
use super::{Protocol, cell_number, error};
use crate::WITHOUT_PARENT;
use crate::error::Result;

/// Foreign keys of `table` from rows of the catalog, in the order of constraints and of their columns: name, column,
/// `1` if the parent is in the same schema, the parent's schema, parent, its column.
pub(crate) fn from_rows<P: Protocol>(rows: &[P::Row], table: &TableRef) -> Vec<ForeignKey> {
    let mut keys: Vec<ForeignKey> = Vec::new();
    for row in rows {
        let text = |at| P::text(row, at).unwrap_or_default().into_owned();
        let name = text(0);
        if keys.last().is_none_or(|key| key.name != name) {
            let schema = if text(2) == "1" { table.schema.clone() } else { Some(text(3)) };
            let parent = TableRef { schema, name: text(4) };
            keys.push(ForeignKey { name, columns: Vec::new(), parent, parent_columns: Vec::new() });
        }
        if let Some(key) = keys.last_mut() {
            key.columns.push(text(1));
            key.parent_columns.push(text(5));
        }
    }
    keys
}

pub(crate) async fn check_foreign_keys<P: Protocol>(
    pool: &Arc<Pool<P>>,
    plan: &TablePlan,
) -> Result<Vec<String>> {
    let table = &plan.target.table;
    let operation = format!("check foreign keys of {table}");
    let mut lease = pool.lease(&operation).await?;
    let Some(actual) = P::describe(&mut lease, table).await? else {
        return Err(error::<P>(ErrorKind::UnknownTable, &operation).with_object(table.to_string()));
    };
    let mut notes = Vec::new();
    for key in &actual.foreign_keys {
        notes.extend(orphans(&mut lease, table, key, &operation).await?);
    }
    if plan.create_target {
        for key in &plan.target.foreign_keys {
            notes.extend(add_missing(&mut lease, plan, key, &actual, &operation).await?);
        }
    }
    lease.release();
    Ok(notes)
}

/// Adds a planned foreign key that the target lacks, unless rows break it.
async fn add_missing<P: Protocol>(
    lease: &mut Lease<P>,
    plan: &TablePlan,
    key: &ForeignKey,
    actual: &TableSchema,
    operation: &str,
) -> Result<Option<String>> {
    let not_added = |why: &str| Ok(Some(format!("foreign key {} was not added: {why}", key.name)));
    let there = |other: &ForeignKey| {
        other.columns == key.columns
            && other.parent.name == key.parent.name
            && other.parent_columns == key.parent_columns
    };
    if actual.foreign_keys.iter().any(there) {
        return Ok(None);
    }
    let Some(described) = P::describe(lease, &key.parent).await? else {
        return not_added(&format!("table {} does not exist at the target", key.parent));
    };
    if key.parent_columns.iter().any(|name| described.column(name).is_none()) {
        return not_added(&format!("table {} has other columns at the target", key.parent));
    }
    if let Some(broken) = orphans(lease, &plan.target.table, key, operation).await? {
        return Ok(Some(broken));
    }
    let name = P::DIALECT.cut_name(&key.name, 0);
    let constraint =
        if name.is_empty() { String::new() } else { format!("CONSTRAINT {} ", P::DIALECT.ident(&name)) };
    let sql = format!(
        "ALTER TABLE {} ADD {constraint}FOREIGN KEY ({}) REFERENCES {} ({})",
        P::DIALECT.table(&plan.target.table),
        P::DIALECT.idents(&key.columns),
        P::DIALECT.table(&key.parent),
        P::DIALECT.idents(&key.parent_columns),
    );
    match lease.run_long(operation, sql).await {
        Ok(_) => Ok(None),
        Err(failed) if failed.ends_all() => Err(failed),
        Err(failed) => not_added(&failed.reason()),
    }
}

/// A note if rows refer to parents that do not exist.
async fn orphans<P: Protocol>(
    lease: &mut Lease<P>,
    table: &TableRef,
    key: &ForeignKey,
    operation: &str,
) -> Result<Option<String>> {
    let ident = |name: &String| P::DIALECT.ident(name);
    let pairs = key.columns.iter().zip(&key.parent_columns);
    let joined: Vec<String> =
        pairs.map(|(child, parent)| format!("p.{} = c.{}", ident(parent), ident(child))).collect();
    let present: Vec<String> =
        key.columns.iter().map(|child| format!("c.{} IS NOT NULL", ident(child))).collect();
    let sql = format!(
        "SELECT {} FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
        P::DIALECT.count(),
        P::DIALECT.table(table),
        present.join(" AND "),
        P::DIALECT.table(&key.parent),
        joined.join(" AND "),
    );
    let answers = match lease.run_long(operation, sql).await {
        Ok(answers) => answers,
        Err(failed) if failed.ends_all() => return Err(failed),
        Err(failed) => {
            return Ok(Some(format!("foreign key {} could not be checked: {}", key.name, failed.reason())));
        }
    };
    let count =
        answers.first().and_then(|a| a.rows.first()).and_then(|row| cell_number::<P>(row, 0)).unwrap_or(0);
    let rows = if count == 1 { "row" } else { "rows" };
    Ok((count > 0)
        .then(|| format!("foreign key {}: {count} {rows} {WITHOUT_PARENT} {}", key.name, key.parent)))
}
