//! What answers are made of. The comments are the descriptions in the OpenAPI document.

use std::collections::BTreeMap;

use ledger::{AttemptView, ChunkView, Pipeline, QuarantineView, QueueTally, Run, WorkerView};
use model::run::ChunkTally;
use model::schedule::When;
use model::{ChunkState, RunRecord, TableProgress};
use schemars::JsonSchema;
use serde::Serialize;

use crate::time;

/// Some of many.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// What `after` asks on with; absent on the last page.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// A page that may hold `limit`: one that is full has another behind it, after the last item's `id`.
    pub(crate) fn of<I>(found: &[I], limit: u32, id: impl Fn(&I) -> String) -> Self
    where
        T: for<'a> From<&'a I>,
    {
        let is_full = u32::try_from(found.len()).is_ok_and(|len| len == limit);
        let next = found.last().filter(|_| is_full).map(id);
        Self { items: found.iter().map(T::from).collect(), next }
    }

    /// All there is.
    pub(crate) const fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// Why something ended. Never holds a value or a secret.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Failure {
    /// A fixed word, such as `permission`.
    kind: &'static str,
    message: String,
}

impl From<&model::Failure> for Failure {
    fn from(failure: &model::Failure) -> Self {
        Self { kind: failure.kind.name(), message: failure.message.clone() }
    }
}

fn failure(failure: Option<&model::Failure>) -> Option<Failure> {
    failure.map(Failure::from)
}

pub(crate) fn at(ms: Option<i64>) -> Option<String> {
    ms.and_then(time::precise)
}

/// A spec that runs again and again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Pipeline")]
pub(crate) struct PipelineAnswer {
    name: String,
    /// Meant where none is named.
    is_default: bool,
    /// Engine, host and database.
    source: String,
    target: String,
    /// Seconds from start to start, if that is how it runs.
    every_seconds: Option<u64>,
    /// The cron expression, if that is how it runs.
    cron: Option<String>,
    timezone: Option<String>,
    /// The pipeline after whose runs it runs, if that is how it runs.
    after: Option<String>,
    /// What its runs do: `copy` or `verify`.
    runs: &'static str,
    /// A person has set the interval, instead of the file.
    is_interval_set: bool,
    paused_at: Option<String>,
    /// Why it is paused, if nobody asked for it.
    cause: Option<Failure>,
    next_at: Option<String>,
    last_run: Option<String>,
    last_start_at: Option<String>,
    registered_at: Option<String>,
}

impl From<&Pipeline> for PipelineAnswer {
    fn from(pipeline: &Pipeline) -> Self {
        let (mut every_seconds, mut cron, mut timezone, mut after) = (None, None, None, None);
        match pipeline.schedule.as_ref().map(|schedule| &schedule.when) {
            Some(When::Every(seconds)) => every_seconds = Some(*seconds),
            Some(When::Cron { expression, zone }) => {
                cron = Some(expression.clone());
                timezone = Some(zone.clone());
            }
            Some(When::After(before)) => after = Some(before.clone()),
            None => {}
        }
        Self {
            name: pipeline.name.clone(),
            is_default: pipeline.is_default,
            source: pipeline.spec.source.address(),
            target: pipeline.spec.target.address(),
            every_seconds,
            cron,
            timezone,
            after,
            runs: pipeline.kind().name(),
            is_interval_set: pipeline.every_s.is_some(),
            paused_at: at(pipeline.paused_ms),
            cause: failure(pipeline.cause.as_ref()),
            next_at: at(pipeline.next_ms),
            last_run: pipeline.last_run.map(|run| run.to_string()),
            last_start_at: at(pipeline.last_start_ms),
            registered_at: at(Some(pipeline.registered_ms)),
        }
    }
}

/// One execution of a spec.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Run")]
pub(crate) struct RunAnswer {
    id: String,
    /// The name of its spec.
    pipeline: String,
    /// `copy` or `verify`.
    kind: &'static str,
    /// `running`, `done`, `done-with-quarantine`, `failed` or `cancelled`.
    state: &'static str,
    cause: Option<Failure>,
    /// It is to end, and what it holds is being given back.
    is_cancelling: bool,
    paused_at: Option<String>,
    limits: Limits,
    created_at: Option<String>,
    ended_at: Option<String>,
}

