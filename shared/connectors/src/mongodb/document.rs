//! Rows as documents. The key is the `_id`: the value itself, or a document of its columns in key order. Every other
//! column is a field of its name; NULL is a field that is not there.

use std::collections::HashMap;
use std::sync::Arc;

use bson::raw::{CStr, CString, RawBsonRef, cstr};
use bson::{RawArrayBuf, RawBson, RawDocument, RawDocumentBuf};
use model::convert::{ConvertError, refusal};
use model::{Column, ErrorKind, Key, QuarantinedRow, Row, TablePlan, TableSchema, Value};

use super::{codec, limits};
use crate::read_batches::Decoded;

pub(super) const ID: &str = "_id";
const ID_FIELD: &CStr = cstr!("_id");

/// Why a row cannot be a document: the reason, and the column if it is one's fault.
pub(super) type Misfit = (ConvertError, Option<String>);

/// Where a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The `_id` itself.
    Id,
    /// A field of the `_id`, which is a document.
    InId,
    Field,
}

impl Place {
    /// Where the column of this name stands if the `_id` is made of `id`.
    fn of(name: &String, id: &[String]) -> Self {
        match id {
            [only] if only == name => Self::Id,
            [_, _, ..] if id.contains(name) => Self::InId,
            _ => Self::Field,
        }
    }
}

/// How the rows of a table stand in its documents.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    columns: Arc<[Column]>,
    names: Vec<CString>,
    places: Vec<Place>,
    /// Places of the columns of the `_id`, in its order.
    id: Vec<usize>,
    /// Places of the key columns, in key order.
    key: Vec<usize>,
    fields: HashMap<String, usize>,
    in_id: HashMap<String, usize>,
}

impl Layout {
    /// The layout of what a plan writes.
    pub(super) fn of_plan(plan: &TablePlan) -> std::result::Result<Self, String> {
        let columns = plan.columns.iter().map(|pair| pair.target.clone()).collect();
        Self::new(columns, &id_columns(plan), plan.key.clone())
    }

    /// The layout of what is read of a table.
    pub(super) fn of_slice(
        table: &TableSchema,
        columns: Arc<[Column]>,
        key: &[String],
    ) -> std::result::Result<Self, String> {
        let unknown = columns.iter().find(|c| !table.columns.iter().any(|known| known.name == c.name));
        if let Some(unknown) = unknown {
            return Err(unknown.name.clone());
        }
        let key = key.iter().filter_map(|name| columns.iter().position(|c| c.name == *name)).collect();
        Self::new(columns, &table.primary_key, key)
    }

    fn new(
        columns: Arc<[Column]>,
        id_names: &[String],
        key: Vec<usize>,
    ) -> std::result::Result<Self, String> {
        let names = columns.iter().map(|c| CString::try_from(c.name.as_str()).map_err(|_| c.name.clone()));
        let names = names.collect::<std::result::Result<Vec<_>, _>>()?;
        let places: Vec<Place> = columns.iter().map(|c| Place::of(&c.name, id_names)).collect();
        let id = id_names.iter().filter_map(|name| columns.iter().position(|c| c.name == *name)).collect();
        let at = |wanted: Place| {
            let there = places.iter().enumerate().filter(move |(_, place)| **place == wanted);
            there.map(|(i, _)| (columns[i].name.clone(), i)).collect()
        };
        let (fields, in_id) = (at(Place::Field), at(Place::InId));
        Ok(Self { columns, names, places, id, key, fields, in_id })
    }

    pub(super) const fn columns(&self) -> &Arc<[Column]> {
        &self.columns
    }

    /// Whether the key is the `_id`, the only thing that documents are found and ordered by.
    pub(super) fn is_keyed_by_id(&self) -> bool {
        let key = &self.key;
        key.len() == self.id.len() && !key.is_empty() && key.iter().all(|place| self.id.contains(place))
    }

    /// The row as a document.
    ///
    /// # Errors
    /// A value that cannot be kept, NULL where none may be, or a document that is too long.
    pub(super) fn encode(&self, row: &Row) -> std::result::Result<RawDocumentBuf, Misfit> {
        let mut document = RawDocumentBuf::new();
        if self.id.is_empty() {
            // The server would make one; ours stays the same when the document is sent again.
            document.append(ID_FIELD, bson::oid::ObjectId::new());
        } else {
            document.append(ID_FIELD, self.id_of(|place| &row[place])?);
        }
        for (i, value) in row.iter().enumerate().filter(|(i, _)| self.places[*i] == Place::Field) {
            if let Some(bson) = self.cell(i, value)? {
                document.append(&self.names[i], bson);
            }
        }
        if document.as_bytes().len() > limits::DOCUMENT_BYTES_MAX {
            return Err((refusal(ErrorKind::TooLong, "the row is longer than a document of 16 MiB"), None));
        }
        Ok(document)
    }

