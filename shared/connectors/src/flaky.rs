//! An engine that fails on script: wraps any other, and lets a test decide what becomes of each step.
//!
//! Owns when a step is delayed, rejected, held, or carried out without an answer. Refuses to change what a step does:
//! an engine behind it that is let through behaves as if it stood alone.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use model::convert::ConvertError;
use model::limits::Gauge;
use model::{
    Activity, Attempt, ChunkId, Column, Disposition, Engine, ErrorKind, InstallId, Key, Receipt, Row,
    RowBatch, RunId, TablePlan, TableRef, TableSchema, TargetHistory, Turn, Value,
};
use tokio::sync::Notify;

use crate::error::{Error, Result};
use crate::{ChunkWrite, Fence, ServerInfo, Slice, Source, Target};

/// What is asked of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ask {
    Server,
    Tables,
    Describe,
    NextBoundary,
    Count,
    Read,
    Prepare,
    Begin,
    Existing,
    Insert,
    Update,
    Delete,
    Commit,
    Finish,
    Forget,
}

/// One step: what is asked, of which table, by whom if it is part of a write, and with what turn.
#[derive(Debug, Clone)]
pub struct Step {
    pub ask: Ask,
    pub table: Option<TableRef>,
    pub fence: Option<Fence>,
    pub turn: Option<Turn>,
}

/// What a test makes of the steps of one database.
#[async_trait]
pub trait Script: fmt::Debug + Send + Sync {
    /// Before the step reaches the database. An error keeps it from there; taking long delays it.
    async fn before(&self, step: &Step) -> Result<()>;

    /// After the database has carried it out. An error takes the place of its answer.
    async fn after(&self, step: &Step) -> Result<()>;

    /// A write transaction is open; `line` cuts it off from the server's side, at any time.
    fn opened(&self, step: &Step, receipt: Option<&Receipt>, line: Line);

    /// Whoever wrote has gone without a commit. The server rolls back when `line` is cut or dropped.
    fn left(&self, step: &Step, line: Line);
}

/// The server's end of an open write transaction.
#[derive(Clone)]
pub struct Line(Arc<Mutex<Option<Box<dyn ChunkWrite>>>>);

impl Line {
    fn new(write: Box<dyn ChunkWrite>) -> Self {
        Self(Arc::new(Mutex::new(Some(write))))
    }

    /// Rolls back, as a server does with a client it has given up on: the client's next step finds the connection lost.
    /// Whether there was anything to roll back; a step that the database is at work on is not disturbed.
    pub fn cut(&self) -> bool {
        self.take().is_some()
    }

    fn take(&self) -> Option<Box<dyn ChunkWrite>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, write: Box<dyn ChunkWrite>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(write);
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

/// A database behind a script.
#[derive(Debug)]
pub struct Flaky {
    inner: Arc<dyn Target>,
    script: Arc<dyn Script>,
}

impl Flaky {
    #[must_use]
    pub fn new(inner: Arc<dyn Target>, script: Arc<dyn Script>) -> Self {
        Self { inner, script }
    }

    /// One step under the script.
    async fn step<T>(&self, step: Step, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.script.before(&step).await?;
        let done = work.await?;
        self.script.after(&step).await?;
        Ok(done)
    }
}

fn asked(ask: Ask, table: Option<&TableRef>) -> Step {
    Step { ask, table: table.cloned(), fence: None, turn: None }
}

#[async_trait]
impl Source for Flaky {
    fn engine(&self) -> Engine {
        self.inner.engine()
    }

    async fn server(&self) -> Result<ServerInfo> {
        self.step(asked(Ask::Server, None), self.inner.server()).await
    }

    async fn tables(&self) -> Result<Vec<TableRef>> {
        self.step(asked(Ask::Tables, None), self.inner.tables()).await
    }

    async fn describe(&self, table: &TableRef) -> Result<Option<TableSchema>> {
        self.step(asked(Ask::Describe, Some(table)), self.inner.describe(table)).await
    }

