//! What MongoDB's catalog does not know of a table is kept in the collection's own validator: column names, types and
//! order, where the key stands, foreign keys. The server enforces its types; its `description`s are ours to read.

use bson::{Bson, Document, doc};
use model::{Column, ForeignKey, LogicalType, TableSchema};
use serde::{Deserialize, Serialize};

use super::document::{ID, is_plain};
use super::mapping;

/// Tells validators of ours from those of others.
const TITLE: &str = "Made by Syncline: `description`s are read back";

/// What stands in a property's `description`.
#[derive(Serialize, Deserialize)]
struct Declared {
    /// Left out where the property has the column's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    native: String,
    logical: LogicalType,
    nullable: bool,
}

/// What stands in the whole schema's `description`.
#[derive(Serialize, Deserialize)]
struct Whole {
    /// Names of all columns in their order: the key's stand together in the `_id`.
    columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    foreign_keys: Vec<ForeignKey>,
}

/// The validator of a table whose `_id` is made of `id`.
pub(super) fn validator(table: &TableSchema, id: &[String]) -> Document {
    let (mut properties, mut required) = (Document::new(), vec![Bson::from(ID)]);
    let in_id = |column: &&Column| id.contains(&column.name);
    match id {
        [] => {}
        [only] => {
            if let Some(column) = table.columns.iter().find(|c| c.name == *only) {
                properties.insert(ID, property(column, Some(only.clone())));
            }
        }
        _ => {
            let fields: Document = table
                .columns
                .iter()
                .filter(in_id)
                .map(|c| (c.name.clone(), property(c, None).into()))
                .collect();
            let names: Vec<Bson> = id.iter().map(|name| Bson::from(name.as_str())).collect();
            properties.insert(
                ID,
                doc! { "bsonType": "object", "title": "key", "required": names, "properties": fields },
            );
        }
    }
    for column in table.columns.iter().filter(|column| !in_id(column)) {
        properties.insert(column.name.clone(), property(column, None));
        if !column.nullable && is_plain(&column.name) {
            required.push(Bson::from(column.name.as_str()));
        }
    }
    let columns = table.columns.iter().map(|c| c.name.clone()).collect();
    let whole = Whole { columns, foreign_keys: table.foreign_keys.clone() };
    doc! { "$jsonSchema": {
        "bsonType": "object",
        "title": TITLE,
        "description": text(&whole),
        "required": required,
        "properties": properties,
    } }
}

fn property(column: &Column, renamed: Option<String>) -> Document {
    let declared = Declared {
        column: renamed,
        native: column.native.clone(),
        logical: column.logical.clone(),
        nullable: column.nullable,
    };
    let mut property = Document::new();
    // The server would take such a name for a path.
    if let Some(types) = mapping::bson_types(column).filter(|_| is_plain(&column.name)) {
        property.insert("bsonType", types);
    }
    property.insert("description", text(&declared));
    property
}

fn text(declared: &impl Serialize) -> String {
    serde_json::to_string(declared).unwrap_or_default()
}

/// A table as its validator declares it.
pub(super) struct Declaration {
    pub(super) columns: Vec<Column>,
    pub(super) id: Vec<String>,
    pub(super) foreign_keys: Vec<ForeignKey>,
}

/// The declaration in a collection's validator; `None` if it has none or one that is not ours.
pub(super) fn declaration(validator: &Document) -> Option<Declaration> {
    let schema = validator.get_document("$jsonSchema").ok()?;
    if schema.get_str("title").ok()? != TITLE {
        return None;
    }
    let whole: Whole = serde_json::from_str(schema.get_str("description").ok()?).ok()?;
    let properties = schema.get_document("properties").ok()?;
    let mut columns = Vec::with_capacity(whole.columns.len());
    let mut id = Vec::new();
    for (name, property) in properties {
        let property = property.as_document()?;
        // The `_id` of several columns is a document, and describes itself by its fields.
        if name == ID && !property.contains_key("description") {
            for (name, property) in property.get_document("properties").ok()? {
                columns.push(column(name, property.as_document()?)?);
            }
            let names = property.get_array("required").ok()?;
            id.extend(names.iter().filter_map(Bson::as_str).map(str::to_owned));
            continue;
        }
        let column = column(name, property)?;
        if name == ID {
            id.push(column.name.clone());
        }
        columns.push(column);
    }
    let place = |name: &String| whole.columns.iter().position(|n| n == name).unwrap_or(usize::MAX);
    columns.sort_by_key(|column| place(&column.name));
    Some(Declaration { columns, id, foreign_keys: whole.foreign_keys })
}

fn column(name: &str, property: &Document) -> Option<Column> {
    let declared: Declared = serde_json::from_str(property.get_str("description").ok()?).ok()?;
    let name = declared.column.unwrap_or_else(|| name.to_owned());
    Some(Column { native: declared.native, ..Column::new(name, declared.logical, declared.nullable) })
}

#[cfg(test)]
mod tests {
    use model::TableRef;

    use super::*;

    #[test]
    fn a_declaration_reads_back() {
        let int = |name: &str, nullable| {
            let made = Column::new(name, LogicalType::Int { bits: 32, unsigned: false }, nullable);
            mapping::column_for(&made)
        };
        let foreign = ForeignKey {
            name: "of".to_owned(),
            columns: vec!["b".to_owned()],
            parent: TableRef::named("p"),
            parent_columns: vec!["id".to_owned()],
        };
        let table = TableSchema {
            table: TableRef::named("t"),
            columns: vec![int("note", true), int("b", false), int("a", false), int("dot.dot", false)],
            primary_key: vec![],
            indexes: vec![],
            foreign_keys: vec![foreign],
            row_estimate: None,
        };
        for id in [vec![], vec!["a".to_owned()], vec!["b".to_owned(), "a".to_owned()]] {
            let found = declaration(&validator(&table, &id)).expect("ours");
            assert_eq!((&found.columns, &found.id), (&table.columns, &id));
            assert_eq!(found.foreign_keys, table.foreign_keys);
        }
        assert!(declaration(&doc! { "$jsonSchema": { "required": ["a"] } }).is_none());
        assert!(declaration(&Document::new()).is_none());
    }
}
