//! Every route: who may use it, what it takes and what it answers. The router, the check of roles and the OpenAPI document
//! are all made of this one list.

use axum::http::Method;
use axum::routing::{MethodRouter, get, post, put};
use ledger::Role;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::answers::{
    ChunkAnswer, ChunkHistory, Limits, Page, PipelineAnswer, QuarantinedAnswer, QueueAnswer, RecordAnswer,
    RetriedAnswer, RunAnswer, StartedAnswer, WorkerAnswer,
};
use crate::audit::Shows;
use crate::tokens::TokenAnswer;
use crate::{
    Api, audit, chunks, conflicts, events, health, metrics, openapi, pipelines, quarantine, runs, sync,
    tokens, workers,
};

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What an answer that went well holds.
#[derive(Clone, Copy)]
pub(crate) enum Says {
    Json(SchemaOf),
    Text(&'static str),
}

/// A path with one method.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// `None` is everybody.
    pub(crate) role: Option<Role>,
    pub(crate) shows: Shows,
    pub(crate) handler: MethodRouter<Api>,
    pub(crate) summary: &'static str,
    /// What may stand behind the `?`.
    pub(crate) asks: Option<SchemaOf>,
    /// The body it takes.
    pub(crate) takes: Option<SchemaOf>,
    pub(crate) status: u16,
    pub(crate) says: Says,
}

impl Route {
    const fn new(
        method: Method,
        role: Option<Role>,
        path: &'static str,
        handler: MethodRouter<Api>,
        summary: &'static str,
    ) -> Self {
        let says = Says::Text("text/plain");
        Self {
            method,
            path,
            role,
            shows: Shows::None,
            handler,
            summary,
            asks: None,
            takes: None,
            status: 200,
            says,
        }
    }