    async fn next_boundary(
        &self,
        table: &TableSchema,
        key: &[String],
        from: Option<&Key>,
        rows: u64,
    ) -> Result<Option<Key>> {
        let step = asked(Ask::NextBoundary, Some(&table.table));
        self.step(step, self.inner.next_boundary(table, key, from, rows)).await
    }

    async fn count(&self, table: &TableRef, at_most: u64) -> Result<u64> {
        self.step(asked(Ask::Count, Some(table)), self.inner.count(table, at_most)).await
    }

    async fn gauge(&self, gauge: &Gauge) -> Result<Option<u64>> {
        self.step(asked(Ask::Server, None), self.inner.gauge(gauge)).await
    }

    async fn activity(&self, watched: bool) -> Result<Activity> {
        self.step(asked(Ask::Server, None), self.inner.activity(watched)).await
    }

    async fn greatest(&self, table: &TableSchema, column: &str) -> Result<Option<Value>> {
        self.step(asked(Ask::NextBoundary, Some(&table.table)), self.inner.greatest(table, column)).await
    }

    /// The script is asked before the first batch and after each.
    fn read<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<RowBatch>> {
        let step = asked(Ask::Read, Some(&slice.table.table));
        let state = Some((step, None));
        stream::unfold(state, move |state| async move {
            let (step, batches) = state?;
            let mut batches = match batches {
                Some(batches) => batches,
                None => match self.script.before(&step).await {
                    Ok(()) => self.inner.read(slice),
                    Err(error) => return Some((Err(error), None)),
                },
            };
            let batch = match batches.next().await? {
                Ok(batch) => self.script.after(&step).await.map(|()| batch),
                Err(error) => Err(error),
            };
            let next = batch.is_ok().then_some((step, Some(batches)));
            Some((batch, next))
        })
        .boxed()
    }
}

#[async_trait]
impl Target for Flaky {
    fn column_for(&self, source: &Column) -> Column {
        self.inner.column_for(source)
    }

    fn takes_documents(&self) -> bool {
        self.inner.takes_documents()
    }

    fn member(
        &self,
        value: &Value,
        column: &Column,
    ) -> std::result::Result<Option<serde_json::Value>, ConvertError> {
        self.inner.member(value, column)
    }

    fn takes_new_columns(&self) -> bool {
        self.inner.takes_new_columns()
    }

    fn cut(&self, value: &Value, column: &Column) -> Option<(Value, &'static str)> {
        self.inner.cut(value, column)
    }

    fn admits(&self, value: &Value, column: &Column) -> std::result::Result<(), ConvertError> {
        self.inner.admits(value, column)
    }

    async fn prepare(&self, plan: &TablePlan, install: InstallId, turn: Turn) -> Result<()> {
        let step = Step { turn: Some(turn), ..asked(Ask::Prepare, Some(&plan.target.table)) };
        self.step(step, self.inner.prepare(plan, install, turn)).await
    }

    async fn begin(&self, plan: &Arc<TablePlan>, fence: &Fence) -> Result<Box<dyn ChunkWrite>> {
        let of = |ask| Step {
            fence: Some(fence.clone()),
            turn: Some(fence.turn),
            ..asked(ask, Some(&plan.target.table))
        };
        self.script.before(&of(Ask::Begin)).await?;
        let inner = self.inner.begin(plan, fence).await?;
        let receipt = inner.receipt().cloned();
        let line = Line::new(inner);
        let step = of(Ask::Begin);
        self.script.opened(&step, receipt.as_ref(), line.clone());
        let write = FlakyWrite { line: Some(line), script: self.script.clone(), step, receipt };
        self.script.after(&of(Ask::Begin)).await?;
        Ok(Box::new(write))
    }

    async fn build_indexes(&self, plan: &TablePlan) -> Result<Vec<String>> {
        let step = asked(Ask::Finish, Some(&plan.target.table));
        self.step(step, self.inner.build_indexes(plan)).await
    }

