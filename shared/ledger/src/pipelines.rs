//! Pipelines: specs that run again and again. When each is due stands here, on the ledger's clock, together with what a
//! person has said: neither a restart nor a second coordinator changes anything.

use std::sync::Arc;

use model::schedule::When;
use model::{Failure, RunId, RunKind, RunSpec, Schedule};
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::{Cause, Result};
use crate::fields::{self, Fields as _};
use crate::transact::Write;

/// A spec to run again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPipeline {
    pub spec: RunSpec,
    /// Absent: it runs only when asked for.
    pub schedule: Option<Schedule>,
    /// Meant where no pipeline is named.
    pub is_default: bool,
}

/// A pipeline as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    pub name: String,
    pub spec: Arc<RunSpec>,
    /// What holds: the file's schedule, or the interval that a person has set.
    pub schedule: Option<Schedule>,
    /// The interval that a person has set instead of the file's, in seconds.
    pub every_s: Option<u64>,
    pub is_default: bool,
    pub paused_ms: Option<i64>,
    /// Why it was paused, if nobody asked for it.
    pub cause: Option<Failure>,
    /// When it is due next, on the ledger's clock.
    pub next_ms: Option<i64>,
    pub last_run: Option<RunId>,
    /// The run whose failure has paused the pipeline once: it does not do so again.
    pub heeded: Option<RunId>,
    pub last_start_ms: Option<i64>,
    pub registered_ms: i64,
}

impl Pipeline {
    /// What its runs do.
    #[must_use]
    pub fn kind(&self) -> RunKind {
        self.schedule.as_ref().map_or(RunKind::Copy, |schedule| schedule.run)
    }

    /// Whether it has not begun since something ended, and was there to see it.
    #[must_use]
    pub fn is_due_after(&self, ended_ms: i64) -> bool {
        self.last_start_ms.unwrap_or(self.registered_ms).max(self.registered_ms) < ended_ms
    }
}

/// Why a run of a pipeline begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Somebody asks: whenever it is due.
    Asked,
    /// It is due at this time.
    Due(i64),
    /// A run of the pipeline before it ended at this time: it has not begun since.
    After(i64),
}

/// What became of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// This run began.
    Run(RunId),
    /// A run of the pipeline is still under way.
    StillRuns(RunId),
    /// It is paused, gone, or not due any more: somebody else was quicker.
    No,
}

const COLUMNS: &str = "name, spec, schedule, every_s, is_default, paused_ms, cause, next_ms, last_run, heeded, last_start_ms, \
    registered_ms";

impl Ledger {
    /// Enters a pipeline, or brings the one of its name up to what its file says now. A new one with an interval is due at
    /// once; one whose schedule has not changed stays due when it was. What a person has set stays.
    pub async fn register_pipeline(&self, new: &NewPipeline) -> Result<()> {
        let snapshot = new.spec.without_secrets();
        let snapshot = &snapshot;
        self.write("register a pipeline", || self.register_pipeline_once(new, snapshot)).await
    }

    async fn register_pipeline_once(
        &self,
        new: &NewPipeline,
        snapshot: &RunSpec,
    ) -> std::result::Result<(), Cause> {
        let mut tx = self.begin().await?;
        let now = self.one_at_a_time(&mut tx).await?;
        let name = new.spec.name.as_str();
        if new.is_default {
            let sql = "UPDATE syncline_pipeline SET is_default = 0 WHERE name <> ?";
            sqlx::query(self.sql(sql)).bind(name).execute(tx.conn()).await?;
        }
        let schedule =
            new.schedule.as_ref().map(|schedule| fields::json(schedule, "schedule")).transpose()?;
        let spec = fields::json(snapshot, "spec")?;
        match self.pipeline_in(&mut tx, name).await? {
            Some(before) => {
                let stays = before.stored_schedule == new.schedule || before.pipeline.every_s.is_some();
                let next = if stays { before.pipeline.next_ms } else { next(new.schedule.as_ref(), now) };
                let next = next.filter(|_| before.pipeline.paused_ms.is_none());
                let sql = "UPDATE syncline_pipeline SET spec = ?, schedule = ?, is_default = ?, next_ms = ? WHERE name = ?";
                let update = sqlx::query(self.sql(sql)).bind(spec).bind(schedule);
                update.bind(i64::from(new.is_default)).bind(next).bind(name).execute(tx.conn()).await?;
            }
            None => {
                let sql = "INSERT INTO syncline_pipeline (name, spec, schedule, is_default, next_ms, registered_ms) \
                    VALUES (?, ?, ?, ?, ?, {now})";
                let is_rhythm = new.schedule.as_ref().is_some_and(|s| matches!(s.when, When::Every(_)));
                let first = if is_rhythm { Some(now) } else { next(new.schedule.as_ref(), now) };
                let insert = sqlx::query(self.sql(sql)).bind(name).bind(spec).bind(schedule);
                insert.bind(i64::from(new.is_default)).bind(first).execute(tx.conn()).await?;
            }
        }
        tx.commit().await
    }

