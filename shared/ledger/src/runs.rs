//! Runs: made, looked up, ended, resumed.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use model::{Failure, Limits, RunId, RunKind, RunSpec, RunState, Turn};
use serde_json::json;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::events::Place;
use crate::fields::{self, Fields as _};

use crate::transact::{Counter, Write};

/// One execution of a spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    /// Its place among all runs of the installation.
    pub turn: Turn,
    pub kind: RunKind,
    /// The spec as it was when the run was made, without inline passwords.
    pub spec: Arc<RunSpec>,
    pub state: RunState,
    pub cause: Option<Failure>,
    pub cancel_requested: bool,
    /// Since when a person has it paused.
    pub paused_ms: Option<i64>,
    /// What it may do in a second, over all workers.
    pub limits: Limits,
    pub created_ms: i64,
    pub ended_ms: Option<i64>,
}

impl Run {
    /// Whether a person wants nothing of it handed out: it is paused, or to be cancelled.
    #[must_use]
    pub const fn is_held_back(&self) -> bool {
        self.cancel_requested || self.paused_ms.is_some()
    }
}

/// Everything but the spec, which is cached.
const COLUMNS: &str =
    "id, turn, kind, state, cause, cancel_requested, paused_ms, limits, created_ms, ended_ms";

/// What rows are chosen by.
enum Filter {
    Text(String),
    Turn(i64),
}

impl Ledger {
    /// Makes a run with the next turn, in state `running`. Each call makes another.
    pub async fn create_run(&self, kind: RunKind, spec: &RunSpec) -> Result<Run> {
        let id = RunId::generate();
        let snapshot = spec.without_secrets();
        let snapshot = &snapshot;
        self.write("create a run", || self.create_once(id, kind, snapshot)).await
    }

    pub(crate) async fn create_once(
        &self,
        id: RunId,
        kind: RunKind,
        spec: &RunSpec,
    ) -> std::result::Result<Run, Cause> {
        if let Some(run) = self.run_once(id).await? {
            return Ok(run); // made by a try whose answer was lost
        }
        let mut tx = self.begin().await?;
        self.insert_run(&mut tx, id, kind, spec).await?;
        tx.commit().await?;
        self.run_once(id).await?.ok_or(Cause::Unreadable { column: "id" })
    }

    /// Makes a run, as the last writes of a transaction.
    pub(crate) async fn insert_run(
        &self,
        tx: &mut Write,
        id: RunId,
        kind: RunKind,
        spec: &RunSpec,
    ) -> std::result::Result<(), Cause> {
        let turn = self.numbers(tx, Counter::Turn, 1).await?;
        let sql = "INSERT INTO syncline_run (id, turn, kind, name, spec, state, limits, created_ms) \
            VALUES (?, ?, ?, ?, ?, ?, ?, {now})";
        sqlx::query(self.sql(sql))
            .bind(id.to_string())
            .bind(turn)
            .bind(kind.name())
            .bind(spec.name.as_str())
            .bind(fields::json(spec, "spec")?)
            .bind(RunState::Running.name())
            .bind((!spec.limits.is_none()).then(|| fields::json(&spec.limits, "limit")).transpose()?)
            .execute(tx.conn())
            .await?;
        self.put_event(tx, Place::run(id), "run-created", &json!({ "turn": turn, "kind": kind })).await?;
        Ok(())
    }

    /// The run of this id.
    pub async fn run(&self, id: RunId) -> Result<Option<Run>> {
        self.read("read a run", || self.run_once(id)).await
    }

    pub(crate) async fn run_once(&self, id: RunId) -> std::result::Result<Option<Run>, Cause> {
        Ok(self.select_runs("WHERE id = ?", Some(Filter::Text(id.to_string())), 1).await?.pop())
    }

    /// The latest runs, newest first, at most `limit`. Runs that this version cannot read are left out.
    pub async fn runs(&self, limit: u32) -> Result<Vec<Run>> {
        self.runs_before(None, limit).await
    }

    /// The same of those that are older than the run of this turn.
    pub async fn runs_before(&self, turn: Option<Turn>, limit: u32) -> Result<Vec<Run>> {
        let below = turn.map_or(i64::MAX, |turn| fields::stored(turn.0));
        self.read("list runs", || self.readable_runs(below, limit)).await
    }

