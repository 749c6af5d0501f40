//! What Prometheus asks for, from the ledger: any number of servers tell the same. Labels have few values: pipelines,
//! tables, states; never runs, chunks, workers or keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use ledger::{AttemptTally, Ledger, Pipeline, Run, Standing};
use model::schedule::When;
use model::{RunRecord, RunState};

use crate::Api;
use crate::problem::Result;
use crate::scene::Scene;

/// The text format of Prometheus.
pub(crate) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Runs of a pipeline that are looked at for the last that went well.
const RUNS: u32 = 20;
const STATES: [RunState; 5] =
    [RunState::Running, RunState::Done, RunState::DoneWithQuarantine, RunState::Failed, RunState::Cancelled];
const STANDINGS: [Standing; 3] = [Standing::Alive, Standing::Draining, Standing::Silent];

pub(crate) async fn show(State(api): State<Api>) -> Result<Response> {
    let scene = Scene::read(&api.ledger, RUNS).await?;
    let mut last = Vec::new();
    for (pipeline, runs) in &scene.pipelines {
        last.push(LastRun::read(&api.ledger, pipeline, runs).await?);
    }
    let attempts = api.ledger.attempts_by_outcome().await?;
    let security = api.ledger.security_count().await?;
    let audited = api.ledger.audit_count().await?;
    let mut text = Exposition::default();
    text.family("build_info", "gauge", "What runs.");
    text.sample("build_info", &[("version", api.version)], 1.0);
    of_pipelines(&mut text, &scene);
    of_last_runs(&mut text, &last.into_iter().flatten().collect::<Vec<_>>());
    of_queue(&mut text, &scene);
    text.family("attempts_total", "counter", "Attempts at chunks that ended, by how.");
    for (outcome, n) in attempts {
        text.sample("attempts_total", &[("outcome", outcome.name())], count(n));
    }
    text.family(
        "security_events_total",
        "counter",
        "Things that a person responsible for security should know.",
    );
    text.sample("security_events_total", &[], count(security));
    text.family("audit_head_seq", "gauge", "The last entry of the audit log.");
    text.sample("audit_head_seq", &[], count(audited));
    Ok(([(header::CONTENT_TYPE, KIND)], text.0).into_response())
}

/// The last run of a pipeline that has ended and did what the pipeline is for.
struct LastRun {
    pipeline: String,
    record: RunRecord,
    attempts: AttemptTally,
    /// The oldest change that it can have brought had waited so long when it ended.
    latency_ms: i64,
}

impl LastRun {
    async fn read(ledger: &Ledger, pipeline: &Pipeline, runs: &[Run]) -> Result<Option<Self>> {
        let mut ended = runs.iter().filter(|run| run.state.is_terminal() && run.kind == pipeline.kind());
        let (Some(run), before) = (ended.next(), ended.next()) else { return Ok(None) };
        let Some(record) = ledger.record(run.id).await? else { return Ok(None) };
        let attempts = ledger.attempts_of(run.id).await?;
        // A change that came right after the run before had read waited from then on.
        let since = before.map_or(run.created_ms, |before| before.created_ms);
        let latency_ms = run.ended_ms.unwrap_or(record.now_ms) - since;
        Ok(Some(Self { pipeline: pipeline.name.clone(), record, attempts, latency_ms }))
    }

    fn seconds(&self) -> f64 {
        seconds(self.record.ended_ms.unwrap_or(self.record.now_ms) - self.record.created_ms)
    }
}

fn of_pipelines(text: &mut Exposition, scene: &Scene) {
    text.family("run_state", "gauge", "1 for the state of the last run of a pipeline.");
    for (pipeline, runs) in &scene.pipelines {
        for state in STATES {
            let is_in_it = runs.first().is_some_and(|run| run.state == state);
            text.sample(
                "run_state",
                &[("pipeline", &pipeline.name), ("state", state.name())],
                flag(is_in_it),
            );
        }
    }
    text.family(
        "run_last_success_timestamp_seconds",
        "gauge",
        "When a run of a pipeline last ended well, rows in quarantine or not.",
    );
    for (pipeline, runs) in &scene.pipelines {
        let well = |run: &&Run| run.state.ended_well();
        if let Some(ended) = runs.iter().find(well).and_then(|run| run.ended_ms) {
            text.sample(
                "run_last_success_timestamp_seconds",
                &[("pipeline", &pipeline.name)],
                seconds(ended),
            );
        }
    }
    text.family(
        "pipeline_interval_seconds",
        "gauge",
        "From start to start, of pipelines that run by an interval.",
    );
    for (pipeline, _) in &scene.pipelines {
        if let Some(When::Every(every)) = pipeline.schedule.as_ref().map(|schedule| &schedule.when) {
            text.sample("pipeline_interval_seconds", &[("pipeline", &pipeline.name)], count(*every));
        }
    }
    text.family("pipeline_paused", "gauge", "1 if it starts nothing, by whom: a person, or an error.");
    for (pipeline, _) in &scene.pipelines {
        for (by, is_it) in [("person", pipeline.cause.is_none()), ("error", pipeline.cause.is_some())] {
            let is_paused = pipeline.paused_ms.is_some() && is_it;
            text.sample("pipeline_paused", &[("pipeline", &pipeline.name), ("by", by)], flag(is_paused));
        }
    }
    text.family(
        "run_waiting",
        "gauge",
        "1 if nothing of a running run is handed out, because it waits for something.",
    );
    // One line for each set of labels: a verification may run beside a copy, and a table be copied to several.
    let mut waiting = BTreeMap::<&str, bool>::new();
    for record in &scene.active {
        *waiting.entry(&record.spec_name).or_default() |= record.waiting.is_some();
    }
    for (pipeline, waits) in waiting {
        text.sample("run_waiting", &[("pipeline", pipeline)], flag(waits));
    }
}

