//! Reading documents, boundaries and counts.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use futures::TryStreamExt as _;
use futures::stream::{self, BoxStream, StreamExt as _};
use model::limits::Gauge;
use model::{Engine, ErrorKind, Key, KeyRange, RowBatch, TableRef, TableSchema};
use mongodb::options::FindOptions;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};

use super::client::{Client, whole};
use super::document::{ID, Layout};
use super::{catalog, mapping};
use crate::error::{Error, Result};
use crate::read_batches::{Decoded, batches};
use crate::{Selection, Slice};

/// Keys in one statement.
pub(super) const KEYS_MAX: usize = 1_000;
/// Documents that the server sends at once, if they are short.
const BATCH: u32 = 1_000;

/// Documents of a collection, up to so many.
pub(super) async fn count(client: &Client, table: &TableRef, at_most: u64) -> Result<u64> {
    let operation = format!("count table {table}");
    let collection = client.collection(&table.name);
    let at_most = at_most.min(i64::MAX.unsigned_abs());
    let counted = collection.count_documents(doc! {}).limit(at_most);
    let documents = client.run_long(&operation, counted).await?;
    if documents == 0 {
        catalog::must_exist(client, table, &operation).await?;
    }
    Ok(documents)
}

/// The key `rows` places on; `None` also where the table cannot be cut: its key is not the `_id`, or the `_id` is not
/// of one type.
pub(super) async fn next_boundary(
    client: &Client,
    table: &TableSchema,
    key: &[String],
    from: Option<&Key>,
    rows: u64,
) -> Result<Option<Key>> {
    let operation = format!("find the next boundary of {}", table.table);
    let columns: Vec<_> = key.iter().filter_map(|name| table.column(name).cloned()).collect();
    let can_be_cut = columns.iter().all(mapping::can_be_cut);
    let layout = layout(table, columns.into(), key, &operation)?;
    let mut found = None;
    if can_be_cut && layout.is_keyed_by_id() {
        let range = KeyRange { lower: from.cloned(), upper: None };
        let filter = range_filter(&layout, &range, &operation)?;
        let collection = client.collection(&table.table.name);
        let next = collection.find_one(filter).projection(doc! { ID: 1 }).sort(doc! { ID: 1 }).skip(rows);
        found = client.run(&operation, next).await?;
    }
    let Some(document) = found else {
        catalog::must_exist(client, &table.table, &operation).await?;
        return Ok(None);
    };
    match layout.decode(&document) {
        Decoded::Row(values) => Ok(Some(Key(values))),
        Decoded::Undecodable(why) => Err(Error::new(why.kind, Engine::Mongodb, operation)
            .with_object(why.column.unwrap_or_else(|| "a key column".to_owned()))),
    }
}

fn layout(
    table: &TableSchema,
    columns: Arc<[model::Column]>,
    key: &[String],
    operation: &str,
) -> Result<Layout> {
    Layout::of_slice(table, columns, key)
        .map_err(|name| Error::new(ErrorKind::UnknownColumn, Engine::Mongodb, operation).with_object(name))
}

/// Comparisons with a value find only what is of its type, so the range that is open below takes all that is not above:
/// a document of another type, that came after the table was cut, is in exactly one range.
fn range_filter(layout: &Layout, range: &KeyRange, operation: &str) -> Result<Document> {
    let bound = |key: &Key| {
        let id = layout.id_of_key(key).and_then(|id| Bson::try_from(id).ok());
        id.ok_or_else(|| {
            Error::new(ErrorKind::Internal, Engine::Mongodb, operation).with_object("a boundary")
        })
    };
    Ok(match (&range.lower, &range.upper) {
        (None, None) => doc! {},
        (None, Some(upper)) => doc! { ID: { "$not": { "$gte": bound(upper)? } } },
        (Some(lower), None) => doc! { ID: { "$gte": bound(lower)? } },
        (Some(lower), Some(upper)) => doc! { ID: { "$gte": bound(lower)?, "$lt": bound(upper)? } },
    })
}

pub(super) fn read<'a>(client: &'a Client, slice: &'a Slice) -> BoxStream<'a, Result<RowBatch>> {
    let operation = format!("read table {}", slice.table.table);
    let layout = match layout(&slice.table, slice.columns.clone(), &slice.key, &operation) {
        Ok(layout) => Arc::new(layout),
        Err(unknown) => return stream::iter([Err(unknown)]).boxed(),
    };
    let (deadline, columns) = (client.deadline(), slice.columns.clone());
    let filters = filters(slice, &layout, &operation);
    let first = operation.clone();
    let opened = stream::once(async move {
        catalog::must_exist(client, &slice.table.table, &first).await?;
        filters
    });
    let reading = operation.clone();
    let rows = opened.flat_map(move |filters| match filters {
        Err(failed) => stream::iter([Err(failed)]).boxed(),
        Ok(filters) => {
            let (layout, operation) = (layout.clone(), reading.clone());
            let each = move |filter| documents(client, slice, filter, layout.clone(), operation.clone());
            stream::iter(filters).flat_map(each).boxed()
        }
    });
    batches(Engine::Mongodb, operation, columns, (client.batch_rows(), patience(deadline)), rows.boxed())
}

