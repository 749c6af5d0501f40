//! The transaction of a chunk.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use model::{Column, Disposition, ErrorKind, Key, Receipt, Row, RowBatch, TablePlan, TableRef};

use super::own::check_turn;
use super::pool::{Answer, Lease, Pool};
use super::{Protocol, cell_number, decode_row, error, read};
use crate::error::Result;
use crate::sql::select::From;
use crate::sql::write as sql_write;
use crate::{ChunkWrite, Fence};

/// Bytes of a packet around its statement.
const PACKET_MARGIN: usize = 1_024;

/// A write transaction. Dropped, it closes its connection and the server rolls back.
pub(crate) struct ServerWrite<P: Protocol> {
    lease: Lease<P>,
    plan: Arc<TablePlan>,
    fence: Fence,
    receipt: Option<Receipt>,
    columns: Arc<[Column]>,
    operation: String,
    savepoint: &'static str,
    /// No load has been refused yet.
    loads: bool,
    /// No stage has been refused yet.
    stages: bool,
}

pub(crate) async fn begin<P: Protocol>(
    pool: &Arc<Pool<P>>,
    plan: &Arc<TablePlan>,
    fence: &Fence,
) -> Result<ServerWrite<P>> {
    let operation = format!("write table {}", plan.target.table);
    pool.config.circuit.may_write(Instant::now(), &operation)?;
    let mut lease = pool.lease(&operation).await?;
    let name = P::DIALECT.literal(&P::turn_name(&plan.target.table, lease.server()));
    let answers = lease.run(&operation, P::begin_sql(plan, fence, &name)).await?;
    check_turn::<P>(&answers, plan, (fence.install, fence.turn), ErrorKind::Fenced, &operation)?;
    let row = answers.last().and_then(|a| a.rows.first());
    let row =
        row.ok_or_else(|| error::<P>(ErrorKind::Internal, &operation).with_object("_syncline_fence"))?;
    if cell_number::<P>(row, 0) != Some(u64::from(fence.attempt.0)) {
        let newer = format!("{}, which a newer attempt holds", fence.chunk);
        return Err(error::<P>(ErrorKind::Fenced, &operation).with_object(newer));
    }
    let receipt = P::text(row, 1).map(|json| serde_json::from_str(&json)).transpose();
    let receipt = receipt.map_err(|_| {
        error::<P>(ErrorKind::Internal, &operation).with_object("the receipt in _syncline_fence")
    })?;
    let columns = plan.columns.iter().map(|pair| pair.target.clone()).collect();
    Ok(ServerWrite {
        lease,
        plan: plan.clone(),
        fence: fence.clone(),
        receipt,
        columns,
        operation,
        savepoint: P::DIALECT.savepoint().set,
        loads: true,
        stages: true,
    })
}

impl<P: Protocol> ServerWrite<P> {
    /// Refuses what the server would refuse by closing the connection.
    fn fits(&self, sql: &str) -> Result<()> {
        if sql.len() + PACKET_MARGIN > P::statement_bytes_max(self.lease.server()) {
            return Err(error::<P>(ErrorKind::TooLarge, &self.operation).with_object("max_allowed_packet"));
        }
        Ok(())
    }

