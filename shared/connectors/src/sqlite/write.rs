//! Writing: own tables, fenced transactions, indexes, foreign keys.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::TryStreamExt as _;
use model::{Engine, ErrorKind, Index, InstallId, Key, Receipt, Row, RowBatch, RunId, TablePlan, Turn};
use sqlx::Transaction;
use sqlx::sqlite::Sqlite as Driver;
use tokio::sync::OwnedMutexGuard;

use super::read::{BOUND_VALUES_MAX, arguments, decode_row};
use super::{Sqlite, catalog, classify};
use crate::error::{Error, Result};
use crate::read_batches::Decoded;
use crate::sql::select::From;
use crate::sql::{Dialect, Statement, safe, write as sql};
use crate::{ChunkWrite, Fence, WITHOUT_PARENT};

const DIALECT: Dialect = Dialect::Sqlite;

/// Syncline's own tables in a target; see the protocol in ARCHITECTURE.md.
const OWN_TABLES: &str = "
CREATE TABLE IF NOT EXISTS _syncline_turn (
    table_name TEXT PRIMARY KEY, install TEXT NOT NULL, turn INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _syncline_fence (
    install TEXT NOT NULL, run TEXT NOT NULL, chunk TEXT NOT NULL, attempt INTEGER NOT NULL, receipt TEXT,
    PRIMARY KEY (install, run, chunk)) WITHOUT ROWID;";

fn refusal(kind: ErrorKind, operation: String, by: &str) -> Error {
    Error::new(kind, Engine::Sqlite, operation).with_object(by)
}

pub(super) async fn prepare(db: &Sqlite, plan: &TablePlan, install: InstallId, turn: Turn) -> Result<()> {
    let operation = format!("prepare table {}", plan.target.table);
    let _writer = db.writer.lock().await;
    let turn = i64::try_from(turn.0).unwrap_or(i64::MAX);
    let (install, table) = (install.to_string(), plan.target.table.to_string());
    let work = async {
        let mut tx = db.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(OWN_TABLES).execute(&mut *tx).await?;
        let holder: Option<(String, i64)> =
            sqlx::query_as("SELECT install, turn FROM _syncline_turn WHERE table_name = ?")
                .bind(&table)
                .fetch_optional(&mut *tx)
                .await?;
        match holder {
            Some((other, _)) if other != install => {
                return Ok(Some("another installation writes this table"));
            }
            Some((_, newer)) if newer > turn => return Ok(Some("a newer run writes this table")),
            _ => {}
        }
        sqlx::query(
            "INSERT INTO _syncline_turn (table_name, install, turn) VALUES (?, ?, ?) \
             ON CONFLICT (table_name) DO UPDATE SET turn = excluded.turn",
        )
        .bind(&table)
        .bind(&install)
        .bind(turn)
        .execute(&mut *tx)
        .await?;
        if plan.create_target {
            sqlx::raw_sql(safe(create_table(plan))).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(None)
    };
    match db.bounded(&operation, work).await? {
        Some(by) => Err(refusal(ErrorKind::Overtaken, operation, by)),
        None => Ok(()),
    }
}

/// The table with its primary key and foreign keys (SQLite cannot add those later); indexes come after the load.
fn create_table(plan: &TablePlan) -> String {
    let key = plan.target_key();
    let mut parts: Vec<String> = plan
        .columns
        .iter()
        .map(|c| {
            let null = if c.target.nullable { "" } else { " NOT NULL" };
            format!("    {} {}{null}", DIALECT.ident(&c.target.name), c.target.native)
        })
        .collect();
    if !key.is_empty() {
        parts.push(format!("    PRIMARY KEY ({})", DIALECT.idents(&key)));
    }
    for foreign in &plan.target.foreign_keys {
        parts.push(format!(
            "    CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({})",
            DIALECT.ident(&foreign.name),
            DIALECT.idents(&foreign.columns),
            DIALECT.ident(&foreign.parent.name),
            DIALECT.idents(&foreign.parent_columns)
        ));
    }
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n{}\n)",
        DIALECT.ident(&plan.target.table.name),
        parts.join(",\n")
    )
}

