//! One table of a run: every chunk as a cell, and those that a person asks for as a list.

use axum::extract::State;
use axum::response::Redirect;
use axum::{Extension, Json};
use ledger::{ChunkPage, Run};
use maud::{Markup, html};
use model::{ChunkState, Pass, TableProgress};
use serde::{Deserialize, Serialize};

use super::guard::Visitor;
use super::page::{Place, Refused, Shown, page};
use super::{chunks, parts};
use crate::Api;
use crate::extract::{Path, Query};
use crate::problem::Problem;
use crate::runs::{found, unknown};

/// Cells of one picture; a table of more is shown up to there.
const CELLS_MAX: u32 = 20_000;
const PAGE: u32 = 50;
/// What cells name by number.
const STATES: [ChunkState; 5] = [
    ChunkState::Ready,
    ChunkState::Running,
    ChunkState::Done,
    ChunkState::Quarantined,
    ChunkState::Cancelled,
];

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    state: Option<String>,
    after: Option<String>,
}

pub(super) async fn show(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    Path((id, number)): Path<(String, u32)>,
    Query(asked): Query<Asked>,
) -> Shown {
    let run = found(&api, &id).await?;
    let record = api.ledger.record(run.id).await?.ok_or_else(unknown)?;
    let table = record.tables.iter().find(|table| table.table == number).ok_or_else(no_table)?;
    let state = asked.state.as_deref().filter(|state| !state.is_empty());
    let state = state.map(str::parse::<ChunkState>).transpose();
    let state = state.map_err(|unknown| Problem::invalid(unknown.to_string()))?;
    let after = asked.after.as_deref().map(chunks::id).transpose()?;
    let chunk_page = ChunkPage { table: Some(number), state, after, limit: PAGE };
    let listed = api.ledger.chunks(run.id, chunk_page).await?;
    let here = format!("/runs/{}/tables/{number}", run.id);
    let next = listed.last().filter(|_| listed.len() == PAGE as usize).map(|last| last.chunk.id);
    let body = html! {
        nav.crumbs { a href={ "/runs/" (run.id) } { (run.spec.name) } " / " (table.source) }
        h1 { (table.source) " → " (table.target) " " (parts::state(table.state.name())) }
        @if let Some(cause) = &table.cause { (parts::failure(cause)) }
        (heat_map(&here, table))
        section {
            h2 { "Chunks" }
            form.filter method="get" action=(here) {
                label { "State " select name="state" {
                    option value="" { "all" }
                    @for known in STATES { option value=(known.name()) selected[state == Some(known)] { (known.name()) } }
                } }
                button type="submit" { "Show" }
            }
            (chunks::table(&visitor, &listed, record.now_ms, false))
            @if let Some(next) = next {
                p { a rel="next" href={ (here) "?state=" (state.map_or("", ChunkState::name)) "&after=" (next) } { "More" } }
            }
        }
        (parts::terminal(&format!("syncline show {}", run.id)))
    };
    let live = live_of(&run);
    Ok(page(&visitor, Place::Runs, &table.source, live.as_deref(), &body))
}

fn live_of(run: &Run) -> Option<String> {
    (!run.state.is_terminal()).then(|| format!("/runs/{}/live", run.id))
}

fn heat_map(here: &str, table: &TableProgress) -> Markup {
    html! {
        figure.heat {
            figcaption {
                "Each cell is a chunk, in order of the key. Colour: its state; strength: how long it took."
            }
            canvas #heat data-cells={ (here) "/cells" } data-chunk={ (here) "/chunks/" } role="img"
                aria-label={ "Chunks by state: " (table.chunks.done) " done, " (table.chunks.running) " at work, "
                    (table.chunks.ready) " ready, " (table.chunks.quarantined) " set aside; the list below has each" } {}
            p #heat-note.note aria-hidden="true" {}
            ul.legend {
                @for state in STATES { li { span class={ "swatch " (state.name()) } {} (state.name()) } }
            }
        }
    }
}

/// Cells as short lists: pass, ordinal, state, attempt, rows, milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Cells {
    passes: Vec<&'static str>,
    states: [&'static str; 5],
    cells: Vec<(usize, u64, usize, u32, u64, i64)>,
}

pub(super) async fn cells(
    State(api): State<Api>,
    Path((id, number)): Path<(String, u32)>,
) -> Result<Json<Cells>, Refused> {
    let run = found(&api, &id).await?;
    let now = api.ledger.now_ms().await?;
    let mut passes: Vec<&'static str> = Vec::new();
    let mut cells = Vec::new();
    for cell in api.ledger.chunk_cells(run.id, number, CELLS_MAX).await? {
        let name = cell.pass.name();
        let pass = passes.iter().position(|known| *known == name).unwrap_or_else(|| {
            passes.push(name);
            passes.len() - 1
        });
        let state = STATES.iter().position(|state| *state == cell.state).unwrap_or_default();
        let took = cell.started_ms.map_or(0, |from| cell.ended_ms.unwrap_or(now) - from);
        cells.push((pass, cell.ordinal, state, cell.attempt, cell.rows, took));
    }
    Ok(Json(Cells { passes, states: STATES.map(ChunkState::name), cells }))
}

/// Leads from a cell to its chunk.
pub(super) async fn chunk(
    State(api): State<Api>,
    Path((id, number, pass, ordinal)): Path<(String, u32, String, u64)>,
) -> Result<Redirect, Refused> {
    let run = found(&api, &id).await?;
    let pass: Pass = pass.parse().map_err(|_| Problem::not_found("there is no such pass"))?;
    let view = api.ledger.chunk_at(run.id, number, pass, ordinal).await?;
    let view = view.ok_or_else(|| Problem::not_found("the chunk is not there any more"))?;
    Ok(Redirect::to(&format!("/chunks/{}", view.chunk.id)))
}

fn no_table() -> Problem {
    Problem::not_found("the run has no table of this number")
}
