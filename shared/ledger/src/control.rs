//! A person's word on a run: pause it, let it go on, try again what was set aside.

use std::collections::BTreeMap;

use model::{ChunkId, Pass, RunId, RunState};
use serde_json::json;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::events::Place;
use crate::fields::Fields as _;
use crate::transact::Write;

/// What a person's word came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heeded {
    /// It changed something.
    Yes,
    /// The run stood so already.
    Already,
    /// A run in this state, or one that is to be cancelled, cannot.
    No(RunState),
}

/// Which quarantined chunks of a run are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    All,
    /// Those of one table.
    Table(u32),
    One(ChunkId),
}

type AnyQuery<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

impl Which {
    const fn filter(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Table(_) => "AND tbl = ?",
            Self::One(_) => "AND id = ?",
        }
    }

    /// Binds what [`Which::filter`] asks for.
    fn bind(self, query: AnyQuery<'_>) -> AnyQuery<'_> {
        match self {
            Self::All => query,
            Self::Table(table) => query.bind(i64::from(table)),
            Self::One(chunk) => query.bind(chunk.to_string()),
        }
    }
}

/// What of a chunk is in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// All of it.
    Chunks,
    /// Some rows.
    Rows,
}

impl Held {
    const fn filter(self) -> &'static str {
        match self {
            Self::Chunks => "state = 'quarantined'",
            Self::Rows => "state = 'done' AND id IN (SELECT q.chunk FROM syncline_quarantine q)",
        }
    }
}

impl Ledger {
    /// Pauses a run: nothing of it is handed out or claimed any more, and workers give back what they hold at their
    /// next beat, at no cost of an attempt. It stays `running` and paused until [`Ledger::go_on`], whatever restarts.
    pub async fn pause_run(&self, id: RunId) -> Result<Heeded> {
        self.write("pause a run", || self.set_paused(id, true)).await
    }

    /// Lets a paused run go on; what is ready is handed out at once.
    pub async fn go_on(&self, id: RunId) -> Result<Heeded> {
        self.write("let a run go on", || self.set_paused(id, false)).await
    }

    async fn set_paused(&self, id: RunId, paused: bool) -> std::result::Result<Heeded, Cause> {
        let mut tx = self.begin().await?;
        let Some(state) = self.run_state(&mut tx, id).await? else {
            return Ok(Heeded::No(RunState::Cancelled));
        };
        let (sql, event) = if paused {
            let sql = "UPDATE syncline_run SET paused_ms = {now} WHERE id = ? AND paused_ms IS NULL \
                AND state = 'running' AND cancel_requested = 0";
            (sql, "run-paused")
        } else {
            let sql = "UPDATE syncline_run SET paused_ms = NULL WHERE id = ? AND paused_ms IS NOT NULL \
                AND state = 'running'";
            (sql, "run-went-on")
        };
        let changed = sqlx::query(self.sql(sql)).bind(id.to_string()).execute(tx.conn()).await?;
        if changed.rows_affected() == 0 {
            let sql =
                "SELECT 1 AS n FROM syncline_run WHERE id = ? AND state = 'running' AND cancel_requested = 0";
            let may =
                sqlx::query(self.sql(sql)).bind(id.to_string()).fetch_optional(tx.conn()).await?.is_some();
            return Ok(if may { Heeded::Already } else { Heeded::No(state) });
        }
        if !paused {
            // Given back by a worker at the pause: they need not wait for their time to be sent again.
            self.hand_out_again(&mut tx, id).await?;
        }
        self.put_event(&mut tx, Place::run(id), event, &json!({})).await?;
        tx.commit().await?;
        Ok(Heeded::Yes)
    }

    /// Makes quarantined chunks of a run ready with all their attempts; how many. The run returns to `running` unless it
    /// is cancelled, the tables concerned to `working`, in the earliest pass that has such chunks. Rows a chunk had in
    /// quarantine go when it settles again. Tables that are done are finished anew: a child may have lacked what comes
    /// now. 0 if there is none.
    pub async fn retry_chunks(&self, run: RunId, which: Which) -> Result<u64> {
        self.bulk("retry chunks", || self.again_once(run, which, Held::Chunks)).await
    }

