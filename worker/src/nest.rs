//! Rows of other tables as documents: they are read beside the rows that they belong to, and stand in them as JSON.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use connectors::{Error, Result, Selection, Slice, Target};
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use model::canonical::key_digest;
use model::digest::RowDigest;
use model::merge::order;
use model::{
    Column, Engine, ErrorKind, Key, LogicalType, NestPlan, QuarantinedRow, Row, RowBatch, TablePlan, Value,
    convert,
};

/// Rows whose documents are in memory at once before they are texts.
const ROWS_AT_ONCE: usize = 100;

/// Why a value cannot stand in a document.
type Reason = (ErrorKind, String);

/// The nested fields of a table, made ready once for a chunk.
#[derive(Default)]
pub(crate) struct Nests {
    nests: Vec<Nest>,
    /// Places of the key in a row of the source.
    key: Vec<usize>,
}

struct Nest {
    field: String,
    plan: NestPlan,
    columns: Arc<[Column]>,
    /// Places in a row of the source of what the other table refers to.
    refers_to: Vec<usize>,
    /// Places in a row of the other table of what refers, and the types there.
    refers: Vec<usize>,
    types: Vec<LogicalType>,
    order: Vec<usize>,
    kept: Vec<usize>,
}

/// The documents of one row.
#[derive(Default)]
struct Family {
    /// What they are ordered by, and their texts.
    documents: Vec<(Vec<Value>, String)>,
    refused: Option<Reason>,
}

impl Nests {
    /// # Errors
    /// `Internal`: the plan names a column that it does not read.
    pub(crate) fn new(plan: &TablePlan) -> Result<Self> {
        let fields = plan.columns.iter().filter(|pair| is_nested(pair)).map(|pair| &pair.target.name);
        let nests = fields.zip(&plan.nests).map(|(field, nest)| {
            Nest::new(plan, field, nest).ok_or_else(|| {
                let operation = format!("nest rows in field {field} of table {}", plan.source.table);
                Error::new(ErrorKind::Internal, Engine::Memory, operation)
            })
        });
        Ok(Self { nests: nests.collect::<Result<_>>()?, key: plan.key.clone() })
    }

    /// Reads whole rows of the source, the documents after their columns.
    pub(crate) fn read<'a>(
        &'a self,
        source: &'a dyn Target,
        target: &'a dyn Target,
        slice: &'a Slice,
    ) -> BoxStream<'a, Result<RowBatch>> {
        let rows = source.read(slice);
        if self.nests.is_empty() {
            return rows;
        }
        rows.and_then(move |batch| self.filled(source, target, batch)).boxed()
    }

    /// Whole rows of the source with their documents. A row of which a document cannot be made is set aside as one that cannot
    /// be decoded.
    pub(crate) async fn filled(
        &self,
        source: &dyn Target,
        target: &dyn Target,
        mut batch: RowBatch,
    ) -> Result<RowBatch> {
        for nest in &self.nests {
            let mut rows = std::mem::take(&mut batch.rows).into_iter();
            loop {
                let some: Vec<Row> = rows.by_ref().take(ROWS_AT_ONCE).collect();
                if some.is_empty() {
                    break;
                }
                let fields = nest.fields(source, target, &some).await?;
                for (mut row, field) in some.into_iter().zip(fields) {
                    match field {
                        Ok(value) => {
                            batch.bytes += value.size() as u64;
                            row.push(value);
                            batch.rows.push(row);
                        }
                        Err((kind, reason)) => batch.undecodable.push(QuarantinedRow {
                            key: Key(self.key.iter().map(|at| row[*at].clone()).collect()),
                            column: Some(nest.field.clone()),
                            kind,
                            reason,
                        }),
                    }
                }
            }
        }
        Ok(batch)
    }
}

/// Whether a column holds rows of another table.
pub(crate) fn is_nested(pair: &model::ColumnPlan) -> bool {
    pair.rule.as_ref().is_some_and(|rule| rule.nest().is_some())
}

impl Nest {
    fn new(plan: &TablePlan, field: &str, nest: &NestPlan) -> Option<Self> {
        let ours = |name: &String| plan.source_columns().position(|column| column.name == *name);
        let columns: Arc<[Column]> = nest.table.columns.clone().into();
        let theirs = |name: &String| columns.iter().position(|column| column.name == *name);
        let refers: Vec<usize> = nest.on.iter().map(|(name, _)| theirs(name)).collect::<Option<_>>()?;
        Some(Self {
            field: field.to_owned(),
            plan: nest.clone(),
            refers_to: nest.on.iter().map(|(_, name)| ours(name)).collect::<Option<_>>()?,
            types: refers.iter().map(|at| columns[*at].logical.clone()).collect(),
            refers,
            order: nest.order_by.iter().map(theirs).collect::<Option<_>>()?,
            kept: nest.kept.iter().map(|(source, _)| theirs(&source.name)).collect::<Option<_>>()?,
            columns,
        })
    }

