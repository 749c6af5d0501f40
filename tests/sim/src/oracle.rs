//! The oracles: O1 the target is what the model says, O2 chunks cover everything once, O4 all counters agree, O5 one
//! attempt settled each chunk. Each adds what it finds wrong to a list.

use std::collections::BTreeMap;

use connectors::memory::Memory;
use ledger::{AttemptOutcome, ChunkPage, ChunkView, Ledger, Run};
use model::merge::Promise;
use model::{ChunkState, Counts, Key, Pass, Receipt, Row, RunKind, RunRecord, RunState, Value};

use crate::expect::Expected;
use crate::shape::{KeyKind, TableShape};
use crate::world::World;

/// Chunks of a run of a simulation, at most.
const CHUNKS_MAX: u32 = 10_000;

/// What a finished run is held against.
pub(crate) struct Held<'a> {
    pub(crate) world: &'a World,
    pub(crate) ledger: &'a Ledger,
    pub(crate) target: &'a Memory,
    pub(crate) run: &'a Run,
    pub(crate) tables: &'a [(TableShape, Expected)],
    /// An earlier run was given up: how far it came is not known to the model.
    pub(crate) is_after_abandoned: bool,
}

impl Held<'_> {
    /// Everything that is wrong.
    pub(crate) async fn judge(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (table, expected) in self.tables {
            wrong.extend(equal(self.target, table, expected));
        }
        let record = self.ledger.record(self.run.id).await;
        let page = ChunkPage { limit: CHUNKS_MAX, ..ChunkPage::default() };
        let chunks = self.ledger.chunks(self.run.id, page).await;
        let (Ok(Some(record)), Ok(chunks)) = (record, chunks) else {
            wrong.push("the record cannot be read".to_owned());
            return wrong;
        };
        self.cover(&record, &chunks, &mut wrong);
        self.count(&record, &chunks, &mut wrong);
        self.settled(&chunks, &mut wrong).await;
        let is_clean = self.tables.iter().all(|(_, expected)| {
            let counts = &expected.counts;
            let extra = if self.run.kind == RunKind::Verify { counts.extra } else { 0 };
            counts.quarantined + counts.different + counts.missing + extra == 0
        });
        let state = if is_clean { RunState::Done } else { RunState::DoneWithQuarantine };
        if record.state != state {
            wrong.push(format!("the run ended as {} instead of {state}: {:?}", record.state, record.cause));
        }
        wrong
    }

    /// O2: each pass is a chain, open at both ends, whose chunks read the rows of their ranges.
    fn cover(&self, record: &RunRecord, chunks: &[ChunkView], wrong: &mut Vec<String>) {
        let mut passes = BTreeMap::<(u32, Pass), Vec<&ChunkView>>::new();
        for chunk in chunks {
            passes.entry((chunk.chunk.table, chunk.chunk.pass)).or_default().push(chunk);
        }
        for ((table, pass), chunks) in passes {
            let mut end: Option<&Key> = None;
            for (place, view) in chunks.iter().enumerate() {
                let range = &view.chunk.range;
                if range.lower.as_ref() != end || (place > 0 && end.is_none()) {
                    wrong.push(format!(
                        "O2: chunk {place} of table {table}, {pass} does not begin where the last ends"
                    ));
                }
                end = range.upper.as_ref();
            }
            if end.is_some() {
                wrong.push(format!("O2: the chunks of table {table}, {pass} end before the table does"));
            }
            if pass.is_over_target() {
                continue;
            }
            let name =
                record.tables.iter().find(|progress| progress.table == table).map(|p| p.source.as_str());
            let Some((shape, _)) = self.tables.iter().find(|(t, _)| Some(t.name) == name) else { continue };
            for view in chunks {
                let in_range = shape.source.keys().filter(|id| holds(view, shape, **id)).count() as u64;
                if shape.key != KeyKind::None && view.counts.read != in_range {
                    let (read, place) = (view.counts.read, view.chunk.ordinal);
                    wrong.push(format!("O2: chunk {place} of table {table} read {read} of {in_range} rows"));
                }
            }
        }
    }

    /// O4: record = tables = chunks = receipts = model.
    fn count(&self, record: &RunRecord, chunks: &[ChunkView], wrong: &mut Vec<String>) {
        let mut of_tables = Counts::default();
        for progress in &record.tables {
            of_tables += progress.counts;
            let Some((shape, expected)) = self.tables.iter().find(|(t, _)| t.name == progress.source) else {
                wrong.push(format!("O4: table {} is nobody's", progress.source));
                continue;
            };
            let (found, wanted) = (plain(&progress.counts), expected.counts);
            let is_right = if self.is_after_abandoned { is_alike(&found, &wanted) } else { found == wanted };
            if !is_right {
                wrong.push(format!("O4: {} counts\n  {found:?}\n  instead of\n  {wanted:?}", shape.name));
            }
            if !found.is_balanced() && self.run.kind == RunKind::Copy {
                wrong.push(format!("O4: {} does not balance: {found:?}", shape.name));
            }
            let chunks = chunks.iter().filter(|view| view.chunk.table == progress.table);
            let sum = summed(chunks, self.run.kind);
            if plain(&sum) != found {
                wrong
                    .push(format!("O4: the chunks of {} come to\n  {sum:?}\n  not\n  {found:?}", shape.name));
            }
            if self.run.kind == RunKind::Copy && progress.source_digest != progress.target_digest {
                wrong.push(format!("O4: the digests of {} differ", shape.name));
            }
        }
        if of_tables != record.counts {
            wrong.push(format!("O4: tables come to {of_tables:?}, the run to {:?}", record.counts));
        }
        self.receive(record, chunks, wrong);
    }

    /// Each chunk that wrote has one receipt, which says what the ledger says.
    fn receive(&self, record: &RunRecord, chunks: &[ChunkView], wrong: &mut Vec<String>) {
        let receipts = self.target.receipts(self.ledger.install(), self.run.id);
        let writes = |view: &&ChunkView| matches!(view.chunk.pass, Pass::Copy | Pass::Again | Pass::Delete);
        for view in chunks.iter().filter(writes) {
            let (id, commits) = (view.chunk.id, self.world.witness().commits(self.run.id, view.chunk.id));
            if commits != 1 {
                wrong.push(format!("O5: {id} was committed {commits} times"));
            }
            let table = record.tables.iter().find(|progress| progress.table == view.chunk.table);
            let shape =
                self.tables.iter().find(|(t, _)| table.is_some_and(|progress| t.name == progress.source));
            let is_digested = shape.is_some_and(|(t, _)| t.policy.promise() == Promise::EqualRows);
            match receipts.get(&id) {
                None => wrong.push(format!("O4: {id} has no receipt")),
                Some(receipt) if is_received(view, receipt, is_digested) => {}
                Some(receipt) => wrong.push(format!(
                    "O4: the receipt of {id} says\n  {:?}\n  the ledger\n  {:?}",
                    receipt.counts, view.counts
                )),
            }
        }
    }

    /// O5: every chunk is done, by its last attempt and no other. What failed on the way failed by a fault.
    async fn settled(&self, chunks: &[ChunkView], wrong: &mut Vec<String>) {
        for view in chunks {
            let (id, last) = (view.chunk.id, view.chunk.attempt);
            if view.chunk.state != ChunkState::Done {
                wrong.push(format!("O5: {id} is {}", view.chunk.state));
            }
            let Ok(attempts) = self.ledger.attempts(id).await else {
                wrong.push("the attempts cannot be read".to_owned());
                return;
            };
            for attempt in &attempts {
                let is_done = attempt.outcome == Some(AttemptOutcome::Done);
                if is_done != (attempt.attempt == last) || attempt.outcome.is_none() {
                    let (number, outcome) = (attempt.attempt, attempt.outcome);
                    wrong.push(format!("O5: attempt {number} of {last} at {id} came to {outcome:?}"));
                }
                if let Some(failure) =
                    attempt.failure.as_ref().filter(|f| !crate::operator::is_by_fault(f.kind))
                {
                    wrong.push(format!("an attempt at {id} failed by itself: {failure}"));
                }
            }
        }
    }
}

