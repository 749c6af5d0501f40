//! Whether the figures of a run are what they mostly are.

use std::collections::HashMap;

use ledger::{Ledger, Run};
use model::{Counts, RunId, RunKind};

/// Of a hundred rows, so many may be refused or left out.
const REFUSED_MAX_PERCENT: u64 = 1;
/// Runs that tell what is usual: the latest, and no fewer than so many.
const RUNS_MAX: usize = 10;
const RUNS_MIN: usize = 3;

/// The figures of runs, each read once.
pub(crate) struct Figures<'a> {
    ledger: &'a Ledger,
    runs: &'a [Run],
    known: HashMap<RunId, Option<Counts>>,
}

impl<'a> Figures<'a> {
    pub(crate) fn of(ledger: &'a Ledger, runs: &'a [Run]) -> Self {
        Self { ledger, runs, known: HashMap::new() }
    }

    /// What is unusual about a run, in words without a value; nothing for one that did not end well.
    pub(crate) async fn unusual(&mut self, run: &Run) -> ledger::Result<Option<String>> {
        let Some(counts) = self.counts(run).await? else { return Ok(None) };
        if run.kind == RunKind::Verify {
            let rows = counts.unequal();
            return Ok((rows > 0).then(|| format!("{rows} rows are not equal on both sides")));
        }
        let mut usual = Vec::new();
        // How much changes from run to run is not usual or unusual.
        let reads_all =
            run.spec.tables.iter().all(|table| table.incremental.is_none() && table.range.is_none());
        for earlier in earlier(run, self.runs).filter(|_| reads_all) {
            usual.extend(self.counts(earlier).await?.map(|counts| counts.read));
            if usual.len() == RUNS_MAX {
                break;
            }
        }
        Ok(unusual(&counts, &usual))
    }

    async fn counts(&mut self, run: &Run) -> ledger::Result<Option<Counts>> {
        if !can_be(run) {
            return Ok(None);
        }
        if let Some(known) = self.known.get(&run.id) {
            return Ok(*known);
        }
        let counts = self.ledger.record(run.id).await?.map(|record| record.counts);
        self.known.insert(run.id, counts);
        Ok(counts)
    }
}

/// Runs of the same spec and kind before this one, of `runs`, which are listed newest first; so are these.
pub(crate) fn earlier<'a>(run: &'a Run, runs: &'a [Run]) -> impl Iterator<Item = &'a Run> {
    runs.iter().filter(|r| r.spec.name == run.spec.name && r.kind == run.kind && r.turn < run.turn)
}

/// Only a run that ended well has figures to judge.
pub(crate) fn can_be(run: &Run) -> bool {
    run.state.ended_well()
}

fn unusual(counts: &Counts, usual: &[u64]) -> Option<String> {
    let refused = counts.quarantined + counts.filtered;
    if refused.saturating_mul(100) > counts.read.saturating_mul(REFUSED_MAX_PERCENT) {
        return Some(format!("{refused} of {} rows were set aside or left out by rules", counts.read));
    }
    if usual.len() < RUNS_MIN {
        return None;
    }
    let mean = usual.iter().sum::<u64>() / usual.len() as u64;
    let is_far_off = counts.read.abs_diff(mean).saturating_mul(2) > mean;
    is_far_off.then(|| format!("{} rows were read; mostly there are {mean}", counts.read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_one_of_a_hundred_or_half_of_what_is_usual_is_told() {
        let of = |read, quarantined, filtered, usual: &[u64]| {
            unusual(&Counts { read, quarantined, filtered, ..Counts::default() }, usual).is_some()
        };
        assert!(!of(1_000, 5, 5, &[]) && of(1_000, 5, 6, &[]) && of(0, 1, 0, &[]));
        assert!(!of(0, 0, 0, &[100, 100]), "too few runs to tell what is usual");
        assert!(of(0, 0, 0, &[100, 100, 100]) && of(49, 0, 0, &[100; 3]) && of(151, 0, 0, &[100; 3]));
        assert!(!of(50, 0, 0, &[100; 3]) && !of(150, 0, 0, &[100; 3]) && !of(0, 0, 0, &[0; 3]));
    }
}
