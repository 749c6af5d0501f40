//! The lines that tell, table by table, what a sync came to: one when it starts and one when it has ended. Whoever
//! collects logs finds the figures of the run record in them.

use model::{RunId, RunKind, RunRecord, TableProgress, TableRef, TableState};
use tracing::{error, info};

const COMPONENT: &str = "sync_service";

pub(super) fn started(run: RunId, table: &TableRef) {
    info!(component = COMPONENT, %run, %table, operation = "sync_started", "started");
}

/// The tables of a copy that has ended.
pub(super) fn ended(record: &RunRecord) {
    if record.kind != RunKind::Copy {
        return;
    }
    for table in &record.tables {
        match table.state {
            TableState::Done => completed(record, table),
            TableState::Failed | TableState::Held => failed(record, table),
            TableState::Pending | TableState::Planning | TableState::Working | TableState::Finishing => {}
        }
    }
}

fn completed(record: &RunRecord, table: &TableProgress) {
    let counts = &table.counts;
    if counts.quarantined > 0 {
        info!(
            component = COMPONENT, run = %record.id, table = table.source, operation = "record_skipped",
            records_skipped = counts.quarantined, "rows are in quarantine"
        );
    }
    if counts.filtered > 0 {
        info!(
            component = COMPONENT, run = %record.id, table = table.source, operation = "record_skipped",
            records_skipped = counts.filtered, "rows were left out by a rule"
        );
    }
    if counts.conflicts > 0 {
        info!(
            component = COMPONENT, run = %record.id, table = table.source, operation = "conflict_resolved",
            conflicts = counts.conflicts, "rows were changed on both sides: the newest won"
        );
    }
    info!(
        component = COMPONENT,
        run = %record.id,
        table = table.source,
        operation = "sync_completed",
        records_processed = counts.read,
        records_updated = counts.updated,
        records_created = counts.inserted,
        records_skipped = counts.unchanged + counts.filtered + counts.quarantined,
        duration_seconds = seconds(record, table),
        errors = counts.quarantined,
        "completed"
    );
}

fn failed(record: &RunRecord, table: &TableProgress) {
    let cause = table.cause.as_ref().or(record.cause.as_ref()).map(ToString::to_string).unwrap_or_default();
    error!(
        component = COMPONENT, run = %record.id, table = table.source, operation = "sync_failed",
        duration_seconds = seconds(record, table), cause, "failed"
    );
}

/// The whole run ends with what happened to one table of it.
pub(super) fn halted(run: RunId, cause: &connectors::Error) {
    error!(component = COMPONENT, %run, operation = "sync_failed", %cause, "failed");
}

/// With one decimal.
fn seconds(record: &RunRecord, table: &TableProgress) -> f64 {
    let from = table.started_ms.unwrap_or(record.created_ms);
    let to = table.ended_ms.unwrap_or(record.now_ms);
    let tenths = u32::try_from((to - from).max(0) / 100).unwrap_or(u32::MAX);
    f64::from(tenths) / 10.0
}
