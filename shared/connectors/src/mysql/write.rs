//! Writing: turns, fences, and the transactions of chunks.
//!
//! Own tables live in the connection's database: `_syncline_turn` remembers which run of which installation holds
//! a table, `_syncline_fence` the highest attempt at a chunk and its receipt.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use model::{Column, ErrorKind, InstallId, Key, Receipt, Row, RowBatch, RunId, TablePlan, TableRef, Turn};

use super::session::{Answer, Lease, Pool, Server, error};
use super::{catalog, classify, codec, ddl, read, server};
use crate::error::Result;
use crate::sql::select::From;
use crate::sql::{Dialect, write as sql_write};
use crate::{ChunkWrite, Fence};

/// Longer statements the server would answer by closing the connection.
const PACKET_MARGIN: usize = 1_024;
const SAVEPOINT: &str = "SAVEPOINT syncline";

const OWN_TABLES: [(&str, &str); 2] = [
    (
        "_syncline_turn",
        "CREATE TABLE IF NOT EXISTS _syncline_turn (\
         table_name varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
         install varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         turn bigint unsigned NOT NULL, \
         PRIMARY KEY (table_name)) ENGINE=InnoDB",
    ),
    (
        "_syncline_fence",
        "CREATE TABLE IF NOT EXISTS _syncline_fence (\
         install varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         run varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         chunk varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
         attempt int unsigned NOT NULL, \
         receipt longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, \
         updated_at datetime(6) NOT NULL, \
         PRIMARY KEY (install, run, chunk)) ENGINE=InnoDB",
    ),
];

pub(super) async fn prepare(
    pool: &Arc<Pool>,
    plan: &TablePlan,
    install: InstallId,
    turn: Turn,
) -> Result<()> {
    let operation = format!("prepare table {}", plan.target.table);
    pool.config.circuit.may_write(Instant::now(), &operation)?;
    let mut lease = pool.lease(&operation).await?;
    server::open_for_writing(&mut lease, &operation).await?;
    if lease.server().database.is_none() {
        return Err(
            error(ErrorKind::UnknownDatabase, &operation).with_object("the connection names no database")
        );
    }
    for (name, create) in OWN_TABLES {
        // Looked for first: a user who may not create tables can use those somebody made.
        if engine_of(&mut lease, &TableRef::named(name), &operation).await?.is_none() {
            lease.run(&operation, create.to_owned()).await?;
        }
    }
    raise_turn(&mut lease, plan, install, turn, &operation).await?;
    make_table(&mut lease, plan, &operation).await?;
    lease.release();
    Ok(())
}

/// The storage engine of a table, if the table exists.
async fn engine_of(lease: &mut Lease, table: &TableRef, operation: &str) -> Result<Option<String>> {
    let schema = table.schema.as_deref().map_or_else(|| "DATABASE()".to_owned(), catalog::quote);
    let sql = format!(
        "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {}",
        catalog::quote(&table.name)
    );
    let rows = lease.rows(operation, sql).await?;
    Ok(rows.first().map(|row| codec::cell_text(row, 0).unwrap_or_default().to_owned()))
}

/// The name under which a turn is kept.
fn turn_name(table: &TableRef, server: &Server) -> String {
    let schema = table.schema.as_deref().or(server.database.as_deref()).unwrap_or_default();
    let name = format!("{schema}.{}", table.name);
    if server.folds_names { name.to_lowercase() } else { name }
}

/// Waits for writers that hold the turn shared, so that none of an older run is left when this returns.
async fn raise_turn(
    lease: &mut Lease,
    plan: &TablePlan,
    install: InstallId,
    turn: Turn,
    operation: &str,
) -> Result<()> {
    let name = catalog::quote(&turn_name(&plan.target.table, lease.server()));
    let sql = format!(
        "START TRANSACTION READ WRITE; \
         INSERT INTO _syncline_turn (table_name, install, turn) VALUES ({name}, '{install}', {turn}) \
         ON DUPLICATE KEY UPDATE turn = IF(install = '{install}', GREATEST(turn, {turn}), turn); \
         SELECT install, turn FROM _syncline_turn WHERE table_name = {name} FOR UPDATE",
        turn = turn.0
    );
    let answers = lease.run(operation, sql).await?;
    check_turn(&answers, plan, (install, turn), ErrorKind::Overtaken, operation)?;
    lease.run(operation, "COMMIT".to_owned()).await?;
    Ok(())
}

