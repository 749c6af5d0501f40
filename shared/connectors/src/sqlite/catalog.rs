//! What the file holds, and the columns we make in it.

use std::collections::BTreeMap;

use model::{Column, Engine, ErrorKind, ForeignKey, Index, LogicalType, TableRef, TableSchema};
use sqlx::Row as _;

use super::{Sqlite, classify, codec};
use crate::ServerInfo;
use crate::error::{Error, Result};
use crate::sql::{Dialect, safe};

/// Names that belong to Syncline or to SQLite itself.
fn is_internal(name: &str) -> bool {
    name.starts_with("sqlite_") || name.starts_with("_syncline_")
}

pub(super) async fn server(db: &Sqlite) -> Result<ServerInfo> {
    let work = async {
        let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&db.pool).await?;
        // Touches the file: a missing or foreign file shows here.
        sqlx::query("SELECT count(*) FROM sqlite_schema").fetch_one(&db.pool).await?;
        let read_only: i64 = sqlx::query_scalar("PRAGMA query_only").fetch_one(&db.pool).await?;
        Ok((version, read_only == 0))
    };
    let (version, session_writes) = db.bounded(format!("open {}", db.path), work).await?;
    let file_writes = std::fs::OpenOptions::new().append(true).open(&db.path).is_ok();
    Ok(ServerInfo {
        version: format!("SQLite {version}"),
        writable: session_writes && file_writes,
        encrypted: None,
        notes: Vec::new(),
    })
}

pub(super) async fn tables(db: &Sqlite) -> Result<Vec<TableRef>> {
    let work =
        sqlx::query_scalar::<_, String>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .fetch_all(&db.pool);
    let names = db.bounded("list tables", work).await?;
    Ok(names.into_iter().filter(|n| !is_internal(n)).map(TableRef::named).collect())
}

pub(super) async fn describe(db: &Sqlite, table: &TableRef) -> Result<Option<TableSchema>> {
    let operation = format!("describe table {table}");
    let work = async {
        let found: Option<(String, String)> = sqlx::query_as(
            "SELECT name, coalesce(sql, '') FROM sqlite_schema WHERE type = 'table' \
             AND name = ?1 COLLATE NOCASE ORDER BY name = ?1 DESC LIMIT 1",
        )
        .bind(&table.name)
        .fetch_optional(&db.pool)
        .await?;
        let Some((name, ddl)) = found else { return Ok(None) };
        let columns = sqlx::query("SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?)")
            .bind(&name)
            .fetch_all(&db.pool)
            .await?;
        let indexes = sqlx::query(
            "SELECT l.name, l.\"unique\", l.origin, l.partial, i.name AS column_name FROM pragma_index_list(?) l \
             JOIN pragma_index_info(l.name) i ORDER BY l.seq, i.seqno",
        )
        .bind(&name)
        .fetch_all(&db.pool)
        .await?;
        let foreign_keys = sqlx::query(
            "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?) ORDER BY id, seq",
        )
        .bind(&name)
        .fetch_all(&db.pool)
        .await?;
        Ok(Some((name, ddl, columns, indexes, foreign_keys)))
    };
    let Some((name, ddl, columns, indexes, foreign_keys)) = db.bounded(operation.clone(), work).await? else {
        return Ok(None);
    };
    let broken = |_: sqlx::Error| Error::new(ErrorKind::Internal, Engine::Sqlite, operation.clone());
    let may_be_null = keys_without_not_null(&columns, &indexes).map_err(broken)?;
    let (columns, primary_key) = columns_of(&columns, &ddl).map_err(broken)?;
    let mut schema = TableSchema {
        table: TableRef::named(name),
        columns,
        primary_key,
        indexes: indexes_of(&indexes).map_err(broken)?,
        foreign_keys: Vec::new(),
        row_estimate: None,
    };
    schema.foreign_keys = foreign_keys_of(db, &schema, &foreign_keys).await.map_err(broken)?;
    schema.row_estimate = row_estimate(db, &schema.table.name).await;
    find_null_keys(db, &mut schema, &may_be_null, operation).await?;
    Ok(Some(schema))
}