    /// The field's value for each of these rows, in their order.
    async fn fields(
        &self,
        source: &dyn Target,
        target: &dyn Target,
        rows: &[Row],
    ) -> Result<Vec<std::result::Result<Value, Reason>>> {
        let keys: Vec<Option<Key>> = rows.iter().map(|row| self.key_of(row)).collect();
        // Each key is asked for once, and has a family, be it an empty one.
        let mut families = HashMap::new();
        let is_new = |key: &&Key| families.insert(key_digest(key, &self.types), Family::default()).is_none();
        let asked: Vec<Key> = keys.iter().flatten().filter(is_new).cloned().collect();
        if !self.gather(source, target, asked.clone(), &mut families).await? {
            // Equal to the database and not to us: letter case, spaces at the end. It says itself which row is whose.
            families.clear();
            for key in asked {
                let digest = key_digest(&key, &self.types);
                let mut found = HashMap::new();
                let _ = self.gather(source, target, vec![key], &mut found).await?;
                let whole = found.into_values().reduce(Family::with).unwrap_or_default();
                families.insert(digest, whole);
            }
        }
        let none = Family::default();
        let of = |key: &Key| families.get(&key_digest(key, &self.types)).unwrap_or(&none);
        Ok(keys.iter().map(|key| key.as_ref().map_or(&none, of).value(&self.plan)).collect())
    }

    /// What rows of the other table refer to in a row of ours, in the other's types; `None` if none can refer to it.
    fn key_of(&self, row: &Row) -> Option<Key> {
        let value = |(at, logical): (&usize, &LogicalType)| {
            let value = row.get(*at).filter(|value| !value.is_null())?;
            convert(value.clone(), logical).ok()
        };
        self.refers_to.iter().zip(&self.types).map(value).collect::<Option<Vec<_>>>().map(Key)
    }

    /// Reads the rows that refer to these keys into their families; `false` if some refer to none that is there already.
    async fn gather(
        &self,
        source: &dyn Target,
        target: &dyn Target,
        keys: Vec<Key>,
        families: &mut HashMap<RowDigest, Family>,
    ) -> Result<bool> {
        if keys.is_empty() {
            return Ok(true);
        }
        let slice = Slice {
            table: self.plan.table.clone(),
            columns: self.columns.clone(),
            key: self.plan.on.iter().map(|(theirs, _)| theirs.clone()).collect(),
            rows: Selection::Keys(keys),
        };
        let mut are_known = true;
        let mut batches = source.read(&slice);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            for row in batch.undecodable {
                let digest = key_digest(&row.key, &self.types);
                are_known &= families.contains_key(&digest);
                let column = row.column.unwrap_or_default();
                let reason = format!("{}.{column}: {}", self.plan.table.table, row.reason);
                families.entry(digest).or_default().refused = Some((row.kind, reason));
            }
            for row in batch.rows {
                let key = Key(self.refers.iter().map(|at| row[*at].clone()).collect());
                let digest = key_digest(&key, &self.types);
                are_known &= families.contains_key(&digest);
                let family = families.entry(digest).or_default();
                match self.document(target, &row) {
                    Ok(text) => {
                        let marks = self.order.iter().map(|at| row[*at].clone()).collect();
                        family.documents.push((marks, text));
                    }
                    Err(reason) => family.refused = Some(reason),
                }
            }
        }
        Ok(are_known)
    }

    fn document(&self, target: &dyn Target, row: &Row) -> std::result::Result<String, Reason> {
        let mut document = serde_json::Map::new();
        for (at, (_, column)) in self.kept.iter().zip(&self.plan.kept) {
            let value = row[*at].clone();
            if value.is_null() {
                continue;
            }
            let value = target.cut(&value, column).map_or(value, |(kept, _)| kept);
            let member = convert(value, &column.logical)
                .and_then(|value| target.admits(&value, column).map(|()| value))
                .and_then(|value| target.member(&value, column))
                .map_err(|e| (e.kind, format!("{}.{}: {}", self.plan.table.table, column.name, e.reason)))?;
            document.extend(member.map(|member| (column.name.clone(), member)));
        }
        Ok(serde_json::Value::Object(document).to_string())
    }
}

impl Family {
    fn with(mut self, other: Self) -> Self {
        self.documents.extend(other.documents);
        Self { refused: self.refused.or(other.refused), ..self }
    }

    /// A list in its order, or the one document.
    fn value(&self, plan: &NestPlan) -> std::result::Result<Value, Reason> {
        if let Some(reason) = &self.refused {
            return Err(reason.clone());
        }
        if plan.one {
            return match &self.documents[..] {
                [] => Ok(Value::Null),
                [(_, text)] => Ok(Value::Json(text.clone())),
                more => {
                    let reason =
                        format!("{} rows of {} belong to it, which takes one", more.len(), plan.table.table);
                    Err((ErrorKind::Check, reason))
                }
            };
        }
        let mut sorted: Vec<&(Vec<Value>, String)> = self.documents.iter().collect();
        sorted.sort_by(|(a, text), (b, other)| {
            let marks = a.iter().zip(b).map(|(a, b)| order(a, b));
            marks.fold(Ordering::Equal, Ordering::then).then_with(|| text.cmp(other))
        });
        let texts: Vec<&str> = sorted.into_iter().map(|(_, text)| text.as_str()).collect();
        Ok(Value::Json(format!("[{}]", texts.join(","))))
    }
}
