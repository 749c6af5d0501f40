//! The way of one process to a database: where its steps are late, refused, unanswered, or end with the process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connectors::config::Role;
use connectors::flaky::{Ask, Line, Script, Step};
use connectors::{Error, Result};
use model::{Engine, ErrorKind, Receipt};

use crate::world::{Link, World, go};

/// Longest that a server lets a client hold a transaction open.
const TRANSACTION_MAX: Duration = Duration::from_secs(8);
/// Longest that a server takes to notice that a client is gone.
const GHOST_MAX_MS: u64 = 7_000;

const REFUSALS: [ErrorKind; 5] = [
    ErrorKind::ConnectionLost,
    ErrorKind::Deadlock,
    ErrorKind::LockWait,
    ErrorKind::Timeout,
    ErrorKind::TooManyConnections,
];

pub(crate) struct Way {
    pub(crate) world: Arc<World>,
    pub(crate) role: Role,
}

impl Way {
    const fn link(&self) -> Link {
        match self.role {
            Role::Source => Link::Source,
            Role::Target => Link::Target,
        }
    }

    fn lost(&self, step: &Step, kind: ErrorKind) -> Error {
        Error::new(kind, Engine::Memory, format!("{:?} at the {:?}", step.ask, self.link()))
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("role", &self.role).finish_non_exhaustive()
    }
}

#[async_trait]
impl Script for Way {
    async fn before(&self, step: &Step) -> Result<()> {
        if seam::current().is_none() {
            return Ok(());
        }
        if !self.world.travel(self.link(), self.world.weather.database_ms).await {
            return Err(self.lost(step, ErrorKind::Unreachable));
        }
        if self.world.chance(self.world.weather.database_refused) {
            let kind = *self.world.dice().one_of(&REFUSALS);
            return Err(self.lost(step, kind));
        }
        Ok(())
    }

    async fn after(&self, step: &Step) -> Result<()> {
        match (step.ask, &step.table, &step.fence, step.turn) {
            (Ask::Prepare, Some(table), _, Some(turn)) => self.world.witness().prepared(table, turn),
            (Ask::Commit, Some(table), Some(fence), _) => {
                self.world.witness().committed(table, fence);
                self.world.line(&format!("attempt {} of {} commits", fence.attempt, fence.chunk));
            }
            _ => {}
        }
        if seam::current().is_none() {
            return Ok(());
        }
        let arrives = self.world.travel(self.link(), self.world.weather.database_ms).await;
        let is_commit = step.ask == Ask::Commit;
        if arrives && !(is_commit && self.world.chance(self.world.weather.commit_unanswered)) {
            return Ok(());
        }
        if is_commit {
            self.world.mark("commit answer lost");
        }
        Err(self.lost(step, ErrorKind::ConnectionLost))
    }

    fn opened(&self, step: &Step, receipt: Option<&Receipt>, line: Line) {
        if let (Some(table), Some(fence)) = (&step.table, &step.fence) {
            self.world.witness().began(table, fence);
        }
        if receipt.is_some() {
            self.world.mark("receipt found");
        }
        let world = self.world.clone();
        go(async move {
            tokio::time::sleep(TRANSACTION_MAX).await;
            if line.cut() {
                world.mark("silent transaction cut");
                world.line("a silent transaction is cut");
            }
        });
    }

    fn left(&self, _step: &Step, line: Line) {
        let is_dead = seam::current().is_some_and(|process| process.is_dead());
        if !is_dead || !self.world.chance(self.world.weather.ghost) {
            line.cut();
            return;
        }
        let ms = self.world.dice().between(0, GHOST_MAX_MS);
        self.world.mark("ghost transaction");
        go(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            line.cut();
        });
    }
}