pub(super) async fn build_indexes(db: &Sqlite, plan: &TablePlan) -> Result<Vec<String>> {
    let _writer = db.writer.lock().await;
    let table = &plan.target.table;
    let there = catalog::describe(db, table).await?.map_or_else(Vec::new, |schema| schema.indexes);
    let shape = |index: &Index| (index.columns.clone(), index.unique);
    let mut notes = Vec::new();
    for index in plan.target.indexes.iter().filter(|i| !there.iter().any(|t| shape(t) == shape(i))) {
        let name = free_name(db, &table.name, &index.name).await?;
        let unique = if index.unique { "UNIQUE " } else { "" };
        let statement = format!(
            "CREATE {unique}INDEX {} ON {} ({})",
            DIALECT.ident(&name),
            DIALECT.ident(&table.name),
            DIALECT.idents(&index.columns)
        );
        // Building an index takes as long as the table is large: no deadline.
        if let Err(error) = sqlx::raw_sql(safe(statement)).execute(&db.pool).await {
            let error = classify::error(&error, format!("build index {name}"));
            if error.kind.disposition() != model::Disposition::QuarantineRow {
                return Err(error);
            }
            notes.push(format!("index {} was not built: {}", index.name, error.kind));
        }
    }
    Ok(notes)
}

/// The index's own name if nothing in the file has it: names are unique in the whole file, not per table.
async fn free_name(db: &Sqlite, table: &str, index: &str) -> Result<String> {
    let candidates = [index.to_owned(), format!("{table}_{index}")].into_iter();
    for name in candidates.chain((2..).map(|n| format!("{table}_{index}_{n}"))) {
        let taken =
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM sqlite_schema WHERE name = ? COLLATE NOCASE")
                .bind(&name)
                .fetch_one(&db.pool);
        // SQLite keeps names that begin so for itself.
        let reserved = name.to_ascii_lowercase().starts_with("sqlite_");
        if !reserved && db.bounded(format!("name index {index}"), taken).await? == 0 {
            return Ok(name);
        }
    }
    unreachable!("numbers do not end")
}

pub(super) async fn check_foreign_keys(db: &Sqlite, plan: &TablePlan) -> Result<Vec<String>> {
    let table = &plan.target.table.name;
    let found: sqlx::Result<Vec<(String, i64)>> = sqlx::query_as(
        "SELECT parent, count(*) FROM pragma_foreign_key_check(?) GROUP BY parent, fkid ORDER BY parent, fkid",
    )
    .bind(table)
    .fetch_all(&db.pool)
    .await;
    match found {
        Ok(broken) => Ok(broken
            .into_iter()
            .map(|(parent, n)| format!("foreign key: {n} rows of {table} {WITHOUT_PARENT} {parent}"))
            .collect()),
        // SQLite refuses the check as a whole if a parent lacks a unique key.
        Err(error) => match classify::error(&error, format!("check foreign keys of {table}")) {
            error if error.kind == ErrorKind::Internal => Ok(vec![format!(
                "foreign keys of {table} could not be checked: a parent has no matching key"
            )]),
            error => Err(error),
        },
    }
}

pub(super) async fn forget_run(db: &Sqlite, install: InstallId, run: RunId) -> Result<()> {
    let _writer = db.writer.lock().await;
    let work = sqlx::query("DELETE FROM _syncline_fence WHERE install = ? AND run = ?")
        .bind(install.to_string())
        .bind(run.to_string())
        .execute(&db.pool);
    db.bounded("forget a finished run", work).await.map(|_| ())
}

/// One fenced transaction.
pub(super) struct Write {
    tx: Transaction<'static, Driver>,
    plan: Arc<TablePlan>,
    fence: Fence,
    receipt: Option<Receipt>,
    deadline: Duration,
    _writer: OwnedMutexGuard<()>,
}

