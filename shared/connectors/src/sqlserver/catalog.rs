//! What the catalog says of tables.

use std::borrow::Cow;
use std::sync::Arc;

use model::{Column, ForeignKey, Index, TableRef, TableSchema};
use tiberius::Row;

use super::Sqlserver;
use super::mapping::{Told, of_catalog};
use super::session::{Lease, Pool};
use crate::error::Result;
use crate::server;
use crate::server::Protocol as _;
use crate::server::foreign_keys::from_rows;
use crate::server::own::OWN_PREFIX;
use crate::sql::Dialect;

/// `'text'`
pub(super) fn quote(text: &str) -> String {
    Dialect::Sqlserver.literal(text)
}

pub(super) fn cell_text(row: &Row, at: usize) -> Option<Cow<'_, str>> {
    Sqlserver::text(row, at)
}

fn owned(row: &Row, at: usize) -> String {
    cell_text(row, at).unwrap_or_default().into_owned()
}

fn number(row: &Row, at: usize) -> Option<u64> {
    server::cell_number::<Sqlserver>(row, at)
}

fn is_set(row: &Row, at: usize) -> bool {
    number(row, at) == Some(1)
}

/// The SQL for a table's schema: as named, else the user's own.
pub(super) fn schema_sql(table: &TableRef) -> String {
    table.schema.as_deref().map_or_else(|| "SCHEMA_NAME()".to_owned(), quote)
}

/// Tables of the user's own schema.
pub(super) async fn tables(pool: &Arc<Pool>) -> Result<Vec<TableRef>> {
    let operation = "list tables";
    let mut lease = pool.lease(operation).await?;
    let sql = "SELECT t.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
               WHERE s.name = SCHEMA_NAME() AND t.is_ms_shipped = 0";
    let rows = lease.rows(operation, sql.to_owned()).await?;
    lease.release();
    let names = rows.iter().map(|row| owned(row, 0));
    let mut tables: Vec<TableRef> =
        names.filter(|name| !name.starts_with(OWN_PREFIX)).map(TableRef::named).collect();
    tables.sort();
    Ok(tables)
}

pub(super) async fn describe(lease: &mut Lease, table: &TableRef) -> Result<Option<TableSchema>> {
    let operation = format!("describe table {table}");
    let sql = format!(
        "SELECT t.object_id, t.name, s.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
         WHERE t.name = {} AND s.name = {}",
        quote(&table.name),
        schema_sql(table)
    );
    let found = lease.rows(&operation, sql).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let id = owned(row, 0);
    let table = TableRef { schema: table.schema.as_ref().map(|_| owned(row, 2)), name: owned(row, 1) };
    let columns = columns(lease, &id, &table, &operation).await?;
    let (primary_key, indexes) = indexes(lease, &id, &operation).await?;
    let foreign_keys = foreign_keys(lease, &table, &id, &operation).await?;
    let row_estimate = row_estimate(lease, &id, &operation).await?;
    Ok(Some(TableSchema { table, columns, primary_key, indexes, foreign_keys, row_estimate }))
}

async fn columns(lease: &mut Lease, id: &str, table: &TableRef, operation: &str) -> Result<Vec<Column>> {
    // This view tells what a type of somebody's own is made of.
    let sql = format!(
        "SELECT i.COLUMN_NAME, i.DATA_TYPE, i.CHARACTER_MAXIMUM_LENGTH, i.NUMERIC_PRECISION, i.NUMERIC_SCALE, \
         i.DATETIME_PRECISION, c.is_nullable, i.COLLATION_NAME, c.is_computed, c.is_identity \
         FROM INFORMATION_SCHEMA.COLUMNS AS i \
         JOIN sys.columns AS c ON c.object_id = {id} AND c.name = i.COLUMN_NAME \
         WHERE i.TABLE_NAME = {} AND i.TABLE_SCHEMA = {} ORDER BY c.column_id",
        quote(&table.name),
        schema_sql(table)
    );
    let rows = lease.rows(operation, sql).await?;
    Ok(rows.iter().map(column).collect())
}

fn column(row: &Row) -> Column {
    let word = owned(row, 1);
    let small = |at| number(row, at).and_then(|n| u16::try_from(n).ok());
    let told = Told {
        word: &word,
        // -1 says `max`, and the type of old for long text says the most there can be.
        length: number(row, 2).filter(|n| *n > 0 && *n <= 8_000),
        precision: small(3).unwrap_or(0),
        scale: small(5).or_else(|| small(4)).unwrap_or(0),
    };
    let (logical, native) = of_catalog(told);
    Column {
        name: owned(row, 0),
        logical,
        nullable: is_set(row, 6),
        collation: cell_text(row, 7).map(Cow::into_owned),
        generated: is_set(row, 8) || native == "timestamp",
        auto_increment: is_set(row, 9),
        native,
    }
}

