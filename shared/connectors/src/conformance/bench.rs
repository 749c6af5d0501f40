//! One table under test: made through the product, written through chunks, read through slices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use model::plan::DeleteGuard;
use model::{
    Attempt, ChunkDigest, ChunkId, Column, ColumnPlan, Counts, Disposition, ErrorKind, InstallId, Key,
    KeyRange, LogicalType, MergePolicy, Receipt, Row, RowBatch, RowEncoder, RunId, TablePlan, TableRef,
    TableSchema, Turn, Value, convert,
};
use uuid::Uuid;

use super::Lab;
use crate::{
    BATCH_BYTES_MAX, BATCH_ROWS_MAX, ChunkWrite, Error, Fence, Result, Role, Selection, Slice, Target,
};

/// No case may hang: whatever takes longer is stuck.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The installation of all cases.
/// The places of all columns that a table here has.
pub(super) const EVERY: [usize; 128] = {
    let mut places = [0; 128];
    let mut at = 0;
    while at < places.len() {
        places[at] = at;
        at += 1;
    }
    places
};
pub(super) const INSTALL: InstallId = InstallId::from_uuid(Uuid::from_u128(0x5ec7));

pub(super) const INT64: LogicalType = LogicalType::Int { bits: 64, unsigned: false };
pub(super) const INT32: LogicalType = LogicalType::Int { bits: 32, unsigned: false };

pub(super) const fn text(max_chars: u64) -> LogicalType {
    LogicalType::Text { max_chars: Some(max_chars), fixed: false, long: false }
}

pub(super) const fn bytes(max_bytes: u64) -> LogicalType {
    LogicalType::Bytes { max_bytes: Some(max_bytes), fixed: false, long: false }
}

/// A column that may be NULL.
pub(super) fn open(name: &str, logical: LogicalType) -> Column {
    Column::new(name, logical, true)
}

/// A column that may not.
pub(super) fn strict(name: &str, logical: LogicalType) -> Column {
    Column::new(name, logical, false)
}