    /// All pipelines, by name.
    pub async fn pipelines(&self) -> Result<Vec<Pipeline>> {
        self.read("list pipelines", || async move {
            let sql = format!("SELECT {COLUMNS} FROM syncline_pipeline ORDER BY name");
            let rows = sqlx::query(self.sql(&sql)).fetch_all(&self.shared.pool).await?;
            rows.iter().map(|row| Ok(stored(row)?.pipeline)).collect()
        })
        .await
    }

    /// Starts a run of a pipeline that is not paused, if what it begins for still holds, and makes it due again by its
    /// schedule; both or neither. Called again for the same reason, it starts none.
    pub async fn start_pipeline(&self, name: &str, why: Start) -> Result<Started> {
        // Of a try whose answer was lost the run is found again by its id.
        let id = RunId::generate();
        self.write("start a pipeline", || self.start_once(name, id, why)).await
    }

    async fn start_once(&self, name: &str, id: RunId, why: Start) -> std::result::Result<Started, Cause> {
        let mut tx = self.begin().await?;
        let Some(found) = self.pipeline_in(&mut tx, name).await? else { return Ok(Started::No) };
        let pipeline = found.pipeline;
        if pipeline.last_run == Some(id) {
            return Ok(Started::Run(id));
        }
        let holds = match why {
            Start::Asked => true,
            Start::Due(due) => pipeline.next_ms == Some(due),
            Start::After(ended) => pipeline.is_due_after(ended),
        };
        if pipeline.paused_ms.is_some() || !holds {
            return Ok(Started::No);
        }
        let kind = pipeline.kind();
        let sql = "SELECT id FROM syncline_run WHERE name = ? AND state = 'running' AND kind = ? LIMIT 1";
        let under_way = sqlx::query(self.sql(sql)).bind(name).bind(kind.name());
        if let Some(row) = under_way.fetch_optional(tx.conn()).await? {
            return Ok(Started::StillRuns(row.named("id")?));
        }
        let now = self.now_in(&mut tx).await?;
        let sql = "UPDATE syncline_pipeline SET next_ms = ?, last_run = ?, last_start_ms = ? WHERE name = ?";
        let set = sqlx::query(self.sql(sql)).bind(next(pipeline.schedule.as_ref(), now));
        set.bind(id.to_string()).bind(now).bind(name).execute(tx.conn()).await?;
        self.insert_run(&mut tx, id, kind, &pipeline.spec).await?;
        tx.commit().await?;
        Ok(Started::Run(id))
    }

