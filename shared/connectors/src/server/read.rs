//! Reading rows, boundaries and counts.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::channel::mpsc;
use futures::stream::{self, BoxStream};
use futures::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use model::{ErrorKind, Key, RowBatch, TableRef, TableSchema, Value};

use super::pool::Pool;
use super::{Protocol, cell_number, decode_row, error};
use crate::error::{Error, Result};
use crate::read_batches::{Decoded, batches};
use crate::sql::Statement;
use crate::sql::select::From;
use crate::{Selection, Slice};

/// Keys in one statement: more would pass the memory the optimizer has for ranges, and it would read the table.
pub(crate) const KEYS_MAX: usize = 500;
/// Rows handed over at once between the connection and the batches.
const HAND_OVER_ROWS: usize = 64;

pub(crate) async fn describe<P: Protocol>(
    pool: &Arc<Pool<P>>,
    table: &TableRef,
) -> Result<Option<TableSchema>> {
    let mut lease = pool.lease(&format!("describe table {table}")).await?;
    let schema = P::describe(&mut lease, table).await?;
    lease.release();
    Ok(schema)
}

/// Rows of a table, up to so many.
pub(crate) async fn count<P: Protocol>(pool: &Arc<Pool<P>>, table: &TableRef, at_most: u64) -> Result<u64> {
    let operation = format!("count table {table}");
    let mut lease = pool.lease(&operation).await?;
    let answers = lease.run_long(&operation, P::DIALECT.count_rows(table, at_most)).await?;
    let rows = answers.first().and_then(|a| a.rows.first()).and_then(|row| cell_number::<P>(row, 0));
    lease.release();
    rows.ok_or_else(|| error::<P>(ErrorKind::Internal, &operation))
}

pub(crate) async fn next_boundary<P: Protocol>(
    pool: &Arc<Pool<P>>,
    table: &TableSchema,
    key: &[String],
    from: Option<&Key>,
    rows: u64,
) -> Result<Option<Key>> {
    let can_be_cut = |name: &String| table.column(name).is_some_and(P::can_be_cut);
    let Some(index) = index_for(table, key).filter(|_| key.iter().all(can_be_cut)) else {
        return Ok(None);
    };
    let operation = format!("find the next boundary of {}", table.table);
    let values =
        one(pool, table, key, Some(&index), &operation, |select| select.boundary(from, rows)).await?;
    let Some(values) = values else { return Ok(None) };
    match values.iter().position(Value::is_null) {
        // A unique index may hold NULLs.
        Some(at) => Err(error::<P>(ErrorKind::NotNull, &operation).with_object(key[at].clone())),
        None => Ok(Some(Key(values))),
    }
}

pub(crate) async fn greatest<P: Protocol>(
    pool: &Arc<Pool<P>>,
    table: &TableSchema,
    column: &str,
) -> Result<Option<Value>> {
    let operation = format!("find the greatest {column} of {}", table.table);
    let by = [column.to_owned()];
    let index = index_that_begins(table, &by);
    let found = one(pool, table, &by, index.as_deref(), &operation, |select| select.greatest()).await?;
    Ok(found.and_then(|mut values| values.pop()))
}

