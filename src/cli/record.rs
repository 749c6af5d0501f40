//! The run record: what happened to every row, per table and in total, and what to do next.

use std::path::Path;
use std::time::Duration;

use model::{Counts, RunKind, RunRecord, RunState, TableProgress, TableState};

use super::control;
use super::grid::{Column, Grid};
use super::screen::{Ink, Screen};
use model::human::{bytes, count, counted, duration, millis};

/// Notes printed; the rest is counted.
const NOTES_MAX: usize = 20;

/// Prints the record. `spec` is the file, for the commands it proposes.
pub(super) fn print(screen: &Screen, record: &RunRecord, spec: Option<&Path>) {
    screen.print(headline(screen, record));
    screen.print("");
    if record.tables.is_empty() {
        screen.print("no tables were planned");
    } else {
        match record.kind {
            RunKind::Copy => copied(record).print(screen),
            RunKind::Verify => compared(record).print(screen),
        }
    }
    print_notes(screen, record);
    if let Some(next) = next(record, spec) {
        screen.print("");
        screen.print(format!("{} {next}", screen.ink(Ink::Name, "next:")));
    }
}

fn headline(screen: &Screen, record: &RunRecord) -> String {
    let took = elapsed(record);
    let state = screen.ink(state_ink(record.state), state_words(record));
    let word = if record.state.is_terminal() { "in" } else { "for" };
    let mut parts = vec![format!("{state} {word} {}", duration(took))];
    match record.kind {
        RunKind::Copy => {
            parts.push(format!("{}, {}", counted(record.counts.read, "row"), bytes(record.counts.bytes)));
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
            parts.push(format!("{} rows/s", count(record.counts.read.saturating_mul(1000) / millis)));
        }
        RunKind::Verify => parts.push(format!("{} compared", counted(processed(&record.counts), "row"))),
    }
    let name = screen.ink(Ink::Strong, &record.spec_name);
    if !record.limits.is_none() && !record.state.is_terminal() {
        parts.push(control::pace_words(record.limits));
    }
    let waiting = record.waiting.as_ref().map_or_else(String::new, |waiting| {
        format!("\n{} {}", screen.ink(Ink::Warn, "waiting:"), waiting.reason)
    });
    // The id has a line of its own: it is long, and people copy it.
    format!(
        "{} {name}: {}\n{}{waiting}",
        record.kind,
        parts.join(" · "),
        screen.ink(Ink::Faint, record.id.to_string())
    )
}

/// How long a run took, or has taken so far.
pub(super) fn elapsed(record: &RunRecord) -> Duration {
    let ms = record.ended_ms.unwrap_or(record.now_ms) - record.created_ms;
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn state_words(record: &RunRecord) -> &'static str {
    match (record.kind, record.state) {
        (_, RunState::Running) if record.paused_ms.is_some() => "paused",
        (_, RunState::Running) => "running",
        (RunKind::Copy, RunState::Done) if is_verified(record) => "done and verified",
        (RunKind::Copy, RunState::Done) => "done",
        (RunKind::Verify, RunState::Done) => "equal",
        (RunKind::Copy, RunState::DoneWithQuarantine) => "done, but not everything was copied",
        (RunKind::Verify, RunState::DoneWithQuarantine) => "not equal",
        (_, RunState::Failed) => "failed",
        (_, RunState::Cancelled) => "cancelled",
    }
}

/// Colour of a run's state.
pub(super) const fn state_ink(state: RunState) -> Ink {
    match state {
        RunState::Running => Ink::Name,
        RunState::Done => Ink::Good,
        RunState::DoneWithQuarantine | RunState::Cancelled => Ink::Warn,
        RunState::Failed => Ink::Bad,
    }
}

fn is_verified(record: &RunRecord) -> bool {
    record.tables.iter().all(|table| digest_word(table).0 == "verified")
}

/// What the digests of a copied table say.
fn digest_word(table: &TableProgress) -> (&'static str, Option<Ink>) {
    let counts = &table.counts;
    let expected = counts.read - counts.quarantined - counts.filtered;
    let is_equal = table.source_digest == table.target_digest;
    match table.state {
        TableState::Done if table.chunks.quarantined > 0 => ("not all", Some(Ink::Warn)),
        TableState::Done if !is_equal => ("differs", Some(Ink::Bad)),
        TableState::Done if counts.matching < expected => ("not all", Some(Ink::Warn)),
        TableState::Done if table.source_digest.rows < expected => ("by key", None),
        TableState::Done => ("verified", Some(Ink::Good)),
        TableState::Failed | TableState::Held => ("no", Some(Ink::Bad)),
        TableState::Pending | TableState::Planning | TableState::Working | TableState::Finishing => {
            ("–", None)
        }
    }
}