    async fn readable_runs(&self, mut below: i64, limit: u32) -> std::result::Result<Vec<Run>, Cause> {
        let mut runs = Vec::new();
        loop {
            let wanted = limit.saturating_sub(u32::try_from(runs.len()).unwrap_or(u32::MAX));
            let rows = self.run_rows("WHERE turn < ?", Some(Filter::Turn(below)), wanted).await?;
            let is_last = rows.len() < wanted as usize;
            if let Some(row) = rows.last() {
                below = row.int("turn")?;
            }
            let before = runs.len();
            self.push_readable(&rows, &mut runs).await?;
            // As many as asked for, unless some were left out and older ones take their place.
            if is_last || runs.len() - before == rows.len() {
                return Ok(runs);
            }
        }
    }

    /// The newest copy of the spec of this name that has ended, whatever came of it.
    pub async fn last_ended_run(&self, spec_name: &str) -> Result<Option<Run>> {
        let find = || {
            let filter = "WHERE name = ? AND kind = 'copy' AND state <> 'running'";
            self.select_runs(filter, Some(Filter::Text(spec_name.to_owned())), 1)
        };
        Ok(self.read("find the last run that ended", find).await?.pop())
    }

    /// The newest runs of the spec of this name, newest first. Runs that this version cannot read are left out.
    pub async fn runs_of(&self, spec_name: &str, limit: u32) -> Result<Vec<Run>> {
        let find = || self.readable_where("WHERE name = ?", spec_name, limit);
        self.read("list the runs of a spec", find).await
    }

    /// The newest run of the spec of this name.
    pub async fn latest_run(&self, spec_name: &str) -> Result<Option<Run>> {
        let find = || self.select_runs("WHERE name = ?", Some(Filter::Text(spec_name.to_owned())), 1);
        Ok(self.read("find the latest run", find).await?.pop())
    }

    /// All runs in state `running`, newest first. Runs that this version cannot read are left out: they must not
    /// keep it from the others.
    pub async fn active_runs(&self) -> Result<Vec<Run>> {
        let find = || self.readable_where("WHERE state = ?", RunState::Running.name(), u32::MAX);
        self.read("list active runs", find).await
    }

    /// The run meant by `latest`, a full id, or the beginning of an id that no other run shares. A beginning that
    /// several runs share is an error of kind `unsupported`; so is the one meant, of kind `internal`, if this version
    /// cannot read it.
    pub async fn find_run(&self, text: &str) -> Result<Option<Run>> {
        const FIND: &str = "find a run";
        if text == "latest" {
            return Ok(self.read(FIND, || self.select_runs("", None, 1)).await?.pop());
        }
        if let Ok(id) = text.parse() {
            return self.run(id).await;
        }
        let hex = text.strip_prefix("run_").unwrap_or(text).to_ascii_lowercase();
        if hex.is_empty() || hex.len() > 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        // Ids are lower-case hex: `g` follows every digit.
        let (low, high) = (format!("run_{hex}"), format!("run_{hex}g"));
        let (low, high) = (low.as_str(), high.as_str());
        self.read(FIND, || async move {
            let sql = "SELECT id FROM syncline_run WHERE id >= ? AND id < ? ORDER BY id LIMIT 2";
            let found = sqlx::query(self.sql(sql)).bind(low).bind(high).fetch_all(&self.shared.pool).await?;
            match found.as_slice() {
                [] => Ok(None),
                [one] => self.run_once(one.named("id")?).await,
                _ => Err(Cause::Ambiguous),
            }
        })
        .await
    }

    /// Ends a run; `false` if it is not `running` (any more), or if `state` says `done` of a run with tables or
    /// chunks still open: nothing changes then.
    pub async fn finish_run(&self, id: RunId, state: RunState, cause: Option<Failure>) -> Result<bool> {
        let cause = cause.as_ref();
        self.write("finish a run", || self.finish_once(id, state, cause)).await
    }

