//! How a run is shown while it goes on: bars in a terminal, lines in a pipe, events with `--json`.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use model::{RunRecord, RunState, TableProgress, TableState};
use serde_json::json;

use super::bars::Bars;
use super::record;
use super::screen::{Ink, ProgressStyle, Screen};
use model::human::{count, counted, duration, millis, rough};

/// Between lines in a pipe.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Between progress events.
const EVENT_EVERY: Duration = Duration::from_secs(1);
/// A rate is taken over this time.
const PACE_WINDOW: Duration = Duration::from_secs(5);
/// A rate over less says nothing.
const PACE_MIN: Duration = Duration::from_millis(400);

/// Rows over time.
#[derive(Debug, Default)]
pub(super) struct Pace {
    seen: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// So many rows so far.
    pub(super) fn note(&mut self, rows: u64) {
        let now = Instant::now();
        while self.seen.len() > 2 && self.seen.front().is_some_and(|(at, _)| now - *at > PACE_WINDOW) {
            self.seen.pop_front();
        }
        self.seen.push_back((now, rows));
    }

    /// Rows a second of late; nothing before there is something to tell.
    pub(super) fn rate(&self) -> Option<u64> {
        let ((from, before), (to, now)) = (self.seen.front()?, self.seen.back()?);
        let time = *to - *from;
        let rows = now.saturating_sub(*before);
        (time >= PACE_MIN && rows > 0)
            .then(|| rows.saturating_mul(1000) / u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1))
    }

    /// How long so many more rows take at this rate.
    pub(super) fn left(&self, rows: u64) -> Option<Duration> {
        let rate = self.rate()?;
        (rows > 0).then(|| Duration::from_secs(rows.div_ceil(rate)))
    }

    /// How long the run still takes, if the sizes of its tables are known.
    pub(super) fn time_left(&self, record: &RunRecord) -> Option<Duration> {
        let mut rows = 0;
        for table in record.tables.iter().filter(|table| !table.state.is_terminal()) {
            rows += table.rows_estimate?.saturating_sub(table.counts.read);
        }
        self.left(rows)
    }
}

/// Shows a run while it goes on.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    screen: &'a Screen,
    bars: Option<Bars>,
    pace: Pace,
    started: Option<Instant>,
    last: Instant,
    ended: HashSet<u32>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(screen: &'a Screen) -> Self {
        let bars = (screen.progress == ProgressStyle::Bars).then(|| Bars::new(screen.colors_err()));
        Self {
            screen,
            bars,
            pace: Pace::default(),
            started: None,
            last: Instant::now(),
            ended: HashSet::new(),
        }
    }

    /// The run stands so.
    pub(super) fn update(&mut self, record: &RunRecord) {
        self.pace.note(record.counts.read);
        if let Some(bars) = &mut self.bars {
            bars.update(record, &self.pace);
            return;
        }
        self.start(record);
        self.tell_ended(record);
        let every = if self.screen.json { EVENT_EVERY } else { LINE_EVERY };
        if self.last.elapsed() >= every && !record.state.is_terminal() {
            self.last = Instant::now();
            self.tell(record);
        }
    }

    fn start(&mut self, record: &RunRecord) {
        if self.started.is_some() || (record.tables.is_empty() && !record.state.is_terminal()) {
            return;
        }
        self.started = Some(Instant::now());
        if self.screen.json {
            self.screen.event("run-started", &json!({
                "run": record.id, "kind": record.kind, "spec": record.spec_name, "tables": record.tables.len(),
            }));
        } else {
            let tables = counted(record.tables.len() as u64, "table");
            self.screen.say(format!("{} {} {}: {tables}", record.kind, record.spec_name, record.id));
        }
    }

    fn tell_ended(&mut self, record: &RunRecord) {
        for table in record.tables.iter().filter(|table| table.state.is_terminal()) {
            if !self.ended.insert(table.table) {
                continue;
            }
            if self.screen.json {
                self.screen.event("table-ended", &json!({ "run": record.id, "table": table }));
            } else {
                self.screen.say(ended_line(table));
            }
        }
    }

    fn tell(&self, record: &RunRecord) {
        let done = record.tables.iter().filter(|table| table.state.is_terminal()).count();
        let (rate, left) = (self.pace.rate(), self.pace.time_left(record));
        if self.screen.json {
            self.screen.event("progress", &json!({
                "run": record.id, "tables": record.tables.len(), "tables_done": done, "counts": record.counts,
                "chunks": record.chunks, "retries": record.retries, "rows_per_second": rate,
                "seconds_left": left.map(|left| left.as_secs()), "paused_ms": record.paused_ms,
                "waiting": record.waiting,
            }));
            return;
        }
        let mut line = format!(
            "{}: {done} of {} tables done, {}",
            duration(record::elapsed(record)),
            record.tables.len(),
            counted(record.counts.read, "row")
        );
        if let Some(rate) = rate {
            line.push_str(&format!(", {} rows/s", count(rate)));
        }
        if let Some(left) = left {
            line.push_str(&format!(", about {} left", rough(left)));
        }
        if record.paused_ms.is_some() {
            line.push_str(", paused");
        }
        if let Some(waiting) = &record.waiting {
            line.push_str(&format!(", waiting: {}", waiting.reason));
        }
        self.screen.say(line);
    }

    /// Whether bars are shown.
    pub(super) const fn moves(&self) -> bool {
        self.bars.is_some()
    }

    /// The run is over, or is no longer watched. With `--json`, the record is the last line.
    pub(super) fn finish(&mut self, record: &RunRecord) {
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
        if self.screen.json {
            self.screen.event("record", &json!({ "record": record }));
        }
    }

    /// Takes bars away, when something went wrong.
    pub(super) fn clear(&mut self) {
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
    }
}

fn ended_line(table: &TableProgress) -> String {
    let took = match (table.started_ms, table.ended_ms) {
        (Some(started), Some(ended)) => format!(" in {}", millis(ended - started)),
        _ => String::new(),
    };
    let state = if table.state == TableState::Done { "done" } else { table.state.name() };
    format!("  {}: {state}, {}{took}", table.source, counted(table.counts.read, "row"))
}

/// A run's state as a word, and its colour; a run that nobody works on is not called running.
pub(super) const fn run_word(state: RunState, attended: bool) -> (&'static str, Ink) {
    if matches!(state, RunState::Running) && !attended {
        return ("interrupted", Ink::Warn);
    }
    (state.name(), record::state_ink(state))
}