fn copied(record: &RunRecord) -> Grid {
    let mut grid = Grid::new(&[
        Column::text("table"),
        Column::number("rows read"),
        Column::number("inserted"),
        Column::number("updated"),
        Column::number("unchanged"),
        Column::number("quarantined").or_drop(),
        Column::number("deleted").or_drop(),
        Column::number("chunks"),
        Column::number("retries").or_drop(),
        Column::number("time"),
        Column::text("digests"),
        Column::text("state"),
    ]);
    for table in &record.tables {
        let c = &table.counts;
        let plain = |text: String| (text, None);
        let (word, ink) = digest_word(table);
        grid.inked_row([
            plain(table_name(table)),
            plain(count(c.read)),
            plain(count(c.inserted)),
            plain(count(c.updated)),
            plain(count(c.unchanged)),
            (count(c.quarantined), (c.quarantined > 0).then_some(Ink::Warn)),
            plain(count(c.deleted)),
            plain(chunks(table)),
            (count(table.retries), (table.retries > 0).then_some(Ink::Warn)),
            plain(table_time(table, record.now_ms)),
            (word.to_owned(), ink),
            (table.state.to_string(), table_ink(table.state)),
        ]);
    }
    let c = &record.counts;
    grid.rule();
    let total = |text: String| (text, Some(Ink::Strong));
    grid.inked_row([
        total(counted(record.tables.len() as u64, "table")),
        total(count(c.read)),
        total(count(c.inserted)),
        total(count(c.updated)),
        total(count(c.unchanged)),
        total(count(c.quarantined)),
        total(count(c.deleted)),
        total(count(record.chunks.total())),
        total(count(record.retries)),
        total(duration(elapsed(record))),
        total(if is_verified(record) { "verified".to_owned() } else { String::new() }),
        total(record.state.to_string()),
    ]);
    grid
}

fn compared(record: &RunRecord) -> Grid {
    let mut grid = Grid::new(&[
        Column::text("table"),
        Column::number("processed"),
        Column::number("matching"),
        Column::number("different"),
        Column::number("missing"),
        Column::number("extra"),
        Column::number("not comparable").or_drop(),
        Column::number("chunks"),
        Column::number("time"),
        Column::text("state"),
    ]);
    let found = |n: u64| (count(n), (n > 0).then_some(Ink::Bad));
    for table in &record.tables {
        let c = &table.counts;
        grid.inked_row([
            (table_name(table), None),
            (count(processed(c)), None),
            (count(c.matching), None),
            found(c.different),
            found(c.missing),
            found(c.extra),
            (count(c.quarantined), (c.quarantined > 0).then_some(Ink::Warn)),
            (chunks(table), None),
            (table_time(table, record.now_ms), None),
            verify_word(table),
        ]);
    }
    let c = &record.counts;
    grid.rule();
    let total = |text: String| (text, Some(Ink::Strong));
    grid.inked_row([
        total(counted(record.tables.len() as u64, "table")),
        total(count(processed(c))),
        total(count(c.matching)),
        total(count(c.different)),
        total(count(c.missing)),
        total(count(c.extra)),
        total(count(c.quarantined)),
        total(count(record.chunks.total())),
        total(duration(elapsed(record))),
        total(state_words(record).to_owned()),
    ]);
    grid
}

/// Source rows that were looked at by a verify.
const fn processed(c: &Counts) -> u64 {
    c.matching + c.different + c.missing + c.quarantined
}

fn verify_word(table: &TableProgress) -> (String, Option<Ink>) {
    let c = &table.counts;
    let (word, ink) = match table.state {
        TableState::Done if c.unequal() > 0 => ("differs", Some(Ink::Bad)),
        TableState::Done if c.quarantined + table.chunks.quarantined > 0 => ("not all", Some(Ink::Warn)),
        TableState::Done => ("equal", Some(Ink::Good)),
        TableState::Pending
        | TableState::Planning
        | TableState::Working
        | TableState::Finishing
        | TableState::Failed
        | TableState::Held => (table.state.name(), table_ink(table.state)),
    };
    (word.to_owned(), ink)
}

