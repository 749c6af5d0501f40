//! The tables of a run: their plans, states and notes.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Failure, Pass, RunId, TablePlan, TableRef, TableState};
use serde_json::json;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::events::Place;
use crate::fields::{self, Fields as _, listed, marks, stored};
use crate::transact::Write;

/// A table to add to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTable {
    /// Its place in the run.
    pub ordinal: u32,
    pub source: TableRef,
    pub target: TableRef,
    /// The mode's name, for people.
    pub mode: String,
}

/// A table of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRow {
    pub ordinal: u32,
    pub source: TableRef,
    pub target: TableRef,
    pub mode: String,
    pub state: TableState,
    /// The pass the state is about.
    pub pass: Pass,
    /// Absent while `pending`.
    pub plan: Option<Arc<TablePlan>>,
    pub cause: Option<Failure>,
    pub notes: Vec<String>,
    pub rows_estimate: Option<u64>,
    pub started_ms: Option<i64>,
    pub ended_ms: Option<i64>,
    /// Rows of the target, for the mass-delete guard.
    pub total_rows_target: Option<u64>,
}

/// A table and the version of its plan; the plan itself is cached.
pub(crate) struct Unplanned {
    pub(crate) table: TableRow,
    pub(crate) plan_version: i64,
}

pub(crate) const COLUMNS: &str = "ordinal, source, target, mode, state, pass, plan_version, cause, notes, \
    rows_estimate, target_rows, started_ms, ended_ms";
/// A table has few notes; a loop that makes them is cut off here.
const NOTES_MAX: usize = 500;
/// Rows per INSERT: far below every database's limit on bound values.
const ROWS_PER_INSERT: usize = 200;

impl Ledger {
    /// Adds tables in state `pending`. Tables whose ordinal the run already has are left as they are.
    pub async fn add_tables(&self, run: RunId, tables: &[NewTable]) -> Result<()> {
        self.write("add tables", || self.add_tables_once(run, tables)).await
    }

    async fn add_tables_once(&self, run: RunId, tables: &[NewTable]) -> std::result::Result<(), Cause> {
        let mut tx = self.begin().await?;
        // The lock on the run keeps a second planner from adding the same.
        if self.run_state(&mut tx, run).await?.is_none() {
            return Ok(());
        }
        let have =
            sqlx::query(self.sql("SELECT ordinal FROM syncline_table WHERE run = ?")).bind(run.to_string());
        let have: Vec<u32> = have
            .fetch_all(tx.conn())
            .await?
            .iter()
            .map(|row| row.small("ordinal"))
            .collect::<std::result::Result<_, _>>()?;
        let have: std::collections::HashSet<u32> = have.into_iter().collect();
        let missing: Vec<&NewTable> = tables.iter().filter(|table| !have.contains(&table.ordinal)).collect();
        for block in missing.chunks(ROWS_PER_INSERT) {
            let values = vec!["(?, ?, ?, ?, ?, 'pending', 'copy', ?)"; block.len()].join(", ");
            let sql = format!(
                "INSERT INTO syncline_table (run, ordinal, source, target, mode, state, pass, notes) VALUES {values}"
            );
            let mut insert = sqlx::query(self.sql(&sql)).persistent(false);
            for table in block {
                insert = insert
                    .bind(run.to_string())
                    .bind(i64::from(table.ordinal))
                    .bind(fields::json(&table.source, "table name")?)
                    .bind(fields::json(&table.target, "table name")?)
                    .bind(table.mode.as_str())
                    .bind(b"[]".as_slice());
            }
            insert.execute(tx.conn()).await?;
        }
        tx.commit().await
    }

    /// The tables of a run, by ordinal.
    pub async fn tables(&self, run: RunId) -> Result<Vec<TableRow>> {
        self.read("list tables", || async move {
            let sql = format!("SELECT {COLUMNS} FROM syncline_table WHERE run = ? ORDER BY ordinal");
            let rows = sqlx::query(self.sql(&sql)).bind(run.to_string()).fetch_all(&self.shared.pool).await?;
            let tables = rows.iter().map(table_of).collect::<std::result::Result<Vec<_>, _>>()?;
            self.with_plans(run, tables).await
        })
        .await
    }

