//! One table: rows by key, unique indexes, and the constraints that rows must meet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use model::{Column, ErrorKind, Index, Key, KeyRange, Row, TableSchema, Value, convert};

use super::order::{Rank, position};

/// Name under which a broken primary key is reported.
const PRIMARY: &str = "PRIMARY";

type Position = Arc<[Rank]>;

/// A constraint that a row breaks: what kind, and which column or index. Never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) kind: ErrorKind,
    pub(super) object: String,
}

/// Cloned by the first write of a transaction and published by its commit; rows are shared between versions.
#[derive(Clone)]
pub(super) struct Table {
    schema: TableSchema,
    /// Places of the columns that tell rows apart; without any, rows stand in order of arrival.
    identity: Vec<usize>,
    rows: BTreeMap<Position, Arc<Row>>,
    uniques: Vec<Unique>,
    arrivals: i128,
}

#[derive(Clone)]
struct Unique {
    name: String,
    places: Vec<usize>,
    taken: BTreeSet<Position>,
}

impl Table {
    /// An empty table with all indexes of the schema.
    pub(super) fn new(schema: TableSchema) -> Self {
        let identity = schema.key().map_or_else(Vec::new, |key| places_of(&schema, &key).unwrap_or_default());
        let uniques = schema
            .indexes
            .iter()
            .filter(|index| index.unique)
            .filter_map(|index| {
                let places = places_of(&schema, &index.columns)?;
                Some(Unique { name: index.name.clone(), places, taken: BTreeSet::new() })
            })
            .collect();
        Self { schema, identity, rows: BTreeMap::new(), uniques, arrivals: 0 }
    }

    pub(super) const fn schema(&self) -> &TableSchema {
        &self.schema
    }

    pub(super) const fn schema_mut(&mut self) -> &mut TableSchema {
        &mut self.schema
    }