/// The values of these columns in the first row that a statement finds.
async fn one<P: Protocol>(
    pool: &Arc<Pool<P>>,
    table: &TableSchema,
    by: &[String],
    index: Option<&str>,
    operation: &str,
    statement: impl FnOnce(&From<'_>) -> Statement,
) -> Result<Option<Vec<Value>>> {
    let columns: Vec<_> = by.iter().filter_map(|name| table.column(name).cloned()).collect();
    let mut lease = pool.lease(operation).await?;
    let list = P::select_list(&columns, lease.server());
    let select = From { dialect: P::DIALECT, table: &table.table, list: list.text.clone(), key: by, index };
    let statement = statement(&select);
    let found = lease.rows(operation, statement.text).await?;
    lease.release();
    let Some(row) = found.first() else { return Ok(None) };
    match decode_row::<P>(row, &list, &columns, &[]) {
        Decoded::Row(values) => Ok(Some(values)),
        Decoded::Undecodable(why) => Err(error::<P>(why.kind, operation)
            .with_object(why.column.unwrap_or_else(|| "a key column".to_owned()))),
    }
}

/// The index that orders a table by these columns: exactly, or by the first, if the primary key makes up the rest.
pub(crate) fn index_for(table: &TableSchema, key: &[String]) -> Option<String> {
    if key.is_empty() {
        None
    } else if is_same(&table.primary_key, key) {
        Some("PRIMARY".to_owned())
    } else {
        let exact = table.indexes.iter().find(|index| index.unique && is_same(&index.columns, key));
        let by_first = || {
            let rest: Vec<String> =
                table.primary_key.iter().filter(|name| !is_one(name, &key[0])).cloned().collect();
            if is_same(&rest, &key[1..]) { index_that_begins(table, key) } else { None }
        };
        exact.map(|index| index.name.clone()).or_else(by_first)
    }
}

/// The index whose first column is the first of these.
fn index_that_begins(table: &TableSchema, by: &[String]) -> Option<String> {
    let begins = |columns: &[String]| columns.first().is_some_and(|first| is_one(first, &by[0]));
    let found = table.indexes.iter().find(|index| begins(&index.columns)).map(|index| index.name.clone());
    found.or_else(|| begins(&table.primary_key).then(|| "PRIMARY".to_owned()))
}

fn is_same(columns: &[String], key: &[String]) -> bool {
    columns.len() == key.len() && columns.iter().zip(key).all(|(a, b)| is_one(a, b))
}

fn is_one(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

pub(crate) fn read<'a, P: Protocol>(
    pool: &'a Arc<Pool<P>>,
    slice: &'a Slice,
) -> BoxStream<'a, Result<RowBatch>> {
    let operation = format!("read table {}", slice.table.table);
    let (mut out, rows) = mpsc::channel(0);
    let (reading, ending) = (operation.clone(), operation.clone());
    // 0 is no session's name.
    let session = Arc::new(AtomicU64::new(0));
    let in_use = Arc::clone(&session);
    let reader = async move {
        if let Err(failed) = hand_over(pool, slice, &reading, &mut out, &in_use).await {
            // If nobody takes it, nobody is reading.
            let _ = out.send(Err(failed)).await;
        }
    };
    // The reader borrows its connection, so it runs as a part of the stream it feeds.
    let reader = stream::once(reader).filter_map(|()| ready(None));
    let decoded = stream::select(rows, reader).flat_map(|part: Result<Vec<Decoded>>| match part {
        Ok(rows) => stream::iter(rows.into_iter().map(Ok).collect::<Vec<_>>()),
        Err(failed) => stream::iter(vec![Err(failed)]),
    });
    let read = batches(P::ENGINE, operation, slice.columns.clone(), pool.batch_limits(), decoded.boxed());
    read.then(move |batch| {
        let (session, operation) = (Arc::clone(&session), ending.clone());
        async move {
            if let Err(failed) = &batch {
                read_failed(pool, failed, &session, &operation).await;
            }
            batch
        }
    })
    .boxed()
}

/// A server that waits for a reader which is gone does not always learn of it: it is told.
async fn read_failed<P: Protocol>(pool: &Pool<P>, failed: &Error, session: &AtomicU64, operation: &str) {
    let id = session.swap(0, Ordering::SeqCst);
    // What failed to connect told the circuit itself, unless this deadline was quicker.
    if id != 0 || failed.kind == ErrorKind::Timeout {
        pool.note_failure(failed);
    }
    if failed.kind == ErrorKind::Timeout && id != 0 {
        pool.end(id, operation).await;
    }
}

async fn hand_over<P: Protocol>(
    pool: &Arc<Pool<P>>,
    slice: &Slice,
    operation: &str,
    out: &mut mpsc::Sender<Result<Vec<Decoded>>>,
    session: &AtomicU64,
) -> Result<()> {
    let key = places(slice);
    let mut lease = pool.lease(operation).await?;
    let list = P::select_list(&slice.columns, lease.server());
    session.store(lease.id(), Ordering::SeqCst);
    let bytes_max = P::statement_bytes(lease.server());
    for statement in statements::<P>(slice, &list.text, bytes_max) {
        let rows = P::run(&mut lease, statement.text).try_filter_map(|part| ready(Ok(part.right())));
        let mut rows = rows.ready_chunks(HAND_OVER_ROWS);
        while let Some(ready) = rows.next().await {
            let mut decoded = Vec::with_capacity(ready.len());
            let mut failed = None;
            for row in ready {
                match row {
                    Ok(row) => decoded.push(decode_row::<P>(&row, &list, &slice.columns, &key)),
                    Err(e) => failed = Some(P::failure(&e, operation)),
                }
            }
            if out.send(Ok(decoded)).await.is_err() {
                // The reader has left; the connection is closed with the lease.
                return Ok(());
            }
            if let Some(failed) = failed {
                return Err(failed);
            }
        }
    }
    session.store(0, Ordering::SeqCst);
    lease.release();
    Ok(())
}

