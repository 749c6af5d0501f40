//! What the catalog says of tables.

use std::collections::HashSet;
use std::sync::Arc;

use model::{Column, ForeignKey, Index, LogicalType, TableRef, TableSchema};
use sqlx::mysql::MySqlRow;

use super::Mysql;
use super::mapping::{GEOMETRY, members};
use super::session::{Lease, Pool, Server};
use crate::error::Result;
use crate::server;
use crate::server::driver;
use crate::server::foreign_keys::from_rows;
use crate::server::own::OWN_PREFIX;
use crate::sql::Dialect;

/// `'text'`
pub(super) fn quote(text: &str) -> String {
    Dialect::Mysql.literal(text)
}

pub(super) fn cell_text(row: &MySqlRow, at: usize) -> Option<&str> {
    driver::cell_text::<Mysql>(row, at)
}

pub(super) fn cell_number(row: &MySqlRow, at: usize) -> Option<u64> {
    server::cell_number::<Mysql>(row, at)
}

/// The SQL for a table's schema: as named, else the connection's own.
fn schema_sql(table: &TableRef) -> String {
    table.schema.as_deref().map_or_else(|| "DATABASE()".to_owned(), quote)
}

/// Names equal as the server compares them: the catalog itself folds letter case even where tables do not.
fn is_table(table: &TableRef, server: &Server) -> String {
    let name = quote(&table.name);
    let exact = if server.folds_names { String::new() } else { format!(" AND BINARY TABLE_NAME = {name}") };
    format!("TABLE_SCHEMA = {} AND TABLE_NAME = {name}{exact}", schema_sql(table))
}

/// Tables of the current database; without one, of all databases that are not the server's own.
pub(super) async fn tables(pool: &Arc<Pool>) -> Result<Vec<TableRef>> {
    let operation = "list tables";
    let mut lease = pool.lease(operation).await?;
    let has_database = lease.server().database.is_some();
    let schemas = if has_database {
        "= DATABASE()"
    } else {
        "NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')"
    };
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA {schemas} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')"
    );
    let rows = lease.rows(operation, sql).await?;
    lease.release();
    let mut tables: Vec<TableRef> = rows
        .iter()
        .filter_map(|row| {
            let (schema, name) = (cell_text(row, 0)?, cell_text(row, 1)?);
            let schema = if has_database { None } else { Some(schema.to_owned()) };
            (!name.starts_with(OWN_PREFIX)).then(|| TableRef { schema, name: name.to_owned() })
        })
        .collect();
    tables.sort();
    Ok(tables)
}

pub(super) async fn describe(lease: &mut Lease, table: &TableRef) -> Result<Option<TableSchema>> {
    let operation = format!("describe table {table}");
    let server = lease.server().clone();
    let sql = format!(
        "SELECT TABLE_ROWS FROM information_schema.TABLES WHERE {} \
         AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')",
        is_table(table, &server)
    );
    let found = lease.rows(&operation, sql).await?;
    let Some(head) = found.first() else {
        return Ok(None);
    };
    let row_estimate = cell_number(head, 0);
    let columns = columns(lease, table, &server, &operation).await?;
    let (primary_key, indexes) = indexes(lease, table, &server, &operation).await?;
    let foreign_keys = foreign_keys(lease, table, &server, &operation).await?;
    Ok(Some(TableSchema { table: table.clone(), columns, primary_key, indexes, foreign_keys, row_estimate }))
}

async fn columns(
    lease: &mut Lease,
    table: &TableRef,
    server: &Server,
    operation: &str,
) -> Result<Vec<Column>> {
    let sql = format!(
        "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, \
         NUMERIC_SCALE, DATETIME_PRECISION, COLLATION_NAME, EXTRA FROM information_schema.COLUMNS WHERE {} \
         ORDER BY ORDINAL_POSITION",
        is_table(table, server)
    );
    let rows = lease.rows(operation, sql).await?;
    let json = if server.mariadb { json_checks(lease, table, operation).await? } else { HashSet::new() };
    Ok(rows
        .iter()
        .map(|row| {
            let column = column(row);
            // MariaDB's JSON is a LONGTEXT with a check.
            if json.contains(&column.name) { Column { logical: LogicalType::Json, ..column } } else { column }
        })
        .collect())
}

/// Columns whose whole check is that they hold JSON.
async fn json_checks(lease: &mut Lease, table: &TableRef, operation: &str) -> Result<HashSet<String>> {
    let sql = format!(
        "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {} \
         AND TABLE_NAME = {}",
        schema_sql(table),
        quote(&table.name)
    );
    let rows = lease.rows(operation, sql).await?;
    let name = |clause: &str| {
        let inner = clause.strip_prefix("json_valid(`")?.strip_suffix("`)")?;
        Some(inner.replace("``", "`"))
    };
    Ok(rows.iter().filter_map(|row| name(cell_text(row, 0)?)).collect())
}

