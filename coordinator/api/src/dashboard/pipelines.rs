//! Pipelines: how their runs went, when the next one is, and a person's word on them.

use axum::Extension;
use axum::extract::{Form, State};
use axum::response::Redirect;
use ledger::{Pipeline, Run};
use maud::{Markup, html};
use model::RunKind;
use model::schedule::{Schedule, When};
use serde::Deserialize;

use super::guard::Visitor;
use super::page::{Place, Refused, Shown, page};
use super::parts::Button;
use super::{chart, parts, runs};
use crate::Api;
use crate::extract::Path;
use crate::pipelines::{self as api_pipelines, named, set_interval, start};
use crate::problem::Problem;
use crate::scene;

type Done = Result<Redirect, Refused>;

/// Runs of a pipeline's own page.
const HISTORY: u32 = 30;
/// Runs in the bars of the list.
const BARS: u32 = 16;

pub(super) async fn list(State(api): State<Api>, Extension(visitor): Extension<Visitor>) -> Shown {
    let pipelines = scene::pipelines(&api.ledger, BARS).await?;
    let now = api.ledger.now_ms().await?;
    let body = html! {
        h1 { "Pipelines" }
        (table(&visitor, &pipelines, now))
        (parts::terminal("syncline pipelines"))
    };
    Ok(page(&visitor, Place::Pipelines, "Pipelines", Some("/live"), &body))
}

pub(super) async fn show(
    State(api): State<Api>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Shown {
    let pipeline = named(&api, &name).await?;
    let history = api.ledger.runs_of(&name, HISTORY).await?;
    let now = api.ledger.now_ms().await?;
    let body = html! {
        h1 { (name) " " (standing(&pipeline)) }
        @if let Some(cause) = &pipeline.cause { (parts::failure(cause)) }
        div.commands {
            (Button::new(at(&name, "trigger"), "Run now").primary().show(&visitor))
            @if pipeline.paused_ms.is_some() { (Button::new(at(&name, "resume"), "Resume").show(&visitor)) }
            @else { (Button::new(at(&name, "pause"), "Pause").show(&visitor)) }
            (interval_form(&visitor, &pipeline))
        }
        dl.facts {
            dt { "From" } dd { (pipeline.spec.source.address()) }
            dt { "To" } dd { (pipeline.spec.target.address()) }
            dt { "Runs" } dd { (schedule(&pipeline)) }
            dt { "Next" } dd { (parts::when(now, pipeline.next_ms)) }
            dt { "Last start" } dd { (parts::when(now, pipeline.last_start_ms)) }
            dt { "Tables" } dd { (pipeline.spec.tables.len()) }
        }
        section {
            h2 { "History" }
            (chart::history(&history, now))
            (runs::table(&history, now))
        }
        (parts::terminal(&format!("syncline pipelines trigger {name}")))
    };
    Ok(page(&visitor, Place::Pipelines, &name, Some("/live"), &body))
}

/// All of them, with a word for each.
pub(super) fn table(visitor: &Visitor, pipelines: &[(Pipeline, Vec<Run>)], now_ms: i64) -> Markup {
    if pipelines.is_empty() {
        return parts::nothing("There is no pipeline yet. Start one with: syncline serve SPEC");
    }
    html! {
        table {
            thead { tr {
                th { "Pipeline" } th { "State" } th.wide { "From → to" } th.wide { "Runs" } th { "Next" }
                th.wide { "Last runs" } @if visitor.may_command() { th { span.hidden { "Commands" } } }
            } }
            tbody {
                @for (pipeline, runs) in pipelines {
                    tr {
                        td { a href={ "/pipelines/" (pipeline.name) } { (pipeline.name) } }
                        td { (standing(pipeline)) }
                        td.wide.faint { (pipeline.spec.source.address()) " → " (pipeline.spec.target.address()) }
                        td.wide { (schedule(pipeline)) }
                        td { (parts::when(now_ms, pipeline.next_ms)) }
                        td.wide { (chart::history(runs, now_ms)) }
                        @if visitor.may_command() {
                            td.end { (Button::new(at(&pipeline.name, "trigger"), "Run now").show(visitor)) }
                        }
                    }
                }
            }
        }
    }
}

fn at(name: &str, command: &str) -> String {
    format!("/pipelines/{name}/{command}")
}

fn standing(pipeline: &Pipeline) -> Markup {
    parts::state(match (&pipeline.paused_ms, &pipeline.schedule) {
        (Some(_), _) => "paused",
        (None, Some(_)) => "scheduled",
        (None, None) => "on demand",
    })
}

fn schedule(pipeline: &Pipeline) -> Markup {
    html! {
        (moments(pipeline))
        @if pipeline.kind() == RunKind::Verify { " " span.faint { "verifies" } }
    }
}

fn moments(pipeline: &Pipeline) -> Markup {
    match &pipeline.schedule {
        Some(Schedule { when: When::Every(seconds), .. }) => {
            html! { "every\u{a0}" (interval_text(*seconds)) @if pipeline.every_s.is_some() { span.faint { " (set here)" } } }
        }
        Some(Schedule { when: When::Cron { expression, zone }, .. }) => {
            html! { code { (expression) } " " span.faint { (zone) } }
        }
        Some(Schedule { when: When::After(before), .. }) => {
            html! { "after " a href={ "/pipelines/" (before) } { (before) } }
        }
        None => html! { "on demand" },
    }
}

/// `45 s`, `15 min`, `6 h`: as somebody would set it.
fn interval_text(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        _ if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

fn interval_form(visitor: &Visitor, pipeline: &Pipeline) -> Markup {
    let set = match &pipeline.schedule {
        Some(Schedule { when: When::Every(seconds), .. }) => Some(*seconds),
        Some(Schedule { when: When::Cron { .. } | When::After(_), .. }) | None => None,
    };
    let fields = html! {
        label { "Every " input type="number" name="seconds" min="1" max="31622400" value=[set] placeholder="as in the file"; " s" }
        button type="submit" { "Change" }
    };
    parts::form(visitor, &at(&pipeline.name, "interval"), None, &fields)
}

pub(super) async fn trigger(State(api): State<Api>, Path(name): Path<String>) -> Done {
    let run = start(&api, &named(&api, &name).await?).await?;
    Ok(Redirect::to(&format!("/runs/{run}")))
}

pub(super) async fn pause(State(api): State<Api>, Path(name): Path<String>) -> Done {
    let _ = api_pipelines::pause(State(api), Path(name.clone())).await?;
    Ok(back(&name))
}

pub(super) async fn resume(State(api): State<Api>, Path(name): Path<String>) -> Done {
    let _ = api_pipelines::resume(State(api), Path(name.clone())).await?;
    Ok(back(&name))
}

#[derive(Debug, Deserialize)]
pub(super) struct Interval {
    /// Nothing: what the file says.
    seconds: String,
}

pub(super) async fn interval(
    State(api): State<Api>,
    Path(name): Path<String>,
    Form(given): Form<Interval>,
) -> Done {
    named(&api, &name).await?;
    let seconds = Some(given.seconds.trim()).filter(|text| !text.is_empty()).map(str::parse).transpose();
    let seconds = seconds.map_err(|_| Problem::invalid("an interval is a whole number of seconds"))?;
    set_interval(&api, &name, seconds).await?;
    Ok(back(&name))
}

fn back(name: &str) -> Redirect {
    Redirect::to(&format!("/pipelines/{name}"))
}