/// The primary key, and the other indexes over whole tables. Disabled ones are left out, and those with a filter, but for
/// the one that other engines have of their own: a unique index does not look at rows with a NULL.
async fn indexes(lease: &mut Lease, id: &str, operation: &str) -> Result<(Vec<String>, Vec<Index>)> {
    let sql = format!(
        "SELECT i.name, i.is_unique, i.is_primary_key, c.name, i.has_filter, i.filter_definition, c.is_nullable \
         FROM sys.indexes AS i \
         JOIN sys.index_columns AS x ON x.object_id = i.object_id AND x.index_id = i.index_id \
         JOIN sys.columns AS c ON c.object_id = x.object_id AND c.column_id = x.column_id \
         WHERE i.object_id = {id} AND i.is_disabled = 0 AND i.type IN (1, 2) \
         AND x.is_included_column = 0 AND x.key_ordinal > 0 ORDER BY i.index_id, x.key_ordinal"
    );
    let rows = lease.rows(operation, sql).await?;
    let (mut key, mut indexes): (Vec<String>, Vec<Listed>) = Default::default();
    for row in &rows {
        let (name, column) = (owned(row, 0), owned(row, 3));
        if is_set(row, 2) {
            key.push(column);
            continue;
        }
        if indexes.last().is_none_or(|listed| listed.index.name != name) {
            let index = Index { name, columns: Vec::new(), unique: is_set(row, 1) };
            let filter = is_set(row, 4).then(|| owned(row, 5));
            indexes.push(Listed { index, open: Vec::new(), filter });
        }
        if let Some(listed) = indexes.last_mut() {
            listed.open.extend(is_set(row, 6).then(|| column.clone()));
            listed.index.columns.push(column);
        }
    }
    Ok((key, indexes.into_iter().filter(Listed::is_over_all).map(|listed| listed.index).collect()))
}

struct Listed {
    index: Index,
    /// Columns that may be NULL.
    open: Vec<String>,
    filter: Option<String>,
}

impl Listed {
    fn is_over_all(&self) -> bool {
        let Some(filter) = &self.filter else { return true };
        let plain = |text: &str| text.replace(['(', ')', ' '], "").to_lowercase();
        self.index.unique && plain(filter) == plain(&filled(&self.open))
    }
}

/// The condition that none of these columns is NULL.
pub(super) fn filled(columns: &[String]) -> String {
    let columns = columns.iter().map(|name| format!("{} IS NOT NULL", Dialect::Sqlserver.ident(name)));
    columns.collect::<Vec<_>>().join(" AND ")
}

async fn foreign_keys(
    lease: &mut Lease,
    table: &TableRef,
    id: &str,
    operation: &str,
) -> Result<Vec<ForeignKey>> {
    let sql = format!(
        "SELECT f.name, a.name, CASE WHEN p.schema_id = f.schema_id THEN 1 ELSE 0 END, s.name, p.name, b.name \
         FROM sys.foreign_keys AS f JOIN sys.foreign_key_columns AS k ON k.constraint_object_id = f.object_id \
         JOIN sys.columns AS a ON a.object_id = k.parent_object_id AND a.column_id = k.parent_column_id \
         JOIN sys.tables AS p ON p.object_id = f.referenced_object_id \
         JOIN sys.schemas AS s ON s.schema_id = p.schema_id \
         JOIN sys.columns AS b ON b.object_id = k.referenced_object_id AND b.column_id = k.referenced_column_id \
         WHERE f.parent_object_id = {id} ORDER BY f.name, k.constraint_column_id"
    );
    let rows = lease.rows(operation, sql).await?;
    Ok(from_rows::<Sqlserver>(&rows, table))
}

async fn row_estimate(lease: &mut Lease, id: &str, operation: &str) -> Result<Option<u64>> {
    let sql = format!(
        "SELECT SUM(p.rows) FROM sys.partitions AS p WHERE p.object_id = {id} AND p.index_id IN (0, 1)"
    );
    let rows = lease.rows(operation, sql).await?;
    Ok(rows.first().and_then(|row| number(row, 0)))
}

/// Tables whose foreign keys to `table` act when a row is deleted, in whichever schema they are.
pub(super) async fn cascading_children(pool: &Arc<Pool>, table: &TableRef) -> Result<Vec<TableRef>> {
    let operation = format!("find foreign keys to {table}");
    let mut lease = pool.lease(&operation).await?;
    let sql = format!(
        "SELECT DISTINCT CASE WHEN c.schema_id = p.schema_id THEN 1 ELSE 0 END, m.name, c.name \
         FROM sys.foreign_keys AS f JOIN sys.tables AS c ON c.object_id = f.parent_object_id \
         JOIN sys.tables AS p ON p.object_id = f.referenced_object_id \
         JOIN sys.schemas AS m ON m.schema_id = c.schema_id JOIN sys.schemas AS n ON n.schema_id = p.schema_id \
         WHERE f.delete_referential_action <> 0 AND f.is_disabled = 0 AND p.name = {} AND n.name = {}",
        quote(&table.name),
        schema_sql(table)
    );
    let rows = lease.rows(&operation, sql).await?;
    lease.release();
    let mut children: Vec<TableRef> = rows
        .iter()
        .map(|row| {
            let schema = if is_set(row, 0) { table.schema.clone() } else { Some(owned(row, 1)) };
            TableRef { schema, name: owned(row, 2) }
        })
        .collect();
    children.sort();
    Ok(children)
}