    /// One table of a run.
    pub async fn table(&self, run: RunId, ordinal: u32) -> Result<Option<TableRow>> {
        self.read("read a table", || self.table_once(run, ordinal)).await
    }

    pub(crate) async fn table_once(
        &self,
        run: RunId,
        ordinal: u32,
    ) -> std::result::Result<Option<TableRow>, Cause> {
        let sql = format!("SELECT {COLUMNS} FROM syncline_table WHERE run = ? AND ordinal = ?");
        let row = sqlx::query(self.sql(&sql)).bind(run.to_string()).bind(i64::from(ordinal));
        match row.fetch_optional(&self.shared.pool).await? {
            Some(row) => Ok(self.with_plans(run, vec![table_of(&row)?]).await?.pop()),
            None => Ok(None),
        }
    }

    /// Fills in the plans: from the cache, the missing ones by one query per block.
    pub(crate) async fn with_plans(
        &self,
        run: RunId,
        tables: Vec<Unplanned>,
    ) -> std::result::Result<Vec<TableRow>, Cause> {
        let mut plans = HashMap::new();
        let mut missing = Vec::new();
        for Unplanned { table, plan_version } in tables.iter().filter(|table| table.plan_version > 0) {
            match self.shared.cache.plan(run, table.ordinal, *plan_version) {
                Some(plan) => drop(plans.insert(table.ordinal, plan)),
                None => missing.push(table.ordinal),
            }
        }
        for block in missing.chunks(ROWS_PER_INSERT) {
            let block = listed(block);
            let sql = format!(
                "SELECT ordinal, plan_version, plan FROM syncline_table WHERE run = ? AND ordinal IN ({})",
                marks(block.len())
            );
            let mut read = sqlx::query(self.sql(&sql)).bind(run.to_string());
            for ordinal in block {
                read = read.bind(i64::from(*ordinal));
            }
            for row in read.fetch_all(&self.shared.pool).await? {
                let ordinal = row.small("ordinal")?;
                let plan =
                    self.shared.cache.put_plan(run, ordinal, row.int("plan_version")?, row.json("plan")?);
                plans.insert(ordinal, plan);
            }
        }
        let filled = tables.into_iter().map(|Unplanned { mut table, .. }| {
            table.plan = plans.remove(&table.ordinal);
            table
        });
        Ok(filled.collect())
    }

    /// Stores the plan of a `pending` table, which becomes `planning` in its first pass; the plan's notes become the
    /// table's. `false` if the table is not pending or the run not running: the plan of whoever came first stands.
    pub async fn set_plan(
        &self,
        run: RunId,
        ordinal: u32,
        plan: &TablePlan,
        first_pass: Pass,
        rows_estimate: Option<u64>,
    ) -> Result<bool> {
        self.write("store a plan", || self.set_plan_once(run, ordinal, plan, first_pass, rows_estimate)).await
    }