    /// Makes chunks ready again that are done but have rows in quarantine; how many. They are read anew, with what was
    /// mended in the source since and what [`Ledger::correct`] says; rows that arrived stay as they are. As
    /// [`Ledger::retry_chunks`] otherwise. 0 if there is none, or the run still works.
    pub async fn replay(&self, run: RunId, which: Which) -> Result<u64> {
        self.bulk("replay rows in quarantine", || self.again_once(run, which, Held::Rows)).await
    }

    async fn again_once(&self, run: RunId, which: Which, held: Held) -> std::result::Result<u64, Cause> {
        let mut tx = self.begin_bulk().await?;
        let state = self.run_state(&mut tx, run).await?;
        match (state, held) {
            (None | Some(RunState::Cancelled), _) | (Some(RunState::Running), Held::Rows) => return Ok(0),
            (Some(_), _) => {}
        }
        let mut passes = BTreeMap::<u32, Pass>::new();
        for (table, pass) in self.held_passes(&mut tx, run, which, held).await? {
            passes.entry(table).and_modify(|first| *first = pass.min(*first)).or_insert(pass);
        }
        let mut retried = 0;
        for (table, pass) in &passes {
            retried += self.ready_again(&mut tx, run, (*table, *pass), (which, held)).await?;
        }
        if retried > 0 {
            let sql = "UPDATE syncline_run SET state = 'running', cause = NULL, ended_ms = NULL WHERE id = ? \
                AND state IN ('failed', 'done', 'done-with-quarantine')";
            sqlx::query(self.sql(sql)).bind(run.to_string()).execute(tx.conn()).await?;
            // What the other tables were found to lack may be what these chunks bring: they are checked again.
            let sql = "UPDATE syncline_table SET notes = ? WHERE run = ?";
            let forget = sqlx::query(self.sql(sql)).bind(b"[]".as_slice()).bind(run.to_string());
            forget.execute(tx.conn()).await?;
            let sql = "UPDATE syncline_table SET state = 'finishing', ended_ms = NULL WHERE run = ? AND state = 'done'";
            sqlx::query(self.sql(sql)).bind(run.to_string()).execute(tx.conn()).await?;
            let place = Place { run, table: passes.keys().next().copied(), chunk: None };
            self.put_event(&mut tx, place, "chunks-retried", &json!({ "chunks": retried })).await?;
        }
        tx.commit().await?;
        Ok(retried)
    }

    async fn held_passes(
        &self,
        tx: &mut Write,
        run: RunId,
        which: Which,
        held: Held,
    ) -> std::result::Result<Vec<(u32, Pass)>, Cause> {
        let sql = format!(
            "SELECT DISTINCT tbl, pass FROM syncline_chunk {{by_state}} WHERE run = ? AND {} {}",
            held.filter(),
            which.filter()
        );
        let select = sqlx::query(self.sql(&sql)).bind(run.to_string());
        let rows = which.bind(select).fetch_all(tx.conn()).await?;
        rows.iter().map(|row| Ok((row.small("tbl")?, row.named("pass")?))).collect()
    }

    async fn ready_again(
        &self,
        tx: &mut Write,
        run: RunId,
        (table, pass): (u32, Pass),
        (which, held): (Which, Held),
    ) -> std::result::Result<u64, Cause> {
        let sql = "UPDATE syncline_table SET state = 'working', pass = ?, prev_state = NULL, cause = NULL, ended_ms = NULL \
            WHERE run = ? AND ordinal = ? AND state NOT IN ('pending', 'planning', 'working')";
        let back = sqlx::query(self.sql(sql)).bind(pass.name()).bind(run.to_string()).bind(i64::from(table));
        back.execute(tx.conn()).await?;
        let sql = format!(
            "UPDATE syncline_chunk SET state = 'ready', tries = 0, deaths = 0, due_ms = {{now}}, queued_ms = NULL, \
             ended_ms = NULL WHERE run = ? AND tbl = ? AND {} {}",
            held.filter(),
            which.filter()
        );
        let retry = sqlx::query(self.sql(&sql)).bind(run.to_string()).bind(i64::from(table));
        Ok(which.bind(retry).execute(tx.conn()).await?.rows_affected())
    }
}