/// The figures of each pipeline's last run that has ended; the last five are the key figures of the guide.
fn of_last_runs(text: &mut Exposition, last: &[LastRun]) {
    text.family("last_run_rows", "gauge", "Rows of the last run, by what became of them.");
    for LastRun { pipeline, record, .. } in last {
        let counts = &record.counts;
        for (outcome, n) in [
            ("read", counts.read),
            ("inserted", counts.inserted),
            ("updated", counts.updated),
            ("unchanged", counts.unchanged),
            ("deleted", counts.deleted),
            ("quarantined", counts.quarantined),
            ("filtered", counts.filtered),
            ("different", counts.unequal()),
        ] {
            text.sample("last_run_rows", &[("pipeline", pipeline), ("outcome", outcome)], count(n));
        }
    }
    text.family("quarantined_rows", "gauge", "Rows that the last run set aside.");
    for LastRun { pipeline, record, .. } in last {
        let mut tables = BTreeMap::<&str, u64>::new();
        for table in &record.tables {
            *tables.entry(&table.source).or_default() += table.counts.quarantined;
        }
        for (table, rows) in tables {
            text.sample("quarantined_rows", &[("pipeline", pipeline), ("table", table)], count(rows));
        }
    }
    let mut each = |name, help, of: fn(&LastRun) -> f64| {
        text.family(name, "gauge", help);
        for run in last {
            text.sample(name, &[("pipeline", &run.pipeline)], of(run));
        }
    };
    each("run_duration_seconds", "How long the last run took.", LastRun::seconds);
    each("success_ratio", "Attempts at chunks of the last run that ended well, of all.", |run| {
        ratio(run.attempts.well, run.attempts.well + run.attempts.badly, 1.0)
    });
    each("transfer_rows_per_minute", "Rows that the last run read in a minute.", |run| {
        count(run.record.counts.read) * 60.0 / run.seconds().max(0.001)
    });
    each("failed_attempts", "Attempts at chunks of the last run that ended badly.", |run| {
        count(run.attempts.badly)
    });
    each(
        "latency_seconds",
        "How long the oldest change had waited when the last run ended, at most.",
        |run| seconds(run.latency_ms),
    );
    each(
        "validation_failure_ratio",
        "Rows that the last run set aside or that a rule left out, of those it read.",
        |run| {
            let counts = &run.record.counts;
            ratio(counts.quarantined + counts.filtered, counts.read, 0.0)
        },
    );
}

fn of_queue(text: &mut Exposition, scene: &Scene) {
    let queue = &scene.queue;
    text.family("chunks", "gauge", "Chunks of the runs that are under way.");
    for (state, n) in [
        ("ready", queue.ready),
        ("retrying", queue.retrying),
        ("running", queue.running),
        ("quarantined", queue.quarantined),
    ] {
        text.sample("chunks", &[("state", state)], count(n));
    }
    text.family("queue_oldest_seconds", "gauge", "How long the oldest chunk waits that may be claimed.");
    text.sample("queue_oldest_seconds", &[], count(queue.oldest_ms.unwrap_or(0)) / 1_000.0);
    text.family("workers", "gauge", "Processes that work on chunks.");
    for standing in STANDINGS {
        let n = scene.workers.iter().filter(|worker| worker.standing(scene.now_ms) == standing).count();
        text.sample("workers", &[("state", standing.name())], count(n as u64));
    }
    text.family("worker_slots", "gauge", "Chunks that the workers that are there can work on at once.");
    text.sample("worker_slots", &[], count(scene.alive().map(|worker| u64::from(worker.slots)).sum()));
}

/// Lines of the text format; every name begins with `syncline_`.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP syncline_{name} {help}\n# TYPE syncline_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "syncline_{name}{labels} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Exact below 2^53.
#[allow(clippy::cast_precision_loss, reason = "a metric is a double")]
const fn count(n: u64) -> f64 {
    n as f64
}

#[allow(clippy::cast_precision_loss, reason = "a metric is a double")]
const fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

const fn flag(is_set: bool) -> f64 {
    if is_set { 1.0 } else { 0.0 }
}

fn ratio(part: u64, of: u64, of_none: f64) -> f64 {
    if of == 0 { of_none } else { count(part) / count(of) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_a_line() {
        let mut text = Exposition::default();
        text.sample("x", &[("table", "a\"b\\c\nd")], 1.5);
        assert_eq!(text.0, "syncline_x{table=\"a\\\"b\\\\c\\nd\"} 1.5\n");
        assert_eq!((ratio(1, 4, 0.0), ratio(0, 0, 1.0)), (0.25, 1.0));
    }
}