impl From<&Run> for RunAnswer {
    fn from(run: &Run) -> Self {
        Self {
            id: run.id.to_string(),
            pipeline: run.spec.name.clone(),
            kind: run.kind.name(),
            state: run.state.name(),
            cause: failure(run.cause.as_ref()),
            is_cancelling: run.cancel_requested && !run.state.is_terminal(),
            paused_at: at(run.paused_ms),
            limits: Limits { rows: run.limits.rows, bytes: run.limits.bytes },
            created_at: at(Some(run.created_ms)),
            ended_at: at(run.ended_ms),
        }
    }
}

/// What a run may read in a second, over all workers; `null` is no limit.
#[derive(Debug, Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

/// The record of a run, summed over its chunks.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Record")]
pub(crate) struct RecordAnswer {
    #[serde(flatten)]
    run: RunAnswer,
    /// Rows by what became of them, and bytes read.
    counts: BTreeMap<&'static str, u64>,
    /// Chunks by state.
    chunks: BTreeMap<&'static str, u64>,
    /// Attempts beyond the first.
    retries: u64,
    /// Why nothing of it is handed out just now.
    waiting: Option<String>,
    tables: Vec<TableAnswer>,
}

impl RecordAnswer {
    pub(crate) fn new(run: &Run, record: &RunRecord) -> Self {
        Self {
            run: run.into(),
            counts: counts(&record.counts),
            chunks: chunks(&record.chunks),
            retries: record.retries,
            waiting: record.waiting.as_ref().map(|waiting| waiting.reason.clone()),
            tables: record.tables.iter().map(TableAnswer::from).collect(),
        }
    }
}

/// One table of a run.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Table")]
struct TableAnswer {
    /// Its number within the run.
    table: u32,
    source: String,
    target: String,
    /// `merge`, `mirror` or `insert-only`.
    mode: String,
    /// `pending`, `planning`, `working`, `finishing`, `done`, `failed` or `held`.
    state: &'static str,
    cause: Option<Failure>,
    counts: BTreeMap<&'static str, u64>,
    chunks: BTreeMap<&'static str, u64>,
    retries: u64,
    /// The planner's, for progress only.
    rows_estimate: Option<u64>,
    /// What was not compared and why, indexes not built, constraints not added.
    notes: Vec<String>,
    started_at: Option<String>,
    ended_at: Option<String>,
}

impl From<&TableProgress> for TableAnswer {
    fn from(table: &TableProgress) -> Self {
        Self {
            table: table.table,
            source: table.source.clone(),
            target: table.target.clone(),
            mode: table.mode.clone(),
            state: table.state.name(),
            cause: failure(table.cause.as_ref()),
            counts: counts(&table.counts),
            chunks: chunks(&table.chunks),
            retries: table.retries,
            rows_estimate: table.rows_estimate,
            notes: table.notes.clone(),
            started_at: at(table.started_ms),
            ended_at: at(table.ended_ms),
        }
    }
}

fn counts(counts: &model::Counts) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("read", counts.read),
        ("inserted", counts.inserted),
        ("updated", counts.updated),
        ("unchanged", counts.unchanged),
        ("filtered", counts.filtered),
        ("quarantined", counts.quarantined),
        ("deleted", counts.deleted),
        ("bytes", counts.bytes),
        ("matching", counts.matching),
        ("different", counts.different),
        ("missing", counts.missing),
        ("extra", counts.extra),
        ("conflicts", counts.conflicts),
    ])
}

fn chunks(tally: &ChunkTally) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("ready", tally.ready),
        ("running", tally.running),
        ("done", tally.done),
        ("quarantined", tally.quarantined),
        ("cancelled", tally.cancelled),
    ])
}

/// A chunk, without the keys that it holds.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Chunk")]
pub(crate) struct ChunkAnswer {
    id: String,
    run: String,
    table: u32,
    /// `copy`, `again`, `verify`, `sweep` or `delete`.
    pass: &'static str,
    /// Its place; a chunk that was split leaves gaps.
    ordinal: u64,
    /// `ready`, `running`, `done`, `quarantined` or `cancelled`.
    state: &'static str,
    attempt: u32,
    /// Attempts that count towards the cap.
    tries: u32,
    worker_deaths: u32,
    /// Who has it, or had it last.
    worker: Option<String>,
    counts: BTreeMap<&'static str, u64>,
    read_ms: u64,
    failure: Option<Failure>,
    started_at: Option<String>,
    ended_at: Option<String>,
    /// When it may be claimed, if it is ready.
    due_at: Option<String>,
}