    async fn set_plan_once(
        &self,
        run: RunId,
        ordinal: u32,
        plan: &TablePlan,
        first_pass: Pass,
        rows_estimate: Option<u64>,
    ) -> std::result::Result<bool, Cause> {
        let mut tx = self.begin().await?;
        let Some(mut notes) = self.notes(&mut tx, run, ordinal).await? else {
            return Ok(false);
        };
        for note in &plan.notes {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        let sql = "UPDATE syncline_table SET state = 'planning', pass = ?, plan = ?, plan_version = plan_version + 1, \
            notes = ?, rows_estimate = ?, started_ms = {now} WHERE run = ? AND ordinal = ? AND state = 'pending' \
            AND EXISTS (SELECT 1 FROM syncline_run r WHERE r.id = syncline_table.run AND r.state = 'running')";
        let planned = sqlx::query(self.sql(sql))
            .bind(first_pass.name())
            .bind(fields::json(plan, "plan")?)
            .bind(fields::json(&notes, "note")?)
            .bind(rows_estimate.map(stored))
            .bind(run.to_string())
            .bind(i64::from(ordinal))
            .execute(tx.conn())
            .await?;
        if planned.rows_affected() == 0 {
            return Ok(false);
        }
        let detail = json!({ "pass": first_pass, "rows_estimate": rows_estimate });
        self.put_event(&mut tx, Place::table(run, ordinal), "table-planned", &detail).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Moves a table of a running run from exactly one state and pass to another. `false`, and nothing changed, if
    /// it stands elsewhere, if the run is not running, or if it would leave `working` while chunks of that pass are
    /// open.
    pub async fn advance_table(
        &self,
        run: RunId,
        ordinal: u32,
        from: (TableState, Pass),
        to: (TableState, Pass),
    ) -> Result<bool> {
        self.write("advance a table", || self.advance_once(run, ordinal, from, to)).await
    }

    async fn advance_once(
        &self,
        run: RunId,
        ordinal: u32,
        from: (TableState, Pass),
        to: (TableState, Pass),
    ) -> std::result::Result<bool, Cause> {
        let mut tx = self.begin().await?;
        if self.standing(&mut tx, run, ordinal).await? != Some(from)
            || (from.0 == TableState::Working && self.pass_is_open(&mut tx, run, ordinal, from.1).await?)
        {
            return Ok(false);
        }
        let sql = "UPDATE syncline_table SET state = ?, pass = ?, ended_ms = CASE WHEN ? = 1 THEN {now} ELSE NULL END \
            WHERE run = ? AND ordinal = ? \
            AND EXISTS (SELECT 1 FROM syncline_run r WHERE r.id = syncline_table.run AND r.state = 'running')";
        let moved = sqlx::query(self.sql(sql))
            .bind(to.0.name())
            .bind(to.1.name())
            .bind(i64::from(to.0.is_terminal()))
            .bind(run.to_string())
            .bind(i64::from(ordinal))
            .execute(tx.conn())
            .await?;
        if moved.rows_affected() == 0 {
            return Ok(false);
        }
        let detail = json!({ "state": to.0, "pass": to.1 });
        self.put_event(&mut tx, Place::table(run, ordinal), "table-advanced", &detail).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Where a table stands; it stays there for this transaction.
    pub(crate) async fn standing(
        &self,
        tx: &mut Write,
        run: RunId,
        ordinal: u32,
    ) -> std::result::Result<Option<(TableState, Pass)>, Cause> {
        let sql = self.sql("SELECT state, pass FROM syncline_table WHERE run = ? AND ordinal = ? {lock}");
        let row =
            sqlx::query(sql).bind(run.to_string()).bind(i64::from(ordinal)).fetch_optional(tx.conn()).await?;
        row.map(|row| Ok((row.named("state")?, row.named("pass")?))).transpose()
    }

    async fn pass_is_open(
        &self,
        tx: &mut Write,
        run: RunId,
        ordinal: u32,
        pass: Pass,
    ) -> std::result::Result<bool, Cause> {
        let sql = "SELECT 1 AS n FROM syncline_chunk WHERE run = ? AND tbl = ? AND pass = ? \
            AND state IN ('ready', 'running') LIMIT 1";
        let open =
            sqlx::query(self.sql(sql)).bind(run.to_string()).bind(i64::from(ordinal)).bind(pass.name());
        Ok(open.fetch_optional(tx.conn()).await?.is_some())
    }

    /// Ends a table with a cause: `Failed`, or `Held` for a person. `false` if it has ended already or `state` is
    /// another one. [`Ledger::resume_run`] sets failed tables going again, [`Ledger::release_table`] held ones.
    pub async fn fail_table(
        &self,
        run: RunId,
        ordinal: u32,
        state: TableState,
        cause: &Failure,
    ) -> Result<bool> {
        self.write("fail a table", || self.fail_table_once(run, ordinal, state, cause)).await
    }

    async fn fail_table_once(
        &self,
        run: RunId,
        ordinal: u32,
        state: TableState,
        cause: &Failure,
    ) -> std::result::Result<bool, Cause> {
        if !matches!(state, TableState::Failed | TableState::Held) {
            return Ok(false);
        }
        let mut tx = self.begin().await?;
        // MySQL assigns from left to right: `prev_state` first.
        let sql = "UPDATE syncline_table SET prev_state = state, state = ?, cause = ?, ended_ms = {now} \
            WHERE run = ? AND ordinal = ? AND state NOT IN ('done', 'failed', 'held')";
        let failed = sqlx::query(self.sql(sql))
            .bind(state.name())
            .bind(fields::json(cause, "cause")?)
            .bind(run.to_string())
            .bind(i64::from(ordinal))
            .execute(tx.conn())
            .await?;
        if failed.rows_affected() == 0 {
            return Ok(false);
        }
        let detail = json!({ "state": state, "cause": cause });
        self.put_event(&mut tx, Place::table(run, ordinal), "table-stopped", &detail).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Lets a held table go on where `to` says, on a person's word. `false` if it is not held.
    pub async fn release_table(&self, run: RunId, ordinal: u32, to: (TableState, Pass)) -> Result<bool> {
        self.write("release a table", || async move {
            let mut tx = self.begin().await?;
            let sql = "UPDATE syncline_table SET state = ?, pass = ?, prev_state = NULL, cause = NULL, ended_ms = NULL \
                WHERE run = ? AND ordinal = ? AND state = 'held'";
            let freed = sqlx::query(self.sql(sql)).bind(to.0.name()).bind(to.1.name()).bind(run.to_string()).bind(i64::from(ordinal));
            if freed.execute(tx.conn()).await?.rows_affected() == 0 {
                return Ok(false);
            }
            let detail = json!({ "state": to.0, "pass": to.1 });
            self.put_event(&mut tx, Place::table(run, ordinal), "table-released", &detail).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Stores how many rows the target table holds, for the mass-delete guard. The last call stands.
    pub async fn set_total_rows_target(&self, run: RunId, ordinal: u32, rows: u64) -> Result<()> {
        self.write("store a row count", || async move {
            let mut tx = self.begin().await?;
            let sql = "UPDATE syncline_table SET target_rows = ? WHERE run = ? AND ordinal = ?";
            let put =
                sqlx::query(self.sql(sql)).bind(stored(rows)).bind(run.to_string()).bind(i64::from(ordinal));
            put.execute(tx.conn()).await?;
            tx.commit().await
        })
        .await
    }

    /// Adds a note for people. A text the table already has is not added again; beyond 500 notes none is.
    pub async fn add_note(&self, run: RunId, ordinal: u32, note: &str) -> Result<()> {
        self.write("add a note", || self.add_note_once(run, ordinal, note)).await
    }

    async fn add_note_once(&self, run: RunId, ordinal: u32, note: &str) -> std::result::Result<(), Cause> {
        let mut tx = self.begin().await?;
        let Some(mut notes) = self.notes(&mut tx, run, ordinal).await? else {
            return Ok(());
        };
        if notes.len() >= NOTES_MAX || notes.iter().any(|have| have == note) {
            return Ok(());
        }
        notes.push(note.to_owned());
        let put = sqlx::query(self.sql("UPDATE syncline_table SET notes = ? WHERE run = ? AND ordinal = ?"));
        put.bind(fields::json(&notes, "note")?)
            .bind(run.to_string())
            .bind(i64::from(ordinal))
            .execute(tx.conn())
            .await?;
        tx.commit().await
    }

    /// A table's notes, which stay so for this transaction.
    async fn notes(
        &self,
        tx: &mut Write,
        run: RunId,
        ordinal: u32,
    ) -> std::result::Result<Option<Vec<String>>, Cause> {
        let sql = self.sql("SELECT notes FROM syncline_table WHERE run = ? AND ordinal = ? {lock}");
        let row =
            sqlx::query(sql).bind(run.to_string()).bind(i64::from(ordinal)).fetch_optional(tx.conn()).await?;
        row.map(|row| row.json("notes")).transpose()
    }
}

pub(crate) fn table_of(row: &AnyRow) -> std::result::Result<Unplanned, Cause> {
    let table = TableRow {
        ordinal: row.small("ordinal")?,
        source: row.json("source")?,
        target: row.json("target")?,
        mode: row.text("mode")?,
        state: row.named("state")?,
        pass: row.named("pass")?,
        plan: None,
        cause: row.opt_json("cause")?,
        notes: row.json("notes")?,
        rows_estimate: row.opt_count("rows_estimate")?,
        started_ms: row.opt_int("started_ms")?,
        ended_ms: row.opt_int("ended_ms")?,
        total_rows_target: row.opt_count("target_rows")?,
    };
    Ok(Unplanned { table, plan_version: row.int("plan_version")? })
}
