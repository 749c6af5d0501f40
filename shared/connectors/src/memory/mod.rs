//! The reference engine: databases in this process's memory, for tests of everything above a connector.
//!
//! It keeps the contract of [`Source`] and [`Target`] to the letter (real transactions, fences, turns and
//! receipts, NOT NULL, keys, unique indexes, lengths) and nothing more: no spec can name it, nothing survives
//! the process, and foreign keys are counted but not enforced. One writer at a time per database; readers see
//! the version that was published when they began.

mod history;
mod order;
mod table;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use model::convert::{ConvertError, convert};
use model::limits::Gauge;
use model::{
    Activity, Attempt, ChunkId, Column, Engine, ErrorKind, InstallId, Key, Receipt, Row, RowBatch, RunId,
    TablePlan, TableRef, TableSchema, TargetHistory, Turn, Value,
};
use tokio::sync::Notify;

pub use order::NOCASE;

use self::table::{Table, Violation};
use self::write::MemoryWrite;
use crate::error::{Error, Result};
use crate::read_batches::{Decoded, batches};
use crate::{ChunkWrite, Fence, Selection, ServerInfo, Slice, Source, Target, WITHOUT_PARENT};

/// Longest wait for the writer before: longer than any test's transaction, shorter than a test's patience.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Databases by name: a source and a target opened apart find the same one.
static DATABASES: LazyLock<Mutex<HashMap<String, Arc<Database>>>> = LazyLock::new(Mutex::default);

/// A handle to a database of this process.
#[derive(Clone)]
pub struct Memory {
    database: Arc<Database>,
}

struct Database {
    name: String,
    state: Mutex<State>,
    /// Held by a write transaction from begin to end.
    turnstile: Arc<Turnstile>,
}

/// One writer at a time. Whoever waits is told when it is free and has to come and take it: it is never given to one
/// that does not look any more, whose client hangs.
#[derive(Default)]
struct Turnstile {
    inside: AtomicBool,
    freed: Notify,
}

/// The right to write, until it is dropped.
struct Inside(Arc<Turnstile>);

