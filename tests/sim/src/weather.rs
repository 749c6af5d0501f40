//! Which faults a seed has, and how often. Some seeds have many kinds of them, some a few, some none, and one in five is
//! a storm: what one fault would hide another cannot show.

use crate::dice::Dice;

/// Chances are per 10,000 steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather {
    /// Longest way of a message to a database or back, in milliseconds.
    pub(crate) ledger_ms: u64,
    pub(crate) database_ms: u64,
    pub(crate) ledger_refused: u64,
    pub(crate) ledger_unanswered: u64,
    /// No answer at all: the caller's deadline decides.
    pub(crate) ledger_silent: u64,
    pub(crate) database_refused: u64,
    pub(crate) commit_unanswered: u64,
    pub(crate) crash: u64,
    pub(crate) pause: u64,
    pub(crate) job_dropped: u64,
    pub(crate) job_repeated: u64,
    pub(crate) job_late: u64,
    /// Of a second of virtual time.
    pub(crate) cut_off: u64,
    pub(crate) clock_jump: u64,
    pub(crate) queue_forgets: u64,
    pub(crate) drain: u64,
    /// The server notices late that a client is gone, and keeps its locks.
    pub(crate) ghost: u64,
}

impl Weather {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        if dice.chance(300) {
            return Self { ledger_ms: 2, database_ms: 2, ..Self::default() };
        }
        let storm = if dice.chance(2_000) { 5 } else { 1 };
        // Each kind is on in three seeds of five.
        let mut some = |most: u64| {
            let most = (most * storm).min(6_000);
            if dice.chance(6_000) { dice.between(most / 8, most) } else { 0 }
        };
        Self {
            ledger_refused: some(150),
            ledger_unanswered: some(300),
            ledger_silent: some(20),
            database_refused: some(150),
            commit_unanswered: some(2_000),
            crash: some(60),
            pause: some(80),
            job_dropped: some(2_000),
            job_repeated: some(4_000),
            job_late: some(3_000),
            cut_off: some(400),
            clock_jump: some(300),
            queue_forgets: some(300),
            drain: some(200),
            ghost: some(5_000),
            ledger_ms: *dice.one_of(&[2, 10, 30, 60]),
            database_ms: *dice.one_of(&[2, 20, 60, 300]),
        }
    }
}
