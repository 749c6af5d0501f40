//! The operator: submits the runs of a seed, cancels and resumes them, retries what faults set aside, and asks the
//! oracles when a run is over.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connectors::memory::Memory;
use ledger::{ChunkPage, Run, Which};
use model::{ChunkState, Disposition, ErrorKind, RunId, RunSpec, RunState};

use crate::expect::{Expected, expected};
use crate::fleet::Fleet;
use crate::oracle::{Held, equal};
use crate::shape::{Cancel, Phase, Shape, TableShape};

/// How often the operator looks.
const LOOK: Duration = Duration::from_millis(700);
/// O7: a run ends this long after the last fault, whatever has happened. Most of it is waiting for deadlines: a call to
/// a silent ledger takes up to a minute, a job that was lost is sent again after ten seconds.
const CALM_MAX: Duration = Duration::from_secs(600);
/// Zombies get this long to do harm after everything is over.
const AFTERMATH: Duration = Duration::from_secs(25);
/// Times that a run may halt after the last fault, for what began before it.
const HALTS_MAX: u32 = 2;

pub(crate) struct Operator {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) spec: RunSpec,
    pub(crate) source: Memory,
    pub(crate) target: Memory,
    pub(crate) runs: Arc<Mutex<Vec<RunId>>>,
    /// For a test of the oracles: what is done to the target behind everybody's back while runs go on.
    pub(crate) is_forgetful: bool,
}

/// Whether a fault of the simulation explains an error; all others are the product's own.
pub(crate) fn is_by_fault(kind: ErrorKind) -> bool {
    kind == ErrorKind::WorkerDied || (kind.disposition() == Disposition::Retry && kind != ErrorKind::Diverged)
}

impl Operator {
    /// Sees all phases through. What is wrong, if anything.
    pub(crate) async fn work(&self, mut shape: Shape) -> Vec<String> {
        let mut is_after_abandoned = false;
        let phases = std::mem::take(&mut shape.phases);
        let mut last = None;
        for phase in &phases {
            if phase.is_edited {
                let mut dice = self.fleet.world.dice().clone();
                shape.edit(&mut dice, is_after_abandoned);
                self.fleet.world.line("the source is edited");
                for table in &shape.tables {
                    table.put_source(&self.source).await;
                }
            }
            let (run, is_abandoned) = match self.see_through(phase).await {
                Ok(done) => done,
                Err(wrong) => return vec![wrong],
            };
            let expected: Vec<_> =
                shape.tables.iter().map(|table| (table.clone(), expected(table, phase.kind))).collect();
            if !is_abandoned {
                let wrong = self.judge(&run, &expected, is_after_abandoned).await;
                if !wrong.is_empty() {
                    return wrong;
                }
                for (table, (_, expected)) in shape.tables.iter_mut().zip(&expected) {
                    table.target = expected.rows.clone();
                    // The table is there now, but made by us: as wide as the source's.
                }
                last = Some(expected);
            }
            is_after_abandoned = is_abandoned;
        }
        match last {
            Some(expected) => self.aftermath(&expected).await,
            None => vec!["no run was seen through".to_owned()],
        }
    }

    async fn judge(
        &self,
        run: &Run,
        tables: &[(TableShape, Expected)],
        is_after_abandoned: bool,
    ) -> Vec<String> {
        let Fleet { world, ledger, .. } = &*self.fleet;
        let held = Held { world, ledger, target: &self.target, run, tables, is_after_abandoned };
        let mut wrong = held.judge().await;
        wrong.extend(world.witness().take_broken());
        wrong
    }

    /// Everything is done; now whoever slept through it wakes up. Nothing may change.
    async fn aftermath(&self, tables: &[(TableShape, Expected)]) -> Vec<String> {
        self.fleet.world.calm();
        self.fleet.world.wake_all();
        tokio::time::sleep(AFTERMATH).await;
        let mut wrong: Vec<String> =
            tables.iter().flat_map(|(table, expected)| equal(&self.target, table, expected)).collect();
        wrong.extend(self.fleet.world.witness().take_broken());
        for wrong in &mut wrong {
            wrong.insert_str(0, "after the end: ");
        }
        wrong
    }

