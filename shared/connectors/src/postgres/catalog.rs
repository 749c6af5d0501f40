//! What the catalog says of tables.

use std::sync::Arc;

use model::{Column, ForeignKey, Index, LogicalType, TableRef, TableSchema};
use sqlx::postgres::PgRow;

use super::Postgres;
use super::session::{Lease, Pool};
use crate::error::Result;
use crate::server;
use crate::server::driver;
use crate::server::foreign_keys::from_rows;
use crate::server::own::OWN_PREFIX;
use crate::sql::Dialect;

/// `'text'`
pub(super) fn quote(text: &str) -> String {
    Dialect::Postgres.literal(text)
}

pub(super) fn cell_text(row: &PgRow, at: usize) -> Option<&str> {
    driver::cell_text::<Postgres>(row, at)
}

pub(super) fn cell_number(row: &PgRow, at: usize) -> Option<u64> {
    server::cell_number::<Postgres>(row, at)
}

fn is_set(row: &PgRow, at: usize) -> bool {
    cell_text(row, at) == Some("t")
}

/// The SQL for a table's schema: as named, else the first of the search path.
pub(super) fn schema_sql(table: &TableRef) -> String {
    table.schema.as_deref().map_or_else(|| "current_schema()".to_owned(), quote)
}

/// Tables of the first schema of the search path. Parts of a partitioned table are read through the whole.
pub(super) async fn tables(pool: &Arc<Pool>) -> Result<Vec<TableRef>> {
    let operation = "list tables";
    let mut lease = pool.lease(operation).await?;
    let sql = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition";
    let rows = lease.rows(operation, sql.to_owned()).await?;
    lease.release();
    let names = rows.iter().filter_map(|row| cell_text(row, 0));
    let mut tables: Vec<TableRef> =
        names.filter(|name| !name.starts_with(OWN_PREFIX)).map(TableRef::named).collect();
    tables.sort();
    Ok(tables)
}

pub(super) async fn describe(lease: &mut Lease, table: &TableRef) -> Result<Option<TableSchema>> {
    let operation = format!("describe table {table}");
    let sql = format!(
        "SELECT c.oid, c.reltuples::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = {} AND n.nspname = {} AND c.relkind IN ('r', 'p')",
        quote(&table.name),
        schema_sql(table)
    );
    let found = lease.rows(&operation, sql).await?;
    let Some((id, row_estimate)) =
        found.first().and_then(|row| Some((cell_number(row, 0)?, cell_number(row, 1))))
    else {
        return Ok(None);
    };
    let columns = columns(lease, id, &operation).await?;
    let (primary_key, indexes) = indexes(lease, id, &operation).await?;
    let foreign_keys = foreign_keys(lease, table, id, &operation).await?;
    Ok(Some(TableSchema { table: table.clone(), columns, primary_key, indexes, foreign_keys, row_estimate }))
}

async fn columns(lease: &mut Lease, table: u64, operation: &str) -> Result<Vec<Column>> {
    // A domain is what it is made of.
    let sql = format!(
        "SELECT a.attname, b.typname, m.typmod, format_type(b.oid, m.typmod), \
         a.attnotnull OR t.typnotnull, CASE WHEN a.attcollation <> t.typcollation THEN l.collname END, \
         a.attgenerated <> '', a.attidentity <> '' OR \
         COALESCE(pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false), \
         (SELECT max(length(e.enumlabel)) FROM pg_enum e WHERE e.enumtypid = b.oid) \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
         JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
         CROSS JOIN LATERAL (SELECT CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END) m(typmod) \
         LEFT JOIN pg_collation l ON l.oid = a.attcollation \
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attrelid = {table} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    );
    let rows = lease.rows(operation, sql).await?;
    Ok(rows.iter().map(column).collect())
}

fn column(row: &PgRow) -> Column {
    let text = |at| cell_text(row, at).unwrap_or_default();
    let modifier = text(2).parse().unwrap_or(-1);
    Column {
        name: text(0).to_owned(),
        logical: logical(text(1), modifier, cell_number(row, 8)),
        native: text(3).to_owned(),
        nullable: !is_set(row, 4),
        collation: cell_text(row, 5).map(ToOwned::to_owned),
        generated: is_set(row, 6),
        auto_increment: is_set(row, 7),
    }
}

/// `modifier` is the type's number in brackets, as the catalog packs it; -1 if there is none.
fn logical(name: &str, modifier: i64, longest_label: Option<u64>) -> LogicalType {
    let int = |bits| LogicalType::Int { bits, unsigned: false };
    let fraction = u8::try_from(modifier).unwrap_or(6).min(6);
    let length = || u64::try_from(modifier - 4).ok();
    match name {
        "bool" => LogicalType::Bool,
        "int2" => int(16),
        "int4" => int(32),
        "int8" => int(64),
        "oid" => LogicalType::Int { bits: 32, unsigned: true },
        "numeric" if modifier < 4 => LogicalType::AnyDecimal,
        "numeric" => decimal(modifier - 4),
        "money" => LogicalType::Decimal { precision: 19, scale: 2 },
        "float4" => LogicalType::Float32,
        "float8" => LogicalType::Float64,
        "date" => LogicalType::Date,
        "time" => LogicalType::Time { fraction },
        "timestamp" => LogicalType::DateTime { fraction },
        "timestamptz" => LogicalType::Instant { fraction },
        "varchar" => LogicalType::Text { max_chars: length(), fixed: false, long: length().is_none() },
        "bpchar" => {
            LogicalType::Text { max_chars: length(), fixed: length().is_some(), long: length().is_none() }
        }
        "bytea" => LogicalType::Bytes { max_bytes: None, fixed: false, long: true },
        "json" | "jsonb" => LogicalType::Json,
        "uuid" => LogicalType::Uuid,
        // Enums; and arrays, ranges, networks and what comes: the server prints them, and reads them back.
        _ => LogicalType::Text { max_chars: longest_label, fixed: false, long: longest_label.is_none() },
    }
}

