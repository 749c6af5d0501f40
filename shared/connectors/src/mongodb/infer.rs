//! The columns of a collection that declares none: what its documents show.
//!
//! The server counts fields and their types: over all documents of a collection that is small enough, else over a
//! sample and both ends. A field whose values are of one type becomes a column of it; numbers of several types become
//! decimals; all else becomes JSON.

use std::collections::{BTreeMap, BTreeSet};

use bson::{Bson, Document, doc};
use futures::TryStreamExt as _;
use model::{Column, LogicalType};

use super::client::{Client, whole};
use super::document::ID;
use super::mapping;
use crate::error::Result;

/// Documents that are looked at one by one: all of a collection that has no more.
const DOCUMENTS_MAX: u64 = 200_000;
/// Documents of a larger one.
const SAMPLE: i32 = 20_000;

/// A field as seen: where it stood first, and the types of its values.
#[derive(Default)]
struct Seen {
    place: u64,
    types: BTreeSet<String>,
}

/// Columns of a collection of about so many documents, in the order in which they name them; the `_id` first. All but
/// the `_id` may be NULL.
pub(super) async fn columns(
    client: &Client,
    (name, rows): (&str, u64),
    operation: &str,
) -> Result<Vec<Column>> {
    let collection = client.parsed(name);
    let mut fields: BTreeMap<String, Seen> = BTreeMap::new();
    let pipelines = if rows <= DOCUMENTS_MAX {
        vec![vec![]]
    } else {
        // Types of an `_id` stand together in its order, so the ends tell whether there are several.
        let end = |direction: i32| vec![doc! { "$sort": { ID: direction } }, doc! { "$limit": 1 }];
        vec![end(1), end(-1), vec![doc! { "$sample": { "size": SAMPLE } }]]
    };
    for mut pipeline in pipelines {
        pipeline.extend(count_fields());
        let found = async { collection.aggregate(pipeline).await?.try_collect::<Vec<Document>>().await };
        for field in client.run_long(operation, found).await? {
            note(&mut fields, &field);
        }
    }
    let mut named: Vec<(String, Seen)> = fields.into_iter().collect();
    named.sort_by_key(|(name, seen)| (name != ID, seen.place));
    if named.first().is_none_or(|(name, _)| name != ID) {
        named.insert(0, (ID.to_owned(), Seen { place: 0, types: BTreeSet::from(["objectId".to_owned()]) }));
    }
    Ok(named.into_iter().map(|(name, seen)| column(&name, &seen.types)).collect())
}

/// One document per field and type: `{_id: {k, t}, at, one}`, where `one` is the first of its values, which tells a UUID
/// from other binaries.
fn count_fields() -> Vec<Document> {
    vec![
        doc! { "$project": { "f": { "$objectToArray": "$$ROOT" } } },
        doc! { "$unwind": { "path": "$f", "includeArrayIndex": "at" } },
        doc! { "$group": {
            "_id": { "k": "$f.k", "t": { "$type": "$f.v" } },
            "at": { "$min": "$at" },
            "one": { "$first": "$f.v" },
        } },
    ]
}

fn note(fields: &mut BTreeMap<String, Seen>, found: &Document) {
    let Ok(id) = found.get_document("_id") else { return };
    let (Ok(name), Ok(bson_type)) = (id.get_str("k"), id.get_str("t")) else { return };
    let place = whole(found, "at").unwrap_or(0);
    let seen = fields.entry(name.to_owned()).or_insert_with(|| Seen { place, types: BTreeSet::new() });
    seen.place = seen.place.min(place);
    if bson_type != "null" {
        let is_uuid = found.get("one").is_some_and(
            |one| matches!(one, Bson::Binary(binary) if binary.subtype == bson::spec::BinarySubtype::Uuid),
        );
        seen.types.insert(if is_uuid { "uuid".to_owned() } else { bson_type.to_owned() });
    }
}

fn column(name: &str, types: &BTreeSet<String>) -> Column {
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let found = match types[..] {
        // A field that is never more than null may become anything.
        [] => "any",
        [only] => only,
        ["int", "long"] => "long",
        ["decimal", "int"] | ["decimal", "long"] | ["decimal", "int", "long"] => "decimal",
        _ => "any",
    };
    let column = mapping::column_of(name, found);
    let nullable = name != ID || column.logical == LogicalType::Json;
    Column { nullable, ..column }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_columns_of_the_type_that_holds_all() {
        let of = |types: &[&str]| column("f", &types.iter().map(|t| (*t).to_owned()).collect()).native;
        for (types, native) in [
            (&["int"][..], "int"),
            (&["int", "long"], "long"),
            (&["int", "decimal"], "decimal"),
            (&["int", "double"], "any"),
            (&["string", "int"], "any"),
            (&["object"], "any"),
            (&["uuid"], "uuid"),
            (&["uuid", "binData"], "any"),
            (&[], "any"),
        ] {
            assert_eq!(of(types), native, "{types:?}");
        }
    }
}