    fn asks<T: JsonSchema>(mut self) -> Self {
        self.asks = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    fn takes<T: JsonSchema>(mut self) -> Self {
        self.takes = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    fn says<T: JsonSchema>(mut self) -> Self {
        self.says = Says::Json(SchemaGenerator::subschema_for::<T>);
        self
    }

    const fn streams(mut self, kind: &'static str) -> Self {
        self.says = Says::Text(kind);
        self
    }

    /// It shows rows to those who may see them.
    const fn shows_rows(mut self) -> Self {
        self.shows = Shows::Rows;
        self
    }

    const fn for_admins(mut self) -> Self {
        self.role = Some(Role::Admin);
        self
    }

    /// It answers 202: what it began goes on.
    const fn accepted(mut self) -> Self {
        self.status = 202;
        self
    }
}

fn open(path: &'static str, handler: MethodRouter<Api>, summary: &'static str) -> Route {
    Route::new(Method::GET, None, path, handler, summary)
}

fn view(path: &'static str, handler: MethodRouter<Api>, summary: &'static str) -> Route {
    Route::new(Method::GET, Some(Role::Viewer), path, handler, summary)
}

fn command(path: &'static str, handler: MethodRouter<Api>, summary: &'static str) -> Route {
    Route::new(Method::POST, Some(Role::Operator), path, handler, summary)
}

fn set(path: &'static str, handler: MethodRouter<Api>, summary: &'static str) -> Route {
    Route::new(Method::PUT, Some(Role::Operator), path, handler, summary)
}

fn secret(path: &'static str, handler: MethodRouter<Api>, summary: &'static str) -> Route {
    Route::new(Method::PUT, Some(Role::Admin), path, handler, summary)
}

/// All of them.
pub(crate) fn routes() -> Vec<Route> {
    [process(), of_sync(), of_pipelines(), of_runs(), of_quarantine(), of_workers(), of_security()]
        .into_iter()
        .flatten()
        .collect()
}

fn process() -> Vec<Route> {
    vec![
        open("/livez", get(health::livez), "The process answers"),
        open("/readyz", get(health::readyz), "The ledger answers"),
        open("/version", get(health::version), "What answers").says::<health::Version>(),
        open("/openapi.json", get(openapi::document), "This document").streams("application/json"),
        view(
            "/healthz",
            get(health::healthz),
            "Ledger, and source and target of every pipeline; 503 if one is away",
        )
        .says::<health::Health>(),
        view("/metrics", get(metrics::show), "What Prometheus asks for").streams(metrics::KIND),
    ]
}

fn of_sync() -> Vec<Route> {
    vec![
        view("/sync/status", get(sync::status), "How the pipeline stands").says::<sync::Status>(),
        view("/sync/health", get(sync::health), "Its databases, and its last sync").says::<sync::Health>(),
        command("/sync/trigger", post(sync::trigger), "Run it now").accepted().says::<StartedAnswer>(),
        command("/sync/pause", post(sync::pause), "Start nothing, and hold what runs").says::<sync::Status>(),
        command("/sync/resume", post(sync::resume), "Let it go on").says::<sync::Status>(),
        set("/sync/interval", put(sync::interval), "Change how often it runs")
            .takes::<sync::Interval>()
            .says::<sync::Status>(),
    ]
    .into_iter()
    .map(Route::asks::<sync::Which>)
    .collect()
}

fn of_pipelines() -> Vec<Route> {
    vec![
        view("/v1/pipelines", get(pipelines::list), "All pipelines, by name").says::<Page<PipelineAnswer>>(),
        view("/v1/pipelines/{name}", get(pipelines::one), "One pipeline").says::<PipelineAnswer>(),
        command("/v1/pipelines/{name}/trigger", post(pipelines::trigger), "Run it now")
            .accepted()
            .says::<StartedAnswer>(),
        command(
            "/v1/pipelines/{name}/pause",
            post(pipelines::pause),
            "Start nothing of it, and hold what runs",
        )
        .says::<PipelineAnswer>(),
        command("/v1/pipelines/{name}/resume", post(pipelines::resume), "Let it go on")
            .says::<PipelineAnswer>(),
        set("/v1/pipelines/{name}/interval", put(pipelines::interval), "Change how often it runs")
            .takes::<pipelines::Interval>()
            .says::<PipelineAnswer>(),
    ]
}

fn of_runs() -> Vec<Route> {
    vec![
        view("/v1/runs", get(runs::list), "Runs, newest first")
            .asks::<runs::Asked>()
            .says::<Page<RunAnswer>>(),
        view("/v1/runs/{run}", get(runs::one), "The record of a run, table by table").says::<RecordAnswer>(),
        view(
            "/v1/runs/{run}/events",
            get(events::of_run),
            "What happens, as it happens; Last-Event-ID goes on",
        )
        .streams("text/event-stream"),
        view(
            "/v1/events",
            get(events::of_all),
            "What happens to all runs from now on; Last-Event-ID goes back",
        )
        .streams("text/event-stream"),
        command("/v1/runs/{run}/pause", post(runs::pause), "Hold it; what is under way is given back")
            .says::<RunAnswer>(),
        command("/v1/runs/{run}/resume", post(runs::resume), "Let it go on, or set it going again")
            .says::<RunAnswer>(),
        command("/v1/runs/{run}/cancel", post(runs::cancel), "End it").accepted().says::<RunAnswer>(),
        command("/v1/runs/{run}/retry", post(runs::retry), "Set quarantined chunks going again")
            .asks::<runs::Retry>()
            .says::<RetriedAnswer>(),
        set("/v1/runs/{run}/limits", put(runs::limits), "Change how fast it may go")
            .takes::<Limits>()
            .says::<RunAnswer>(),
        view("/v1/runs/{run}/chunks", get(chunks::list), "Its chunks, by table, pass and place")
            .asks::<chunks::Asked>()
            .says::<Page<ChunkAnswer>>(),
        view("/v1/chunks/{chunk}", get(chunks::one), "A chunk with its attempts").says::<ChunkHistory>(),
        command("/v1/chunks/{chunk}/retry", post(chunks::retry), "Set a quarantined chunk going again")
            .says::<ChunkAnswer>(),
    ]
}

fn of_quarantine() -> Vec<Route> {
    vec![
        view("/v1/runs/{run}/quarantine", get(quarantine::list), "Rows set aside, and why; keys for admins")
            .asks::<quarantine::Asked>()
            .says::<Page<QuarantinedAnswer>>()
            .shows_rows(),
        view(
            "/v1/runs/{run}/conflicts",
            get(conflicts::list),
            "Rows changed on both sides, and which won; keys and values for admins",
        )
        .asks::<conflicts::Asked>()
        .says::<Page<conflicts::ConflictAnswer>>()
        .shows_rows(),
        command(
            "/v1/runs/{run}/quarantine/replay",
            post(quarantine::replay),
            "Read again the chunks that have rows in quarantine",
        )
        .asks::<quarantine::Replay>()
        .says::<RetriedAnswer>(),
        secret(
            "/v1/runs/{run}/quarantine/{row}/correction",
            put(quarantine::correct),
            "Say what a column of the row is to be when it is replayed",
        )
        .takes::<quarantine::New>()
        .says::<QuarantinedAnswer>(),
    ]
}

fn of_security() -> Vec<Route> {
    vec![
        view("/v1/audit", get(audit::list), "Who asked for what, oldest first")
            .asks::<audit::Asked>()
            .says::<Page<audit::EntryAnswer>>()
            .for_admins(),
        view("/v1/audit/head", get(audit::head), "The last entry: its hash stands for all before it")
            .says::<audit::EntryAnswer>()
            .for_admins(),
        view("/v1/tokens", get(tokens::list), "Tokens, the newest first")
            .says::<Page<TokenAnswer>>()
            .for_admins(),
        command("/v1/tokens/{token}/revoke", post(tokens::revoke), "End one at once")
            .says::<TokenAnswer>()
            .for_admins(),
    ]
}

fn of_workers() -> Vec<Route> {
    vec![
        view("/v1/workers", get(workers::list), "Workers, those seen last first")
            .says::<Page<WorkerAnswer>>(),
        view("/v1/queue", get(workers::queue), "What waits for workers").says::<QueueAnswer>(),
        command(
            "/v1/workers/{worker}/drain",
            post(workers::drain),
            "Ask one to finish what it holds and leave",
        )
        .accepted()
        .says::<WorkerAnswer>(),
    ]
}