impl Turnstile {
    async fn enter(self: Arc<Self>) -> Inside {
        loop {
            let mut freed = pin!(self.freed.notified());
            // Before the look, so that nothing is missed between look and wait.
            freed.as_mut().enable();
            if !self.inside.swap(true, Ordering::Acquire) {
                return Inside(self.clone());
            }
            freed.await;
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.store(false, Ordering::Release);
        self.0.freed.notify_waiters();
    }
}

#[derive(Default)]
struct State {
    tables: BTreeMap<TableRef, Arc<Table>>,
    turns: HashMap<TableRef, (InstallId, Turn)>,
    attempts: HashMap<ChunkOf, Attempt>,
    receipts: HashMap<ChunkOf, Receipt>,
}

type ChunkOf = (InstallId, RunId, ChunkId);

impl Memory {
    /// The database of this name; made if it is not there.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut databases = DATABASES.lock().unwrap_or_else(PoisonError::into_inner);
        let database = databases.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Database { name: name.to_owned(), state: Mutex::default(), turnstile: Arc::default() })
        });
        Self { database: database.clone() }
    }

    /// Makes an empty table with all its indexes; one of the same name is gone.
    pub fn create_table(&self, schema: TableSchema) {
        self.database.state().publish(&schema.table.clone(), Arc::new(Table::new(schema)));
    }

    /// Drops a table, whoever is using it.
    pub fn drop_table(&self, table: &TableRef) {
        self.database.state().tables.remove(table);
    }

    /// Adds a row (in the table's order of columns), or overwrites the one at its key, as a user beside Syncline
    /// would: it waits for open transactions.
    ///
    /// # Errors
    /// The row breaks a constraint, or the table is missing.
    pub async fn put(&self, table: &TableRef, row: Row) -> Result<()> {
        let operation = format!("put into {table}");
        self.edit(table, &operation, |data| {
            let key = data.schema().key().unwrap_or_default();
            let places = data.places(&key).unwrap_or_default();
            let key = Key(places.iter().map(|place| row[*place].clone()).collect());
            for at in if places.is_empty() { Vec::new() } else { data.positions(&places, &[key]) } {
                data.remove(&at);
            }
            data.insert(row).map(|_| ())
        })
        .await
    }

    /// Takes the row at a key away, if it is there; waits for open transactions.
    ///
    /// # Errors
    /// The table is missing.
    pub async fn remove(&self, table: &TableRef, key: &Key) -> Result<()> {
        self.edit(table, &format!("remove from {table}"), |data| {
            let places = data.places(&data.schema().key().unwrap_or_default()).unwrap_or_default();
            for at in data.positions(&places, std::slice::from_ref(key)) {
                data.remove(&at);
            }
            Ok(())
        })
        .await
    }

    /// All rows of a table in key order; none if there is no such table.
    #[must_use]
    pub fn rows(&self, table: &TableRef) -> Vec<Row> {
        let data = self.database.state().tables.get(table).cloned();
        data.map_or_else(Vec::new, |data| data.rows().map(|row| row.as_ref().clone()).collect())
    }

    /// What the write transactions of a run left as receipts, by chunk.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn receipts(&self, install: InstallId, run: RunId) -> BTreeMap<ChunkId, Receipt> {
        let state = self.database.state();
        let of_run = state.receipts.iter().filter(|((i, r, _), _)| (*i, *r) == (install, run));
        of_run.map(|((_, _, chunk), receipt)| (*chunk, receipt.clone())).collect()
    }

    /// Forgets the database of this name; handles that are open keep theirs.
    #[cfg(any(test, feature = "testing"))]
    pub fn forget(name: &str) {
        DATABASES.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Changes a copy of the table and publishes it if nothing failed.
    async fn edit(
        &self,
        name: &TableRef,
        operation: &str,
        change: impl FnOnce(&mut Table) -> std::result::Result<(), Violation> + Send,
    ) -> Result<()> {
        let _turnstile = self.database.enter(operation).await?;
        let mut table = self.database.state().table(name, operation)?;
        change(Arc::make_mut(&mut table))
            .map_err(|v| Error::new(v.kind, Engine::Memory, operation).with_object(v.object))?;
        self.database.state().publish(name, table);
        Ok(())
    }

    /// The rows a slice covers, in its columns.
    fn selected(&self, slice: &Slice, operation: &str) -> Result<Vec<Row>> {
        let table = self.database.state().table(&slice.table.table, operation)?;
        let unknown = |name: String| unknown_column(operation, &name);
        let key = table.places(&slice.key).map_err(unknown)?;
        let places = table.places(slice.columns.iter().map(|c| &c.name)).map_err(unknown)?;
        let rows = match &slice.rows {
            Selection::Range(range) => table.range(&key, range),
            Selection::Keys(keys) => table.at(&key, keys),
            Selection::Window { by, range } => table.range(&table.places(by).map_err(unknown)?, range),
        };
        Ok(rows.iter().map(|row| places.iter().map(|place| row[*place].clone()).collect()).collect())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("name", &self.database.name).finish_non_exhaustive()
    }
}

impl Database {
    /// The state; the lock is never held across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other writer is inside.
    async fn enter(&self, operation: &str) -> Result<Inside> {
        tokio::time::timeout(LOCK_WAIT, self.turnstile.clone().enter())
            .await
            .map_err(|_| Error::new(ErrorKind::LockWait, Engine::Memory, operation))
    }
}

