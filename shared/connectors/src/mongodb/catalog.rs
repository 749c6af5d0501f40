//! Collections as tables.

use bson::{Bson, Document, doc};
use futures::TryStreamExt as _;
use model::{Column, Engine, ErrorKind, Index, LogicalType, TableRef, TableSchema};

use super::client::Client;
use super::document::{ID, column_of_path};
use super::{infer, schema};
use crate::Role;
use crate::error::{Error, Result};
use crate::server::own::OWN_PREFIX;

/// Collections (no views, nothing of ours or the system's), sorted by name.
pub(super) async fn tables(client: &Client) -> Result<Vec<TableRef>> {
    let operation = "list collections";
    let found = client
        .run(operation, async { client.database.list_collections().await?.try_collect::<Vec<_>>().await });
    let is_collection = |c: &mongodb::results::CollectionSpecification| {
        matches!(c.collection_type, mongodb::results::CollectionType::Collection)
    };
    let mut names: Vec<String> = found.await?.into_iter().filter(is_collection).map(|c| c.name).collect();
    names.retain(|name| !name.starts_with("system.") && !name.starts_with(OWN_PREFIX));
    names.sort();
    Ok(names.into_iter().map(TableRef::named).collect())
}

/// The options of a collection; `None` if there is none of this name.
pub(super) async fn options(client: &Client, name: &str, operation: &str) -> Result<Option<Document>> {
    let command = doc! { "listCollections": 1, "filter": { "name": name, "type": "collection" } };
    let answer = client.command(operation, command).await?;
    let cursor = answer.get_document("cursor").and_then(|c| c.get_array("firstBatch"));
    let found = cursor.ok().and_then(|batch| batch.first()).and_then(Bson::as_document);
    Ok(found.map(|found| found.get_document("options").cloned().unwrap_or_default()))
}

/// # Errors
/// `UnknownTable` if the collection is not there: reading one that is missing gives nothing instead of an error.
pub(super) async fn must_exist(client: &Client, table: &TableRef, operation: &str) -> Result<Document> {
    let found = options(client, &table.name, operation).await?;
    found.ok_or_else(|| Error::new(ErrorKind::UnknownTable, Engine::Mongodb, operation))
}

/// The table as its validator declares it, else as its documents show. A collection of a target that has neither
/// documents nor rules is as good as none: it is made a table.
pub(super) async fn describe(client: &Client, table: &TableRef) -> Result<Option<TableSchema>> {
    let operation = format!("describe table {table}");
    let Some(options) = options(client, &table.name, &operation).await? else { return Ok(None) };
    let rows = client.run(&operation, client.collection(&table.name).estimated_document_count()).await?;
    let validator = options.get_document("validator").cloned().unwrap_or_default();
    let declared = schema::declaration(&validator);
    let native = indexes(client, &table.name, &operation).await?;
    let is_bare = declared.is_none() && validator.is_empty() && native.is_empty();
    if is_bare && client.role() == Role::Target {
        // Asked of the documents: a count that metadata keeps may be wrong.
        let first = client.run(&operation, client.collection(&table.name).find_one(doc! {})).await?;
        if first.is_none() {
            return Ok(None);
        }
    }
    let (columns, id, foreign_keys) = match declared {
        Some(declared) => (declared.columns, declared.id, declared.foreign_keys),
        None => (inferred(client, (&table.name, rows), &operation).await?, vec![ID.to_owned()], Vec::new()),
    };
    let by_column = |native: &Document| index(native, &id);
    let collation = collation(&options);
    let columns = columns.into_iter().map(|mut column| {
        if matches!(column.logical, LogicalType::Text { .. }) {
            column.collation.clone_from(&collation);
        }
        column
    });
    Ok(Some(TableSchema {
        table: table.clone(),
        columns: columns.collect(),
        indexes: native.iter().filter_map(by_column).collect(),
        primary_key: id.clone(),
        foreign_keys,
        row_estimate: Some(rows),
    }))
}

/// What documents show. Nothing keeps a field to the small numbers that are there now: a target takes all.
async fn inferred(client: &Client, of: (&str, u64), operation: &str) -> Result<Vec<Column>> {
    let mut columns = infer::columns(client, of, operation).await?;
    for column in columns.iter_mut().filter(|_| client.role() == Role::Target) {
        if matches!(column.logical, LogicalType::Int { .. }) {
            column.logical = LogicalType::Int { bits: 64, unsigned: false };
        }
    }
    Ok(columns)
}

/// The collection's own collation, in the words of a person; `None` where texts are told apart by their bytes.
fn collation(options: &Document) -> Option<String> {
    let collation = options.get_document("collation").ok()?;
    let strength = collation.get_i32("strength").unwrap_or(3);
    Some(format!("{}, strength {strength}", collation.get_str("locale").unwrap_or("simple")))
}

/// All indexes but that of the `_id`.
pub(super) async fn indexes(client: &Client, name: &str, operation: &str) -> Result<Vec<Document>> {
    let answer =
        client.command(operation, doc! { "listIndexes": name, "cursor": { "batchSize": 1_000 } }).await?;
    let cursor = answer.get_document("cursor").and_then(|c| c.get_array("firstBatch"));
    let found = cursor.map(|batch| batch.iter().filter_map(Bson::as_document).cloned().collect::<Vec<_>>());
    let mut found = found.unwrap_or_default();
    found.retain(|index| index.get_str("name").is_ok_and(|name| name != "_id_"));
    Ok(found)
}

/// An index over whole columns; `None` for text, hashed, wildcard and other indexes that tables have not.
pub(super) fn index(native: &Document, id: &[String]) -> Option<Index> {
    let keys = native.get_document("key").ok()?;
    let is_ordinary = |bson: &Bson| matches!(bson, Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_));
    if !keys.values().all(is_ordinary) || keys.keys().any(|path| path.contains("$**")) {
        return None;
    }
    let columns: Vec<String> = keys.keys().map(|path| column_of_path(path, id).to_owned()).collect();
    let is_unique = native.get_bool("unique").unwrap_or(false) && is_of_all_rows(native, keys);
    Some(Index { name: native.get_str("name").ok()?.to_owned(), columns, unique: is_unique })
}

/// Whether the index leaves out only what has a NULL in one of its columns, as unique indexes of tables do.
fn is_of_all_rows(native: &Document, keys: &Document) -> bool {
    let exists = doc! { "$exists": true };
    match native.get_document("partialFilterExpression") {
        Ok(filter) => {
            filter.iter().all(|(path, rule)| keys.contains_key(path) && rule.as_document() == Some(&exists))
        }
        Err(_) => true,
    }
}
