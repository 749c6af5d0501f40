//! Watermarks: how far a table's changes have been read, so that no late commit is ever behind them.
//!
//! A mark may be trusted once everything that could still commit a lower one has ended. A [`Watch`] keeps candidates,
//! each with the work that was open at the source when it was taken; a candidate whose list has emptied is *proven*.
//! Rows above it are read all the same: the mark only says where the next window must begin.

use serde::{Deserialize, Serialize};

use crate::id::RunId;
use crate::key::Key;
use crate::schema::LogicalType;
use crate::temporal::DateTime;
use crate::value::Value;

/// What every window reads again: marks that applications set themselves, and small steps of clocks.
pub const OVERLAP_MS: u64 = 60_000;
/// A clock's mark may have been rounded to whole seconds.
const MARGIN_MICROS: i64 = 1_000_000;
/// More candidates prove nothing earlier.
const CANDIDATES_MAX: usize = 64;

/// Only rows that changed since the last run are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incremental {
    /// The column whose value rises with every change of a row.
    pub column: String,
    /// A table that has no such column is read whole each time, instead of being refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Milliseconds before the watermark that are read again, where the marks are times.
    pub overlap_ms: u64,
    /// What times without a zone mean.
    pub zone: Zone,
    /// The source is asked what may still commit; without that the overlap alone must cover late commits.
    pub watched: bool,
    /// Milliseconds between looks for rows that are gone, in mode mirror; 0 for every run.
    pub sweep_every_ms: u64,
}

/// The zone of times that have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Zone {
    /// The server's own.
    Server,
    /// So many seconds ahead of UTC.
    Ahead(i32),
}

/// A position in a table's changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Microseconds since 1970, on the source's clock.
    Moment(i64),
    /// A number that the source hands out in rising order, as the column holds it.
    Number(Value),
}

/// How far the changes of a table have been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    pub mark: Mark,
    /// Seconds that the zone of times without a zone was ahead of UTC.
    pub ahead_s: i32,
    /// Where the rows came from and went to, and which columns: a watermark is worth nothing for others.
    pub shape: String,
    /// The run that read so far.
    pub run: RunId,
    /// When the target was last searched for rows that are gone, on the ledger's clock.
    pub swept_ms: Option<i64>,
}

/// The window of one table plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Place of the change column in the plan's columns.
    pub column: usize,
    /// Rows below are not read; `None` where all are.
    pub since: Option<Value>,
    /// What the watermark becomes once the table is done; `None` where nothing was proven.
    pub proven: Option<Mark>,
    /// As in [`Watermark`].
    pub ahead_s: i32,
    pub shape: String,
    /// Whether this run searches the target for rows that are gone.
    pub sweeps: bool,
    /// Keys of rows that earlier runs set aside: they are looked up again, wherever their marks are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<Key>,
}

/// What is under way at a source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activity {
    /// The source's clock in microseconds since 1970, read before the rest.
    pub micros: i64,
    /// Seconds that the server's own zone is ahead of UTC, if it can tell.
    pub ahead_s: Option<i32>,
    /// Statements at work: session, and whole seconds since each began.
    pub statements: Vec<(u64, u64)>,
    /// Open transactions: session, and what tells the transaction from others of the session.
    pub transactions: Vec<(u64, String)>,
    /// Something is open of which nobody can tell when it began: nothing can be proven now.
    pub is_unknown: bool,
}

/// A mark, and what was open when it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Candidate {
    mark: Mark,
    /// When it was taken, on the source's clock.
    micros: i64,
    statements: Vec<u64>,
    transactions: Vec<(u64, String)>,
}

/// The candidates of one table, oldest first. Kept between runs: what was open at an earlier look has often ended since.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Watch {
    candidates: Vec<Candidate>,
}

impl Watch {
    /// Takes note of a look at the source and returns the newest mark that is proven by now, and when it was taken. `highest` is the mark that
    /// was read *before* the activity; `None` for marks that are times, whose candidate is the moment of the look.
    pub fn look(&mut self, activity: &Activity, highest: Option<Value>) -> Option<(Mark, i64)> {
        // A clock that went back: what was noted above it would never be reached again.
        self.candidates.retain(|candidate| candidate.micros <= activity.micros);
        for candidate in &mut self.candidates {
            candidate.strike(activity);
        }
        self.candidates.push(Candidate {
            mark: highest.map_or(Mark::Moment(activity.micros - MARGIN_MICROS), Mark::Number),
            micros: activity.micros,
            statements: activity.statements.iter().map(|(session, _)| *session).collect(),
            transactions: activity.transactions.clone(),
        });
        if activity.is_unknown {
            self.thin();
            return None;
        }
        let proven = self.candidates.iter().rposition(Candidate::is_proven);
        let found = proven.map(|at| (self.candidates[at].mark.clone(), self.candidates[at].micros));
        // Older ones can prove no more than this one did.
        self.candidates.drain(..proven.unwrap_or(0));
        self.thin();
        found
    }