impl From<&ChunkView> for ChunkAnswer {
    fn from(view: &ChunkView) -> Self {
        let chunk = &view.chunk;
        Self {
            id: chunk.id.to_string(),
            run: chunk.run.to_string(),
            table: chunk.table,
            pass: chunk.pass.name(),
            ordinal: chunk.ordinal,
            state: chunk.state.name(),
            attempt: chunk.attempt.0,
            tries: view.tries,
            worker_deaths: view.worker_deaths,
            worker: view.worker.as_ref().map(ToString::to_string),
            counts: counts(&view.counts),
            read_ms: view.read_ms,
            failure: failure(view.failure.as_ref()),
            started_at: at(view.started_ms),
            ended_at: at(view.ended_ms),
            due_at: at(Some(view.due_ms).filter(|_| chunk.state == ChunkState::Ready)),
        }
    }
}

/// A chunk with its attempts, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChunkHistory {
    #[serde(flatten)]
    pub(crate) chunk: ChunkAnswer,
    pub(crate) attempts: Vec<AttemptAnswer>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
pub(crate) struct AttemptAnswer {
    attempt: u32,
    worker: String,
    /// `done`, `failed`, `quarantined`, `halted`, `yielded` or `lost`; absent while it runs.
    outcome: Option<&'static str>,
    failure: Option<Failure>,
    claimed_at: Option<String>,
    ended_at: Option<String>,
}

impl From<&AttemptView> for AttemptAnswer {
    fn from(view: &AttemptView) -> Self {
        Self {
            attempt: view.attempt.0,
            worker: view.worker.to_string(),
            outcome: view.outcome.map(ledger::AttemptOutcome::name),
            failure: failure(view.failure.as_ref()),
            claimed_at: at(Some(view.claimed_ms)),
            ended_at: at(view.ended_ms),
        }
    }
}

/// A row set aside.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "QuarantinedRow")]
pub(crate) struct QuarantinedAnswer {
    /// Its number in the quarantine.
    row: u64,
    /// The table's number within the run.
    table: u32,
    source: String,
    target: String,
    chunk: String,
    /// The source column that is wrong, if it is one.
    column: Option<String>,
    /// A fixed word, such as `conversion`.
    kind: &'static str,
    reason: String,
    /// As people read it; for admins only.
    key: Option<String>,
    at: Option<String>,
}

impl QuarantinedAnswer {
    pub(crate) fn new(view: &QuarantineView, with_key: bool) -> Self {
        Self {
            row: view.seq,
            table: view.table,
            source: view.source.to_string(),
            target: view.target.to_string(),
            chunk: view.chunk.to_string(),
            column: view.row.column.clone(),
            kind: view.row.kind.name(),
            reason: view.row.reason.clone(),
            key: with_key.then(|| model::cells::key(&view.row.key)),
            at: at(Some(view.at_ms)),
        }
    }
}

/// A process that works on chunks.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Worker")]
pub(crate) struct WorkerAnswer {
    id: String,
    host: String,
    pid: u32,
    version: String,
    /// `alive`, `draining`, `silent` or `left`.
    state: &'static str,
    /// Chunks it works on at once.
    slots: u32,
    /// Chunks it holds.
    running: u64,
    started_at: Option<String>,
    seen_at: Option<String>,
}

impl WorkerAnswer {
    pub(crate) fn new(worker: &WorkerView, now_ms: i64) -> Self {
        Self {
            id: worker.id.to_string(),
            host: worker.host.clone(),
            pid: worker.pid,
            version: worker.version.clone(),
            state: worker.standing(now_ms).name(),
            slots: worker.slots,
            running: worker.running,
            started_at: at(Some(worker.started_ms)),
            seen_at: at(Some(worker.seen_ms)),
        }
    }
}

/// Chunks of the runs that are under way.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Queue")]
pub(crate) struct QueueAnswer {
    /// May be claimed now.
    ready: u64,
    /// Wait for their next try.
    retrying: u64,
    running: u64,
    /// Set aside after the last attempt.
    quarantined: u64,
    /// How long the oldest waits that may be claimed, in milliseconds.
    oldest_ms: Option<u64>,
}

impl QueueAnswer {
    pub(crate) const fn new(tally: QueueTally) -> Self {
        let QueueTally { ready, retrying, running, quarantined, oldest_ms } = tally;
        Self { ready, retrying, running, quarantined, oldest_ms }
    }
}

/// A run that began.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Started")]
pub(crate) struct StartedAnswer {
    pub(crate) run_id: String,
}

/// Chunks that will be tried again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Retried")]
pub(crate) struct RetriedAnswer {
    pub(crate) run: String,
    pub(crate) chunks: u64,
}