    /// Leaves out a start that is due at `due_ms`; `false` if it is not due then (any more).
    pub async fn skip_start(&self, name: &str, due_ms: i64) -> Result<bool> {
        self.write("leave out a start", || async move {
            let mut tx = self.begin().await?;
            let found = self.pipeline_in(&mut tx, name).await?.map(|found| found.pipeline);
            let Some(pipeline) = found.filter(|pipeline| pipeline.next_ms == Some(due_ms)) else {
                return Ok(false);
            };
            let now = self.now_in(&mut tx).await?;
            let sql = "UPDATE syncline_pipeline SET next_ms = ? WHERE name = ?";
            let set = sqlx::query(self.sql(sql)).bind(next(pipeline.schedule.as_ref(), now)).bind(name);
            set.execute(tx.conn()).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Pauses a pipeline: it starts nothing until [`Ledger::resume_pipeline`], whatever restarts. Where no person asked for
    /// it, it was this run that failed, and why. `false` if there is none of this name. Called again, it changes nothing.
    pub async fn pause_pipeline(&self, name: &str, failed: Option<(RunId, &Failure)>) -> Result<bool> {
        self.write("pause a pipeline", || async move {
            let mut tx = self.begin().await?;
            let is_there = self.pipeline_in(&mut tx, name).await?.is_some();
            let cause = failed.map(|(_, cause)| fields::json(cause, "cause")).transpose()?;
            let sql = "UPDATE syncline_pipeline SET paused_ms = {now}, cause = ?, heeded = COALESCE(?, heeded), \
                next_ms = NULL WHERE name = ? AND paused_ms IS NULL";
            let set = sqlx::query(self.sql(sql)).bind(cause).bind(failed.map(|(run, _)| run.to_string()));
            set.bind(name).execute(tx.conn()).await?;
            tx.commit().await?;
            Ok(is_there)
        })
        .await
    }

    /// Lets a paused pipeline go on, due by its schedule from now. `false` if there is none of this name; one that is not
    /// paused stays as it is.
    pub async fn resume_pipeline(&self, name: &str) -> Result<bool> {
        self.write("resume a pipeline", || async move {
            let mut tx = self.begin().await?;
            let Some(Stored { pipeline, .. }) = self.pipeline_in(&mut tx, name).await? else {
                return Ok(false);
            };
            let now = self.now_in(&mut tx).await?;
            let sql = "UPDATE syncline_pipeline SET paused_ms = NULL, cause = NULL, next_ms = ? \
                WHERE name = ? AND paused_ms IS NOT NULL";
            let set = sqlx::query(self.sql(sql)).bind(next(pipeline.schedule.as_ref(), now)).bind(name);
            set.execute(tx.conn()).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Sets the interval of a pipeline in seconds, instead of what its file says; `None` takes that back. It counts from the
    /// last start; what would have been due by then is due now. `false` if there is none of this name.
    pub async fn set_pipeline_interval(&self, name: &str, every_s: Option<u64>) -> Result<bool> {
        self.write("set the interval of a pipeline", || async move {
            let mut tx = self.begin().await?;
            let sql = "UPDATE syncline_pipeline SET every_s = ? WHERE name = ?";
            let set = sqlx::query(self.sql(sql)).bind(every_s.map(fields::stored)).bind(name);
            set.execute(tx.conn()).await?;
            let Some(Stored { pipeline, .. }) = self.pipeline_in(&mut tx, name).await? else {
                return Ok(false);
            };
            let now = self.now_in(&mut tx).await?;
            let from = pipeline.last_start_ms.filter(|_| every_s.is_some()).unwrap_or(now);
            let due = next(pipeline.schedule.as_ref(), from).map(|due| due.max(now));
            let sql = "UPDATE syncline_pipeline SET next_ms = ? WHERE name = ? AND paused_ms IS NULL";
            sqlx::query(self.sql(sql)).bind(due).bind(name).execute(tx.conn()).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn now_in(&self, tx: &mut Write) -> std::result::Result<i64, Cause> {
        sqlx::query(self.sql("SELECT {now} AS now_ms")).fetch_one(tx.conn()).await?.int("now_ms")
    }

    /// A pipeline, which stays so for this transaction.
    async fn pipeline_in(&self, tx: &mut Write, name: &str) -> std::result::Result<Option<Stored>, Cause> {
        let sql = format!("SELECT {COLUMNS} FROM syncline_pipeline WHERE name = ? {{lock}}");
        let row = sqlx::query(self.sql(&sql)).bind(name).fetch_optional(tx.conn()).await?;
        row.map(|row| stored(&row)).transpose()
    }
}

/// When a schedule comes next. One that names no time to come was refused when it was read.
fn next(schedule: Option<&Schedule>, now_ms: i64) -> Option<i64> {
    schedule.and_then(|schedule| schedule.next_after(now_ms).ok())
}

/// A pipeline, and the schedule of its file.
struct Stored {
    pipeline: Pipeline,
    stored_schedule: Option<Schedule>,
}

fn stored(row: &AnyRow) -> std::result::Result<Stored, Cause> {
    let stored_schedule: Option<Schedule> = row.opt_json("schedule")?;
    let every_s = row.opt_count("every_s")?;
    let schedule = match every_s {
        None => stored_schedule.clone(),
        Some(seconds) => {
            let when = When::Every(seconds);
            Some(match &stored_schedule {
                Some(of_file) => Schedule { when, ..of_file.clone() },
                None => Schedule::of(when),
            })
        }
    };
    let pipeline = Pipeline {
        name: row.text("name")?,
        spec: Arc::new(row.json("spec")?),
        schedule,
        every_s,
        is_default: row.int("is_default")? != 0,
        paused_ms: row.opt_int("paused_ms")?,
        cause: row.opt_json("cause")?,
        next_ms: row.opt_int("next_ms")?,
        last_run: row.opt_named("last_run")?,
        heeded: row.opt_named("heeded")?,
        last_start_ms: row.opt_int("last_start_ms")?,
        registered_ms: row.int("registered_ms")?,
    };
    Ok(Stored { pipeline, stored_schedule })
}
