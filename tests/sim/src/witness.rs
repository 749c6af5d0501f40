//! Who wrote what when, seen at the target itself, and the promises about it that hold at every instant: oracle O5.

use std::collections::BTreeMap;

use connectors::Fence;
use model::{Attempt, ChunkId, RunId, TableRef, Turn};

type Place = (RunId, ChunkId);

#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// The highest attempt that has committed, and how many commits there were.
    committed: BTreeMap<Place, (Attempt, u32)>,
    /// The highest turn that has taken each table.
    turns: BTreeMap<TableRef, Turn>,
    broken: Vec<String>,
}

impl Witness {
    /// A run has taken the turn of a table.
    pub(crate) fn prepared(&mut self, table: &TableRef, turn: Turn) {
        let held = self.turns.entry(table.clone()).or_insert(turn);
        if *held > turn {
            self.broken.push(format!("O5: run {} took {table} after run {}", turn.0, held.0));
        }
        *held = turn.max(*held);
    }

    /// The target let an attempt in.
    pub(crate) fn began(&mut self, table: &TableRef, fence: &Fence) {
        self.check("began", table, fence);
    }

    /// An attempt has committed.
    pub(crate) fn committed(&mut self, table: &TableRef, fence: &Fence) {
        self.check("committed", table, fence);
        let (attempt, times) = self.committed.entry((fence.run, fence.chunk)).or_default();
        *attempt = fence.attempt.max(*attempt);
        *times += 1;
    }

    fn check(&mut self, what: &str, table: &TableRef, fence: &Fence) {
        let (chunk, attempt) = (fence.chunk, fence.attempt);
        if let Some((newest, _)) = self.committed.get(&(fence.run, chunk)).filter(|(a, _)| *a > attempt) {
            self.broken.push(format!(
                "O5: attempt {attempt} of {chunk} {what} after attempt {newest} had committed"
            ));
        }
        match self.turns.get(table) {
            Some(held) if *held <= fence.turn => {}
            Some(held) => {
                self.broken.push(format!("O5: {what} on {table} with turn {} below {}", fence.turn.0, held.0))
            }
            None => self.broken.push(format!("O5: {what} on {table} before anybody took it")),
        }
    }

    /// Commits of a chunk.
    pub(crate) fn commits(&self, run: RunId, chunk: ChunkId) -> u32 {
        self.committed.get(&(run, chunk)).map_or(0, |(_, times)| *times)
    }

    pub(crate) fn take_broken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.broken)
    }
}
