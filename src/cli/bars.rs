//! Bars that move, for terminals: one per table at work, one line for the whole.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::{RunKind, RunRecord, TableProgress, TableState};

use super::progress::Pace;
use super::record;
use model::human::{count, duration, rough};

/// Tables shown at once; the others are counted.
const BARS_MAX: usize = 8;
/// Redraws a second: enough to look alive, cheap over a slow line.
const FRAMES: u8 = 10;
/// Characters of a table's name.
const NAME_MAX: usize = 22;

/// The lines that move.
#[derive(Debug)]
pub(super) struct Bars {
    multi: MultiProgress,
    tables: BTreeMap<u32, (ProgressBar, Pace)>,
    total: ProgressBar,
    colored: bool,
}

impl Bars {
    pub(super) fn new(colored: bool) -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(FRAMES));
        let total = multi.add(ProgressBar::new_spinner());
        total.set_style(style("{spinner} {msg}").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        total.enable_steady_tick(std::time::Duration::from_millis(120));
        Self { multi, tables: BTreeMap::new(), total, colored }
    }

    pub(super) fn update(&mut self, record: &RunRecord, pace: &Pace) {
        let active: Vec<&TableProgress> = record.tables.iter().filter(|table| is_active(table)).collect();
        let shown = &active[..active.len().min(BARS_MAX)];
        self.tables.retain(|ordinal, (bar, _)| {
            let stays = shown.iter().any(|table| table.table == *ordinal);
            if !stays {
                bar.finish_and_clear();
                self.multi.remove(bar);
            }
            stays
        });
        for table in shown {
            self.update_table(table);
        }
        self.total.set_message(total_line(record, pace, active.len() - shown.len()));
    }

    fn update_table(&mut self, table: &TableProgress) {
        let (multi, total, colored) = (&self.multi, &self.total, self.colored);
        let (bar, pace) = self.tables.entry(table.table).or_insert_with(|| {
            let bar = multi.insert_before(total, ProgressBar::new(1));
            let template = if colored {
                "  {prefix} {bar:20.cyan/black.bright} {wide_msg}"
            } else {
                "  {prefix} {bar:20} {wide_msg}"
            };
            bar.set_style(style(template).progress_chars("━╸─"));
            bar.set_prefix(name(&table.source));
            (bar, Pace::default())
        });
        let read = table.counts.read;
        pace.note(read);
        let estimate =
            table.rows_estimate.filter(|estimate| *estimate > 0).map(|estimate| estimate.max(read));
        bar.set_length(estimate.unwrap_or(1));
        bar.set_position(if estimate.is_some() { read } else { 0 });
        let of = estimate.map_or_else(String::new, |estimate| format!(" of ~{}", count(estimate)));
        let mut message = format!("{}{of} rows", count(read));
        if let Some(rate) = pace.rate() {
            message.push_str(&format!("  {}/s", count(rate)));
            if let Some(left) = pace.left(estimate.unwrap_or(read) - read) {
                message.push_str(&format!("  {} left", rough(left)));
            }
        }
        bar.set_message(message);
    }

    /// Takes the bars away.
    pub(super) fn clear(&mut self) {
        for (bar, _) in self.tables.values() {
            bar.finish_and_clear();
        }
        self.total.finish_and_clear();
        let _ = self.multi.clear();
    }
}

/// Whether a table has rows under way. One whose rows are in only waits for the others.
fn is_active(table: &TableProgress) -> bool {
    matches!(table.state, TableState::Planning | TableState::Working)
        && table.chunks.open() > 0
        && (table.counts.read > 0 || table.chunks.running > 0)
}

fn total_line(record: &RunRecord, pace: &Pace, hidden: usize) -> String {
    let is_in = |table: &&TableProgress| table.state.is_terminal() || table.state == TableState::Finishing;
    let done = record.tables.iter().filter(is_in).count();
    let mut parts = Vec::new();
    if record.paused_ms.is_some() {
        parts.push("paused".to_owned());
    }
    if record.tables.is_empty() {
        parts.push("planning".to_owned());
    } else if done == record.tables.len() {
        parts.push("finishing: indexes and foreign keys".to_owned());
    } else {
        let word = match record.kind {
            RunKind::Copy => "copied",
            RunKind::Verify => "compared",
        };
        parts.push(format!("{done} of {} tables {word}", record.tables.len()));
        parts.push(format!("{} rows", count(record.counts.read)));
    }
    if let Some(rate) = pace.rate() {
        parts.push(format!("{}/s", count(rate)));
    }
    parts.push(duration(record::elapsed(record)));
    if let Some(left) = pace.time_left(record) {
        parts.push(format!("about {} left", rough(left)));
    }
    if let Some(waiting) = &record.waiting {
        parts.push(format!("waiting: {}", waiting.reason));
    }
    if hidden > 0 {
        parts.push(format!("+{hidden} more at work"));
    }
    parts.join(" · ")
}

/// Padded or cut to one width, so that bars stand under one another.
fn name(table: &str) -> String {
    if table.chars().count() <= NAME_MAX {
        return format!("{table:<NAME_MAX$}");
    }
    let head: String = table.chars().take(NAME_MAX - 1).collect();
    format!("{head}…")
}

fn style(template: &'static str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is ours and well-formed")
}
