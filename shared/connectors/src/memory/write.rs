//! A write transaction: works on its own version of the table, publishes it with the fence and the receipt.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Column, Engine, ErrorKind, Key, Receipt, Row, RowBatch, TablePlan, Value};

use super::table::{Table, Violation};
use super::{Database, Inside, unknown_column};
use crate::error::{Error, Result};
use crate::{ChunkWrite, Fence};

pub(super) struct MemoryWrite {
    database: Arc<Database>,
    /// No other writer, no `prepare` and no edit by a test's hand until this is dropped.
    _turnstile: Inside,
    plan: Arc<TablePlan>,
    fence: Fence,
    receipt: Option<Receipt>,
    table: Arc<Table>,
    /// Where each plan column stands in the table.
    places: Vec<usize>,
    /// Where the key columns stand in the table.
    key: Vec<usize>,
}

impl MemoryWrite {
    pub(super) fn new(
        database: Arc<Database>,
        turnstile: Inside,
        plan: &Arc<TablePlan>,
        fence: &Fence,
    ) -> Result<Self> {
        let operation = format!("begin on {}", plan.target.table);
        let (table, receipt) = {
            let state = database.state();
            let who = (fence.install, fence.turn);
            state.check_turn(&plan.target.table, who, ErrorKind::Fenced, &operation)?;
            state.check_fence(fence, &operation)?;
            (state.table(&plan.target.table, &operation)?, state.receipt(fence))
        };
        let places = table
            .places(plan.columns.iter().map(|c| &c.target.name))
            .map_err(|name| unknown_column(&operation, &name))?;
        let key = plan.key.iter().map(|i| places[*i]).collect();
        Ok(Self {
            database,
            _turnstile: turnstile,
            plan: plan.clone(),
            fence: fence.clone(),
            receipt,
            table,
            places,
            key,
        })
    }

    /// A plan row in table order; columns outside the plan are NULL.
    fn table_row(&self, row: &Row) -> Row {
        let mut whole = vec![Value::Null; self.table.schema().columns.len()];
        for (value, place) in row.iter().zip(&self.places) {
            whole[*place] = value.clone();
        }
        whole
    }

    fn error(&self, verb: &str, violation: Violation) -> Error {
        let operation = format!("{verb} {}", self.plan.target.table);
        Error::new(violation.kind, Engine::Memory, operation).with_object(violation.object)
    }

    /// Replaces the rows at the key of `row`; what was there goes to `before`.
    fn overwrite(
        &mut self,
        row: &Row,
        before: &mut Vec<(Arc<Row>, Option<Vec<super::order::Rank>>)>,
    ) -> Result<()> {
        let key = self.plan.key_of(row);
        let found = self.table.positions(&self.key, &[key]);
        if found.is_empty() && self.plan.key.len() < self.plan.columns.len() {
            let operation = format!("update {}", self.plan.target.table);
            return Err(Error::new(ErrorKind::Internal, Engine::Memory, operation)
                .with_object("rows to be updated that do not exist"));
        }
        for at in found {
            let table = Arc::make_mut(&mut self.table);
            let Some(old) = table.remove(&at) else { continue };
            let mut new = old.as_ref().clone();
            for (i, place) in self.places.iter().enumerate() {
                if !self.plan.key.contains(&i) {
                    new[*place] = row[i].clone();
                }
            }
            match table.insert(new) {
                Ok(now) => before.push((old, Some(now.to_vec()))),
                Err(violation) => {
                    before.push((old, None));
                    return Err(self.error("update", violation));
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl ChunkWrite for MemoryWrite {
    fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    async fn existing(&mut self, keys: &[Key]) -> Result<RowBatch> {
        let columns: Arc<[Column]> = self.plan.columns.iter().map(|c| c.target.clone()).collect();
        let mut batch = RowBatch::new(columns);
        for row in self.table.at(&self.key, keys) {
            batch.push(self.places.iter().map(|place| row[*place].clone()).collect());
        }
        Ok(batch)
    }

    async fn insert(&mut self, rows: &[Row]) -> Result<()> {
        let mut added = Vec::with_capacity(rows.len());
        for row in rows {
            let row = self.table_row(row);
            let table = Arc::make_mut(&mut self.table);
            match table.insert(row) {
                Ok(at) => added.push(at),
                Err(violation) => {
                    for at in added {
                        table.remove(&at);
                    }
                    return Err(self.error("insert into", violation));
                }
            }
        }
        Ok(())
    }

    async fn update(&mut self, rows: &[Row], _changed: &[usize]) -> Result<()> {
        let mut before = Vec::with_capacity(rows.len());
        for row in rows {
            if let Err(error) = self.overwrite(row, &mut before) {
                let table = Arc::make_mut(&mut self.table);
                for (_, now) in &before {
                    now.as_ref().map(|at| table.remove(at));
                }
                for (old, _) in &before {
                    table.restore(old);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn delete(&mut self, keys: &[Key]) -> Result<u64> {
        let doomed = self.table.positions(&self.key, keys);
        let table = Arc::make_mut(&mut self.table);
        for at in &doomed {
            table.remove(at);
        }
        Ok(doomed.len() as u64)
    }

    async fn commit(self: Box<Self>, receipt: &Receipt) -> Result<()> {
        let name = &self.plan.target.table;
        let mut state = self.database.state();
        if !state.has_table(name) {
            return Err(Error::new(ErrorKind::UnknownTable, Engine::Memory, format!("commit on {name}")));
        }
        state.publish(name, self.table.clone());
        state.settle(&self.fence, receipt);
        Ok(())
    }
}