/// Marks those of the key columns `names` in which a row now has NULL: only what is there decides, since SQLite
/// takes NULLs into most primary keys although nobody means it.
async fn find_null_keys(
    db: &Sqlite,
    schema: &mut TableSchema,
    names: &[String],
    operation: String,
) -> Result<()> {
    for name in names {
        let (table, column) = (Dialect::Sqlite.ident(&schema.table.name), Dialect::Sqlite.ident(name));
        let sql = format!("SELECT EXISTS(SELECT 1 FROM {table} WHERE {column} IS NULL)");
        // A later column of a key is not in the index's order: that takes as long as the table is large, so there
        // is no deadline.
        let found: i64 = sqlx::query_scalar(safe(sql))
            .fetch_one(&db.pool)
            .await
            .map_err(|e| classify::error(&e, operation.clone()))?;
        for column in schema.columns.iter_mut().filter(|c| c.name == *name) {
            column.nullable = found != 0;
        }
    }
    Ok(())
}

/// The largest rowid bounds the rows from above at no cost; tables WITHOUT ROWID have none.
async fn row_estimate(db: &Sqlite, table: &str) -> Option<u64> {
    let sql = format!("SELECT max(rowid) FROM {}", Dialect::Sqlite.ident(table));
    let highest: Option<i64> = sqlx::query_scalar(safe(sql)).fetch_one(&db.pool).await.ok()?;
    u64::try_from(highest.unwrap_or(0)).ok()
}

fn columns_of(rows: &[sqlx::sqlite::SqliteRow], ddl: &str) -> sqlx::Result<(Vec<Column>, Vec<String>)> {
    let auto_increment = ddl.to_ascii_uppercase().contains("AUTOINCREMENT");
    let mut key: BTreeMap<i64, String> = BTreeMap::new();
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows {
        let name: String = row.try_get("name")?;
        let native: String = row.try_get("type")?;
        let place: i64 = row.try_get("pk")?;
        let hidden: i64 = row.try_get("hidden")?;
        if place > 0 {
            key.insert(place, name.clone());
        }
        columns.push(Column {
            logical: logical_type(&native),
            nullable: row.try_get::<i64, _>("notnull")? == 0 && place == 0,
            native,
            collation: None,
            generated: hidden >= 2,
            auto_increment: place > 0 && auto_increment,
            name,
        });
    }
    Ok((columns, key.into_values().collect()))
}

/// Primary key columns that nothing keeps from NULL. In a table WITHOUT ROWID they all have NOT NULL; where the key
/// is the rowid itself, it has no index.
fn keys_without_not_null(
    columns: &[sqlx::sqlite::SqliteRow],
    indexes: &[sqlx::sqlite::SqliteRow],
) -> sqlx::Result<Vec<String>> {
    let mut has_index = false;
    for row in indexes {
        has_index |= row.try_get::<String, _>("origin")? == "pk";
    }
    let mut names = Vec::new();
    for row in columns {
        let is_key = row.try_get::<i64, _>("pk")? > 0;
        if has_index && is_key && row.try_get::<i64, _>("notnull")? == 0 {
            names.push(row.try_get("name")?);
        }
    }
    Ok(names)
}

fn indexes_of(rows: &[sqlx::sqlite::SqliteRow]) -> sqlx::Result<Vec<Index>> {
    let mut indexes: Vec<Index> = Vec::new();
    let mut unusable: Vec<String> = Vec::new();
    for row in rows {
        let name: String = row.try_get("name")?;
        let column: Option<String> = row.try_get("column_name")?;
        let is_key = row.try_get::<String, _>("origin")? == "pk";
        let Some(column) = column.filter(|_| !is_key && !matches!(row.try_get::<i64, _>("partial"), Ok(1)))
        else {
            unusable.push(name);
            continue;
        };
        match indexes.last_mut() {
            Some(index) if index.name == name => index.columns.push(column),
            _ => indexes.push(Index {
                name,
                columns: vec![column],
                unique: row.try_get::<i64, _>("unique")? == 1,
            }),
        }
    }
    // Partial indexes and indexes over expressions say nothing about plain columns.
    indexes.retain(|i| !unusable.contains(&i.name));
    Ok(indexes)
}