    pub(super) fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Places of these columns, or the first name that is unknown.
    pub(super) fn places<'a>(
        &self,
        names: impl IntoIterator<Item = &'a String>,
    ) -> Result<Vec<usize>, String> {
        names
            .into_iter()
            .map(|name| self.schema.columns.iter().position(|c| c.name == *name).ok_or_else(|| name.clone()))
            .collect()
    }

    /// All rows in key order.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.rows.values()
    }

    /// Rows of a key range in the order of the columns at `key`.
    pub(super) fn range(&self, key: &[usize], range: &KeyRange) -> Vec<Arc<Row>> {
        let bound = |end: &Option<Key>| {
            end.as_ref().map(|k| position(k, key.iter().map(|p| &self.schema.columns[*p])))
        };
        let (lower, upper) = (bound(&range.lower), bound(&range.upper));
        // An empty range, which a BTreeMap would not take.
        if lower.as_ref().zip(upper.as_ref()).is_some_and(|(lower, upper)| lower >= upper) {
            return Vec::new();
        }
        if key == self.identity || key.is_empty() {
            let lower = lower.as_deref().map_or(Bound::Unbounded, Bound::Included);
            let upper = upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            return self.rows.range::<[Rank], _>((lower, upper)).map(|(_, row)| row.clone()).collect();
        }
        let mut found: Vec<(Vec<Rank>, Arc<Row>)> = self
            .rows
            .values()
            .map(|row| (self.ranks(row, key), row.clone()))
            .filter(|(at, _)| lower.as_ref().is_none_or(|l| at >= l) && upper.as_ref().is_none_or(|u| at < u))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found.into_iter().map(|(_, row)| row).collect()
    }

    /// The row `rows` places after `from` in the order of the columns at `key`.
    pub(super) fn nth(&self, key: &[usize], from: Option<&Key>, rows: u64) -> Option<Arc<Row>> {
        let rows = usize::try_from(rows).ok()?;
        if key != self.identity {
            return self.range(key, &KeyRange { lower: from.cloned(), upper: None }).into_iter().nth(rows);
        }
        let from = from.map(|k| position(k, key.iter().map(|p| &self.schema.columns[*p])));
        let lower = from.as_deref().map_or(Bound::Unbounded, Bound::Included);
        self.rows.range::<[Rank], _>((lower, Bound::Unbounded)).nth(rows).map(|(_, row)| row.clone())
    }

    /// Rows at these keys; each row once, however many of the keys mean it.
    pub(super) fn at(&self, key: &[usize], keys: &[Key]) -> Vec<Arc<Row>> {
        self.positions(key, keys).iter().filter_map(|at| self.rows.get(at).cloned()).collect()
    }

    /// Adds a row, in table order of columns.
    pub(super) fn insert(&mut self, row: Row) -> Result<Position, Violation> {
        let row = self.checked(row)?;
        let at: Position = if self.identity.is_empty() {
            self.arrivals += 1;
            Arc::from([Rank::Int(self.arrivals)])
        } else {
            self.ranks(&row, &self.identity).into()
        };
        if self.rows.contains_key(&at) {
            return Err(Violation { kind: ErrorKind::DuplicateKey, object: self.identity_name() });
        }
        let entries: Vec<Option<Position>> = self.uniques.iter().map(|u| self.entry(u, &row)).collect();
        for (unique, entry) in self.uniques.iter().zip(&entries) {
            if entry.as_ref().is_some_and(|entry| unique.taken.contains(entry)) {
                return Err(Violation { kind: ErrorKind::DuplicateKey, object: unique.name.clone() });
            }
        }
        for (unique, entry) in self.uniques.iter_mut().zip(entries) {
            unique.taken.extend(entry);
        }
        self.rows.insert(at.clone(), Arc::new(row));
        Ok(at)
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, at: &[Rank]) -> Option<Arc<Row>> {
        let row = self.rows.remove(at)?;
        let entries: Vec<Option<Position>> = self.uniques.iter().map(|u| self.entry(u, &row)).collect();
        for (unique, entry) in self.uniques.iter_mut().zip(entries) {
            if let Some(entry) = entry {
                unique.taken.remove(&entry);
            }
        }
        Some(row)
    }

    /// Puts back a row that was here before, as it was.
    pub(super) fn restore(&mut self, row: &Row) {
        self.insert(row.clone()).expect("the row was here before");
    }

    /// Where the rows at these keys stand.
    pub(super) fn positions(&self, key: &[usize], keys: &[Key]) -> Vec<Position> {
        let wanted: BTreeSet<Vec<Rank>> =
            keys.iter().map(|k| position(k, key.iter().map(|p| &self.schema.columns[*p]))).collect();
        if key == self.identity {
            return wanted.into_iter().map(Position::from).filter(|at| self.rows.contains_key(at)).collect();
        }
        let hits = self.rows.iter().filter(|(_, row)| wanted.contains(&self.ranks(row, key)));
        hits.map(|(at, _)| at.clone()).collect()
    }

    /// Adds an index.
    ///
    /// # Errors
    /// Rows that are there already break it, or a column is unknown.
    pub(super) fn add_index(&mut self, index: &Index) -> Result<(), Violation> {
        if index.unique {
            let places = places_of(&self.schema, &index.columns)
                .ok_or_else(|| Violation { kind: ErrorKind::UnknownColumn, object: index.name.clone() })?;
            let mut unique = Unique { name: index.name.clone(), places, taken: BTreeSet::new() };
            for row in self.rows.values() {
                if self.entry(&unique, row).is_some_and(|entry| !unique.taken.insert(entry)) {
                    return Err(Violation { kind: ErrorKind::DuplicateKey, object: index.name.clone() });
                }
            }
            self.uniques.push(unique);
        }
        self.schema.indexes.push(index.clone());
        Ok(())
    }

    /// How many rows have a value in each of `columns` but no row of `parent` with the same in `parent_columns`.
    pub(super) fn orphans(&self, columns: &[usize], parent: &Self, parent_columns: &[usize]) -> usize {
        let known: BTreeSet<Vec<Rank>> =
            parent.rows.values().map(|row| parent.ranks(row, parent_columns)).collect();
        let refers = |row: &&Arc<Row>| columns.iter().all(|place| !row[*place].is_null());
        // The parent's columns decide what is equal, as its index would.
        let seen = |row: &Row| {
            let pairs = columns.iter().zip(parent_columns);
            pairs.map(|(c, p)| Rank::of(&row[*c], &parent.schema.columns[*p])).collect::<Vec<_>>()
        };
        self.rows.values().filter(refers).filter(|row| !known.contains(&seen(row))).count()
    }

    fn checked(&self, row: Row) -> Result<Row, Violation> {
        row.into_iter().zip(&self.schema.columns).map(|(value, column)| checked_cell(value, column)).collect()
    }

    fn ranks(&self, row: &Row, places: &[usize]) -> Vec<Rank> {
        places.iter().map(|p| Rank::of(&row[*p], &self.schema.columns[*p])).collect()
    }

    /// The entry of a row in a unique index; none if a cell is NULL.
    fn entry(&self, unique: &Unique, row: &Row) -> Option<Position> {
        let ranks = self.ranks(row, &unique.places);
        if ranks.contains(&Rank::Null) { None } else { Some(ranks.into()) }
    }

    fn identity_name(&self) -> String {
        if self.schema.primary_key.is_empty() {
            let named = |u: &&Unique| u.places == self.identity;
            self.uniques.iter().find(named).map_or_else(|| PRIMARY.to_owned(), |u| u.name.clone())
        } else {
            PRIMARY.to_owned()
        }
    }
}

/// The value as the column keeps it.
fn checked_cell(value: Value, column: &Column) -> Result<Value, Violation> {
    if value.is_null() && !column.nullable {
        return Err(Violation { kind: ErrorKind::NotNull, object: column.name.clone() });
    }
    convert(value, &column.logical).map_err(|e| Violation { kind: e.kind, object: column.name.clone() })
}

fn places_of(schema: &TableSchema, names: &[String]) -> Option<Vec<usize>> {
    names.iter().map(|name| schema.columns.iter().position(|c| c.name == *name)).collect()
}