    async fn finish_once(
        &self,
        id: RunId,
        end: RunState,
        cause: Option<&Failure>,
    ) -> std::result::Result<bool, Cause> {
        if !end.is_terminal() {
            return Ok(false);
        }
        let mut tx = self.begin().await?;
        let is_done = end.ended_well();
        if self.run_state(&mut tx, id).await? != Some(RunState::Running)
            || (is_done && self.is_open(&mut tx, id).await?)
        {
            return Ok(false);
        }
        self.end_run(&mut tx, id, end, cause).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The state of a run, which stays so for this transaction.
    pub(crate) async fn run_state(
        &self,
        tx: &mut Write,
        id: RunId,
    ) -> std::result::Result<Option<RunState>, Cause> {
        let row =
            sqlx::query(self.sql("SELECT state FROM syncline_run WHERE id = ? {lock}")).bind(id.to_string());
        row.fetch_optional(tx.conn()).await?.map(|row| row.named("state")).transpose()
    }

    /// Whether a table or a chunk of the run still has work.
    async fn is_open(&self, tx: &mut Write, id: RunId) -> std::result::Result<bool, Cause> {
        for sql in [
            "SELECT 1 AS n FROM syncline_table WHERE run = ? AND state NOT IN ('done', 'failed', 'held') LIMIT 1",
            "SELECT 1 AS n FROM syncline_chunk WHERE run = ? AND state IN ('ready', 'running') LIMIT 1",
        ] {
            if sqlx::query(self.sql(sql)).bind(id.to_string()).fetch_optional(tx.conn()).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves a running run to its end and records that.
    pub(crate) async fn end_run(
        &self,
        tx: &mut Write,
        id: RunId,
        end: RunState,
        cause: Option<&Failure>,
    ) -> std::result::Result<(), Cause> {
        let sql = "UPDATE syncline_run SET state = ?, cause = ?, ended_ms = {now} WHERE id = ? AND state = 'running'";
        let stored = cause.map(|cause| fields::json(cause, "cause")).transpose()?;
        let ended = sqlx::query(self.sql(sql)).bind(end.name()).bind(stored).bind(id.to_string());
        if ended.execute(tx.conn()).await?.rows_affected() > 0 {
            let detail = json!({ "state": end, "cause": cause });
            self.put_event(tx, Place::run(id), "run-ended", &detail).await?;
        }
        Ok(())
    }

    /// Asks a run to stop: its workers learn it by their next beat, no chunk is claimed any more. `false` if it is
    /// not running. A second call is a no-op.
    pub async fn request_cancel(&self, id: RunId) -> Result<bool> {
        self.write("request a cancel", || self.cancel_once(id)).await
    }

    async fn cancel_once(&self, id: RunId) -> std::result::Result<bool, Cause> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE syncline_run SET cancel_requested = 1 WHERE id = ? AND state = 'running' AND cancel_requested = 0";
        let asked =
            sqlx::query(self.sql(sql)).bind(id.to_string()).execute(tx.conn()).await?.rows_affected() > 0;
        if asked {
            self.put_event(&mut tx, Place::run(id), "run-cancel-requested", &json!({})).await?;
        }
        let running = self.run_state(&mut tx, id).await? == Some(RunState::Running);
        tx.commit().await?;
        Ok(running)
    }

    /// Stops a run because every chunk would fail alike: `running` → `failed`. Its ready chunks stay ready for
    /// [`Ledger::resume_run`]; running ones learn it by their next beat. `false` if the run is not running.
    pub async fn halt_run(&self, id: RunId, cause: &Failure) -> Result<bool> {
        self.write("halt a run", || self.finish_once(id, RunState::Failed, Some(cause))).await
    }

    /// Sets a failed or cancelled run going again: cancelled chunks become ready, failed tables return to the state
    /// they were in, cause and cancel request are cleared. On a run that is still `running` (its owner died) it takes
    /// back a cancel request or a pause and lets everything ready be handed out at once. `false` for runs that are done and for unknown ones. Safe to repeat.
    pub async fn resume_run(&self, id: RunId) -> Result<bool> {
        self.bulk("resume a run", || self.resume_once(id)).await
    }

    async fn resume_once(&self, id: RunId) -> std::result::Result<bool, Cause> {
        let mut tx = self.begin_bulk().await?;
        let run = id.to_string();
        let sql = self.sql("SELECT state, cancel_requested, paused_ms FROM syncline_run WHERE id = ? {lock}");
        let row = sqlx::query(sql).bind(run.as_str()).fetch_optional(tx.conn()).await?;
        let Some(row) = row else { return Ok(false) };
        let state: RunState = row.named("state")?;
        if state.ended_well() {
            return Ok(false);
        }
        let is_held_back = row.int("cancel_requested")? != 0 || row.opt_int("paused_ms")?.is_some();
        if state != RunState::Running || is_held_back {
            for sql in [
                "UPDATE syncline_run SET state = 'running', cause = NULL, cancel_requested = 0, paused_ms = NULL, \
                 ended_ms = NULL WHERE id = ?",
                "UPDATE syncline_table SET state = prev_state, prev_state = NULL, cause = NULL, ended_ms = NULL \
                 WHERE run = ? AND state = 'failed' AND prev_state IS NOT NULL",
                "UPDATE syncline_chunk SET state = 'ready', ended_ms = NULL WHERE run = ? AND state = 'cancelled'",
            ] {
                sqlx::query(self.sql(sql)).bind(run.as_str()).execute(tx.conn()).await?;
            }
        }
        self.hand_out_again(&mut tx, id).await?;
        if state != RunState::Running {
            self.put_event(&mut tx, Place::run(id), "run-resumed", &json!({})).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Runs that must all be readable.
    async fn select_runs(
        &self,
        filter: &'static str,
        value: Option<Filter>,
        limit: u32,
    ) -> std::result::Result<Vec<Run>, Cause> {
        let rows = self.run_rows(filter, value, limit).await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            runs.push(self.run_of(&row).await?);
        }
        Ok(runs)
    }

    async fn run_rows(
        &self,
        filter: &'static str,
        value: Option<Filter>,
        limit: u32,
    ) -> std::result::Result<Vec<AnyRow>, Cause> {
        let sql = format!("SELECT {COLUMNS} FROM syncline_run {filter} ORDER BY turn DESC LIMIT ?");
        let query = sqlx::query(self.sql(&sql));
        let query = match value {
            Some(Filter::Text(text)) => query.bind(text),
            Some(Filter::Turn(turn)) => query.bind(turn),
            None => query,
        };
        Ok(query.bind(i64::from(limit)).fetch_all(&self.shared.pool).await?)
    }

    async fn readable_where(
        &self,
        filter: &'static str,
        value: &str,
        limit: u32,
    ) -> std::result::Result<Vec<Run>, Cause> {
        let rows = self.run_rows(filter, Some(Filter::Text(value.to_owned())), limit).await?;
        let mut runs = Vec::with_capacity(rows.len());
        self.push_readable(&rows, &mut runs).await?;
        Ok(runs)
    }

    /// Adds the runs that this version can read, and warns of the others.
    async fn push_readable(&self, rows: &[AnyRow], runs: &mut Vec<Run>) -> std::result::Result<(), Cause> {
        for row in rows {
            match self.run_of(row).await {
                Ok(run) => runs.push(run),
                Err(Cause::Unreadable { column }) => warn_once(&row.text("id").unwrap_or_default(), column),
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    async fn run_of(&self, row: &AnyRow) -> std::result::Result<Run, Cause> {
        let id = row.named("id")?;
        Ok(Run {
            id,
            turn: Turn(row.count("turn")?),
            kind: row.named("kind")?,
            spec: self.spec(id).await?,
            state: row.named("state")?,
            cause: row.opt_json("cause")?,
            cancel_requested: row.int("cancel_requested")? != 0,
            paused_ms: row.opt_int("paused_ms")?,
            limits: row.opt_json("limits")?.unwrap_or_default(),
            created_ms: row.int("created_ms")?,
            ended_ms: row.opt_int("ended_ms")?,
        })
    }

    /// The spec of a run, parsed once per process.
    pub(crate) async fn spec(&self, run: RunId) -> std::result::Result<Arc<RunSpec>, Cause> {
        if let Some(spec) = self.shared.cache.spec(run) {
            return Ok(spec);
        }
        let row = sqlx::query(self.sql("SELECT spec FROM syncline_run WHERE id = ?")).bind(run.to_string());
        let spec = row.fetch_one(&self.shared.pool).await?.json("spec")?;
        Ok(self.shared.cache.put_spec(run, spec))
    }
}

/// Once per run and process: reconcilers ask every second.
fn warn_once(run: &str, column: &'static str) {
    if is_first(run) {
        tracing::warn!(run, column, "a run was left out: this version cannot read what the ledger has of it");
    }
}

/// Whether this process hears of an unreadable run for the first time.
fn is_first(run: &str) -> bool {
    static WARNED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(run.to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_unreadable_run_is_warned_of_once() {
        let run = model::RunId::generate().to_string();
        assert!(super::is_first(&run));
        assert!(!super::is_first(&run));
        assert!(super::is_first(&model::RunId::generate().to_string()));
    }
}