    async fn check_foreign_keys(&self, plan: &TablePlan) -> Result<Vec<String>> {
        let step = asked(Ask::Finish, Some(&plan.target.table));
        self.step(step, self.inner.check_foreign_keys(plan)).await
    }

    async fn cascading_children(&self, table: &TableRef) -> Result<Vec<TableRef>> {
        self.step(asked(Ask::Describe, Some(table)), self.inner.cascading_children(table)).await
    }

    async fn forget_run(&self, install: InstallId, run: RunId) -> Result<()> {
        self.step(asked(Ask::Forget, None), self.inner.forget_run(install, run)).await
    }

    async fn history(&self, install: InstallId) -> Result<TargetHistory> {
        self.step(asked(Ask::Server, None), self.inner.history(install)).await
    }

    async fn attempts(
        &self,
        install: InstallId,
        run: RunId,
        after: Option<ChunkId>,
        limit: u32,
    ) -> Result<Vec<(ChunkId, Attempt)>> {
        self.step(asked(Ask::Server, None), self.inner.attempts(install, run, after, limit)).await
    }

    async fn raise_turns(&self, install: InstallId, turn: Turn) -> Result<u64> {
        self.step(asked(Ask::Forget, None), self.inner.raise_turns(install, turn)).await
    }
}

/// A write transaction under a script.
struct FlakyWrite {
    /// Gone once committed.
    line: Option<Line>,
    script: Arc<dyn Script>,
    step: Step,
    receipt: Option<Receipt>,
}

impl FlakyWrite {
    fn of(&self, ask: Ask) -> Step {
        Step { ask, ..self.step.clone() }
    }

    /// The transaction as the server has it, once the script lets a step through.
    async fn reach(&self, ask: Ask) -> Result<Box<dyn ChunkWrite>> {
        let lost = || Error::new(ErrorKind::ConnectionLost, Engine::Memory, format!("{ask:?} in a write"));
        let line = self.line.as_ref().ok_or_else(lost)?;
        let passed = self.script.before(&self.of(ask)).await;
        self.kept(&passed);
        passed?;
        line.take().ok_or_else(lost)
    }

    /// Gives the transaction back to the server, unless the step has cost it.
    async fn answered<T>(&self, ask: Ask, write: Box<dyn ChunkWrite>, done: Result<T>) -> Result<T> {
        if let Some(line) = &self.line {
            line.put(write);
        }
        let done = match done {
            Ok(done) => self.script.after(&self.of(ask)).await.map(|()| done),
            Err(error) => Err(error),
        };
        self.kept(&done);
        done
    }

    /// What may be tried again has cost the whole transaction, as the contract says.
    fn kept<T>(&self, done: &Result<T>) {
        let is_lost = done.as_ref().is_err_and(|error| error.kind.disposition() == Disposition::Retry);
        if is_lost && let Some(line) = &self.line {
            line.cut();
        }
    }
}

#[async_trait]
impl ChunkWrite for FlakyWrite {
    fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    async fn existing(&mut self, keys: &[Key]) -> Result<RowBatch> {
        let mut write = self.reach(Ask::Existing).await?;
        let done = write.existing(keys).await;
        self.answered(Ask::Existing, write, done).await
    }

    async fn insert(&mut self, rows: &[Row]) -> Result<()> {
        let mut write = self.reach(Ask::Insert).await?;
        let done = write.insert(rows).await;
        self.answered(Ask::Insert, write, done).await
    }

    async fn update(&mut self, rows: &[Row], changed: &[usize]) -> Result<()> {
        let mut write = self.reach(Ask::Update).await?;
        let done = write.update(rows, changed).await;
        self.answered(Ask::Update, write, done).await
    }

    async fn delete(&mut self, keys: &[Key]) -> Result<u64> {
        let mut write = self.reach(Ask::Delete).await?;
        let done = write.delete(keys).await;
        self.answered(Ask::Delete, write, done).await
    }