fn column(row: &MySqlRow) -> Column {
    let text = |at| cell_text(row, at).unwrap_or_default();
    let extra = text(9).to_ascii_uppercase();
    let described = Described {
        data_type: text(1),
        native: text(2),
        chars: cell_number(row, 4),
        precision: cell_number(row, 5),
        scale: cell_number(row, 6),
        fraction: cell_number(row, 7),
    };
    Column {
        name: text(0).to_owned(),
        logical: logical(&described),
        native: described.native.to_owned(),
        nullable: text(3) == "YES",
        collation: cell_text(row, 8).map(ToOwned::to_owned),
        // DEFAULT_GENERATED, which MySQL says of an expression as default, is something else.
        generated: ["VIRTUAL GENERATED", "STORED GENERATED", "PERSISTENT"]
            .iter()
            .any(|word| extra.contains(word)),
        auto_increment: extra.contains("AUTO_INCREMENT"),
    }
}

/// What the catalog says of a column's type.
struct Described<'a> {
    data_type: &'a str,
    native: &'a str,
    chars: Option<u64>,
    precision: Option<u64>,
    scale: Option<u64>,
    fraction: Option<u64>,
}

fn logical(column: &Described<'_>) -> LogicalType {
    let int = |bits| LogicalType::Int { bits, unsigned: column.native.contains("unsigned") };
    let text = |fixed| LogicalType::Text { max_chars: column.chars, fixed, long: false };
    let bytes = |fixed| LogicalType::Bytes { max_bytes: column.chars, fixed, long: false };
    let fraction = u8::try_from(column.fraction.unwrap_or(0)).unwrap_or(6);
    let digits = |n: Option<u64>| n.and_then(|n| u16::try_from(n).ok()).unwrap_or(0);
    match column.data_type {
        "tinyint" => int(8),
        "smallint" => int(16),
        "mediumint" => int(24),
        "int" | "integer" => int(32),
        "bigint" => int(64),
        "bit" => LogicalType::Int { bits: 64, unsigned: true },
        "year" => LogicalType::Int { bits: 16, unsigned: true },
        "decimal" | "numeric" => {
            LogicalType::Decimal { precision: digits(column.precision), scale: digits(column.scale) }
        }
        "float" => LogicalType::Float32,
        "double" | "real" => LogicalType::Float64,
        "date" => LogicalType::Date,
        "time" => LogicalType::Time { fraction },
        "datetime" => LogicalType::DateTime { fraction },
        "timestamp" => LogicalType::Instant { fraction },
        "char" => text(true),
        "varchar" => text(false),
        "tinytext" | "text" | "mediumtext" | "longtext" => {
            LogicalType::Text { max_chars: None, fixed: false, long: true }
        }
        "enum" | "set" => LogicalType::Text { max_chars: longest(column.native), fixed: false, long: false },
        "binary" => bytes(true),
        "varbinary" => bytes(false),
        "json" => LogicalType::Json,
        "uuid" => LogicalType::Uuid,
        "tinyblob" | "blob" | "mediumblob" | "longblob" | "vector" => long_bytes(),
        other if GEOMETRY.contains(&other) => long_bytes(),
        // inet4, inet6 and what comes: the server prints them.
        _ => LogicalType::Text { max_chars: column.chars, fixed: false, long: false },
    }
}

const fn long_bytes() -> LogicalType {
    LogicalType::Bytes { max_bytes: None, fixed: false, long: true }
}

/// Characters of the longest text an ENUM or SET prints.
fn longest(native: &str) -> Option<u64> {
    let lengths = members(native).map(|m| m.chars().count() as u64);
    if native.starts_with("set(") {
        Some(lengths.map(|n| n + 1).sum::<u64>().saturating_sub(1))
    } else {
        lengths.max()
    }
}