impl Write {
    pub(super) async fn begin(db: &Sqlite, plan: &Arc<TablePlan>, fence: &Fence) -> Result<Self> {
        let operation = format!("begin a write to {}", plan.target.table);
        // No deadline: each of those in front has its own.
        let writer = db.writer.clone().lock_owned().await;
        let (install, run, chunk) =
            (fence.install.to_string(), fence.run.to_string(), fence.chunk.to_string());
        let work = async {
            let mut tx = db.pool.begin_with("BEGIN IMMEDIATE").await?;
            let turn: Option<i64> =
                sqlx::query_scalar("SELECT turn FROM _syncline_turn WHERE table_name = ? AND install = ?")
                    .bind(plan.target.table.to_string())
                    .bind(&install)
                    .fetch_optional(&mut *tx)
                    .await?;
            let raised: Option<Option<String>> = sqlx::query_scalar(
                "INSERT INTO _syncline_fence (install, run, chunk, attempt) VALUES (?, ?, ?, ?) \
                 ON CONFLICT (install, run, chunk) DO UPDATE SET attempt = excluded.attempt \
                 WHERE attempt <= excluded.attempt RETURNING receipt",
            )
            .bind(install)
            .bind(run)
            .bind(chunk)
            .bind(i64::from(fence.attempt.0))
            .fetch_optional(&mut *tx)
            .await?;
            Ok((tx, turn, raised))
        };
        let (tx, turn, raised) = db.bounded(&operation, work).await?;
        let mine = i64::try_from(fence.turn.0).unwrap_or(i64::MAX);
        match turn {
            Some(held) if held == mine => {}
            Some(held) if held > mine => {
                return Err(refusal(ErrorKind::Overtaken, operation, "a newer run writes this table"));
            }
            _ => return Err(refusal(ErrorKind::Fenced, operation, "this run has not prepared the table")),
        }
        let Some(receipt) = raised else {
            return Err(refusal(ErrorKind::Fenced, operation, "a newer attempt owns this chunk"));
        };
        let receipt = receipt.map(|text| serde_json::from_str(&text)).transpose();
        let receipt = receipt.map_err(|_| {
            Error::new(ErrorKind::Internal, Engine::Sqlite, operation).with_object("unreadable receipt")
        })?;
        Ok(Self {
            tx,
            plan: plan.clone(),
            fence: fence.clone(),
            receipt,
            deadline: db.deadline,
            _writer: writer,
        })
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} {}", self.plan.target.table)
    }

    /// Runs one statement; returns rows affected.
    async fn execute(&mut self, statement: Statement, operation: String) -> Result<u64> {
        let args = arguments(statement.args, &operation)?;
        let work = sqlx::query_with(safe(statement.text), args).execute(&mut *self.tx);
        bounded(self.deadline, &operation, work).await.map(|done| done.rows_affected())
    }

    async fn plain(&mut self, statement: &'static str) -> Result<()> {
        let operation = self.operation("write to");
        let work = sqlx::raw_sql(statement).execute(&mut *self.tx);
        bounded(self.deadline, &operation, work).await.map(|_| ())
    }

    /// Runs statements so that all take effect or none; it is an error if they touch other than `expected` rows.
    async fn all_or_none(
        &mut self,
        statements: Vec<Statement>,
        verb: &str,
        expected: Option<usize>,
    ) -> Result<u64> {
        self.plain("SAVEPOINT batch").await?;
        let done = self.affected(statements, verb, expected).await;
        let end = if done.is_ok() { "RELEASE batch" } else { "ROLLBACK TO batch; RELEASE batch" };
        self.plain(end).await?;
        done
    }

    async fn affected(
        &mut self,
        statements: Vec<Statement>,
        verb: &str,
        expected: Option<usize>,
    ) -> Result<u64> {
        let mut affected = 0;
        for statement in statements {
            affected += self.execute(statement, self.operation(verb)).await?;
        }
        if expected.is_some_and(|rows| rows as u64 != affected) {
            // Nobody else writes since the rows were looked at, so this is our own mistake; it must not pass unseen.
            let object = "rows to be updated that do not exist";
            return Err(
                Error::new(ErrorKind::Internal, Engine::Sqlite, self.operation(verb)).with_object(object)
            );
        }
        Ok(affected)
    }
}