    fn cell(&self, place: usize, value: &Value) -> std::result::Result<Option<RawBson>, Misfit> {
        let column = &self.columns[place];
        if value.is_null() && !column.nullable {
            let why = refusal(ErrorKind::NotNull, "the column takes no NULL");
            return Err((why, Some(column.name.clone())));
        }
        codec::encode(value, column).map_err(|why| (why, Some(column.name.clone())))
    }

    /// The `_id` made of the values at its places.
    fn id_of<'v>(&self, value: impl Fn(usize) -> &'v Value) -> std::result::Result<RawBson, Misfit> {
        if let [only] = self.id[..] {
            return self.key_cell(only, value(only));
        }
        let mut id = RawDocumentBuf::new();
        for place in &self.id {
            id.append(&self.names[*place], self.key_cell(*place, value(*place))?);
        }
        Ok(RawBson::Document(id))
    }

    /// A key is never NULL, whatever the column says.
    fn key_cell(&self, place: usize, value: &Value) -> std::result::Result<RawBson, Misfit> {
        let null = || {
            let why = refusal(ErrorKind::NotNull, "a key is never NULL");
            (why, Some(self.columns[place].name.clone()))
        };
        self.cell(place, value)?.ok_or_else(null)
    }

    /// The `_id` that a key means; `None` if no document can have it.
    pub(super) fn id_of_key(&self, key: &Key) -> Option<RawBson> {
        let at = |place: usize| self.key.iter().position(|k| *k == place);
        if self.id.iter().any(|place| at(*place).is_none()) {
            return None;
        }
        self.id_of(|place| &key.0[at(place).unwrap_or_default()]).ok()
    }

    /// A filter that finds the documents with these keys, and no other.
    pub(super) fn filter(&self, keys: &[Key]) -> RawDocumentBuf {
        let mut filter = RawDocumentBuf::new();
        let (mut ids, mut either) = (RawArrayBuf::new(), RawArrayBuf::new());
        if self.is_keyed_by_id() {
            keys.iter().filter_map(|key| self.id_of_key(key)).for_each(|id| ids.push(id));
        } else {
            keys.iter().filter_map(|key| self.equals(key)).for_each(|one| either.push(one));
        }
        if either.is_empty() {
            // Also where no key can be written: among no ids there is none.
            let mut among = RawDocumentBuf::new();
            among.append(cstr!("$in"), ids);
            filter.append(ID_FIELD, among);
        } else {
            filter.append(cstr!("$or"), either);
        }
        filter
    }

    /// Finds the documents with one key by its fields; `None` for a key that cannot be written, which none has.
    fn equals(&self, key: &Key) -> Option<RawDocumentBuf> {
        let mut one = RawDocumentBuf::new();
        for (place, value) in self.key.iter().zip(&key.0) {
            let mut equals = RawDocumentBuf::new();
            equals.append(cstr!("$eq"), self.key_cell(*place, value).ok()?);
            one.append(self.path(*place), equals);
        }
        Some(one)
    }

    fn path(&self, place: usize) -> CString {
        let name = self.columns[place].name.as_str();
        CString::try_from(path_of(name, self.places[place])).unwrap_or_else(|_| self.names[place].clone())
    }

    /// The statement that sets the columns of a row beside its `_id`; `None` if there are none.
    ///
    /// # Errors
    /// As [`Layout::encode`].
    pub(super) fn update(&self, row: &Row) -> std::result::Result<Option<RawBson>, Misfit> {
        let mut cells = Vec::with_capacity(row.len());
        for (i, value) in row.iter().enumerate() {
            if self.places[i] == Place::Field && !self.key.contains(&i) {
                cells.push((i, self.cell(i, value)?));
            }
        }
        if cells.is_empty() {
            return Ok(None);
        }
        let is_plain = cells.iter().all(|(i, _)| is_plain(self.names[*i].as_str()));
        Ok(Some(if is_plain { self.set_plainly(cells) } else { self.set_by_pipeline(cells) }))
    }

    fn set_plainly(&self, cells: Vec<(usize, Option<RawBson>)>) -> RawBson {
        let (mut set, mut unset) = (RawDocumentBuf::new(), RawDocumentBuf::new());
        for (i, cell) in cells {
            match cell {
                Some(bson) => set.append(&self.names[i], bson),
                None => unset.append(&self.names[i], 1_i32),
            }
        }
        let mut update = RawDocumentBuf::new();
        for (operator, fields) in [(cstr!("$set"), set), (cstr!("$unset"), unset)] {
            if !fields.is_empty() {
                update.append(operator, fields);
            }
        }
        RawBson::Document(update)
    }

    /// For names that `$set` would take as paths or operators.
    fn set_by_pipeline(&self, cells: Vec<(usize, Option<RawBson>)>) -> RawBson {
        let mut pipeline = RawArrayBuf::new();
        for (i, cell) in cells {
            let mut set = RawDocumentBuf::new();
            set.append(cstr!("field"), literal(RawBson::String(self.columns[i].name.clone())));
            set.append(cstr!("input"), "$$ROOT");
            set.append(cstr!("value"), cell.map_or_else(|| RawBson::String("$$REMOVE".to_owned()), literal));
            let (mut field, mut stage) = (RawDocumentBuf::new(), RawDocumentBuf::new());
            field.append(cstr!("$setField"), set);
            stage.append(cstr!("$replaceWith"), field);
            pipeline.push(stage);
        }
        RawBson::Array(pipeline)
    }

    /// The row that a document holds.
    pub(super) fn decode(&self, document: &RawDocument) -> Decoded {
        let mut row = vec![Value::Null; self.columns.len()];
        match self.fill(document, &mut row) {
            Ok(()) => Decoded::Row(row),
            Err((why, column)) => Decoded::Undecodable(QuarantinedRow {
                // What was filled before the fault; the `_id` comes first in every document.
                key: Key(self.key.iter().map(|place| row[*place].clone()).collect()),
                column,
                kind: why.kind,
                reason: why.reason,
            }),
        }
    }

    fn fill(&self, document: &RawDocument, row: &mut Row) -> std::result::Result<(), Misfit> {
        let mut fault = None;
        for element in document {
            let (name, bson) = element.map_err(|_| broken())?;
            if name.as_str() == ID {
                self.fill_id(bson, row)?;
            } else if let Some(place) = self.fields.get(name.as_str())
                && let Err(misfit) = self.put(*place, bson, row)
            {
                // The other fields are read all the same: one of them may be of the key.
                fault.get_or_insert(misfit);
            }
        }
        fault.map_or(Ok(()), Err)
    }

    fn fill_id(&self, bson: RawBsonRef<'_>, row: &mut Row) -> std::result::Result<(), Misfit> {
        match (&self.id[..], bson) {
            ([only], bson) if self.places[*only] == Place::Id => self.put(*only, bson, row),
            (_, RawBsonRef::Document(id)) => {
                for element in id {
                    let (name, bson) = element.map_err(|_| broken())?;
                    if let Some(place) = self.in_id.get(name.as_str()) {
                        self.put(*place, bson, row)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn put(&self, place: usize, bson: RawBsonRef<'_>, row: &mut Row) -> std::result::Result<(), Misfit> {
        let column = &self.columns[place];
        row[place] = codec::decode(bson, column).map_err(|why| (why, Some(column.name.clone())))?;
        Ok(())
    }
}

fn broken() -> Misfit {
    (refusal(ErrorKind::Encoding, "the document is not valid BSON"), None)
}

fn literal(bson: RawBson) -> RawBson {
    let mut literal = RawDocumentBuf::new();
    literal.append(cstr!("$literal"), bson);
    RawBson::Document(literal)
}

/// Whether `$set` takes the name for a name.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('$') && !name.contains('.')
}

/// How a filter or index names a column.
fn path_of(name: &str, place: Place) -> String {
    match place {
        Place::Id => ID.to_owned(),
        Place::InId => format!("{ID}.{name}"),
        Place::Field => name.to_owned(),
    }
}

/// How an index names a column of a table whose `_id` is made of `id`.
pub(super) fn index_path(name: &String, id: &[String]) -> String {
    path_of(name, Place::of(name, id))
}

/// The column an index means by a path.
pub(super) fn column_of_path<'a>(path: &'a str, id: &'a [String]) -> &'a str {
    match id {
        [only] if path == ID => only,
        [_, _, ..] => path.strip_prefix("_id.").unwrap_or(path),
        _ => path,
    }
}

/// The columns that the `_id` of a plan's documents is made of: the key, unless the collection is older than Syncline
/// and has its documents told apart by something else.
pub(super) fn id_columns(plan: &TablePlan) -> Vec<String> {
    let key = plan.target_key();
    let declared = &plan.target.primary_key;
    if declared.len() == key.len() && declared.iter().all(|name| key.contains(name)) {
        return declared.clone();
    }
    if plan.create_target { key } else { declared.clone() }
}