/// O1 for one table.
pub(crate) fn equal(target: &Memory, table: &TableShape, expected: &Expected) -> Vec<String> {
    let by_text = |rows: Vec<Row>| {
        let mut rows: Vec<String> = rows.into_iter().map(|row| format!("{row:?}")).collect();
        rows.sort();
        rows
    };
    let found = by_text(target.rows(&table.table()));
    let wanted = by_text(expected.rows.iter().map(|(id, cells)| table.row(*id, cells)).collect());
    let only = |some: &[String], others: &[String]| {
        some.iter().filter(|row| others.binary_search(row).is_err()).take(3).cloned().collect::<Vec<_>>()
    };
    if found == wanted {
        return Vec::new();
    }
    let (too_many, missing) = (only(&found, &wanted), only(&wanted, &found));
    let counts = (found.len(), wanted.len());
    vec![format!(
        "O1: {} has {} rows of {}; wrong {too_many:?}, missing {missing:?}",
        table.name, counts.0, counts.1
    )]
}

/// Whether the chunk's range holds the key.
fn holds(view: &ChunkView, shape: &TableShape, id: i64) -> bool {
    let range = &view.chunk.range;
    let is_from = |key: &Key| !is_below(&shape.key_of(id), &key.0[0]);
    let is_to = |key: &Key| is_below(&shape.key_of(id), &key.0[0]);
    range.lower.as_ref().is_none_or(is_from) && range.upper.as_ref().is_none_or(is_to)
}

fn is_below(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a < b,
        (Value::Text(a), Value::Text(b)) => a < b,
        _ => false,
    }
}

/// What the model speaks of.
const fn plain(counts: &Counts) -> Counts {
    Counts { bytes: 0, ..*counts }
}

/// As far as the model knows after a run that was given up: part of the work may be done already.
const fn is_alike(found: &Counts, wanted: &Counts) -> bool {
    found.read == wanted.read
        && found.quarantined == wanted.quarantined
        && found.matching == wanted.matching
        && found.inserted <= wanted.inserted
        && found.extra == found.deleted
        && found.is_balanced()
}

/// The sum over a table's chunks, by an own reading of what each pass knows.
fn summed<'a>(chunks: impl Iterator<Item = &'a ChunkView>, kind: RunKind) -> Counts {
    let mut sum = Counts::default();
    for view in chunks {
        match (kind, view.chunk.pass) {
            (RunKind::Copy, Pass::Copy | Pass::Again) | (RunKind::Verify, Pass::Verify) => sum += view.counts,
            (_, Pass::Sweep) => sum.extra += view.counts.extra,
            (_, Pass::Delete) => sum.deleted += view.counts.deleted,
            (RunKind::Copy, Pass::Verify) | (RunKind::Verify, Pass::Copy | Pass::Again) => {}
        }
    }
    sum
}

fn is_received(view: &ChunkView, receipt: &Receipt, is_digested: bool) -> bool {
    let written = Counts { matching: 0, ..plain(&view.counts) };
    written == Counts { matching: 0, ..plain(&receipt.counts) }
        && (view.chunk.pass != Pass::Copy
            || !is_digested
            || view.source_digest == Some(receipt.source_digest))
}
