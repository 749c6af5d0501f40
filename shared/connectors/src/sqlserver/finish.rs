//! What follows the rows of a table that was made here: secondary indexes. Identity columns go on after the highest number
//! by themselves.

use std::sync::Arc;

use model::{ErrorKind, Index, TablePlan, TableSchema};

use super::catalog;
use super::session::{Lease, Pool, error};
use crate::error::Result;
use crate::sql::Dialect;

pub(super) async fn build_indexes(pool: &Arc<Pool>, plan: &TablePlan) -> Result<Vec<String>> {
    let table = &plan.target.table;
    let operation = format!("build indexes of {table}");
    let mut lease = pool.lease(&operation).await?;
    let Some(mut actual) = catalog::describe(&mut lease, table).await? else {
        return Err(error(ErrorKind::UnknownTable, &operation).with_object(table.to_string()));
    };
    let mut notes = Vec::new();
    for index in plan.target.indexes.iter().filter(|index| !index.columns.is_empty()) {
        if is_there(index, &actual) {
            continue;
        }
        match build(&mut lease, &actual, index, &operation).await {
            Ok(()) => actual.indexes.push(index.clone()),
            Err(failed) if failed.ends_all() => return Err(failed),
            Err(failed) => notes.push(format!("index {} was not built: {}", index.name, failed.reason())),
        }
    }
    lease.release();
    Ok(notes)
}

fn is_there(index: &Index, actual: &TableSchema) -> bool {
    index.columns == actual.primary_key
        || actual.indexes.iter().any(|i| i.columns == index.columns && (i.unique || !index.unique))
}

/// Other engines let many rows of a unique index be NULL, this one only one: rows without a NULL are held unique.
async fn build(lease: &mut Lease, actual: &TableSchema, index: &Index, operation: &str) -> Result<()> {
    let is_free = |name: &str| actual.indexes.iter().all(|other| !other.name.eq_ignore_ascii_case(name));
    let name = Dialect::Sqlserver.free_name(&index.name, is_free);
    let open: Vec<String> = index
        .columns
        .iter()
        .filter(|name| index.unique && actual.column(name).is_some_and(|column| column.nullable))
        .cloned()
        .collect();
    let sql = format!(
        "CREATE {}INDEX {} ON {} ({})",
        if index.unique { "UNIQUE " } else { "" },
        Dialect::Sqlserver.ident(&name),
        Dialect::Sqlserver.table(&actual.table),
        Dialect::Sqlserver.idents(&index.columns)
    );
    let filter = if open.is_empty() { String::new() } else { format!(" WHERE {}", catalog::filled(&open)) };
    lease.run_long(operation, sql + &filter).await.map(|_| ())
}