    fn next_savepoint(&mut self) -> &'static str {
        std::mem::replace(&mut self.savepoint, P::DIALECT.savepoint().set_again)
    }

    /// Rows of a statement; the transaction goes on if it fails.
    async fn select(&mut self, sql: String) -> Result<Vec<P::Row>> {
        self.fits(&sql)?;
        let sql = format!("{}; {sql}", self.next_savepoint());
        let done = self.lease.run(&self.operation, sql).await;
        Ok(self.or_back(done).await?.into_iter().flat_map(|answer| answer.rows).collect())
    }

    /// Runs statements that all hold or none: a failure takes back the earlier ones.
    async fn all_or_none(&mut self, statements: &[String]) -> Result<Vec<Answer<P::Row>>> {
        if let Some(first) = statements.first() {
            // Refused before anything is sent: there is nothing to take back.
            self.fits(first)?;
        }
        let mut answers = Vec::new();
        for (i, sql) in statements.iter().enumerate() {
            let sql = if i == 0 { format!("{}; {sql}", self.next_savepoint()) } else { sql.clone() };
            let done = match self.fits(&sql) {
                Ok(()) => self.lease.run(&self.operation, sql).await.and_then(|a| self.without_warnings(a)),
                Err(too_large) => Err(too_large),
            };
            answers.extend(self.or_back(done).await?);
        }
        Ok(answers)
    }

    /// Takes a call back that failed, unless the whole transaction is lost.
    async fn or_back<T>(&mut self, done: Result<T>) -> Result<T> {
        match &done {
            Err(failed) if failed.kind.disposition() != Disposition::Retry => {
                self.lease.run(&self.operation, P::DIALECT.savepoint().back.to_owned()).await?;
            }
            Ok(_) | Err(_) => {}
        }
        done
    }

    /// In strict mode a warning is a value that was bent after all.
    fn without_warnings(&self, answers: Vec<Answer<P::Row>>) -> Result<Vec<Answer<P::Row>>> {
        let Some(warning) = answers.iter().find_map(|a| a.rows.first()) else {
            return Ok(answers);
        };
        let mut found = P::warning(warning, &self.operation);
        if found.kind.disposition() != Disposition::QuarantineRow {
            found.kind = ErrorKind::Conversion;
        }
        Err(found)
    }

    /// Multi-row INSERTs of the columns at these places, cut by bytes.
    fn inserts(&self, into: &TableRef, rows: &[Row], places: &[usize]) -> Vec<String> {
        let limit = P::statement_bytes(self.lease.server());
        let mut statements = Vec::new();
        let mut rest = rows;
        while let Some((first, mut tail)) = rest.split_first() {
            let mut sql =
                sql_write::insert(P::DIALECT, into, &self.plan, places, std::slice::from_ref(first));
            let mut count = 1;
            while let Some((row, after)) = tail.split_first().filter(|_| count < P::INSERT_ROWS_MAX) {
                let mark = sql.text.len();
                sql.push(", ").push_tuple(places.iter().map(|p| &row[*p]));
                if sql.text.len() > limit {
                    sql.text.truncate(mark);
                    break;
                }
                (tail, count) = (after, count + 1);
            }
            statements.push(sql.text + P::WARNINGS);
            rest = tail;
        }
        statements
    }

    /// Whether rows were updated as one set. Where the server refuses that, or finds another number of rows, nothing has
    /// happened: one by one they tell which row it is.
    async fn is_updated_as_set(&mut self, rows: &[Row], changed: &[usize]) -> Result<bool> {
        let stage = P::stage(&self.plan, self.lease.server(), rows.len(), changed).filter(|_| self.stages);
        let Some(stage) = stage else {
            return Ok(false);
        };
        let all = [vec![stage.open], self.inserts(&stage.table, rows, &stage.places), vec![stage.update]];
        let statements = self.joined(all.into_iter().flatten());
        match self.all_or_none(&statements).await {
            Ok(answers) if answers.last().is_some_and(|a| a.affected == rows.len() as u64) => Ok(true),
            Ok(_) => {
                self.lease.run(&self.operation, P::DIALECT.savepoint().back.to_owned()).await?;
                Ok(false)
            }
            Err(failed) if failed.kind.disposition() == Disposition::Retry => Err(failed),
            Err(failed) => {
                self.stages = failed.kind.disposition() == Disposition::QuarantineRow;
                Ok(false)
            }
        }
    }

    /// UPDATEs of one row each, many to a round trip.
    fn updates(&self, rows: &[Row]) -> Vec<String> {
        let update =
            |row| Some(sql_write::update(P::DIALECT, &self.plan, row)?.text + P::COUNTED + P::WARNINGS);
        let Some(updates) = rows.iter().map(update).collect::<Option<Vec<String>>>() else {
            return Vec::new();
        };
        self.joined(updates)
    }

    /// Statements in their order, as many to a round trip as one should bring bytes.
    fn joined(&self, all: impl IntoIterator<Item = String>) -> Vec<String> {
        let limit = P::statement_bytes(self.lease.server());
        let mut statements: Vec<String> = Vec::new();
        for sql in all {
            match statements.last_mut() {
                Some(last) if last.len() + sql.len() + 2 <= limit => {
                    last.push_str("; ");
                    last.push_str(&sql);
                }
                _ => statements.push(sql),
            }
        }
        statements
    }
}

