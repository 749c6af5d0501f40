//! After the rows: indexes, and foreign keys, which are counted but not kept by the server.

use bson::{Document, doc};
use futures::TryStreamExt as _;
use model::{Disposition, ForeignKey, Index, TablePlan};

use super::client::{Client, whole};
use super::document::{id_columns, index_path, is_plain};
use super::{catalog, schema};
use crate::WITHOUT_PARENT;
use crate::error::Result;

pub(super) async fn build_indexes(client: &Client, plan: &TablePlan) -> Result<Vec<String>> {
    let table = &plan.target.table.name;
    let id = id_columns(plan);
    let mut notes = Vec::new();
    let mut there =
        catalog::indexes(client, table, &format!("list indexes of {}", plan.target.table)).await?;
    for index in &plan.target.indexes {
        let operation = format!("build index {} of {}", index.name, plan.target.table);
        let shapes: Vec<Index> = there.iter().filter_map(|native| catalog::index(native, &id)).collect();
        let is_built = |built: &Index| (&built.columns, built.unique) == (&index.columns, index.unique);
        // The `_id` has an index of its own.
        if shapes.iter().any(is_built) || (index.unique && index.columns == id) {
            continue;
        }
        if let Some(odd) = index.columns.iter().find(|name| !is_plain(name)) {
            notes.push(format!("index {} was not built: no index names a field like `{odd}`", index.name));
            continue;
        }
        let taken: Vec<&str> = there.iter().filter_map(|native| native.get_str("name").ok()).collect();
        let definition = definition(plan, index, &id, &taken);
        let command = doc! { "createIndexes": table, "indexes": [definition.clone()] };
        // Building an index takes as long as the collection is large: no deadline.
        match client.run_long(&operation, client.database.run_command(command)).await {
            Ok(_) => there.push(definition),
            Err(failed) if failed.kind.disposition() == Disposition::QuarantineRow => {
                notes.push(format!("index {} was not built: {}", index.name, failed.reason()));
            }
            Err(failed) => return Err(failed),
        }
    }
    Ok(notes)
}

/// NULLs are no duplicates: a unique index leaves out what lacks one of its columns.
fn definition(plan: &TablePlan, index: &Index, id: &[String], taken: &[&str]) -> Document {
    let path = |name: &String| index_path(name, id);
    let keys: Document = index.columns.iter().map(|name| (path(name), 1.into())).collect();
    let numbered = (2..).map(|n| format!("{}_{n}", index.name));
    let free =
        std::iter::once(index.name.clone()).chain(numbered).find(|name| !taken.contains(&name.as_str()));
    let mut definition = doc! { "key": keys, "name": free.unwrap_or_default() };
    if index.unique {
        definition.insert("unique", true);
        let may_be_null = |name: &&String| plan.target.column(name).is_some_and(|column| column.nullable);
        let exist: Document = index
            .columns
            .iter()
            .filter(may_be_null)
            .map(|name| (path(name), doc! { "$exists": true }.into()))
            .collect();
        if !exist.is_empty() {
            definition.insert("partialFilterExpression", exist);
        }
    }
    definition
}

/// Counts documents whose parents are missing, for each foreign key that the table's source has.
pub(super) async fn check_foreign_keys(client: &Client, plan: &TablePlan) -> Result<Vec<String>> {
    let table = &plan.target.table;
    let id = id_columns(plan);
    let mut notes = Vec::new();
    for foreign in &plan.target.foreign_keys {
        let operation = format!("check foreign key {} of {table}", foreign.name);
        let Some(options) = catalog::options(client, &foreign.parent.name, &operation).await? else {
            notes.push(format!("foreign key {}: table {} is missing", foreign.name, foreign.parent));
            continue;
        };
        let declared = options.get_document("validator").ok().and_then(schema::declaration);
        let parent_id = declared.map(|declared| declared.id).unwrap_or_default();
        let pipeline = orphans(foreign, &id, &parent_id);
        let children = client.parsed(&table.name);
        let found = async { children.aggregate(pipeline).await?.try_collect::<Vec<Document>>().await };
        let found = client.run_long(&operation, found).await?;
        let count = found.first().and_then(|counted| whole(counted, "rows")).unwrap_or(0);
        if count > 0 {
            notes.push(format!(
                "foreign key {}: {count} rows are {WITHOUT_PARENT} {}",
                foreign.name, foreign.parent
            ));
        }
    }
    Ok(notes)
}

/// Counts children with a value in each column and no parent of the same.
fn orphans(foreign: &ForeignKey, id: &[String], parent_id: &[String]) -> Vec<Document> {
    let refers: Document =
        foreign.columns.iter().map(|name| (index_path(name, id), doc! { "$ne": null }.into())).collect();
    let (mut variables, mut same) = (Document::new(), Vec::new());
    for (i, (child, parent)) in foreign.columns.iter().zip(&foreign.parent_columns).enumerate() {
        variables.insert(format!("c{i}"), format!("${}", index_path(child, id)));
        same.push(doc! { "$eq": [format!("${}", index_path(parent, parent_id)), format!("$$c{i}")] });
    }
    let mut lookup = doc! { "from": &foreign.parent.name, "as": "parents" };
    if let ([child], [parent]) = (&foreign.columns[..], &foreign.parent_columns[..]) {
        lookup.insert("localField", index_path(child, id));
        lookup.insert("foreignField", index_path(parent, parent_id));
    } else {
        lookup.insert("let", variables);
        lookup
            .insert("pipeline", vec![doc! { "$match": { "$expr": { "$and": same } } }, doc! { "$limit": 1 }]);
    }
    vec![
        doc! { "$match": refers },
        doc! { "$lookup": lookup },
        doc! { "$match": { "parents": { "$size": 0 } } },
        doc! { "$count": "rows" },
    ]
}