fn table_name(table: &TableProgress) -> String {
    if table.source == table.target {
        table.source.clone()
    } else {
        format!("{} → {}", table.source, table.target)
    }
}

fn chunks(table: &TableProgress) -> String {
    match (table.state.is_terminal(), table.chunks.quarantined) {
        (false, _) => format!("{}/{}", count(table.chunks.done), count(table.chunks.total())),
        (true, 0) => count(table.chunks.total()),
        (true, lost) => format!("{} ({} quarantined)", count(table.chunks.total()), count(lost)),
    }
}

fn table_time(table: &TableProgress, now_ms: i64) -> String {
    match table.started_ms {
        Some(started) => millis(table.ended_ms.unwrap_or(now_ms) - started),
        None => "–".to_owned(),
    }
}

const fn table_ink(state: TableState) -> Option<Ink> {
    match state {
        TableState::Done => Some(Ink::Good),
        TableState::Failed | TableState::Held => Some(Ink::Bad),
        TableState::Working | TableState::Planning | TableState::Finishing => Some(Ink::Name),
        TableState::Pending => Some(Ink::Faint),
    }
}

fn print_notes(screen: &Screen, record: &RunRecord) {
    let mut notes = Vec::new();
    for table in &record.tables {
        if let Some(cause) = &table.cause {
            notes.push(screen.ink(Ink::Bad, format!("{}: {cause}", table.source)));
        }
        if record.kind == RunKind::Copy && digest_word(table).0 == "by key" {
            let by_key = table.counts.matching - table.source_digest.rows.min(table.counts.matching);
            notes.push(format!(
                "{}: {} compared by key only; the policy keeps the target's values",
                table.source,
                counted(by_key, "row")
            ));
        }
        if table.counts.filtered > 0 {
            let rows = counted(table.counts.filtered, "row");
            notes.push(format!("{}: {rows} left out by a rule", table.source));
        }
        if table.counts.conflicts > 0 {
            let conflicts = counted(table.counts.conflicts, "conflict");
            notes.push(format!("{}: {conflicts}: syncline conflicts {}", table.source, record.id));
        }
        notes.extend(table.notes.iter().map(|note| format!("{}: {note}", table.source)));
    }
    if notes.is_empty() {
        return;
    }
    screen.print("");
    let hidden = notes.len().saturating_sub(NOTES_MAX);
    for note in notes.iter().take(NOTES_MAX) {
        screen.print(format!("  {note}"));
    }
    if hidden > 0 {
        screen.print(format!(
            "  and {} (all of them: syncline show {})",
            counted(hidden as u64, "more note"),
            record.id
        ));
    }
}

/// Text as a shell takes it.
fn shell_word(text: &str) -> String {
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// What to do now, if there is anything to do.
fn next(record: &RunRecord, spec: Option<&Path>) -> Option<String> {
    let file = spec.map_or_else(|| "SPEC".to_owned(), |path| path.display().to_string());
    let run = record.id;
    match (record.kind, record.state) {
        // A failure is printed with its own next step.
        (_, RunState::Running | RunState::Done | RunState::Failed) => None,
        (RunKind::Copy, RunState::DoneWithQuarantine) if record.counts.quarantined > 0 => {
            Some(format!("syncline quarantine list {run}"))
        }
        (RunKind::Copy, RunState::DoneWithQuarantine) if record.chunks.quarantined > 0 => {
            Some(format!("syncline show {run}"))
        }
        (RunKind::Copy, RunState::DoneWithQuarantine) => Some(format!("syncline verify {file}")),
        (RunKind::Verify, RunState::DoneWithQuarantine) => {
            let worst =
                record.tables.iter().find(|t| t.counts.different + t.counts.missing + t.counts.extra > 0);
            Some(match worst {
                Some(table) => format!("syncline diff {file} --table {}", shell_word(&table.source)),
                None => format!("syncline show {run}"),
            })
        }
        (RunKind::Copy, RunState::Cancelled) => Some(format!("syncline run {file} --resume {run}")),
        (RunKind::Verify, RunState::Cancelled) => Some(format!("syncline verify {file}")),
    }
}
