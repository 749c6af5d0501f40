//! One run: how far it is, table by table, what was set aside, what happened.

use axum::Extension;
use axum::extract::{Form, State};
use axum::response::Redirect;
use ledger::{ChunkPage, ChunkView, Event, Run, Throughput};
use maud::{Markup, html};
use model::human::{bytes, count, rough};
use model::{ChunkState, RunRecord, RunState, TableProgress};
use serde::Deserialize;
use std::time::Duration;

use super::guard::Visitor;
use super::page::{Place, Refused, Shown, page};
use super::parts::Button;
use super::{chart, chunks, parts};
use crate::Api;
use crate::answers::Limits;
use crate::extract::{Body, Path, Query};
use crate::problem::Problem;
use crate::runs::{self as api_runs, found, unknown};

type Done = Result<Redirect, Refused>;

/// Chunks set aside that the page lists.
const ASIDE: u32 = 20;
/// Events that it lists.
const EVENTS: u32 = 30;
/// A rate is taken over the bars of this time.
const PACE_MS: i64 = 30_000;

pub(super) async fn show(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Shown {
    let run = found(&api, &id).await?;
    let record = api.ledger.record(run.id).await?.ok_or_else(unknown)?;
    let end = run.ended_ms.unwrap_or(record.now_ms);
    let width = chart::width_of(end - run.created_ms);
    let spans = api.ledger.throughput(run.id, width).await?;
    let aside = ChunkPage { state: Some(ChunkState::Quarantined), limit: ASIDE, ..ChunkPage::default() };
    let aside = api.ledger.chunks(run.id, aside).await?;
    let events = api.ledger.last_events(run.id, EVENTS).await?;
    let body = html! {
        h1 { (run.spec.name) " " (parts::run_state(&run)) " " span.id.faint { (run.id) } }
        @if let Some(cause) = &run.cause { (parts::failure(cause)) }
        @if let Some(waiting) = &record.waiting { p.waiting { strong { "Waits" } " because " (waiting.reason) } }
        (commands_of(&visitor, &run, &record))
        (figures(&run, &record, &spans, width))
        (chart::throughput(&spans, run.created_ms, end, width))
        section { h2 { "Tables" } (tables(&run, &record)) }
        @if !aside.is_empty() { (set_aside(&visitor, &run, &record, &aside)) }
        section { h2 { "What happened" } (happened(&events, record.now_ms)) }
        (parts::terminal(&format!("syncline status {} --watch", run.id)))
    };
    let live = format!("/runs/{}/live", run.id);
    let live = Some(live.as_str()).filter(|_| !run.state.is_terminal());
    Ok(page(&visitor, Place::Runs, &run.spec.name, live, &body))
}

fn commands_of(visitor: &Visitor, run: &Run, record: &RunRecord) -> Markup {
    let at = |command: &str| format!("/runs/{}/{command}", run.id);
    let is_over = run.state.is_terminal();
    let may_go_on = matches!(run.state, RunState::Failed | RunState::Cancelled) || run.paused_ms.is_some();
    let limits = html! {
        label { "Rows a second " input type="number" name="rows" min="1" value=[run.limits.rows] placeholder="no limit"; }
        button type="submit" { "Set" }
    };
    html! {
        div.commands {
            @if may_go_on && !run.cancel_requested || is_over && run.state == RunState::Cancelled {
                (Button::new(at("resume"), "Resume").primary().show(visitor))
            } @else if !is_over { (Button::new(at("pause"), "Pause").show(visitor)) }
            @if !is_over && !run.cancel_requested {
                (Button::new(at("cancel"), "Cancel").confirm("Cancel this run? What is done stays.").show(visitor))
            }
            @if record.chunks.quarantined > 0 && run.state != RunState::Cancelled {
                (Button::new(at("retry"), "Retry chunks set aside").show(visitor))
            }
            @if is_over && record.counts.quarantined > 0 {
                (Button::new(at("quarantine/replay"), "Replay rows set aside").show(visitor))
            }
            @if !is_over { (parts::form(visitor, &at("limits"), None, &limits)) }
        }
    }
}

fn figures(run: &Run, record: &RunRecord, spans: &[Throughput], width_ms: u64) -> Markup {
    let counts = &record.counts;
    let chunks = format!("of {}", count(record.chunks.total()));
    let left = (!run.state.is_terminal()).then(|| left(record, spans, width_ms)).flatten();
    let left = left.map(|left| format!("about {} left", rough(left)));
    let link = |page: &str| format!("/runs/{}/{page}", run.id);
    html! {
        div.tiles {
            (parts::tile("Time", &parts::took(record.now_ms, Some(run.created_ms), run.ended_ms), left.as_deref().unwrap_or("")))
            (parts::tile("Chunks done", &parts::figure(record.chunks.done), &chunks))
            (parts::tile("Read", &parts::figure(counts.read), &bytes(counts.bytes)))
            (parts::tile("Inserted", &parts::figure(counts.inserted), "rows"))
            (parts::tile("Updated", &parts::figure(counts.updated), "rows"))
            (parts::tile("Deleted", &parts::figure(counts.deleted), "rows"))
            (parts::tile("Unchanged", &parts::figure(counts.unchanged), "rows"))
            a href=(link("quarantine")) { (parts::tile("Quarantined", &parts::worry(counts.quarantined), "rows")) }
            @if counts.conflicts > 0 {
                a href=(link("conflicts")) { (parts::tile("Conflicts", &parts::figure(counts.conflicts), "rows")) }
            }
            (parts::tile("Retries", &parts::figure(record.retries), "attempts"))
        }
    }
}

/// How long it still takes at the pace of late, if the sizes of its tables are known.
fn left(record: &RunRecord, spans: &[Throughput], width_ms: u64) -> Option<Duration> {
    let mut rows = 0;
    for table in record.tables.iter().filter(|table| !table.state.is_terminal()) {
        rows += table.rows_estimate?.saturating_sub(table.counts.read);
    }
    let width = i64::try_from(width_ms).ok()?;
    let recent = spans.iter().filter(|span| span.from_ms + width > record.now_ms - PACE_MS.max(2 * width));
    let since = recent.clone().map(|span| span.from_ms).min()?;
    let read: u64 = recent.map(|span| span.rows).sum();
    let time_ms = u64::try_from(record.now_ms - since).ok()?.max(1);
    (read > 0 && rows > 0).then(|| Duration::from_millis(rows.saturating_mul(time_ms) / read))
}

fn tables(run: &Run, record: &RunRecord) -> Markup {
    if record.tables.is_empty() {
        return parts::nothing("Its tables are being planned.");
    }
    html! {
        table {
            thead { tr {
                th { "Table" } th { "State" } th.progress { "Chunks" } th.number { "Rows read" }
                th.number.wide { "Inserted" } th.number.wide { "Updated" } th.number.wide { "Deleted" }
                th.number { "Aside" } th.number.wide { "Took" }
            } }
            tbody {
                @for table in &record.tables { (row(run, record, table)) }
            }
        }
    }
}

fn row(run: &Run, record: &RunRecord, table: &TableProgress) -> Markup {
    let counts = &table.counts;
    html! {
        tr {
            td {
                a href={ "/runs/" (run.id) "/tables/" (table.table) } { (table.source) }
                @if table.target != table.source { span.faint { " → " (table.target) } }
                @if let Some(cause) = &table.cause { (parts::failure(cause)) }
                @for note in &table.notes { p.note { (note) } }
            }
            td { (parts::state(table.state.name())) }
            td.progress {
                (parts::chunk_bar(&table.chunks))
                span.note {
                    (count(table.chunks.done)) "/" (count(table.chunks.total()))
                    @if let Some(percent) = parts::percent(table) { " · " (percent) " %" }
                }
            }
            td.number { (parts::figure(counts.read)) }
            td.number.wide { (parts::figure(counts.inserted)) }
            td.number.wide { (parts::figure(counts.updated)) }
            td.number.wide { (parts::figure(counts.deleted)) }
            td.number { (parts::worry(counts.quarantined + table.chunks.quarantined)) }
            td.number.wide { (parts::took(record.now_ms, table.started_ms, table.ended_ms)) }
        }
    }
}

fn set_aside(visitor: &Visitor, run: &Run, record: &RunRecord, aside: &[ChunkView]) -> Markup {
    let more = record.chunks.quarantined > aside.len() as u64;
    html! {
        section {
            h2 { "Chunks set aside" }
            (chunks::table(visitor, aside, record.now_ms, true))
            @if more { p.note { "The first " (aside.len()) " of " (count(record.chunks.quarantined)) "." } }
            (parts::terminal(&format!("syncline retry {}", run.id)))
        }
    }
}

fn happened(events: &[Event], now_ms: i64) -> Markup {
    html! {
        ol.events {
            @for event in events {
                li {
                    (parts::when(now_ms, Some(event.at_ms)))
                    " " strong { (event.kind.replace('-', " ")) } " "
                    @if let Some(chunk) = event.chunk { a.id href={ "/chunks/" (chunk) } { (parts::short(&chunk.to_string())) } " " }
                    span.detail { (detail(event)) }
                }
            }
        }
    }
}

/// What an event says, without braces.
fn detail(event: &Event) -> String {
    let Some(fields) = event.detail.as_object() else { return String::new() };
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let said = fields.iter().filter(|(_, value)| !value.is_null());
    said.map(|(name, value)| format!("{name} {}", text(value))).collect::<Vec<_>>().join(", ")
}

pub(super) async fn pause(state: State<Api>, Path(id): Path<String>) -> Done {
    let _ = api_runs::pause(state, Path(id.clone())).await?;
    Ok(back(&id))
}

pub(super) async fn resume(state: State<Api>, Path(id): Path<String>) -> Done {
    let _ = api_runs::resume(state, Path(id.clone())).await?;
    Ok(back(&id))
}

pub(super) async fn cancel(state: State<Api>, Path(id): Path<String>) -> Done {
    let _ = api_runs::cancel(state, Path(id.clone())).await?;
    Ok(back(&id))
}

pub(super) async fn retry(state: State<Api>, Path(id): Path<String>) -> Done {
    let _ = api_runs::retry(state, Path(id.clone()), Query(api_runs::Retry::default())).await?;
    Ok(back(&id))
}

#[derive(Debug, Deserialize)]
pub(super) struct Pace {
    /// Nothing: no limit.
    rows: String,
}

pub(super) async fn limits(State(api): State<Api>, Path(id): Path<String>, Form(given): Form<Pace>) -> Done {
    let rows = Some(given.rows.trim()).filter(|text| !text.is_empty()).map(str::parse).transpose();
    let rows = rows.map_err(|_| Problem::invalid("a limit is a whole number of rows"))?;
    let bytes = found(&api, &id).await?.limits.bytes;
    let _ = api_runs::limits(State(api), Path(id.clone()), Body(Limits { rows, bytes })).await?;
    Ok(back(&id))
}

fn back(id: &str) -> Redirect {
    Redirect::to(&format!("/runs/{id}"))
}
