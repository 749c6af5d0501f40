//! All runs, newest first.

use axum::Extension;
use axum::extract::State;
use ledger::Run;
use maud::{Markup, html};
use serde::Deserialize;

use super::guard::Visitor;
use super::page::{Place, Shown, page};
use super::parts;
use crate::Api;
use crate::extract::Query;
use crate::runs::found;

const PAGE: u32 = 50;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// The last run of the page before.
    after: Option<String>,
    /// Of this pipeline only.
    pipeline: Option<String>,
}

pub(super) async fn list(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Shown {
    let pipeline = asked.pipeline.as_deref().map(str::trim).filter(|name| !name.is_empty());
    let runs = match (pipeline, &asked.after) {
        (Some(name), _) => api.ledger.runs_of(name, 2 * PAGE).await?,
        (None, None) => api.ledger.runs(PAGE).await?,
        (None, Some(after)) => {
            let turn = found(&api, after).await?.turn;
            api.ledger.runs_before(Some(turn), PAGE).await?
        }
    };
    let now = api.ledger.now_ms().await?;
    let next = runs.last().filter(|_| pipeline.is_none() && runs.len() == PAGE as usize);
    let body = html! {
        h1 { "Runs" }
        form.filter method="get" action="/runs" role="search" {
            label { "Pipeline " input #search type="search" name="pipeline" value=[pipeline] placeholder="all"; }
            button type="submit" { "Show" }
        }
        (table(&runs, now))
        @if let Some(last) = next { p { a rel="next" href={ "/runs?after=" (last.id) } { "Older" } } }
        (parts::terminal("syncline runs"))
    };
    let live = asked.after.is_none().then_some("/live");
    Ok(page(&visitor, Place::Runs, "Runs", live, &body))
}

pub(super) fn table(runs: &[Run], now_ms: i64) -> Markup {
    if runs.is_empty() {
        return parts::nothing("No run yet.");
    }
    html! {
        table {
            thead { tr {
                th { "Run" } th { "Pipeline" } th.wide { "Kind" } th { "State" } th { "Began" } th.number { "Took" }
                th.wide { "Cause" }
            } }
            tbody {
                @for run in runs {
                    tr {
                        td { (parts::run_link(run)) }
                        td { (run.spec.name) }
                        td.wide { (run.kind.name()) }
                        td { (parts::run_state(run)) }
                        td { (parts::when(now_ms, Some(run.created_ms))) }
                        td.number { (parts::took(now_ms, Some(run.created_ms), run.ended_ms)) }
                        td.wide.cause {
                            @if let Some(cause) = &run.cause { span title=(cause.message) { (cause.kind.name()) ": " (cause.message) } }
                        }
                    }
                }
            }
        }
    }
}
