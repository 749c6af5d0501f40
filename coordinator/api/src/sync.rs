//! `/sync/…`: one pipeline, told and commanded in few words; the one that is marked `default`, or `?pipeline=NAME`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use connectors::Role;
use ledger::{AttemptTally, Pipeline, Run};
use model::schedule::When;
use model::{RunRecord, RunState, TableState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::answers::StartedAnswer;
use crate::extract::{Body, Query};
use crate::health::{is_there, word};
use crate::pipelines::{meant, set_interval, start, started};
use crate::problem::{Problem, Result};
use crate::{Api, commands, time};

const DAY_MS: i64 = 24 * 3_600_000;
/// A year.
const MINUTES_MAX: u64 = 366 * 1_440;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AskedPipeline")]
pub(crate) struct Which {
    /// The one marked `default`, or the only one, if absent.
    pipeline: Option<String>,
}

/// How the pipeline stands. Times are to the second.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SyncStatus")]
pub(crate) struct Status {
    /// It has a schedule and is not paused.
    sync_enabled: bool,
    /// When the last sync that has ended began.
    last_sync: Option<String>,
    /// Absent while it is paused or has no schedule.
    next_sync: Option<String>,
    /// Absent where a cron expression tells when.
    #[schemars(with = "Option<f64>")]
    sync_interval_minutes: Option<Number>,
    /// Tables that ended well in the last sync.
    tables_synced: Vec<String>,
    sync_metrics: Metrics,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SyncMetrics")]
pub(crate) struct Metrics {
    /// Rows that the last sync looked at.
    total_records: u64,
    last_sync_duration: String,
    /// Percent of the attempts of the last day that ended well; absent if there was none.
    success_rate: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SyncHealth")]
pub(crate) struct Health {
    mysql_connection: &'static str,
    mongodb_connection: &'static str,
    last_sync_status: &'static str,
    /// Chunks that are not settled.
    pending_operations: u64,
    /// Attempts of the last sync that ended badly, those that a later one made good included.
    error_count: u64,
}

pub(crate) async fn status(State(api): State<Api>, Query(which): Query<Which>) -> Result<Json<Status>> {
    status_of(&api, meant(&api, which.pipeline.as_deref()).await?).await.map(Json)
}

async fn status_of(api: &Api, pipeline: Pipeline) -> Result<Status> {
    let ledger = &api.ledger;
    let since = ledger.now_ms().await? - DAY_MS;
    let tally = ledger.attempts_since(&pipeline.name, since).await?;
    let last = ledger.last_ended_run(&pipeline.name).await?;
    let record = match &last {
        Some(run) => ledger.record(run.id).await?,
        None => None,
    };
    let every = pipeline.schedule.as_ref().map(|schedule| &schedule.when);
    Ok(Status {
        sync_enabled: pipeline.schedule.is_some() && pipeline.paused_ms.is_none(),
        last_sync: last.as_ref().and_then(|run| time::seconds(start_of(run, &pipeline))),
        next_sync: pipeline.next_ms.and_then(time::seconds),
        sync_interval_minutes: match every {
            Some(When::Every(seconds)) => minutes(*seconds),
            Some(When::Cron { .. } | When::After(_)) | None => None,
        },
        tables_synced: record.as_ref().map(synced).unwrap_or_default(),
        sync_metrics: Metrics {
            total_records: record.as_ref().map_or(0, |record| record.counts.read),
            last_sync_duration: time::clock(last.as_ref().map_or(0, duration)),
            success_rate: rate(tally),
        },
    })
}

/// The schedule counts from the start that it has noted, which is a moment before the run's own record.
fn start_of(run: &Run, pipeline: &Pipeline) -> i64 {
    let noted = pipeline.last_start_ms.filter(|_| pipeline.last_run == Some(run.id));
    noted.unwrap_or(run.created_ms)
}

fn duration(run: &Run) -> i64 {
    run.ended_ms.unwrap_or(run.created_ms) - run.created_ms
}

fn synced(record: &RunRecord) -> Vec<String> {
    let done = record.tables.iter().filter(|table| table.state == TableState::Done);
    done.map(|table| table.source.clone()).collect()
}

/// Whole minutes as such, others with their part.
fn minutes(seconds: u64) -> Option<Number> {
    if seconds.is_multiple_of(60) {
        return Some((seconds / 60).into());
    }
    Number::from_f64(f64::from(u32::try_from(seconds).ok()?) / 60.0)
}

/// With one decimal.
fn rate(tally: AttemptTally) -> Option<f64> {
    let all = tally.well + tally.badly;
    let tenths = (tally.well * 1_000).checked_div(all)?;
    u32::try_from(tenths).ok().map(|tenths| f64::from(tenths) / 10.0)
}

pub(crate) async fn health(State(api): State<Api>, Query(which): Query<Which>) -> Result<Json<Health>> {
    let pipeline = meant(&api, which.pipeline.as_deref()).await?;
    let (ledger, spec) = (&api.ledger, &pipeline.spec);
    let (source, target) =
        tokio::join!(is_there(&api, &spec.source, Role::Source), is_there(&api, &spec.target, Role::Target));
    let last = ledger.last_ended_run(&pipeline.name).await?;
    let error_count = match &last {
        Some(run) => ledger.attempts_of(run.id).await?.badly,
        None => 0,
    };
    let current = match pipeline.last_run {
        Some(run) => ledger.record(run).await?.filter(|record| !record.state.is_terminal()),
        None => None,
    };
    Ok(Json(Health {
        mysql_connection: word(source),
        mongodb_connection: word(target),
        last_sync_status: match last.map(|run| run.state) {
            None | Some(RunState::Running) => "never",
            Some(RunState::Done) => "success",
            Some(RunState::DoneWithQuarantine) => "partial",
            Some(RunState::Failed) => "failed",
            Some(RunState::Cancelled) => "cancelled",
        },
        pending_operations: current.map_or(0, |record| record.chunks.open()),
        error_count,
    }))
}

pub(crate) async fn trigger(
    State(api): State<Api>,
    Query(which): Query<Which>,
) -> Result<(StatusCode, HeaderMap, Json<StartedAnswer>)> {
    let pipeline = meant(&api, which.pipeline.as_deref()).await?;
    started(start(&api, &pipeline).await?)
}

pub(crate) async fn pause(State(api): State<Api>, Query(which): Query<Which>) -> Result<Json<Status>> {
    let pipeline = meant(&api, which.pipeline.as_deref()).await?;
    commands::pause(&api.ledger, &pipeline).await?;
    now(&api, &pipeline).await
}

pub(crate) async fn resume(State(api): State<Api>, Query(which): Query<Which>) -> Result<Json<Status>> {
    let pipeline = meant(&api, which.pipeline.as_deref()).await?;
    commands::resume(&api.ledger, &pipeline).await?;
    now(&api, &pipeline).await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SyncInterval")]
pub(crate) struct Interval {
    /// From start to start, at least 1.
    sync_interval_minutes: u64,
}

pub(crate) async fn interval(
    State(api): State<Api>,
    Query(which): Query<Which>,
    Body(given): Body<Interval>,
) -> Result<Json<Status>> {
    let pipeline = meant(&api, which.pipeline.as_deref()).await?;
    if !(1..=MINUTES_MAX).contains(&given.sync_interval_minutes) {
        return Err(Problem::invalid(format!("sync_interval_minutes is from 1 to {MINUTES_MAX}")));
    }
    set_interval(&api, &pipeline.name, Some(given.sync_interval_minutes * 60)).await?;
    now(&api, &pipeline).await
}

/// The pipeline as a command has left it.
async fn now(api: &Api, pipeline: &Pipeline) -> Result<Json<Status>> {
    status_of(api, meant(api, Some(&pipeline.name)).await?).await.map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_contract() {
        assert_eq!(minutes(3_600).map(|n| n.to_string()).as_deref(), Some("60"));
        assert_eq!(minutes(90).map(|n| n.to_string()).as_deref(), Some("1.5"));
        assert_eq!(rate(AttemptTally { well: 998, badly: 2 }), Some(99.8));
        assert_eq!(rate(AttemptTally { well: 2, badly: 1 }), Some(66.6));
        assert_eq!(rate(AttemptTally::default()), None);
    }
}