/// Key lists that a statement of `bytes_max` holds.
pub(crate) fn key_lists(keys: &[Key], bytes_max: usize) -> Vec<&[Key]> {
    let mut lists = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, key) in keys.iter().enumerate() {
        // A value's literal is at most twice as long as the value, and column names stand beside it.
        let size: usize = key.0.iter().map(|value| value.size() * 2 + 80).sum();
        if at > start && (at - start == KEYS_MAX || bytes + size > bytes_max) {
            lists.push(&keys[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < keys.len() {
        lists.push(&keys[start..]);
    }
    lists
}

fn statements<P: Protocol>(slice: &Slice, list: &str, bytes_max: usize) -> Vec<Statement> {
    let by = match &slice.rows {
        Selection::Range(_) | Selection::Keys(_) => &slice.key,
        Selection::Window { by, .. } => by,
    };
    let index = index_for(&slice.table, by);
    let from = From {
        dialect: P::DIALECT,
        table: &slice.table.table,
        list: list.to_owned(),
        key: by,
        index: index.as_deref(),
    };
    match &slice.rows {
        Selection::Range(range) | Selection::Window { range, .. } => vec![from.range(range)],
        Selection::Keys(keys) => key_lists(keys, bytes_max).into_iter().map(|keys| from.keys(keys)).collect(),
    }
}

/// Places of the key columns among those read.
fn places(slice: &Slice) -> Vec<usize> {
    slice.key.iter().filter_map(|name| slice.columns.iter().position(|c| c.name == *name)).collect()
}

/// Rows as a batch, for short lists of rows that were collected whole.
pub(crate) fn batch(columns: &Arc<[model::Column]>, rows: impl IntoIterator<Item = Decoded>) -> RowBatch {
    let mut batch = RowBatch::new(columns.clone());
    for row in rows {
        match row {
            Decoded::Row(row) => batch.push(row),
            Decoded::Undecodable(row) => batch.undecodable.push(row),
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use model::{Column, Index, LogicalType, Value};

    use super::*;

    #[test]
    fn key_lists_are_bounded_in_keys_and_bytes() {
        let keys: Vec<Key> = (0..1_100).map(|n| Key(vec![Value::Int(n)])).collect();
        let lengths = |bytes| key_lists(&keys, bytes).iter().map(|list| list.len()).collect::<Vec<_>>();
        assert_eq!(lengths(1 << 20), [500, 500, 100]);
        assert_eq!(lengths(1), vec![1; 1_100]);
        assert!(key_lists(&[], 1).is_empty());
    }

    #[test]
    fn a_boundary_needs_an_index_over_exactly_the_key() {
        let int = LogicalType::Int { bits: 32, unsigned: false };
        let table = TableSchema {
            table: TableRef::named("t"),
            columns: vec![Column::new("a", int.clone(), false), Column::new("b", int, false)],
            primary_key: vec!["a".to_owned()],
            indexes: vec![
                Index {
                    name: "wide".to_owned(),
                    columns: vec!["b".to_owned(), "a".to_owned()],
                    unique: true,
                },
                Index { name: "plain".to_owned(), columns: vec!["b".to_owned()], unique: false },
            ],
            foreign_keys: vec![],
            row_estimate: None,
        };
        let key = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(index_for(&table, &key(&["a"])).as_deref(), Some("PRIMARY"));
        assert_eq!(index_for(&table, &key(&["b", "a"])).as_deref(), Some("wide"));
        assert_eq!(index_for(&table, &key(&["b"])), None);
        assert_eq!(index_for(&table, &key(&["B", "a"])).as_deref(), Some("wide"));
        let marked = TableSchema {
            indexes: vec![Index { name: "marks".to_owned(), columns: key(&["b"]), unique: false }],
            ..table.clone()
        };
        assert_eq!(index_for(&marked, &key(&["b", "a"])).as_deref(), Some("marks"));
        assert_eq!(index_for(&marked, &key(&["b", "c"])), None);
        assert_eq!(index_for(&table, &[]), None);
    }
}
