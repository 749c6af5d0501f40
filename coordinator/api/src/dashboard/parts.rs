//! The pieces that pages are made of.

use ledger::Run;
use maud::{Markup, html};
use model::human::{ago, count, millis};
use model::{ChunkState, Failure, RunState, TableProgress};

use super::guard::Visitor;
use crate::time;

/// How something stands. A sign and a word say it; the colour only helps.
pub(super) fn state(word: &str) -> Markup {
    let (kind, sign) = match word {
        "done" | "kept" | "alive" | "healthy" | "scheduled" | "good" => ("good", "✓"),
        "running" | "working" | "planning" | "finishing" | "cancelling" => ("busy", "●"),
        "failed" | "silent" | "unhealthy" | "lost" | "halted" => ("bad", "✕"),
        "quarantined" | "done-with-quarantine" | "held" | "draining" => ("warn", "!"),
        "paused" => ("warn", "‖"),
        _ => ("idle", "○"),
    };
    html! { span class={ "state " (kind) } { span aria-hidden="true" { (sign) } "\u{a0}" (word.replace('-', " ")) } }
}

/// The state of a run as a person sees it.
pub(super) const fn run_word(run: &Run) -> &'static str {
    match (run.state, run.cancel_requested, run.paused_ms.is_some()) {
        (RunState::Running, true, _) => "cancelling",
        (RunState::Running, false, true) => "paused",
        (state, ..) => state.name(),
    }
}

pub(super) fn run_state(run: &Run) -> Markup {
    state(run_word(run))
}

/// The beginning of an id, with the whole one on hover.
pub(super) fn run_link(run: &Run) -> Markup {
    html! { a.id href={ "/runs/" (run.id) } title=(run.id) { (short(&run.id.to_string())) } }
}

/// The first and the last digits: ids made within one second differ at their ends.
pub(super) fn short(id: &str) -> String {
    match (id.get(..12), id.get(id.len().saturating_sub(4)..)) {
        (Some(first), Some(last)) if id.len() > 18 => format!("{first}…{last}"),
        _ => id.to_owned(),
    }
}

/// A time, as long ago as it is; the exact one on hover.
pub(super) fn when(now_ms: i64, ms: Option<i64>) -> Markup {
    match ms.and_then(|ms| time::seconds(ms).map(|text| (ms, text))) {
        Some((ms, text)) if ms > now_ms + 999 => {
            html! { time datetime=(text) title=(text) { "in " (millis(ms - now_ms)) } }
        }
        Some((ms, text)) => html! { time datetime=(text) title=(text) { (ago(now_ms - ms)) } },
        None => html! { span.faint { "–" } },
    }
}

/// How long it took, or takes already.
pub(super) fn took(now_ms: i64, from: Option<i64>, to: Option<i64>) -> Markup {
    match from {
        Some(from) => html! { (millis(to.unwrap_or(now_ms) - from)) },
        None => html! { span.faint { "–" } },
    }
}

/// A figure; nothing much of a zero.
pub(super) fn figure(n: u64) -> Markup {
    if n == 0 {
        html! { span.faint { "0" } }
    } else {
        html! { (count(n)) }
    }
}

/// A figure that should be zero.
pub(super) fn worry(n: u64) -> Markup {
    if n == 0 {
        figure(n)
    } else {
        html! { strong.warn { (count(n)) } }
    }
}

/// A word and a figure, big.
pub(super) fn tile(name: &str, figure: &Markup, note: &str) -> Markup {
    html! { div.tile { span.name { (name) } span.figure { (figure) } span.note { (note) } } }
}

pub(super) fn failure(failure: &Failure) -> Markup {
    html! { p.failure { strong { (failure.kind.name()) } " " (failure.message) } }
}

/// Parts of a whole, as a bar: a class and how many.
pub(super) fn bar(parts: &[(&str, u64)], label: &str) -> Markup {
    let total = parts.iter().map(|(_, n)| n).sum::<u64>().max(1);
    let mut from = 0;
    let pieces = parts.iter().filter(|(_, n)| *n > 0).map(|(class, n)| {
        let piece = (*class, from * 1_000 / total, (n * 1_000 / total).max(4));
        from += n;
        piece
    });
    html! {
        svg.bar viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.rest x="0" y="0" width="1000" height="10" {}
            @for (class, x, width) in pieces { rect class=(class) x=(x) y="0" width=(width) height="10" {} }
        }
    }
}

/// Chunks by state, as a bar.
pub(super) fn chunk_bar(chunks: &model::run::ChunkTally) -> Markup {
    let label = format!(
        "{} of {} chunks done, {} at work, {} set aside",
        chunks.done,
        chunks.total(),
        chunks.running,
        chunks.quarantined
    );
    bar(
        &[
            ("done", chunks.done),
            ("quarantined", chunks.quarantined),
            ("cancelled", chunks.cancelled),
            ("running", chunks.running),
            ("ready", chunks.ready),
        ],
        &label,
    )
}

/// Percent of the rows that a table is thought to have.
pub(super) fn percent(table: &TableProgress) -> Option<u64> {
    if table.state.is_terminal() {
        return (table.chunks.quarantined + table.chunks.cancelled == 0).then_some(100);
    }
    let rows = table.rows_estimate.filter(|rows| *rows > 0)?;
    Some((table.counts.read * 100 / rows).min(99))
}

/// A command, for those who may give it.
pub(super) struct Button<'a> {
    pub(super) path: String,
    pub(super) name: &'a str,
    /// Asked first.
    pub(super) confirm: Option<&'a str>,
    pub(super) is_primary: bool,
}

impl<'a> Button<'a> {
    pub(super) const fn new(path: String, name: &'a str) -> Self {
        Self { path, name, confirm: None, is_primary: false }
    }

    pub(super) const fn primary(mut self) -> Self {
        self.is_primary = true;
        self
    }

    pub(super) const fn confirm(mut self, question: &'a str) -> Self {
        self.confirm = Some(question);
        self
    }

    pub(super) fn show(&self, visitor: &Visitor) -> Markup {
        let class = if self.is_primary { "primary" } else { "" };
        let button = html! { button class=(class) type="submit" { (self.name) } };
        form(visitor, &self.path, self.confirm, &button)
    }
}

/// A form for those who may send it.
pub(super) fn form(visitor: &Visitor, path: &str, confirm: Option<&str>, fields: &Markup) -> Markup {
    if !visitor.may_command() {
        return html! {};
    }
    html! {
        form.command method="post" action=(path) data-confirm=[confirm] {
            @if let Some(token) = &visitor.form_token { input type="hidden" name="form_token" value=(token); }
            (fields)
        }
    }
}

/// The same for a terminal, to copy.
pub(super) fn terminal(command: &str) -> Markup {
    html! {
        div.terminal { code { (command) } button.plain.copy type="button" data-copy=(command) hidden { "Copy" } }
    }
}

pub(super) fn chunk_state(chunk: ChunkState) -> Markup {
    state(chunk.name())
}

/// Nothing to show, and why.
pub(super) fn nothing(text: &str) -> Markup {
    html! { p.nothing { (text) } }
}
