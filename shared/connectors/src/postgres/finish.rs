//! What follows the rows of a table that was made here: secondary indexes, and where identity columns go on.

use std::sync::Arc;

use model::{ErrorKind, Index, TablePlan, TableRef, TableSchema};

use super::catalog::{self, cell_text, quote};
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
        match build(&mut lease, table, index, &operation).await {
            Ok(()) => actual.indexes.push(index.clone()),
            Err(failed) if failed.ends_all() => return Err(failed),
            Err(failed) => notes.push(format!("index {} was not built: {}", index.name, failed.reason())),
        }
    }
    for column in actual.columns.iter().filter(|column| column.auto_increment) {
        go_on(&mut lease, table, &column.name, &operation).await?;
    }
    lease.release();
    Ok(notes)
}

fn is_there(index: &Index, actual: &TableSchema) -> bool {
    index.columns == actual.primary_key
        || actual.indexes.iter().any(|i| i.columns == index.columns && (i.unique || !index.unique))
}

/// Names of indexes are shared by all tables of a schema, and with those.
async fn build(lease: &mut Lease, table: &TableRef, index: &Index, operation: &str) -> Result<()> {
    let taken = format!(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {}",
        catalog::schema_sql(table)
    );
    let rows = lease.rows(operation, taken).await?;
    let taken: Vec<&str> = rows.iter().filter_map(|row| cell_text(row, 0)).collect();
    let own_name = Dialect::Postgres.cut_name(&index.name, 0);
    let name = if taken.contains(&own_name.as_str()) {
        let with_table = format!("{}_{}", table.name, index.name);
        Dialect::Postgres.free_name(&with_table, |name| !taken.contains(&name))
    } else {
        own_name
    };
    let sql = format!(
        "CREATE {}INDEX {} ON {} ({})",
        if index.unique { "UNIQUE " } else { "" },
        Dialect::Postgres.ident(&name),
        Dialect::Postgres.table(table),
        Dialect::Postgres.idents(&index.columns)
    );
    lease.run_long(operation, sql).await.map(|_| ())
}

/// The next number of an identity column comes after those that were copied.
async fn go_on(lease: &mut Lease, table: &TableRef, column: &str, operation: &str) -> Result<()> {
    let (name, column_name) = (Dialect::Postgres.table(table), Dialect::Postgres.ident(column));
    let sql = format!(
        "SELECT setval(s.name, GREATEST(m.highest, 1), m.highest >= 1) \
         FROM (SELECT pg_get_serial_sequence({}, {}) AS name) s, \
         (SELECT COALESCE(max({column_name}), 0) AS highest FROM {name}) m WHERE s.name IS NOT NULL",
        quote(&name),
        quote(column)
    );
    lease.run_long(operation, sql).await.map(|_| ())
}