#[async_trait]
impl<P: Protocol> ChunkWrite for ServerWrite<P> {
    fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    async fn existing(&mut self, keys: &[Key]) -> Result<RowBatch> {
        let list = P::select_list(&self.columns, self.lease.server());
        let plan = Arc::clone(&self.plan);
        let key = plan.target_key();
        // A table made for this plan has the key as its primary key, whatever the plan's picture of it says.
        let index = if self.plan.create_target {
            Some("PRIMARY".to_owned())
        } else {
            read::index_for(&self.plan.target, &key)
        };
        let from = From {
            dialect: P::DIALECT,
            table: &plan.target.table,
            list: list.text.clone(),
            key: &key,
            index: index.as_deref(),
        };
        let mut decoded = Vec::new();
        let mut lists = read::key_lists(keys, P::statement_bytes(self.lease.server()));
        while let Some(keys) = lists.pop() {
            match self.select(from.keys_for_update(keys).text).await {
                Ok(rows) => decoded.extend(
                    rows.iter().map(|row| decode_row::<P>(row, &list, &self.columns, &self.plan.key)),
                ),
                Err(failed) if failed.kind.disposition() != Disposition::QuarantineRow => return Err(failed),
                // No row has a key that the server cannot read. Whoever writes one is told.
                Err(_) if keys.len() == 1 => {}
                Err(_) => lists.extend(<[_; 2]>::from(keys.split_at(keys.len() / 2))),
            }
        }
        Ok(read::batch(&self.columns, decoded))
    }

    async fn insert(&mut self, rows: &[Row]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.loads && self.lease.may_load() && P::loads(&self.plan, rows) {
            let savepoint = self.next_savepoint().to_owned();
            self.lease.run(&self.operation, savepoint).await?;
            let done = self.lease.load(&self.operation, &self.plan, rows).await;
            match self.or_back(done).await {
                Err(failed) if P::LOAD_IS_TERSE && failed.kind.disposition() != Disposition::Retry => {
                    self.loads = false;
                }
                done => return done,
            }
        }
        let places = sql_write::written(&self.plan);
        let statements = self.inserts(&self.plan.target.table, rows, &places);
        self.all_or_none(&statements).await.map(|_| ())
    }

    async fn update(&mut self, rows: &[Row], changed: &[usize]) -> Result<()> {
        if self.is_updated_as_set(rows, changed).await? {
            return Ok(());
        }
        let statements = self.updates(rows);
        if statements.is_empty() {
            return Ok(());
        }
        let answers = self.all_or_none(&statements).await?;
        let found: u64 = answers.iter().map(|a| a.affected).sum();
        if found == rows.len() as u64 {
            return Ok(());
        }
        // The rows were locked when they were looked at, so this is our own mistake; it must not pass unseen.
        let missing = error::<P>(ErrorKind::Internal, &self.operation);
        self.or_back(Err(missing.with_object("rows to be updated that do not exist"))).await
    }

    async fn delete(&mut self, keys: &[Key]) -> Result<u64> {
        let statements: Vec<String> = read::key_lists(keys, P::statement_bytes(self.lease.server()))
            .into_iter()
            .map(|keys| sql_write::delete(P::DIALECT, &self.plan, keys).text + P::COUNTED)
            .collect();
        let answers = self.all_or_none(&statements).await?;
        Ok(answers.iter().map(|a| a.affected).sum())
    }

    async fn commit(mut self: Box<Self>, receipt: &Receipt) -> Result<()> {
        let operation = format!("commit table {}", self.plan.target.table);
        let Fence { install, run, chunk, .. } = &self.fence;
        let json = serde_json::to_string(receipt).map_err(|_| error::<P>(ErrorKind::Internal, &operation))?;
        let sql = format!(
            "UPDATE _syncline_fence SET receipt = {}, updated_at = {} \
             WHERE install = '{install}' AND run = '{run}' AND chunk = '{chunk}'{}",
            P::DIALECT.literal(&json),
            P::DIALECT.now(),
            P::COUNTED
        );
        self.fits(&sql)?;
        let kept = self.lease.run(&operation, sql).await?;
        if kept.first().is_none_or(|answer| answer.affected != 1) {
            return Err(error::<P>(ErrorKind::Fenced, &operation)
                .with_object(format!("{chunk}, whose fence is gone")));
        }
        self.lease.run(&operation, P::commit_sql(&self.plan)).await?;
        // A session without foreign key checks is not lent to anybody.
        if !self.plan.in_cycle {
            self.lease.release();
        }
        Ok(())
    }
}