pub(super) fn schema(name: &str, columns: Vec<Column>, key: &[&str]) -> TableSchema {
    TableSchema {
        table: TableRef::named(name),
        columns,
        primary_key: key.iter().map(|c| (*c).to_owned()).collect(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        row_estimate: None,
    }
}

/// Rows `id, text` with a table for them: what most cases need.
pub(super) fn simple(name: &str) -> TableSchema {
    schema(name, vec![strict("id", INT64), open("label", text(200))], &["id"])
}

pub(super) fn row(id: i64, label: &str) -> Row {
    vec![Value::Int(id), Value::Text(label.to_owned())]
}

pub(super) fn key(id: i64) -> Key {
    Key(vec![Value::Int(id)])
}

/// A plan to make `source` anew at this target.
pub(super) fn plan_for(target: &dyn Target, source: TableSchema) -> TablePlan {
    let columns: Vec<ColumnPlan> = source
        .columns
        .iter()
        .map(|column| {
            let made = target.column_for(column);
            ColumnPlan {
                source: column.clone(),
                canonical: made.logical.clone(),
                target: made,
                loss: None,
                rule: None,
            }
        })
        .collect();
    let made = TableSchema { columns: columns.iter().map(|c| c.target.clone()).collect(), ..source.clone() };
    plan_of(source, made, columns, true)
}

/// A plan for a table that is there.
pub(super) fn plan_as_is(there: &TableSchema) -> TablePlan {
    let columns = there
        .columns
        .iter()
        .map(|c| ColumnPlan {
            source: c.clone(),
            target: c.clone(),
            canonical: c.logical.clone(),
            loss: None,
            rule: None,
        })
        .collect();
    plan_of(there.clone(), there.clone(), columns, false)
}

fn plan_of(
    source: TableSchema,
    target: TableSchema,
    columns: Vec<ColumnPlan>,
    create_target: bool,
) -> TablePlan {
    let named = |name: &String| source.columns.iter().position(|c| c.name == *name).expect("a key column");
    let key = source.key().unwrap_or_default().iter().map(named).collect();
    TablePlan {
        v: 1,
        source,
        target,
        columns,
        key,
        policy: MergePolicy::SourceWins,
        create_target,
        fresh: create_target,
        wave: 0,
        in_cycle: false,
        rows_per_chunk: 1_000,
        delete_guard: DeleteGuard::default(),
        quarantined_max: 0,
        notes: Vec::new(),
        window: None,
        range: None,
        inputs: Vec::new(),
        nests: vec![],
    }
}

pub(super) fn receipt(attempt: u32, inserted: u64) -> Receipt {
    let counts = Counts { read: inserted, inserted, ..Counts::default() };
    let source_digest = ChunkDigest { rows: inserted, sum: 42 };
    Receipt {
        v: 1,
        attempt: Attempt(attempt),
        counts,
        source_digest,
        quarantined: Vec::new(),
        conflicts: Vec::new(),
        cut: None,
    }
}

/// Asserts that an operation was refused, and for which kind of reason.
pub(super) fn refused<T>(result: Result<T>, kinds: &[ErrorKind]) -> Error {
    match result {
        Ok(_) => panic!("this should have been refused: {kinds:?}"),
        Err(error) if kinds.contains(&error.kind) => error,
        Err(error) => panic!("refused, but as {error}, not as {kinds:?}"),
    }
}

/// Whether two values are one in every respect that a connector must keep.
pub(super) fn same(a: &Value, b: &Value, logical: &LogicalType) -> bool {
    let mut encoder = RowEncoder::new(vec![logical.clone()]);
    a.kind() == b.kind() && encoder.encode(std::slice::from_ref(a)) == encoder.encode(std::slice::from_ref(b))
}

pub(super) struct Bench {
    pub(super) target: Arc<dyn Target>,
    /// The same database as a reader sees it.
    pub(super) source: Arc<dyn Target>,
    pub(super) plan: Arc<TablePlan>,
    /// The table as described after it was made, columns in plan order.
    pub(super) schema: TableSchema,
    pub(super) run: RunId,
}

impl Bench {
    /// Makes the table and describes it.
    pub(super) async fn create(lab: &dyn Lab, source: TableSchema) -> Self {
        let plan = plan_for(lab.open(Role::Target).as_ref(), source);
        Self::prepare(lab, plan).await
    }

    /// Takes a table that native SQL has made.
    pub(super) async fn adopt(lab: &dyn Lab, name: &str) -> Self {
        let there = lab.open(Role::Target).describe(&TableRef::named(name)).await.expect("described");
        Self::prepare(lab, plan_as_is(&there.expect("the table is there"))).await
    }

    pub(super) async fn prepare(lab: &dyn Lab, plan: TablePlan) -> Self {
        let target = lab.open(Role::Target);
        target.prepare(&plan, INSTALL, Turn(1)).await.expect("prepared");
        let source = lab.open(Role::Source);
        let described =
            source.describe(&plan.target.table).await.expect("described").expect("the table was made");
        let in_plan_order = plan
            .columns
            .iter()
            .map(|c| described.column(&c.target.name).expect("each column was made").clone())
            .collect();
        let schema = TableSchema { columns: in_plan_order, ..described };
        Self { target, source, plan: Arc::new(plan), schema, run: RunId::generate() }
    }

    pub(super) fn fence(&self, attempt: u32) -> Fence {
        Fence {
            install: INSTALL,
            run: self.run,
            turn: Turn(1),
            chunk: ChunkId::generate(),
            attempt: Attempt(attempt),
        }
    }

    /// A write transaction on a chunk of its own.
    pub(super) async fn begin(&self) -> Box<dyn ChunkWrite> {
        self.target.begin(&self.plan, &self.fence(1)).await.expect("begun")
    }

    /// Inserts and commits, in batches as a worker would.
    pub(super) async fn insert(&self, rows: &[Row]) {
        let mut write = self.begin().await;
        let mut batch = RowBatch::new(Arc::from([]));
        for row in rows {
            batch.push(row.clone());
            if batch.is_full(BATCH_ROWS_MAX, BATCH_BYTES_MAX / 4) {
                write.insert(&batch.rows).await.expect("inserted");
                batch = RowBatch::new(Arc::from([]));
            }
        }
        write.insert(&batch.rows).await.expect("inserted");
        write.commit(&receipt(1, rows.len() as u64)).await.expect("committed");
    }

    /// The row as the target's columns keep it, if they can.
    ///
    /// # Errors
    /// The kind of the refusal; it must be one that sets a row aside.
    pub(super) fn admitted(&self, row: Row) -> std::result::Result<Row, ErrorKind> {
        let mut kept = Vec::with_capacity(row.len());
        for (value, column) in row.into_iter().zip(&self.plan.columns) {
            let admitted = convert(value, &column.target.logical)
                .and_then(|value| self.target.admits(&value, &column.target).map(|()| value));
            match admitted {
                Ok(value) => kept.push(value),
                Err(error) => {
                    assert_eq!(
                        error.kind.disposition(),
                        Disposition::QuarantineRow,
                        "{}: {error}",
                        column.target.name
                    );
                    return Err(error.kind);
                }
            }
        }
        Ok(kept)
    }

    /// Tries to insert one row.
    ///
    /// # Errors
    /// The kind of the refusal; it must be one that sets a row aside.
    pub(super) async fn offer(
        &self,
        write: &mut dyn ChunkWrite,
        row: Row,
    ) -> std::result::Result<Row, ErrorKind> {
        let row = self.admitted(row)?;
        match write.insert(std::slice::from_ref(&row)).await {
            Ok(()) => Ok(row),
            Err(error) => {
                assert_eq!(error.kind.disposition(), Disposition::QuarantineRow, "{error}");
                Err(error.kind)
            }
        }
    }

    pub(super) fn slice(&self, rows: Selection) -> Slice {
        Slice {
            table: self.schema.clone(),
            columns: self.schema.columns.clone().into(),
            key: self.plan.target_key(),
            rows,
        }
    }

    /// Reads a selection, checking each batch.
    pub(super) async fn read(&self, rows: Selection) -> Vec<Row> {
        let slice = self.slice(rows);
        let batches: Vec<RowBatch> = self.source.read(&slice).try_collect().await.expect("read");
        for batch in &batches {
            assert!(batch.undecodable.is_empty(), "undecodable: {:?}", batch.undecodable);
            assert!(!batch.rows.is_empty(), "a batch without rows");
            assert!(batch.rows.len() <= BATCH_ROWS_MAX, "a batch of {} rows", batch.rows.len());
            let last = batch.rows.last().map_or(0, |row| row.iter().map(|v| v.size() as u64).sum());
            assert!(batch.bytes - last < BATCH_BYTES_MAX, "a batch of {} bytes", batch.bytes);
        }
        batches.into_iter().flat_map(|batch| batch.rows).collect()
    }

    pub(super) async fn all(&self) -> Vec<Row> {
        self.read(Selection::Range(KeyRange::all())).await
    }

    /// Asserts that the table holds exactly these rows, by the key in their first column: read as a range, as a
    /// list of keys, and inside a write transaction.
    pub(super) async fn holds(&self, expected: &BTreeMap<i64, Row>) {
        self.compare("range", &self.all().await, expected);
        let keys: Vec<Key> = expected.values().map(|row| self.plan.key_of(row)).collect();
        let mut write = self.begin().await;
        for (keys, rows) in keys.chunks(500).zip(expected.values().collect::<Vec<_>>().chunks(500)) {
            let expected = rows.iter().map(|row| (id_of(row), (*row).clone())).collect();
            self.compare("key list", &self.read(Selection::Keys(keys.to_vec())).await, &expected);
            self.compare("existing", &write.existing(keys).await.expect("read").rows, &expected);
        }
    }

    /// Tells all differences at once: one bad codec shows as a list.
    fn compare(&self, how: &str, found: &[Row], expected: &BTreeMap<i64, Row>) {
        assert_eq!(found.len(), expected.len(), "rows read by {how}");
        let mut bent = Vec::new();
        for row in found {
            for ((got, want), column) in row.iter().zip(&expected[&id_of(row)]).zip(&self.plan.columns) {
                if !same(got, want, &column.canonical) {
                    let (name, native) = (&column.target.name, &column.target.native);
                    bent.push(format!("{name} {native}: wrote {want:?}, read {got:?}"));
                }
            }
        }
        assert!(bent.is_empty(), "by {how}:\n{}", bent.join("\n"));
    }
}

/// The integer in the first column.
pub(super) fn id_of(row: &Row) -> i64 {
    let Value::Int(id) = row[0] else { panic!("an id is an integer, not {}", row[0].kind()) };
    id
}
