//! One chunk: who tried it, and how that ended.

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;
use ledger::{AttemptOutcome, AttemptView, ChunkView};
use maud::{Markup, html};
use model::ChunkState;

use super::guard::Visitor;
use super::page::{Place, Refused, Shown, page};
use super::parts;
use super::parts::Button;
use crate::Api;
use crate::chunks::{self as api_chunks, known};
use crate::extract::Path;
use crate::runs::{found, unknown};

pub(super) use crate::chunks::id;

pub(super) async fn show(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Shown {
    let view = known(&api, &id).await?;
    let chunk = &view.chunk;
    let run = found(&api, &chunk.run.to_string()).await?;
    let record = api.ledger.record(run.id).await?.ok_or_else(unknown)?;
    let source = record.tables.iter().find(|table| table.table == chunk.table).map(|table| &table.source);
    let attempts = api.ledger.attempts(chunk.id).await?;
    let now = record.now_ms;
    let body = html! {
        nav.crumbs {
            a href={ "/runs/" (run.id) } { (run.spec.name) } " / "
            a href={ "/runs/" (run.id) "/tables/" (chunk.table) } { (source.map_or("table", String::as_str)) }
        }
        h1 { "Chunk " (chunk.ordinal) " " (parts::chunk_state(chunk.state)) " " span.id.faint { (chunk.id) } }
        @if let Some(failure) = &view.failure { (parts::failure(failure)) }
        @if chunk.state == ChunkState::Quarantined {
            div.commands { (Button::new(format!("/chunks/{}/retry", chunk.id), "Retry").primary().show(&visitor)) }
        }
        (facts(&view, now))
        section { h2 { "Attempts" } (timeline(&attempts, now)) }
        (parts::terminal(&format!("syncline retry {} --chunk {}", run.id, chunk.id)))
    };
    let live = format!("/runs/{}/live", run.id);
    let live = Some(live.as_str()).filter(|_| !run.state.is_terminal());
    Ok(page(&visitor, Place::Runs, &format!("Chunk {}", chunk.ordinal), live, &body))
}

fn facts(view: &ChunkView, now_ms: i64) -> Markup {
    let counts = &view.counts;
    html! {
        dl.facts {
            dt { "Pass" } dd { (view.chunk.pass.name()) }
            dt { "Rows read" } dd { (parts::figure(counts.read)) }
            dt { "Inserted" } dd { (parts::figure(counts.inserted)) }
            dt { "Updated" } dd { (parts::figure(counts.updated)) }
            dt { "Unchanged" } dd { (parts::figure(counts.unchanged)) }
            dt { "Quarantined" } dd { (parts::worry(counts.quarantined)) }
            @if counts.filtered > 0 { dt { "Left out by a rule" } dd { (parts::figure(counts.filtered)) } }
            dt { "Took" } dd { (parts::took(now_ms, view.started_ms, view.ended_ms)) }
            dt { "Attempts" } dd { (view.chunk.attempt.0) span.faint { " (" (view.tries) " that count)" } }
            dt { "Workers that died on it" } dd { (parts::figure(u64::from(view.worker_deaths))) }
            @if view.chunk.state == ChunkState::Ready { dt { "May be claimed" } dd { (parts::when(now_ms, Some(view.due_ms))) } }
        }
    }
}

fn timeline(attempts: &[AttemptView], now_ms: i64) -> Markup {
    if attempts.is_empty() {
        return parts::nothing("Nobody has tried it yet.");
    }
    html! {
        ol.timeline {
            @for attempt in attempts {
                li {
                    div {
                        strong { "Attempt " (attempt.attempt.0) } " "
                        (parts::state(attempt.outcome.map_or("running", AttemptOutcome::name)))
                        span.faint { " by " (attempt.worker) ", began " (parts::when(now_ms, Some(attempt.claimed_ms)))
                            ", took " (parts::took(now_ms, Some(attempt.claimed_ms), attempt.ended_ms)) }
                    }
                    @if let Some(failure) = &attempt.failure { (parts::failure(failure)) }
                }
            }
        }
    }
}

/// Chunks as a list; of those that failed, why.
pub(super) fn table(visitor: &Visitor, chunks: &[ChunkView], now_ms: i64, with_table: bool) -> Markup {
    if chunks.is_empty() {
        return parts::nothing("No such chunk.");
    }
    html! {
        table {
            thead { tr {
                th { "Chunk" } th { "State" } th.number { "Rows" } th.number { "Attempts" } th.number.wide { "Took" }
                th.wide { "Worker" } th { "Why" } @if visitor.may_command() { th { span.hidden { "Commands" } } }
            } }
            tbody {
                @for view in chunks { (row(visitor, view, now_ms, with_table)) }
            }
        }
    }
}

fn row(visitor: &Visitor, view: &ChunkView, now_ms: i64, with_table: bool) -> Markup {
    let chunk = &view.chunk;
    html! {
        tr {
            td {
                a href={ "/chunks/" (chunk.id) } {
                    @if with_table { "table " (chunk.table) ", " } (chunk.pass.name()) " " (chunk.ordinal)
                }
            }
            td { (parts::chunk_state(chunk.state)) }
            td.number { (parts::figure(view.counts.read)) }
            td.number { (chunk.attempt.0) }
            td.number.wide { (parts::took(now_ms, view.started_ms, view.ended_ms)) }
            td.wide.faint { @if let Some(worker) = &view.worker { (worker) } }
            td.cause {
                @if let Some(failure) = &view.failure { span title=(failure.message) { (failure.kind.name()) ": " (failure.message) } }
                @if chunk.state == ChunkState::Ready && view.due_ms > now_ms { " next try " (parts::when(now_ms, Some(view.due_ms))) }
            }
            @if visitor.may_command() {
                td.end {
                    @if chunk.state == ChunkState::Quarantined {
                        (Button::new(format!("/chunks/{}/retry", chunk.id), "Retry").show(visitor))
                    }
                }
            }
        }
    }
}

pub(super) async fn retry(state: State<Api>, Path(id): Path<String>) -> Result<Redirect, Refused> {
    let _ = api_chunks::retry(state, Path(id.clone())).await?;
    Ok(Redirect::to(&format!("/chunks/{id}")))
}
