//! Which rows of one table differ, by name: for a person who was told that some do.
//!
//! Compares as a verify does, chunk by chunk, and keeps digests only; the rows that differ are read again by key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use connectors::{Result, Selection, Slice, Target};
use futures::StreamExt as _;
use model::canonical::key_digest;
use model::fields::OnFail;
use model::{Column, Key, KeyRange, Row, RowDigest, RowEncoder, TablePlan, TableSchema, Value};

use crate::convert::{self, Refusal};
use crate::expected::Expected;
use crate::fields::Fields;

/// Rows compared at a time; only their digests are held.
const ROWS_PER_CHUNK: u64 = 10_000;
/// Keys asked for in one statement.
const KEYS_PER_LOOKUP: usize = 500;

/// A row that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The target has another value in these columns.
    Different { key: Key, fields: Vec<Field> },
    /// The target has no row at this key.
    Missing { key: Key },
    /// The source has no row at this key; the key is in the target's types.
    Extra { key: Key },
    /// The source's row cannot be written in the target's types, so nothing can equal it.
    NotComparable { key: Key, column: Option<String>, reason: String },
}

/// A column in which the two sides differ: values in the target's types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub column: String,
    pub source: Value,
    pub target: Value,
}

/// Finds up to `limit` rows of a table with a key that differ; source order, then rows only the target has.
///
/// # Errors
/// One of the databases could not be read.
pub async fn diff(
    (plan, fields): (&TablePlan, &Fields),
    source: &dyn Target,
    target: &dyn Target,
    limit: usize,
) -> Result<Vec<Difference>> {
    let sides = Sides { plan, fields, source, target };
    let mut found = Vec::new();
    let mut lower = None;
    while found.len() < limit {
        let range = next_range(source, &plan.source, &plan.source_key(), lower.take()).await?;
        lower.clone_from(&range.upper);
        let rows = sides.source_rows(Selection::Range(range.clone()), &mut found).await?;
        sides.compare(rows, &range, &mut found).await?;
        if lower.is_none() {
            break;
        }
    }
    while found.len() < limit {
        let range = next_range(target, &plan.target, &plan.target_key(), lower.take()).await?;
        lower.clone_from(&range.upper);
        sides.extra(range, limit, &mut found).await?;
        if lower.is_none() {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// Compares the row at one key of the source (in the source's types) on both sides.
///
/// # Errors
/// As [`diff`].
pub async fn diff_row(
    (plan, fields): (&TablePlan, &Fields),
    source: &dyn Target,
    target: &dyn Target,
    key: &Key,
) -> Result<Option<Difference>> {
    let sides = Sides { plan, fields, source, target };
    let mut found = Vec::new();
    let there = sides.source_rows(Selection::Keys(vec![key.clone()]), &mut found).await?;
    if there.is_empty() && found.is_empty() {
        let Some(key) = convert::key_to_target(plan, &key.0) else {
            return Ok(None);
        };
        let rows = sides.target_rows(Selection::Keys(vec![key])).await?;
        return Ok(rows.into_values().next().map(|row| Difference::Extra { key: plan.key_of(&row) }));
    }
    sides.name(there, &mut found).await?;
    Ok(found.pop())
}

async fn next_range(
    side: &dyn Target,
    table: &TableSchema,
    key: &[String],
    lower: Option<Key>,
) -> Result<KeyRange> {
    let upper = side.next_boundary(table, key, lower.as_ref(), ROWS_PER_CHUNK).await?;
    Ok(KeyRange { lower, upper })
}

struct Sides<'a> {
    plan: &'a TablePlan,
    fields: &'a Fields,
    source: &'a dyn Target,
    target: &'a dyn Target,
}

impl Sides<'_> {
    fn source_slice(&self, rows: Selection) -> Slice {
        let columns: Arc<[Column]> = self.plan.source_columns().cloned().collect();
        Slice { table: self.plan.source.clone(), columns, key: self.plan.source_key(), rows }
    }

    fn target_slice(&self, rows: Selection) -> Slice {
        let columns: Arc<[Column]> = self.plan.columns.iter().map(|c| c.target.clone()).collect();
        Slice { table: self.plan.target.clone(), columns, key: self.plan.target_key(), rows }
    }

    /// Keys of a slice of the source, in both sides' types. Rows that cannot be compared are found at once.
    async fn source_rows(&self, rows: Selection, found: &mut Vec<Difference>) -> Result<Vec<Known>> {
        let slice = self.source_slice(rows);
        let mut encoder = RowEncoder::new(self.plan.canonical_types());
        let mut known = Vec::new();
        let mut batches = self.fields.nests.read(self.source, self.target, &slice);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let undecodable = batch.undecodable.into_iter();
            found.extend(undecodable.map(|row| Difference::NotComparable {
                key: row.key,
                column: row.column,
                reason: row.reason,
            }));
            for row in batch.rows {
                let source = self.plan.key_of(&row);
                match convert::row(self.plan, self.fields, self.target, row) {
                    Ok(row) => known.push(Known {
                        source,
                        target: self.plan.key_of(&row),
                        row: encoder.digest(&row),
                    }),
                    Err(refused) if matches!(refused.then, OnFail::Skip | OnFail::Delete) => {}
                    Err(Refusal { row, .. }) => found.push(Difference::NotComparable {
                        key: row.key,
                        column: row.column,
                        reason: row.reason,
                    }),
                }
            }
        }
        Ok(known)
    }

    /// Rows of a slice of the target by the digest of their keys.
    async fn target_rows(&self, rows: Selection) -> Result<HashMap<RowDigest, Row>> {
        let types = self.plan.key_types();
        let slice = self.target_slice(rows);
        let mut rows = HashMap::new();
        let mut batches = self.target.read(&slice);
        while let Some(batch) = batches.next().await {
            rows.extend(
                batch?.rows.into_iter().map(|row| (key_digest(&self.plan.key_of(&row), &types), row)),
            );
        }
        Ok(rows)
    }

    /// Reads the target's side of a chunk and names what is not as it should be.
    async fn compare(&self, known: Vec<Known>, range: &KeyRange, found: &mut Vec<Difference>) -> Result<()> {
        let mut expected = Expected::new(self.plan);
        for row in &known {
            expected.accept(row.target.clone(), row.row);
        }
        let rows = if self.plan.is_order_safe() {
            Selection::Range(range.clone())
        } else {
            Selection::Keys(std::mem::take(&mut expected.keys))
        };
        let slice = self.target_slice(rows);
        let mut encoder = RowEncoder::new(self.plan.canonical_types());
        let mut batches = self.target.read(&slice);
        while let Some(batch) = batches.next().await {
            for row in batch?.rows {
                let key = expected.key_digest(&self.plan.key_of(&row));
                let promised = expected.rows.get(&key).and_then(|promised| promised.held.digest());
                let is_equal = promised == Some(encoder.digest(&row));
                if is_equal {
                    expected.rows.remove(&key);
                }
            }
        }
        drop(batches);
        let suspects =
            known.into_iter().filter(|row| expected.rows.contains_key(&expected.key_digest(&row.target)));
        let suspects: Vec<Known> = suspects.collect();
        for some in suspects.chunks(KEYS_PER_LOOKUP) {
            self.name(some.to_vec(), found).await?;
        }
        Ok(())
    }

    /// Reads both sides of these rows again and says in which columns they differ.
    async fn name(&self, known: Vec<Known>, found: &mut Vec<Difference>) -> Result<()> {
        let types = self.plan.key_types();
        let mut targets =
            self.target_rows(Selection::Keys(known.iter().map(|k| k.target.clone()).collect())).await?;
        let slice = self.source_slice(Selection::Keys(known.iter().map(|k| k.source.clone()).collect()));
        let mut sources = HashMap::new();
        let mut batches = self.fields.nests.read(self.source, self.target, &slice);
        while let Some(batch) = batches.next().await {
            for row in batch?.rows {
                if let Ok(row) = convert::row(self.plan, self.fields, self.target, row) {
                    sources.insert(key_digest(&self.plan.key_of(&row), &types), row);
                }
            }
        }
        for Known { source: key, target, .. } in known {
            let digest = key_digest(&target, &types);
            match (sources.remove(&digest), targets.remove(&digest)) {
                (Some(_), None) => found.push(Difference::Missing { key }),
                (Some(source), Some(target)) => {
                    let fields = self.fields(&source, &target);
                    if !fields.is_empty() {
                        found.push(Difference::Different { key, fields });
                    }
                }
                // Gone since: the next look finds what is true then.
                (None, _) => {}
            }
        }
        Ok(())
    }

    fn fields(&self, source: &Row, target: &Row) -> Vec<Field> {
        let field = |place: usize| Field {
            column: self.plan.columns[place].target.name.clone(),
            source: source[place].clone(),
            target: target[place].clone(),
        };
        let mut encoder = RowEncoder::new(self.plan.canonical_types());
        encoder.differing(source, target).into_iter().map(field).collect()
    }

    /// Rows of the target whose key the source lacks.
    async fn extra(&self, range: KeyRange, limit: usize, found: &mut Vec<Difference>) -> Result<()> {
        let types = self.plan.key_types();
        let key_slice = Slice {
            columns: self.plan.key.iter().map(|i| self.plan.columns[*i].target.clone()).collect(),
            ..self.target_slice(Selection::Range(range))
        };
        let mut batches = self.target.read(&key_slice);
        while let Some(batch) = batches.next().await {
            for keys in batch?.rows.chunks(KEYS_PER_LOOKUP) {
                let there = self.at_source(keys).await?;
                let absent =
                    keys.iter().cloned().map(Key).filter(|key| !there.contains(&key_digest(key, &types)));
                found.extend(absent.map(|key| Difference::Extra { key }));
                if found.len() >= limit {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Digests of those target keys that the source has.
    async fn at_source(&self, keys: &[Row]) -> Result<HashSet<RowDigest>> {
        let types = self.plan.key_types();
        let asked =
            keys.iter().filter_map(|key| convert::key_to_source(self.plan, &Key(key.clone()))).collect();
        let slice = Slice {
            columns: self.plan.key.iter().map(|i| self.plan.columns[*i].source.clone()).collect(),
            ..self.source_slice(Selection::Keys(asked))
        };
        let mut there = HashSet::new();
        let mut batches = self.source.read(&slice);
        while let Some(batch) = batches.next().await {
            for row in batch?.rows {
                there.extend(convert::key_to_target(self.plan, &row).map(|key| key_digest(&key, &types)));
            }
        }
        Ok(there)
    }
}

/// A source row by its keys and digest.
#[derive(Clone)]
struct Known {
    source: Key,
    target: Key,
    row: RowDigest,
}