async fn foreign_keys_of(
    db: &Sqlite,
    schema: &TableSchema,
    rows: &[sqlx::sqlite::SqliteRow],
) -> sqlx::Result<Vec<ForeignKey>> {
    let mut keys: BTreeMap<i64, ForeignKey> = BTreeMap::new();
    for row in rows {
        let id: i64 = row.try_get("id")?;
        let parent: String = row.try_get("table")?;
        let key = keys.entry(id).or_insert_with(|| ForeignKey {
            name: format!("fk_{}_{id}", schema.table.name),
            columns: Vec::new(),
            parent: TableRef::named(parent),
            parent_columns: Vec::new(),
        });
        key.columns.push(row.try_get("from")?);
        if let Some(column) = row.try_get::<Option<String>, _>("to")? {
            key.parent_columns.push(column);
        }
    }
    let mut found: Vec<ForeignKey> = keys.into_values().collect();
    for key in found.iter_mut().filter(|k| k.parent_columns.is_empty()) {
        // `REFERENCES parent` without columns means the parent's primary key.
        key.parent_columns =
            sqlx::query_scalar("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk")
                .bind(&key.parent.name)
                .fetch_all(&db.pool)
                .await?;
    }
    Ok(found)
}

/// The meaning of a declared type. Follows SQLite's affinity rules, refined by the names that people use and those
/// that [`column_for`] makes.
pub(super) fn logical_type(declared: &str) -> LogicalType {
    let upper = declared.trim().to_ascii_uppercase();
    let (name, numbers) = upper.split_once('(').unwrap_or((&upper, ""));
    let name = name.trim();
    let mut numbers = numbers.trim_end_matches(')').split(',').filter_map(|n| n.trim().parse::<u16>().ok());
    let (first, second) = (numbers.next(), numbers.next());
    let fraction = first.and_then(|n| u8::try_from(n).ok()).filter(|n| *n <= 9);
    match name {
        "BOOLEAN" | "BOOL" => LogicalType::Bool,
        "DECIMAL_TEXT" | "DECIMAL" | "NUMERIC" | "NUMBER" | "MONEY" => match first {
            Some(precision) => LogicalType::Decimal { precision, scale: second.unwrap_or(0) },
            None => LogicalType::AnyDecimal,
        },
        "DATE" => LogicalType::Date,
        "TIME" => LogicalType::Time { fraction: fraction.unwrap_or(9) },
        "DATETIME" => LogicalType::DateTime { fraction: fraction.unwrap_or(9) },
        "TIMESTAMP" => LogicalType::Instant { fraction: fraction.unwrap_or(9) },
        "JSON_TEXT" | "JSON" | "JSONB" => LogicalType::Json,
        // Ours, and it holds our spelling only.
        "UUID_TEXT" => LogicalType::Uuid,
        // Anybody's: other spellings of a UUID are other texts, and stay as they are.
        "UUID" => {
            LogicalType::Text { max_chars: Some(first.map_or(36, u64::from)), fixed: false, long: false }
        }
        "" => LogicalType::Bytes { max_bytes: None, fixed: false, long: true },
        _ if name.contains("INT") => LogicalType::Int { bits: 64, unsigned: false },
        _ if name.contains("CHAR") || name.contains("CLOB") || name.contains("TEXT") => LogicalType::Text {
            // A length is a wish in SQLite, but the one its owner stated.
            max_chars: first.map(u64::from),
            fixed: false,
            long: first.is_none(),
        },
        _ if name.contains("BLOB") || name.contains("BINARY") => {
            LogicalType::Bytes { max_bytes: first.map(u64::from), fixed: false, long: first.is_none() }
        }
        _ if name.contains("REAL") || name.contains("FLOA") || name.contains("DOUB") => LogicalType::Float64,
        _ => LogicalType::AnyDecimal,
    }
}