impl State {
    fn table(&self, name: &TableRef, operation: &str) -> Result<Arc<Table>> {
        let found = self.tables.get(name).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::UnknownTable, Engine::Memory, operation))
    }

    fn has_table(&self, name: &TableRef) -> bool {
        self.tables.contains_key(name)
    }

    fn publish(&mut self, name: &TableRef, table: Arc<Table>) {
        self.tables.insert(name.clone(), table);
    }

    /// Refuses writers of older runs, and of other installations as errors of kind `stranger`.
    fn check_turn(
        &self,
        table: &TableRef,
        (install, turn): (InstallId, Turn),
        stranger: ErrorKind,
        operation: &str,
    ) -> Result<()> {
        match self.turns.get(table) {
            Some((owner, _)) if *owner != install => {
                Err(refusal(stranger, operation, "another installation writes this table"))
            }
            Some((_, held)) if *held > turn => {
                Err(refusal(ErrorKind::Overtaken, operation, "a newer run writes this table"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses attempts older than the one that committed last.
    fn check_fence(&self, fence: &Fence, operation: &str) -> Result<()> {
        match self.attempts.get(&chunk_of(fence)) {
            Some(held) if *held > fence.attempt => {
                Err(refusal(ErrorKind::Fenced, operation, "a newer attempt owns this chunk"))
            }
            _ => Ok(()),
        }
    }

    fn receipt(&self, fence: &Fence) -> Option<Receipt> {
        self.receipts.get(&chunk_of(fence)).cloned()
    }

    /// Keeps the fence and, if none is there, the receipt of a transaction that commits.
    fn settle(&mut self, fence: &Fence, receipt: &Receipt) {
        self.attempts.insert(chunk_of(fence), fence.attempt);
        self.receipts.entry(chunk_of(fence)).or_insert_with(|| receipt.clone());
    }
}

const fn chunk_of(fence: &Fence) -> ChunkOf {
    (fence.install, fence.run, fence.chunk)
}

fn refusal(kind: ErrorKind, operation: &str, by: &str) -> Error {
    Error::new(kind, Engine::Memory, operation).with_object(by)
}

fn unknown_column(operation: &str, name: &str) -> Error {
    Error::new(ErrorKind::UnknownColumn, Engine::Memory, operation).with_object(name)
}

#[async_trait]
impl Source for Memory {
    fn engine(&self) -> Engine {
        Engine::Memory
    }

    async fn server(&self) -> Result<ServerInfo> {
        Ok(ServerInfo { version: "memory".to_owned(), writable: true, encrypted: None, notes: Vec::new() })
    }

    async fn tables(&self) -> Result<Vec<TableRef>> {
        Ok(self.database.state().tables.keys().cloned().collect())
    }

    async fn describe(&self, table: &TableRef) -> Result<Option<TableSchema>> {
        let found = self.database.state().tables.get(table).cloned();
        Ok(found.map(|data| TableSchema { row_estimate: Some(data.len()), ..data.schema().clone() }))
    }

    async fn next_boundary(
        &self,
        table: &TableSchema,
        key: &[String],
        from: Option<&Key>,
        rows: u64,
    ) -> Result<Option<Key>> {
        let operation = format!("find a boundary of {}", table.table);
        let data = self.database.state().table(&table.table, &operation)?;
        let places = data.places(key).map_err(|name| unknown_column(&operation, &name))?;
        let row = data.nth(&places, from, rows);
        Ok(row.map(|row| Key(places.iter().map(|place| row[*place].clone()).collect())))
    }

    async fn count(&self, table: &TableRef, at_most: u64) -> Result<u64> {
        Ok(self.database.state().table(table, &format!("count {table}"))?.len().min(at_most))
    }

    async fn gauge(&self, gauge: &Gauge) -> Result<Option<u64>> {
        Err(Error::new(ErrorKind::Unsupported, Engine::Memory, format!("read the gauge `{gauge}`")))
    }

    /// It has no clock of its own.
    async fn activity(&self, _watched: bool) -> Result<Activity> {
        Err(Error::new(ErrorKind::Unsupported, Engine::Memory, "look at what is under way"))
    }

    async fn greatest(&self, table: &TableSchema, column: &str) -> Result<Option<Value>> {
        let operation = format!("find the greatest {column} of {}", table.table);
        Err(Error::new(ErrorKind::Unsupported, Engine::Memory, operation))
    }

    fn read<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<RowBatch>> {
        let operation = format!("read {}", slice.table.table);
        let rows: BoxStream<'a, Result<Decoded>> = match self.selected(slice, &operation) {
            Ok(rows) => stream::iter(rows.into_iter().map(|row| Ok(Decoded::Row(row)))).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        };
        batches(Engine::Memory, operation, slice.columns.clone(), (crate::BATCH_ROWS_MAX, LOCK_WAIT), rows)
    }
}

#[async_trait]
impl Target for Memory {
    fn column_for(&self, source: &Column) -> Column {
        let collation = source.collation.clone().filter(|name| name == NOCASE);
        Column { collation, ..Column::new(source.name.clone(), source.logical.clone(), source.nullable) }
    }

    fn admits(&self, value: &Value, column: &Column) -> std::result::Result<(), ConvertError> {
        convert(value.clone(), &column.logical).map(|_| ())
    }

    async fn prepare(&self, plan: &TablePlan, install: InstallId, turn: Turn) -> Result<()> {
        let name = &plan.target.table;
        let operation = format!("prepare {name}");
        let _turnstile = self.database.enter(&operation).await?;
        let mut state = self.database.state();
        state.check_turn(name, (install, turn), ErrorKind::Overtaken, &operation)?;
        if !state.has_table(name) {
            if !plan.create_target {
                return Err(Error::new(ErrorKind::UnknownTable, Engine::Memory, operation));
            }
            state.publish(name, Arc::new(Table::new(bare(plan))));
        }
        state.turns.insert(name.clone(), (install, turn));
        Ok(())
    }

    async fn begin(&self, plan: &Arc<TablePlan>, fence: &Fence) -> Result<Box<dyn ChunkWrite>> {
        let turnstile = self.database.enter(&format!("begin on {}", plan.target.table)).await?;
        Ok(Box::new(MemoryWrite::new(self.database.clone(), turnstile, plan, fence)?))
    }

    async fn build_indexes(&self, plan: &TablePlan) -> Result<Vec<String>> {
        let name = &plan.target.table;
        let mut notes = Vec::new();
        self.edit(name, &format!("build indexes of {name}"), |data| {
            for index in &plan.target.indexes {
                let is_there = data.schema().indexes.iter().any(|i| i.name == index.name);
                if !is_there && let Err(violation) = data.add_index(index) {
                    notes.push(format!("index {} was not built: {}", index.name, violation.kind));
                }
            }
            Ok(())
        })
        .await?;
        Ok(notes)
    }

    async fn check_foreign_keys(&self, plan: &TablePlan) -> Result<Vec<String>> {
        let name = &plan.target.table;
        let operation = format!("check foreign keys of {name}");
        if plan.create_target {
            self.edit(name, &operation, |data| {
                for wanted in &plan.target.foreign_keys {
                    if !data.schema().foreign_keys.iter().any(|f| f.name == wanted.name) {
                        data.schema_mut().foreign_keys.push(wanted.clone());
                    }
                }
                Ok(())
            })
            .await?;
        }
        let state = self.database.state();
        let child = state.table(name, &operation)?;
        let keys = &child.schema().foreign_keys;
        Ok(keys.iter().filter_map(|key| broken(&state, &child, key)).collect())
    }

    /// Nothing here acts by itself.
    async fn cascading_children(&self, _table: &TableRef) -> Result<Vec<TableRef>> {
        Ok(Vec::new())
    }

    async fn forget_run(&self, install: InstallId, run: RunId) -> Result<()> {
        let _turnstile = self.database.enter("forget a run").await?;
        let mut state = self.database.state();
        state.attempts.retain(|(i, r, _), _| (*i, *r) != (install, run));
        state.receipts.retain(|(i, r, _), _| (*i, *r) != (install, run));
        Ok(())
    }

    async fn history(&self, install: InstallId) -> Result<TargetHistory> {
        Ok(self.database.state().history(install))
    }

    async fn attempts(
        &self,
        install: InstallId,
        run: RunId,
        after: Option<ChunkId>,
        limit: u32,
    ) -> Result<Vec<(ChunkId, Attempt)>> {
        Ok(self.database.state().attempts_of((install, run), after, limit))
    }

    async fn raise_turns(&self, install: InstallId, turn: Turn) -> Result<u64> {
        let _turnstile = self.database.enter("raise all turns").await?;
        Ok(self.database.state().raise_turns(install, turn))
    }
}

/// The table as it is made: secondary indexes and foreign keys come after the rows, but for the index that tells
/// rows apart where no primary key does.
fn bare(plan: &TablePlan) -> TableSchema {
    let key = plan.target.key().filter(|_| plan.target.primary_key.is_empty());
    let indexes = plan.target.indexes.iter().filter(|i| i.unique && Some(&i.columns) == key.as_ref());
    TableSchema { indexes: indexes.cloned().collect(), foreign_keys: Vec::new(), ..plan.target.clone() }
}

/// A note on a foreign key whose parents are missing.
fn broken(state: &State, child: &Table, key: &model::ForeignKey) -> Option<String> {
    let Some(parent) = state.tables.get(&key.parent) else {
        return Some(format!("foreign key {}: table {} is missing", key.name, key.parent));
    };
    let (Ok(columns), Ok(parent_columns)) = (child.places(&key.columns), parent.places(&key.parent_columns))
    else {
        return Some(format!("foreign key {}: a column is missing", key.name));
    };
    match child.orphans(&columns, parent, &parent_columns) {
        0 => None,
        rows => Some(format!("foreign key {}: {rows} rows are {WITHOUT_PARENT} {}", key.name, key.parent)),
    }
}