    /// Keeps the oldest, which are proven first, and of the rest every other.
    fn thin(&mut self) {
        if self.candidates.len() > CANDIDATES_MAX {
            let mut place = 0;
            let last = self.candidates.len() - 1;
            self.candidates.retain(|_| {
                place += 1;
                place % 2 == 1 || place > last
            });
        }
    }
}

impl Candidate {
    /// Strikes what has ended. A statement that ends may leave its transaction open, which then takes its place: one
    /// that waited for a lock of the table began its transaction only afterwards.
    fn strike(&mut self, activity: &Activity) {
        let is_open = |transaction: &(u64, String)| activity.transactions.contains(transaction);
        self.transactions.retain(is_open);
        let elapsed = u64::try_from((activity.micros - self.micros) / 1_000_000).unwrap_or(0);
        let (transactions, mut heirs) = (&self.transactions, Vec::new());
        self.statements.retain(|session| {
            let at_work =
                activity.statements.iter().any(|(other, age_s)| other == session && *age_s >= elapsed);
            if !at_work {
                let open = activity.transactions.iter().filter(|(other, _)| other == session);
                heirs.extend(open.filter(|open| !transactions.contains(open)).cloned());
            }
            at_work
        });
        self.transactions.extend(heirs);
    }

    fn is_proven(&self) -> bool {
        self.statements.is_empty() && self.transactions.is_empty()
    }
}

/// Whether marks of this type can be kept: times and whole numbers.
#[must_use]
pub const fn is_mark_type(logical: &LogicalType) -> bool {
    is_time(logical) || matches!(logical, LogicalType::Int { .. })
}

/// Whether marks of this type are moments of the source's clock.
#[must_use]
pub const fn is_time(logical: &LogicalType) -> bool {
    matches!(logical, LogicalType::Instant { .. } | LogicalType::DateTime { .. } | LogicalType::Date)
}