    async fn commit(mut self: Box<Self>, receipt: &Receipt) -> Result<()> {
        let write = self.reach(Ask::Commit).await?;
        self.line = None;
        write.commit(receipt).await?;
        self.script.after(&self.of(Ask::Commit)).await
    }
}

impl Drop for FlakyWrite {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            self.script.left(&self.step, line);
        }
    }
}

/// What becomes of one step.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It never reaches the database.
    Reject(ErrorKind),
    /// It is carried out, and the connection breaks before the answer comes.
    LoseAnswer,
    /// It takes this long before it reaches the database.
    Slow(Duration),
    /// It waits for a permit before it reaches the database.
    Hold(Arc<Notify>),
}

/// A script by list: each fault meets the next step of its kind, in the order they were put, and is gone.
#[derive(Debug, Default)]
pub struct Faults {
    to_come: Mutex<VecDeque<(Ask, Fault)>>,
}

impl Faults {
    /// Puts a fault behind those already there.
    pub fn put(&self, ask: Ask, fault: Fault) {
        self.to_come().push_back((ask, fault));
    }

    /// Faults that have met no step yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.to_come().len()
    }

    fn next(&self, ask: Ask, is_after: bool) -> Option<Fault> {
        let mut to_come = self.to_come();
        let fits = |(at, fault): &(Ask, Fault)| *at == ask && matches!(fault, Fault::LoseAnswer) == is_after;
        // The first of this kind of step, or none: a fault for the answer waits for its turn too.
        let first = to_come.iter().position(|(at, _)| *at == ask)?;
        if fits(&to_come[first]) { to_come.remove(first).map(|(_, fault)| fault) } else { None }
    }

    fn to_come(&self) -> std::sync::MutexGuard<'_, VecDeque<(Ask, Fault)>> {
        self.to_come.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Script for Faults {
    async fn before(&self, step: &Step) -> Result<()> {
        match self.next(step.ask, false) {
            Some(Fault::Reject(kind)) => Err(Error::new(kind, Engine::Memory, format!("{:?}", step.ask))),
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Some(Fault::Hold(permit)) => {
                permit.notified().await;
                Ok(())
            }
            Some(Fault::LoseAnswer) | None => Ok(()),
        }
    }

    async fn after(&self, step: &Step) -> Result<()> {
        match self.next(step.ask, true) {
            Some(_) => Err(Error::new(ErrorKind::ConnectionLost, Engine::Memory, format!("{:?}", step.ask))),
            None => Ok(()),
        }
    }

    fn opened(&self, _step: &Step, _receipt: Option<&Receipt>, _line: Line) {}

    fn left(&self, _step: &Step, line: Line) {
        line.cut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn shop() -> (Flaky, Arc<Faults>) {
        let faults = Arc::new(Faults::default());
        (Flaky::new(Arc::new(Memory::named("flaky")), faults.clone()), faults)
    }

    #[tokio::test]
    async fn faults_meet_the_steps_they_are_for_in_their_order() {
        let (shop, faults) = shop();
        faults.put(Ask::Tables, Fault::Reject(ErrorKind::Deadlock));
        faults.put(Ask::Tables, Fault::LoseAnswer);
        faults.put(Ask::Server, Fault::Slow(Duration::from_millis(1)));
        let kind = |done: Result<Vec<TableRef>>| done.map_err(|error| error.kind);
        assert_eq!(kind(shop.tables().await), Err(ErrorKind::Deadlock));
        assert_eq!(kind(shop.tables().await), Err(ErrorKind::ConnectionLost));
        assert_eq!(kind(shop.tables().await), Ok(Vec::new()));
        assert_eq!(faults.left(), 1);
        assert!(shop.server().await.is_ok());
        assert_eq!(faults.left(), 0);
    }

    #[tokio::test]
    async fn a_step_is_held_until_it_is_let_go() {
        let (shop, faults) = shop();
        let permit = Arc::new(Notify::new());
        faults.put(Ask::Server, Fault::Hold(permit.clone()));
        let mut held = shop.server();
        assert!(futures::poll!(held.as_mut()).is_pending());
        permit.notify_one();
        assert!(held.await.is_ok());
    }
}
