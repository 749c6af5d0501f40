//! Reading rows and boundaries.

use futures::stream::{BoxStream, StreamExt as _};
use model::limits::Gauge;
use model::{
    Activity, Column, Engine, ErrorKind, Key, QuarantinedRow, RowBatch, TableRef, TableSchema, Value,
};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::{Sqlite, classify, codec};
use crate::error::{Error, Result};
use crate::read_batches::{Decoded, batches};
use crate::sql::select::From;
use crate::sql::{Dialect, Statement, safe};
use crate::{Selection, Slice, Source as _};

/// Values bound in one statement, well under SQLite's 32,766.
pub(super) const BOUND_VALUES_MAX: usize = 16_000;

pub(super) fn arguments(values: Vec<Value>, operation: &str) -> Result<SqliteArguments> {
    let mut args = SqliteArguments::default();
    for value in values {
        codec::bind(&mut args, value)
            .map_err(|_| Error::new(ErrorKind::Internal, Engine::Sqlite, operation))?;
    }
    Ok(args)
}

pub(super) async fn count(db: &Sqlite, table: &TableRef, at_most: u64) -> Result<u64> {
    let sql = Dialect::Sqlite.count_rows(table, at_most);
    let rows: i64 =
        db.bounded(format!("count {table}"), sqlx::query_scalar(safe(sql)).fetch_one(&db.pool)).await?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// The number that a query finds; SQLite has no other gauge.
pub(super) async fn gauge(db: &Sqlite, gauge: &Gauge) -> Result<Option<u64>> {
    let operation = format!("read the gauge `{gauge}`");
    let unsupported =
        |what: &str| Error::new(ErrorKind::Unsupported, Engine::Sqlite, &operation).with_object(what);
    let Gauge::Query(query) = gauge else { return Err(unsupported("a gauge that SQLite does not have")) };
    let asked = sqlx::query(safe(query.clone())).fetch_optional(&db.pool);
    let Some(row) = db.bounded(&operation, asked).await? else { return Ok(None) };
    let text: Option<String> = row.try_get_unchecked(0).ok().flatten();
    let Some(text) = text else { return Ok(None) };
    crate::gauge::whole(&text).map(Some).ok_or_else(|| unsupported("its answer, which is no number"))
}

pub(super) async fn greatest(db: &Sqlite, table: &TableSchema, column: &str) -> Result<Option<Value>> {
    let operation = format!("find the greatest {column} of {}", table.table);
    let by = [column.to_owned()];
    let list = Dialect::Sqlite.idents(&by);
    let Statement { text, .. } =
        From { dialect: Dialect::Sqlite, table: &table.table, list, key: &by, index: None }.greatest();
    let found = db.bounded(&operation, sqlx::query(safe(text)).fetch_optional(&db.pool)).await?;
    let value = found.map(|row| codec::stored(&row, 0)).transpose();
    value.map_err(|why| Error::new(why.kind, Engine::Sqlite, operation).with_object(column))
}

/// One process writes at a time: while none can, nothing is open.
pub(super) async fn activity(db: &Sqlite, watched: bool) -> Result<Activity> {
    const CLOCK: &str = "SELECT CAST(ROUND(unixepoch('subsec') * 1000000) AS INTEGER)";
    let operation = format!("look at what is under way in {}", db.path);
    let look = |micros| Activity { micros, ahead_s: Some(0), ..Activity::default() };
    if !watched {
        return Ok(look(db.bounded(operation, sqlx::query_scalar(CLOCK).fetch_one(&db.pool)).await?));
    }
    // The source is opened for reading alone, and a lock needs the right to write.
    let options = db.pool.connect_options().as_ref().clone().read_only(false);
    let work = async {
        let mut connection = options.connect().await?;
        let mut lock = connection.begin_with("BEGIN IMMEDIATE").await?;
        // Read while nobody else can write: a writer that comes later has a later clock.
        let micros: i64 = sqlx::query_scalar(CLOCK).fetch_one(&mut *lock).await?;
        lock.rollback().await?;
        connection.close().await?;
        Ok(micros)
    };
    Ok(look(db.bounded(operation, work).await?))
}

pub(super) async fn next_boundary(
    db: &Sqlite,
    table: &TableSchema,
    key: &[String],
    from: Option<&Key>,
    rows: u64,
) -> Result<Option<Key>> {
    let operation = format!("find the next boundary of {}", table.table);
    let list = Dialect::Sqlite.idents(key);
    let select = From { dialect: Dialect::Sqlite, table: &table.table, list, key, index: None };
    let Statement { text, args, .. } = select.boundary(from, rows);
    let args = arguments(args, &operation)?;
    let found = db.bounded(&operation, sqlx::query_with(safe(text), args).fetch_optional(&db.pool)).await?;
    let Some(row) = found else { return Ok(None) };
    let values: std::result::Result<Vec<Value>, _> = (0..key.len()).map(|i| codec::stored(&row, i)).collect();
    let values = values.map_err(|e| {
        Error::new(e.kind, Engine::Sqlite, &operation)
            .with_object("a key column; cut the table by another key")
    })?;
    if let Some(at) = values.iter().position(Value::is_null) {
        return Err(Error::new(ErrorKind::NotNull, Engine::Sqlite, operation).with_object(key[at].clone()));
    }
    Ok(Some(Key(values)))
}

pub(super) fn read<'a>(db: &'a Sqlite, slice: &'a Slice) -> BoxStream<'a, Result<RowBatch>> {
    let operation = format!("read table {}", slice.table.table);
    let names: Vec<String> = slice.columns.iter().map(|c| c.name.clone()).collect();
    let select = From {
        dialect: Dialect::Sqlite,
        table: &slice.table.table,
        list: Dialect::Sqlite.idents(&names),
        key: &slice.key,
        index: None,
    };
    match &slice.rows {
        Selection::Range(range) => rows(db, slice, select.range(range), operation),
        Selection::Window { by, range } => {
            let select = From { key: by, ..select };
            rows(db, slice, select.range(range), operation)
        }
        Selection::Keys(keys) => {
            let lists = keys.chunks((BOUND_VALUES_MAX / slice.key.len().max(1)).min(500));
            let statements: Vec<Statement> = lists.map(|list| select.keys(list)).collect();
            futures::stream::iter(statements)
                .flat_map(move |statement| rows(db, slice, statement, operation.clone()))
                .boxed()
        }
    }
}

fn rows<'a>(
    db: &'a Sqlite,
    slice: &'a Slice,
    statement: Statement,
    operation: String,
) -> BoxStream<'a, Result<RowBatch>> {
    let columns = slice.columns.clone();
    let key: Vec<usize> =
        slice.key.iter().filter_map(|name| columns.iter().position(|c| c.name == *name)).collect();
    let args = match arguments(statement.args, &operation) {
        Ok(args) => args,
        Err(error) => return futures::stream::once(async { Err(error) }).boxed(),
    };
    let (decoding, failing) = (columns.clone(), operation.clone());
    let decoded = sqlx::query_with(safe(statement.text), args)
        .fetch(&db.pool)
        .map(move |row| match row {
            Ok(row) => Ok(decode_row(&row, &decoding, &key)),
            Err(error) => Err(classify::error(&error, failing.clone())),
        })
        .boxed();
    batches(db.engine(), operation, columns, (db.batch_rows, db.deadline), decoded)
}

pub(super) fn decode_row(row: &SqliteRow, columns: &[Column], key: &[usize]) -> Decoded {
    let mut cells = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        match codec::meant(row, at, column) {
            Ok(value) => cells.push(value),
            Err(why) => {
                let key = key.iter().map(|i| codec::stored(row, *i).unwrap_or(Value::Null)).collect();
                return Decoded::Undecodable(QuarantinedRow {
                    key: Key(key),
                    column: Some(column.name.clone()),
                    kind: why.kind,
                    reason: why.reason,
                });
            }
        }
    }
    debug_assert_eq!(row.len(), columns.len(), "the select list is the columns");
    Decoded::Row(cells)
}