/// The primary key, and the other indexes over whole columns. FULLTEXT, SPATIAL, functional and hidden ones are
/// left out; a unique index over prefixes is told as a plain one, since it orders and tells apart only prefixes.
async fn indexes(
    lease: &mut Lease,
    table: &TableRef,
    server: &Server,
    operation: &str,
) -> Result<(Vec<String>, Vec<Index>)> {
    let hidden = if server.mariadb { "IGNORED = 'YES'" } else { "IS_VISIBLE = 'NO'" };
    let sql = format!(
        "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, INDEX_TYPE, {hidden} FROM \
         information_schema.STATISTICS WHERE {} ORDER BY INDEX_NAME, SEQ_IN_INDEX",
        is_table(table, server)
    );
    let rows = lease.rows(operation, sql).await?;
    let mut all: Vec<Index> = Vec::new();
    let mut left_out: HashSet<String> = HashSet::new();
    for row in &rows {
        let name = cell_text(row, 0).unwrap_or_default().to_owned();
        let usable = matches!(cell_text(row, 4), Some("BTREE" | "HASH")) && cell_text(row, 5) == Some("0");
        let Some(column) = cell_text(row, 2).filter(|_| usable) else {
            left_out.insert(name);
            continue;
        };
        let whole = cell_text(row, 3).is_none();
        let unique = cell_text(row, 1) == Some("0") && whole;
        match all.last_mut().filter(|index| index.name == name) {
            Some(index) => {
                index.columns.push(column.to_owned());
                index.unique &= unique;
            }
            None => all.push(Index { name, columns: vec![column.to_owned()], unique }),
        }
    }
    all.retain(|index| !left_out.contains(&index.name));
    let (primary, secondary): (Vec<_>, Vec<_>) = all.into_iter().partition(|index| index.name == "PRIMARY");
    let key = primary.into_iter().next().filter(|index| index.unique).map(|index| index.columns);
    Ok((key.unwrap_or_default(), secondary))
}

async fn foreign_keys(
    lease: &mut Lease,
    table: &TableRef,
    server: &Server,
    operation: &str,
) -> Result<Vec<ForeignKey>> {
    let sql = format!(
        "SELECT CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA = TABLE_SCHEMA, REFERENCED_TABLE_SCHEMA, \
         REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE {} \
         AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION",
        is_table(table, server)
    );
    let rows = lease.rows(operation, sql).await?;
    Ok(from_rows::<Mysql>(&rows, table))
}

/// Tables of the database of `table` whose foreign keys to it act when a row is deleted. What refers to it from
/// other databases is not looked at: the catalog would have to open every table of the server.
pub(super) async fn cascading_children(pool: &Arc<Pool>, table: &TableRef) -> Result<Vec<TableRef>> {
    let operation = format!("find foreign keys to {table}");
    let mut lease = pool.lease(&operation).await?;
    let (schema, name) = (schema_sql(table), quote(&table.name));
    let exact = if lease.server().folds_names {
        String::new()
    } else {
        format!(" AND BINARY REFERENCED_TABLE_NAME = {name}")
    };
    let sql = format!(
        "SELECT DISTINCT TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
         WHERE CONSTRAINT_SCHEMA = {schema} AND UNIQUE_CONSTRAINT_SCHEMA = {schema} \
         AND REFERENCED_TABLE_NAME = {name}{exact} \
         AND DELETE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT')"
    );
    let rows = lease.rows(&operation, sql).await?;
    lease.release();
    let child = |name: &str| TableRef { schema: table.schema.clone(), name: name.to_owned() };
    let mut children: Vec<TableRef> = rows.iter().filter_map(|row| cell_text(row, 0)).map(child).collect();
    children.sort();
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_types_become_logical_types() {
        let text = |max_chars, fixed| LogicalType::Text { max_chars, fixed, long: false };
        let table: &[(&str, &str, LogicalType)] = &[
            ("tinyint", "tinyint(1)", LogicalType::Int { bits: 8, unsigned: false }),
            ("bigint", "bigint(20) unsigned zerofill", LogicalType::Int { bits: 64, unsigned: true }),
            ("bit", "bit(1)", LogicalType::Int { bits: 64, unsigned: true }),
            ("year", "year(4)", LogicalType::Int { bits: 16, unsigned: true }),
            ("float", "float(7,3)", LogicalType::Float32),
            ("timestamp", "timestamp", LogicalType::Instant { fraction: 0 }),
            ("varchar", "varchar(9)", text(Some(9), false)),
            ("char", "char(9)", text(Some(9), true)),
            ("enum", "enum('a','bcd')", text(Some(3), false)),
            ("set", "set('a','bcd')", text(Some(5), false)),
            ("binary", "binary(9)", LogicalType::Bytes { max_bytes: Some(9), fixed: true, long: false }),
            ("point", "point", long_bytes()),
            ("inet6", "inet6", text(Some(9), false)),
        ];
        for (data_type, native, wanted) in table {
            let described =
                Described { data_type, native, chars: Some(9), precision: None, scale: None, fraction: None };
            assert_eq!(logical(&described), *wanted, "{native}");
        }
    }
}