/// The lowest value that rows above the watermark can have in a column of this type, `overlap_ms` taken off. `ahead_s`
/// is what the zone is ahead of UTC now. Of the zone's two offsets the lower is taken: in the hour that clocks pass
/// twice, later marks are lower ones.
#[must_use]
pub fn since(watermark: &Watermark, logical: &LogicalType, ahead_s: i32, overlap_ms: u64) -> Option<Value> {
    let micros = match &watermark.mark {
        Mark::Number(value) => return Some(value.clone()),
        Mark::Moment(micros) => *micros,
    };
    let from = micros.saturating_sub(i64::try_from(overlap_ms).unwrap_or(i64::MAX).saturating_mul(1_000));
    let local = from.saturating_add(i64::from(ahead_s.min(watermark.ahead_s)) * 1_000_000);
    let whole = |micros: i64| DateTime::from_unix_micros(micros.div_euclid(1_000_000) * 1_000_000);
    match logical {
        LogicalType::Instant { .. } => Some(Value::Instant(whole(from))),
        LogicalType::DateTime { .. } => Some(Value::DateTime(whole(local))),
        LogicalType::Date => Some(Value::Date(whole(local).date)),
        LogicalType::Bool
        | LogicalType::Int { .. }
        | LogicalType::Decimal { .. }
        | LogicalType::AnyDecimal
        | LogicalType::Float32
        | LogicalType::Float64
        | LogicalType::Time { .. }
        | LogicalType::Text { .. }
        | LogicalType::Bytes { .. }
        | LogicalType::Json
        | LogicalType::Uuid => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Activity {
        Activity { micros: seconds * SECOND, ..Activity::default() }
    }

    fn moment(seconds: i64) -> Option<(Mark, i64)> {
        Some((Mark::Moment((seconds - 1) * SECOND), seconds * SECOND))
    }

    #[test]
    fn an_idle_source_is_proven_at_once() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(&at(100), None), moment(100));
        assert_eq!(watch.look(&at(200), None), moment(200));
    }

    #[test]
    fn an_open_transaction_holds_back_what_was_taken_while_it_was_open() {
        let mut watch = Watch::default();
        let open = |seconds| Activity { transactions: vec![(7, "a".to_owned())], ..at(seconds) };
        assert_eq!(watch.look(&open(100), None), None);
        assert_eq!(watch.look(&open(101), None), None);
        // Another transaction of the same session is another one.
        let next = Activity { transactions: vec![(7, "b".to_owned())], ..at(102) };
        assert_eq!(watch.look(&next, None), moment(101));
        assert_eq!(watch.look(&at(103), None), moment(103));
    }

    #[test]
    fn a_statement_that_waited_hands_over_to_its_transaction() {
        let mut watch = Watch::default();
        let waits = |seconds, age| Activity { statements: vec![(7, age)], ..at(seconds) };
        assert_eq!(watch.look(&waits(100, 0), None), None);
        assert_eq!(watch.look(&waits(103, 3), None), None, "it still waits, with the time it had at first");
        let committing = Activity { transactions: vec![(7, "late".to_owned())], ..at(104) };
        assert_eq!(watch.look(&committing, None), None, "its transaction began late and is open");
        assert_eq!(watch.look(&at(105), None), moment(105));
    }

    #[test]
    fn a_younger_statement_of_the_session_holds_nothing_back() {
        let mut watch = Watch::default();
        let busy = |seconds, age| Activity { statements: vec![(7, age)], ..at(seconds) };
        assert_eq!(watch.look(&busy(100, 5), None), None);
        assert_eq!(watch.look(&busy(110, 2), None), moment(100));
    }

    #[test]
    fn what_cannot_be_told_proves_nothing() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(&Activity { is_unknown: true, ..at(100) }, None), None);
        assert_eq!(watch.look(&at(101), None), moment(101));
    }

    #[test]
    fn numbers_are_proven_as_times_are() {
        let mut watch = Watch::default();
        let open = Activity { transactions: vec![(7, "a".to_owned())], ..at(100) };
        assert_eq!(watch.look(&open, Some(Value::Int(10))), None);
        let other = Activity { transactions: vec![(8, "b".to_owned())], ..at(101) };
        assert_eq!(
            watch.look(&other, Some(Value::Int(12))),
            Some((Mark::Number(Value::Int(10)), 100 * SECOND))
        );
    }

    #[test]
    fn candidates_stay_few_and_the_oldest_stays() {
        let mut watch = Watch::default();
        for second in 0..1_000 {
            let open = Activity { transactions: vec![(7, "a".to_owned())], ..at(second) };
            assert_eq!(watch.look(&open, None), None);
        }
        assert!(watch.candidates.len() <= CANDIDATES_MAX);
        assert_eq!(watch.candidates[0].micros, 0);
        assert_eq!(watch.candidates.last().map(|c| c.micros), Some(999 * SECOND));
    }

    #[test]
    fn a_clock_that_goes_back_forgets_what_was_above() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(&at(100), None), moment(100));
        assert_eq!(watch.look(&at(50), None), moment(50));
    }

    #[test]
    fn a_window_begins_low_enough() {
        let watermark = |ahead_s| Watermark {
            mark: Mark::Moment(1_736_519_400 * SECOND + 5), // 2025-01-10T14:30:00.000005Z
            ahead_s,
            shape: String::new(),
            run: RunId::generate(),
            swept_ms: None,
        };
        let text = |value: Option<Value>| match value {
            Some(Value::Instant(at) | Value::DateTime(at)) => at.to_text(' ', 0),
            Some(Value::Date(date)) => date.to_string(),
            _ => String::new(),
        };
        let instant = LogicalType::Instant { fraction: 6 };
        let local = LogicalType::DateTime { fraction: 0 };
        assert_eq!(text(since(&watermark(0), &instant, 3_600, 60_000)), "2025-01-10 14:29:00");
        assert_eq!(
            text(since(&watermark(7_200), &local, 3_600, 0)),
            "2025-01-10 15:30:00",
            "clocks were put back"
        );
        assert_eq!(text(since(&watermark(3_600), &local, 7_200, 0)), "2025-01-10 15:30:00", "and forward");
        assert_eq!(text(since(&watermark(0), &LogicalType::Date, 0, 0)), "2025-01-10");
        let number = Watermark { mark: Mark::Number(Value::Int(9)), ..watermark(0) };
        assert_eq!(
            since(&number, &LogicalType::Int { bits: 64, unsigned: false }, 0, 60_000),
            Some(Value::Int(9))
        );
    }
}