#[async_trait]
impl ChunkWrite for Write {
    fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    async fn existing(&mut self, keys: &[Key]) -> Result<RowBatch> {
        let operation = self.operation("look up rows of");
        let columns: Arc<[_]> = self.plan.columns.iter().map(|c| c.target.clone()).collect();
        let (names, key) =
            (columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>(), self.plan.target_key());
        let mut found = RowBatch::new(columns.clone());
        let list = DIALECT.idents(&names);
        let select = From { dialect: DIALECT, table: &self.plan.target.table, list, key: &key, index: None };
        for keys in keys.chunks((BOUND_VALUES_MAX / key.len().max(1)).min(500)) {
            let Statement { text, args, .. } = select.keys(keys);
            let args = arguments(args, &operation)?;
            let mut rows = sqlx::query_with(safe(text), args).fetch(&mut *self.tx);
            while let Some(row) = bounded(self.deadline, &operation, rows.try_next()).await? {
                match decode_row(&row, &columns, &self.plan.key) {
                    Decoded::Row(row) => found.push(row),
                    Decoded::Undecodable(row) => found.undecodable.push(row),
                }
            }
        }
        Ok(found)
    }

    async fn insert(&mut self, rows: &[Row]) -> Result<()> {
        let per_statement = (BOUND_VALUES_MAX / self.plan.columns.len().max(1)).max(1);
        let places = sql::written(&self.plan);
        let statements = rows
            .chunks(per_statement)
            .map(|part| sql::insert(DIALECT, &self.plan.target.table, &self.plan, &places, part))
            .collect();
        self.all_or_none(statements, "insert into", None).await.map(|_| ())
    }

    async fn update(&mut self, rows: &[Row], _changed: &[usize]) -> Result<()> {
        let statements: Vec<Statement> =
            rows.iter().filter_map(|row| sql::update(DIALECT, &self.plan, row)).collect();
        // A table of nothing but its key has none.
        let expected = (!statements.is_empty()).then_some(rows.len());
        self.all_or_none(statements, "update", expected).await.map(|_| ())
    }

    async fn delete(&mut self, keys: &[Key]) -> Result<u64> {
        let per_statement = (BOUND_VALUES_MAX / self.plan.key.len().max(1)).max(1);
        let statements =
            keys.chunks(per_statement).map(|part| sql::delete(DIALECT, &self.plan, part)).collect();
        self.all_or_none(statements, "delete from", None).await
    }

    async fn commit(mut self: Box<Self>, receipt: &Receipt) -> Result<()> {
        let operation = self.operation("commit to");
        let text = serde_json::to_string(receipt)
            .map_err(|_| Error::new(ErrorKind::Internal, Engine::Sqlite, operation.clone()))?;
        let Fence { install, run, chunk, .. } = self.fence.clone();
        let deadline = self.deadline;
        let work = async move {
            sqlx::query("UPDATE _syncline_fence SET receipt = ? WHERE install = ? AND run = ? AND chunk = ?")
                .bind(text)
                .bind(install.to_string())
                .bind(run.to_string())
                .bind(chunk.to_string())
                .execute(&mut *self.tx)
                .await?;
            self.tx.commit().await
        };
        // Past the deadline the outcome is unknown, as after a lost answer: the next attempt finds the receipt or not.
        bounded(deadline, &operation, work).await
    }
}

/// Runs one step of a transaction under the deadline and brings its error into our words.
pub(super) async fn bounded<T>(
    deadline: Duration,
    operation: &str,
    work: impl Future<Output = sqlx::Result<T>> + Send,
) -> Result<T> {
    match tokio::time::timeout(deadline, work).await {
        Ok(done) => done.map_err(|e| classify::error(&e, operation.to_owned())),
        Err(_) => Err(Error::new(ErrorKind::Timeout, Engine::Sqlite, operation)),
    }
}