/// Each answer has the deadline already; this one only guards against a stream that never ends.
const fn patience(deadline: Duration) -> Duration {
    deadline.saturating_mul(2)
}

/// What to read, in as many statements.
fn filters(slice: &Slice, layout: &Layout, operation: &str) -> Result<Vec<Document>> {
    match &slice.rows {
        // A key that is no `_id` has no ranges but the one that is everything.
        Selection::Range(range) => Ok(vec![range_filter(layout, range, operation)?]),
        Selection::Window { .. } => {
            Err(Error::new(ErrorKind::Unsupported, Engine::Mongodb, operation)
                .with_object("a window of changes"))
        }
        Selection::Keys(keys) => {
            keys.chunks(KEYS_MAX).map(|keys| document(&layout.filter(keys), operation)).collect()
        }
    }
}

/// A raw document as the driver's filters want it.
pub(super) fn document(raw: &RawDocumentBuf, operation: &str) -> Result<Document> {
    Document::try_from(raw.as_ref()).map_err(|_| Error::new(ErrorKind::Internal, Engine::Mongodb, operation))
}

/// Rows of one statement, in the order of the `_id`; decoded batch by batch as the server sends them.
fn documents<'a>(
    client: &'a Client,
    slice: &'a Slice,
    filter: Document,
    layout: Arc<Layout>,
    operation: String,
) -> BoxStream<'a, Result<Decoded>> {
    enum Step {
        Open(Document),
        Read(Box<RawBatchCursor>),
        End,
    }
    let collection = client.collection(&slice.table.table.name);
    let steps = stream::unfold(Step::Open(filter), move |step| {
        let (layout, operation, collection) = (layout.clone(), operation.clone(), collection.clone());
        async move {
            let mut cursor = match step {
                Step::End => return None,
                Step::Read(cursor) => cursor,
                Step::Open(filter) => {
                    let snapshot = match client.snapshot(&operation).await {
                        Ok(snapshot) => snapshot,
                        Err(failed) => return Some((vec![Err(failed)], Step::End)),
                    };
                    // One point in time for all batches, where the server can.
                    let options = FindOptions::builder().sort(doc! { ID: 1 }).batch_size(BATCH);
                    let options = options.read_concern(snapshot).build();
                    let found = collection.find(filter).with_options(options).batch();
                    match client.run(&operation, found).await {
                        Ok(cursor) => Box::new(cursor),
                        Err(failed) => return Some((vec![Err(failed)], Step::End)),
                    }
                }
            };
            match client.run(&operation, async { cursor.try_next().await }).await {
                Ok(Some(batch)) => Some((decoded(&batch, &layout, &operation), Step::Read(cursor))),
                Ok(None) => None,
                Err(failed) => Some((vec![Err(failed)], Step::End)),
            }
        }
    });
    steps.flat_map(stream::iter).boxed()
}

fn decoded(batch: &RawBatch, layout: &Layout, operation: &str) -> Vec<Result<Decoded>> {
    match documents_of(batch, operation) {
        Ok(documents) => documents.map(|document| document.map(|found| layout.decode(found))).collect(),
        Err(broken) => vec![Err(broken)],
    }
}

/// The documents that the server sent together.
pub(super) fn documents_of<'b>(
    batch: &'b RawBatch,
    operation: &'b str,
) -> Result<impl Iterator<Item = Result<&'b RawDocument>>> {
    let broken = move || Error::new(ErrorKind::Encoding, Engine::Mongodb, operation);
    let documents = batch.doc_slices().map_err(|_| broken())?;
    Ok(documents
        .into_iter()
        .map(move |found| found.ok().and_then(|bson| bson.as_document()).ok_or_else(broken)))
}

/// What the server says about itself: operations that it works on.
pub(super) async fn gauge(client: &Client, gauge: &Gauge) -> Result<Option<u64>> {
    let operation = format!("read the gauge `{gauge}`");
    match gauge {
        Gauge::Running => {
            let status = client.admin(&operation, doc! { "serverStatus": 1 }).await?;
            let active =
                status.get_document("globalLock").and_then(|lock| lock.get_document("activeClients"));
            Ok(active.ok().and_then(|active| whole(active, "total")))
        }
        Gauge::Lag | Gauge::Query(_) => Err(Error::new(ErrorKind::Unsupported, Engine::Mongodb, operation)
            .with_object("a gauge that MongoDB does not have here")),
    }
}
