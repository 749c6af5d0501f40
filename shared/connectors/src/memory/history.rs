//! What a database remembers of an installation, and raising its turns.

use model::{Attempt, ChunkId, InstallId, RunId, TargetHistory, Turn};

use super::State;

impl State {
    pub(super) fn history(&self, install: InstallId) -> TargetHistory {
        let turns = self.turns.values().filter(|(owner, _)| *owner == install).map(|(_, turn)| *turn);
        let mut runs: Vec<RunId> =
            self.attempts.keys().filter(|(owner, ..)| *owner == install).map(|(_, run, _)| *run).collect();
        runs.sort_unstable();
        runs.dedup();
        TargetHistory { turn: turns.max().unwrap_or_default(), runs }
    }

    pub(super) fn attempts_of(
        &self,
        of: (InstallId, RunId),
        after: Option<ChunkId>,
        limit: u32,
    ) -> Vec<(ChunkId, Attempt)> {
        let mut fences: Vec<(ChunkId, Attempt)> = self
            .attempts
            .iter()
            .filter(|((install, run, chunk), _)| {
                (*install, *run) == of && after.is_none_or(|after| chunk.to_string() > after.to_string())
            })
            .map(|((_, _, chunk), attempt)| (*chunk, *attempt))
            .collect();
        fences.sort_unstable_by_key(|(chunk, _)| chunk.to_string());
        fences.truncate(limit as usize);
        fences
    }

    pub(super) fn raise_turns(&mut self, install: InstallId, turn: Turn) -> u64 {
        let mut raised = 0;
        for (_, held) in self.turns.values_mut().filter(|(owner, held)| *owner == install && *held < turn) {
            *held = turn;
            raised += 1;
        }
        raised
    }
}