/// Precision and scale, which may be negative (thousands) or more than the precision.
fn decimal(packed: i64) -> LogicalType {
    let digits = |n: i64| u16::try_from(n).unwrap_or(0);
    let precision = digits((packed >> 16) & 0xffff);
    let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
    let (before, after) = (digits(-scale), digits(scale));
    LogicalType::Decimal { precision: (precision + before).max(after), scale: after }
}

/// The primary key, and the other indexes over whole columns. Partial, functional and unfinished ones are left out.
async fn indexes(lease: &mut Lease, table: u64, operation: &str) -> Result<(Vec<String>, Vec<Index>)> {
    let sql = format!(
        "SELECT c.relname, i.indisunique, i.indisprimary, a.attname \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam \
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(number, place) \
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
         WHERE i.indrelid = {table} AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
         AND m.amname IN ('btree', 'hash') AND k.place <= i.indnkeyatts ORDER BY c.relname, k.place"
    );
    let rows = lease.rows(operation, sql).await?;
    let (mut key, mut indexes): (Vec<String>, Vec<Index>) = Default::default();
    for row in &rows {
        let (name, column) = (cell_text(row, 0).unwrap_or_default(), cell_text(row, 3).unwrap_or_default());
        if is_set(row, 2) {
            key.push(column.to_owned());
            continue;
        }
        match indexes.last_mut().filter(|index| index.name == name) {
            Some(index) => index.columns.push(column.to_owned()),
            None => indexes.push(Index {
                name: name.to_owned(),
                columns: vec![column.to_owned()],
                unique: is_set(row, 1),
            }),
        }
    }
    Ok((key, indexes))
}

async fn foreign_keys(
    lease: &mut Lease,
    table: &TableRef,
    id: u64,
    operation: &str,
) -> Result<Vec<ForeignKey>> {
    let sql = format!(
        "SELECT f.conname, a.attname, (p.relnamespace = t.relnamespace)::int, n.nspname, p.relname, b.attname \
         FROM pg_constraint f JOIN pg_class t ON t.oid = f.conrelid JOIN pg_class p ON p.oid = f.confrelid \
         JOIN pg_namespace n ON n.oid = p.relnamespace \
         CROSS JOIN LATERAL unnest(f.conkey, f.confkey) WITH ORDINALITY AS k(child, parent, place) \
         JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.child \
         JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = k.parent \
         WHERE f.conrelid = {id} AND f.contype = 'f' ORDER BY f.conname, k.place"
    );
    let rows = lease.rows(operation, sql).await?;
    Ok(from_rows::<Postgres>(&rows, table))
}

/// Tables whose foreign keys to `table` act when a row is deleted, in whichever schema they are.
pub(super) async fn cascading_children(pool: &Arc<Pool>, table: &TableRef) -> Result<Vec<TableRef>> {
    let operation = format!("find foreign keys to {table}");
    let mut lease = pool.lease(&operation).await?;
    let sql = format!(
        "SELECT DISTINCT c.relnamespace = p.relnamespace, m.nspname, c.relname \
         FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class p ON p.oid = f.confrelid \
         JOIN pg_namespace m ON m.oid = c.relnamespace JOIN pg_namespace n ON n.oid = p.relnamespace \
         WHERE f.contype = 'f' AND f.confdeltype IN ('c', 'n', 'd') AND NOT c.relispartition \
         AND p.relname = {} AND n.nspname = {}",
        quote(&table.name),
        schema_sql(table)
    );
    let rows = lease.rows(&operation, sql).await?;
    lease.release();
    let mut children: Vec<TableRef> = rows
        .iter()
        .map(|row| {
            let text = |at| cell_text(row, at).unwrap_or_default().to_owned();
            let schema = if is_set(row, 0) { table.schema.clone() } else { Some(text(1)) };
            TableRef { schema, name: text(2) }
        })
        .collect();
    children.sort();
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_types_become_logical_types() {
        let text = |max_chars, fixed, long| LogicalType::Text { max_chars, fixed, long };
        let decimal = |precision, scale| LogicalType::Decimal { precision, scale };
        let packed = |precision: i64, scale: i64| ((precision << 16) | (scale & 0x7ff)) + 4;
        for (name, modifier, label, wanted) in [
            ("int2", -1, None, LogicalType::Int { bits: 16, unsigned: false }),
            ("numeric", -1, None, LogicalType::AnyDecimal),
            ("numeric", packed(10, 2), None, decimal(10, 2)),
            ("numeric", packed(1_000, 0), None, decimal(1_000, 0)),
            ("numeric", packed(3, -2), None, decimal(5, 0)),
            ("numeric", packed(3, 5), None, decimal(5, 5)),
            ("timestamptz", -1, None, LogicalType::Instant { fraction: 6 }),
            ("timestamp", 0, None, LogicalType::DateTime { fraction: 0 }),
            ("varchar", 13, None, text(Some(9), false, false)),
            ("varchar", -1, None, text(None, false, true)),
            ("bpchar", 13, None, text(Some(9), true, false)),
            ("mood", -1, Some(5), text(Some(5), false, false)),
            ("_int4", -1, None, text(None, false, true)),
        ] {
            assert_eq!(logical(name, modifier, label), wanted, "{name} {modifier}");
        }
    }
}