/// Refuses writers of older runs, and of other installations as errors of kind `stranger`.
fn check_turn(
    answers: &[Answer],
    plan: &TablePlan,
    (install, turn): (InstallId, Turn),
    stranger: ErrorKind,
    operation: &str,
) -> Result<()> {
    let refused = |kind, object: String| Err(error(kind, operation).with_object(object));
    let table = &plan.target.table;
    let unprepared = || format!("table {table}, which this run has not prepared");
    let Some(row) = answers.iter().find_map(|a| a.rows.first()) else {
        return refused(ErrorKind::Fenced, unprepared());
    };
    let holder = codec::cell_text(row, 0).unwrap_or_default();
    if holder != install.to_string() {
        let why = format!(
            "table {table}: another installation writes this table ({holder}; its row in _syncline_turn says so)"
        );
        return refused(stranger, why);
    }
    match codec::cell_number(row, 1) {
        Some(held) if held == turn.0 => Ok(()),
        Some(held) if held > turn.0 => {
            refused(ErrorKind::Overtaken, format!("table {table}, which a newer run holds"))
        }
        _ => refused(ErrorKind::Fenced, unprepared()),
    }
}

async fn make_table(lease: &mut Lease, plan: &TablePlan, operation: &str) -> Result<()> {
    let table = &plan.target.table;
    match engine_of(lease, table, operation).await? {
        // Rows and receipt must be committed as one.
        Some(engine) if engine != "InnoDB" => Err(error(ErrorKind::Unsupported, operation)
            .with_object(format!("storage engine {engine}, which has no transactions"))),
        Some(_) => Ok(()),
        None if plan.create_target => {
            let collations = collations(lease, operation).await?;
            let sql = ddl::create_table(plan, lease.server(), &collations);
            lease.run(operation, sql).await.map(|_| ())
        }
        None => Err(error(ErrorKind::UnknownTable, operation).with_object(table.to_string())),
    }
}

async fn collations(lease: &mut Lease, operation: &str) -> Result<HashSet<String>> {
    // MariaDB lists its newer collations without the character set, except here.
    let sql = if lease.server().mariadb {
        "SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
    } else {
        "SELECT COLLATION_NAME FROM information_schema.COLLATIONS"
    };
    let rows = lease.rows(operation, sql.to_owned()).await?;
    Ok(rows.iter().filter_map(|row| codec::cell_text(row, 0).map(ToOwned::to_owned)).collect())
}

pub(super) async fn forget_run(pool: &Arc<Pool>, install: InstallId, run: RunId) -> Result<()> {
    let operation = format!("forget run {run}");
    let mut lease = pool.lease(&operation).await?;
    let sql = format!("DELETE FROM _syncline_fence WHERE install = '{install}' AND run = '{run}'");
    match lease.run_long(&operation, sql).await {
        Ok(_) => {
            lease.release();
            Ok(())
        }
        Err(failed) if failed.kind == ErrorKind::UnknownTable => Ok(()),
        Err(failed) => Err(failed),
    }
}

/// A write transaction. Dropped, it closes its connection and the server rolls back.
pub(super) struct MysqlWrite {
    lease: Lease,
    plan: Arc<TablePlan>,
    fence: Fence,
    receipt: Option<Receipt>,
    columns: Arc<[Column]>,
    operation: String,
}