/// The column SQLite gets for a column of another engine.
pub(super) fn column_for(source: &Column) -> Column {
    let fraction = |name: &str, digits: u8| {
        if digits >= 9 { name.to_owned() } else { format!("{name}({digits})") }
    };
    let length = |name: &str, max: Option<u64>, unlimited: &str| match max {
        Some(n) if n <= u64::from(u16::MAX) => format!("{name}({n})"),
        _ => unlimited.to_owned(),
    };
    let native = match &source.logical {
        LogicalType::Bool => "BOOLEAN".to_owned(),
        LogicalType::Int { bits: 64, unsigned: true } => "DECIMAL_TEXT(20,0)".to_owned(),
        LogicalType::Int { .. } => "BIGINT".to_owned(),
        LogicalType::Decimal { precision, scale } if usize::from(*precision) <= codec::REAL_DIGITS => {
            format!("DECIMAL({precision},{scale})")
        }
        LogicalType::Decimal { precision, scale } => format!("DECIMAL_TEXT({precision},{scale})"),
        LogicalType::AnyDecimal => "DECIMAL_TEXT".to_owned(),
        LogicalType::Float32 | LogicalType::Float64 => "DOUBLE".to_owned(),
        LogicalType::Date => "DATE".to_owned(),
        LogicalType::Time { fraction: digits } => fraction("TIME", *digits),
        LogicalType::DateTime { fraction: digits } => fraction("DATETIME", *digits),
        LogicalType::Instant { fraction: digits } => fraction("TIMESTAMP", *digits),
        LogicalType::Text { max_chars, .. } => length("VARCHAR", *max_chars, "TEXT"),
        LogicalType::Bytes { max_bytes, .. } => length("VARBINARY", *max_bytes, "BLOB"),
        LogicalType::Json => "JSON_TEXT".to_owned(),
        LogicalType::Uuid => "UUID_TEXT".to_owned(),
    };
    // VARBINARY would have NUMERIC affinity, which leaves blobs alone but says the wrong thing to readers.
    let native =
        if native.starts_with("VARBINARY") { native.replacen("VARBINARY", "BLOB", 1) } else { native };
    Column {
        name: source.name.clone(),
        logical: logical_type(&native),
        native,
        nullable: source.nullable,
        collation: None,
        generated: false,
        auto_increment: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_mean_what_people_mean() {
        for (declared, meaning) in [
            ("INTEGER", "int64"),
            ("NVARCHAR(160)", "text(160)"),
            ("NUMERIC(10,2)", "decimal(10,2)"),
            ("NUMERIC", "decimal"),
            ("DATETIME", "datetime(9)"),
            ("DATETIME(6)", "datetime(6)"),
            ("TEXT", "text"),
            ("BLOB", "bytes"),
            ("DOUBLE", "float64"),
            ("DECIMAL_TEXT(65,30)", "decimal(65,30)"),
            ("unsigned big int", "int64"),
            ("UUID_TEXT", "uuid"),
            ("UUID", "text(36)"),
            ("", "bytes"),
        ] {
            assert_eq!(logical_type(declared).to_string(), meaning, "{declared}");
        }
    }

    #[test]
    fn what_numeric_affinity_would_bend_is_kept_as_text() {
        let native = |logical| column_for(&Column::new("a", logical, true)).native;
        assert_eq!(native(LogicalType::Int { bits: 64, unsigned: true }), "DECIMAL_TEXT(20,0)");
        assert_eq!(native(LogicalType::Decimal { precision: 65, scale: 30 }), "DECIMAL_TEXT(65,30)");
        assert_eq!(native(LogicalType::Decimal { precision: 10, scale: 2 }), "DECIMAL(10,2)");
        assert_eq!(native(LogicalType::Json), "JSON_TEXT");
        assert_eq!(native(LogicalType::Bytes { max_bytes: Some(16), fixed: true, long: false }), "BLOB(16)");
    }
}