    /// Submits a run and sees it to its end; the run, and whether it was given up.
    async fn see_through(&self, phase: &Phase) -> Result<(Run, bool), String> {
        let operator = self.fleet.coordinator();
        let submitted = coordinator::submit(&operator, phase.kind, &self.spec).await;
        let run = submitted.map_err(|error| format!("the run was refused: {error}"))?;
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).push(run.id);
        let world = &self.fleet.world;
        world.line(&format!("{} is submitted", run.id));
        let began = world.at_ms();
        let mut cancel = phase.cancel;
        let mut is_abandoned = false;
        let (mut halts, mut calm_since) = (0, None);
        loop {
            tokio::time::sleep(LOOK).await;
            if self.is_forgetful {
                let _ =
                    connectors::Target::forget_run(&self.target, self.fleet.ledger.install(), run.id).await;
            }
            if let Some(asked) = cancel.filter(|c| world.at_ms() >= began + c.after_ms) {
                is_abandoned = self.cancel(&run, asked).await?;
                cancel = None;
            }
            if world.is_calm() && calm_since.is_none() {
                calm_since = Some(world.at_ms());
            }
            let now = self.state(run.id).await?;
            match now.state {
                RunState::Running => {}
                RunState::Cancelled if is_abandoned => return Ok((now, true)),
                RunState::Cancelled => self.resume(run.id).await?,
                RunState::Failed => {
                    halts += u32::from(calm_since.is_some());
                    self.check_halt(&now, halts).await?;
                    self.resume(run.id).await?;
                }
                RunState::Done | RunState::DoneWithQuarantine => {
                    if !self.retry(run.id).await? {
                        return Ok((now, false));
                    }
                }
            }
            let limit = u64::try_from(CALM_MAX.as_millis()).unwrap_or(u64::MAX);
            if calm_since.is_some_and(|since| world.at_ms() > since + limit) {
                return Err(format!("O7: {} does not end", run.id));
            }
        }
    }

    /// Asks the run to stop; whether it is to stay so.
    async fn cancel(&self, run: &Run, asked: Cancel) -> Result<bool, String> {
        let asked_for = self.fleet.ledger.request_cancel(run.id).await.map_err(|e| e.to_string())?;
        self.fleet.world.line("the operator cancels");
        if asked_for {
            self.fleet.world.mark("run cancelled");
        }
        let is_for_good = asked_for && asked.is_for_good;
        if is_for_good && self.fleet.world.weather.pause > 0 {
            self.leave_zombies();
        }
        // One that has ended already is as good as any.
        Ok(is_for_good)
    }

    /// Half of the workers sleep through the end of the run, and wake up in the middle of the next.
    fn leave_zombies(&self) {
        let world = &self.fleet.world;
        let living = world.living();
        for worker in living.iter().filter(|process| process.name().starts_with('w')).step_by(2) {
            let ms = world.lease_ms() + world.dice().between(1_000, 20_000);
            world.pause_for(worker, ms);
        }
    }

    async fn state(&self, run: RunId) -> Result<Run, String> {
        let found = self.fleet.ledger.run(run).await.map_err(|e| e.to_string())?;
        found.ok_or_else(|| format!("{run} is gone"))
    }

    async fn resume(&self, run: RunId) -> Result<(), String> {
        self.fleet.world.line("the operator resumes");
        self.fleet.world.mark("run resumed");
        self.fleet.ledger.resume_run(run).await.map(drop).map_err(|e| e.to_string())
    }

    /// A run halts by a fault only, and not for ever.
    async fn check_halt(&self, run: &Run, halts: u32) -> Result<(), String> {
        let tables = self.fleet.ledger.tables(run.id).await.map_err(|e| e.to_string())?;
        let causes = tables.iter().filter_map(|table| table.cause.as_ref()).chain(&run.cause);
        for cause in causes {
            self.fleet.world.line(&format!("halted: {cause}"));
            if !is_by_fault(cause.kind) {
                return Err(format!("the run halted by itself: {cause}"));
            }
        }
        if halts > HALTS_MAX {
            return Err(format!("O7: the run halts again and again: {:?}", run.cause));
        }
        Ok(())
    }

    /// Sets chunks going again that faults have set aside; whether there were any.
    async fn retry(&self, run: RunId) -> Result<bool, String> {
        let page = ChunkPage { state: Some(ChunkState::Quarantined), limit: 1_000, ..ChunkPage::default() };
        let chunks = self.fleet.ledger.chunks(run, page).await.map_err(|e| e.to_string())?;
        if chunks.is_empty() {
            return Ok(false);
        }
        let failures: BTreeSet<String> =
            chunks.iter().filter_map(|view| view.failure.as_ref()).map(ToString::to_string).collect();
        self.fleet.world.line(&format!("the operator retries {} chunks: {failures:?}", chunks.len()));
        self.fleet.world.mark("chunk quarantined");
        for failure in chunks.iter().filter_map(|view| view.failure.as_ref()) {
            if !is_by_fault(failure.kind) {
                return Err(format!("a chunk was set aside by itself: {failure}"));
            }
        }
        self.fleet.ledger.retry_chunks(run, Which::All).await.map_err(|e| e.to_string())?;
        Ok(true)
    }
}