pub(super) async fn begin(pool: &Arc<Pool>, plan: &Arc<TablePlan>, fence: &Fence) -> Result<MysqlWrite> {
    let operation = format!("write table {}", plan.target.table);
    pool.config.circuit.may_write(Instant::now(), &operation)?;
    let mut lease = pool.lease(&operation).await?;
    let name = catalog::quote(&turn_name(&plan.target.table, lease.server()));
    let Fence { install, run, chunk, attempt, .. } = fence;
    let sql = format!(
        "SET SESSION foreign_key_checks = {checks}; \
         START TRANSACTION READ WRITE; \
         SELECT install, turn FROM _syncline_turn WHERE table_name = {name} LOCK IN SHARE MODE; \
         INSERT INTO _syncline_fence (install, run, chunk, attempt, updated_at) \
         VALUES ('{install}', '{run}', '{chunk}', {attempt}, UTC_TIMESTAMP(6)) \
         ON DUPLICATE KEY UPDATE attempt = GREATEST(attempt, {attempt}); \
         SELECT attempt, receipt FROM _syncline_fence \
         WHERE install = '{install}' AND run = '{run}' AND chunk = '{chunk}' FOR UPDATE",
        checks = u8::from(!plan.in_cycle),
    );
    let answers = lease.run(&operation, sql).await?;
    check_turn(&answers, plan, (*install, fence.turn), ErrorKind::Fenced, &operation)?;
    let row = answers.last().and_then(|a| a.rows.first());
    let row = row.ok_or_else(|| error(ErrorKind::Internal, &operation).with_object("_syncline_fence"))?;
    if codec::cell_number(row, 0) != Some(u64::from(attempt.0)) {
        return Err(
            error(ErrorKind::Fenced, &operation).with_object(format!("{chunk}, which a newer attempt holds"))
        );
    }
    let receipt = codec::cell_text(row, 1).map(serde_json::from_str).transpose();
    let receipt = receipt
        .map_err(|_| error(ErrorKind::Internal, &operation).with_object("the receipt in _syncline_fence"))?;
    let columns = plan.columns.iter().map(|pair| pair.target.clone()).collect();
    Ok(MysqlWrite { lease, plan: plan.clone(), fence: fence.clone(), receipt, columns, operation })
}

impl MysqlWrite {
    /// Refuses what the server would refuse by closing the connection.
    fn fits(&self, sql: &str) -> Result<()> {
        if sql.len() + PACKET_MARGIN > self.lease.server().packet_max {
            return Err(error(ErrorKind::TooLarge, &self.operation).with_object("max_allowed_packet"));
        }
        Ok(())
    }

    /// Runs statements that all hold or none: a failure takes back the earlier ones.
    async fn all_or_none(&mut self, statements: &[String]) -> Result<Vec<Answer>> {
        let mut answers = Vec::new();
        for (i, sql) in statements.iter().enumerate() {
            let lead = if i == 0 { SAVEPOINT } else { "DO 0" };
            let sql = format!("{lead}; {sql}");
            let done = match self.fits(&sql) {
                Ok(()) => self.lease.run(&self.operation, sql).await.and_then(|a| self.without_warnings(a)),
                Err(too_large) => Err(too_large),
            };
            match done {
                Ok(done) => answers.extend(done),
                Err(failed) if failed.kind.disposition() == model::Disposition::Retry => return Err(failed),
                // The very first statement is refused before it is sent: there is nothing to take back.
                Err(failed) if failed.kind == ErrorKind::TooLarge && i == 0 => return Err(failed),
                Err(failed) => {
                    self.lease.run(&self.operation, format!("ROLLBACK TO {SAVEPOINT}")).await?;
                    return Err(failed);
                }
            }
        }
        Ok(answers)
    }

    /// In strict mode a warning is a value that was bent after all.
    fn without_warnings(&self, answers: Vec<Answer>) -> Result<Vec<Answer>> {
        let Some(warning) = answers.iter().find_map(|a| a.rows.first()) else {
            return Ok(answers);
        };
        let code = codec::cell_number(warning, 1).and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
        let mut found =
            classify::of_code(code, codec::cell_text(warning, 2).unwrap_or_default(), &self.operation);
        if found.kind.disposition() != model::Disposition::QuarantineRow {
            found.kind = ErrorKind::Conversion;
        }
        Err(found)
    }

    /// Multi-row INSERTs, cut by bytes.
    fn inserts(&self, rows: &[Row]) -> Vec<String> {
        let places = sql_write::written(&self.plan);
        let limit = self.lease.server().statement_bytes();
        let mut statements = Vec::new();
        let mut rest = rows;
        while let Some((first, mut tail)) = rest.split_first() {
            let mut sql = sql_write::insert(Dialect::Mysql, &self.plan, std::slice::from_ref(first));
            while let Some((row, after)) = tail.split_first() {
                let mark = sql.text.len();
                sql.push(", ").push_tuple(places.iter().map(|p| &row[*p]));
                if sql.text.len() > limit {
                    sql.text.truncate(mark);
                    break;
                }
                tail = after;
            }
            statements.push(sql.text + WARNINGS);
            rest = tail;
        }
        statements
    }

    /// UPDATEs of one row each, many to a round trip.
    fn updates(&self, rows: &[Row]) -> Vec<String> {
        let limit = self.lease.server().statement_bytes();
        let mut statements: Vec<String> = Vec::new();
        for row in rows {
            let Some(update) = sql_write::update(Dialect::Mysql, &self.plan, row) else {
                return Vec::new();
            };
            let sql = update.text + WARNINGS;
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

/// One row if the statement before it had a warning.
const WARNINGS: &str = "; SHOW WARNINGS LIMIT 1";

#[async_trait]
impl ChunkWrite for MysqlWrite {
    fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    async fn existing(&mut self, keys: &[Key]) -> Result<RowBatch> {
        let list = codec::select_list(&self.columns);
        let key = self.plan.target_key();
        // A table made for this plan has the key as its primary key, whatever the plan's picture of it says.
        let index = if self.plan.create_target {
            Some("PRIMARY".to_owned())
        } else {
            read::index_for(&self.plan.target, &key)
        };
        let from = From {
            dialect: Dialect::Mysql,
            table: &self.plan.target.table,
            list: list.text.clone(),
            key: &key,
            index: index.as_deref(),
        };
        let mut decoded = Vec::new();
        for keys in read::key_lists(keys, self.lease.server().statement_bytes()) {
            let mut sql = from.keys(keys).text;
            sql.push_str(" FOR UPDATE");
            self.fits(&sql)?;
            let rows = self.lease.rows(&self.operation, sql).await?;
            decoded
                .extend(rows.iter().map(|row| codec::decode_row(row, &list, &self.columns, &self.plan.key)));
        }
        Ok(read::batch(&self.columns, decoded))
    }

    async fn insert(&mut self, rows: &[Row]) -> Result<()> {
        let statements = self.inserts(rows);
        self.all_or_none(&statements).await.map(|_| ())
    }

    async fn update(&mut self, rows: &[Row]) -> Result<()> {
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
        self.lease.run(&self.operation, format!("ROLLBACK TO {SAVEPOINT}")).await?;
        Err(error(ErrorKind::Internal, &self.operation).with_object("rows to be updated that do not exist"))
    }

    async fn delete(&mut self, keys: &[Key]) -> Result<u64> {
        let statements: Vec<String> = read::key_lists(keys, self.lease.server().statement_bytes())
            .into_iter()
            .map(|keys| sql_write::delete(Dialect::Mysql, &self.plan, keys).text)
            .collect();
        let answers = self.all_or_none(&statements).await?;
        Ok(answers.iter().map(|a| a.affected).sum())
    }

    async fn commit(mut self: Box<Self>, receipt: &Receipt) -> Result<()> {
        let operation = format!("commit table {}", self.plan.target.table);
        let Fence { install, run, chunk, .. } = &self.fence;
        let json = serde_json::to_string(receipt).map_err(|_| error(ErrorKind::Internal, &operation))?;
        let sql = format!(
            "UPDATE _syncline_fence SET receipt = {}, updated_at = UTC_TIMESTAMP(6) \
             WHERE install = '{install}' AND run = '{run}' AND chunk = '{chunk}'",
            catalog::quote(&json)
        );
        self.fits(&sql)?;
        let kept = self.lease.run(&operation, sql).await?;
        if kept.first().is_none_or(|answer| answer.affected != 1) {
            return Err(
                error(ErrorKind::Fenced, &operation).with_object(format!("{chunk}, whose fence is gone"))
            );
        }
        self.lease.run(&operation, "COMMIT".to_owned()).await?;
        // A session without foreign key checks is not lent to anybody.
        if !self.plan.in_cycle {
            self.lease.release();
        }
        Ok(())
    }
}
