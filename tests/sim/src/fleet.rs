//! The processes: coordinators and workers around the real ledger and the real queue, and what carries jobs between
//! them. Owns who runs, and who comes back after a death.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connectors::Connections;
use connectors::flaky::Flaky;
use coordinator::Coordinator;
use ledger::Ledger;
use model::WorkerId;
use queue::{ChunkJob, Queue};
use seam::Process;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use worker::{Paces, Sight, Worker};

use crate::way::Way;
use crate::world::{World, go};

/// Longest wait for a database's answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// A late job arrives long after it was sent again.
const LATE_MAX_MS: u64 = 60_000;
const PROMPT_MAX_MS: u64 = 20;
const RESTART_MAX_MS: u64 = 10_000;
/// Jobs that the network carries at once; its consumer does nothing but pass them on.
const CARRIED_MAX: usize = 64;

/// How many of each there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crew {
    pub(crate) coordinators: u64,
    pub(crate) workers: u64,
    /// Chunks that a worker works on at once.
    pub(crate) slots: usize,
}

/// A worker as the network and an operator reach it.
struct Reach {
    inbox: UnboundedSender<ChunkJob>,
    drain: CancellationToken,
    process: Arc<Process>,
}

pub(crate) struct Fleet {
    pub(crate) world: Arc<World>,
    pub(crate) ledger: Ledger,
    pub(crate) queue: Queue,
    crew: Crew,
    /// By the name that a worker keeps over restarts.
    workers: Mutex<BTreeMap<String, Reach>>,
    starts: Mutex<BTreeMap<String, u32>>,
}

impl Fleet {
    pub(crate) fn new(world: Arc<World>, ledger: Ledger, queue: Queue, crew: Crew) -> Arc<Self> {
        Arc::new(Self { world, ledger, queue, crew, workers: Mutex::default(), starts: Mutex::default() })
    }

    /// Starts the network, everybody, and the supervisor that brings back who dies.
    pub(crate) fn start(self: &Arc<Self>, deaths: UnboundedReceiver<String>) {
        let (this, stop) = (self.clone(), CancellationToken::new());
        go(async move {
            let network = this.clone();
            let carry = move |job: ChunkJob| {
                network.carry(&job);
                std::future::ready(())
            };
            // It ends with the simulation.
            let _ = this.queue.consume("network", CARRIED_MAX, stop, carry).await;
        });
        for number in 1..=self.crew.coordinators {
            self.start_one(&format!("c{number}"));
        }
        for number in 1..=self.crew.workers {
            self.start_one(&format!("w{number}"));
        }
        go(self.clone().supervise(deaths));
    }

    /// Some who are neither dead nor paused: what an operator does about a fleet that does not move.
    pub(crate) fn reinforce(self: &Arc<Self>) {
        for name in ["c8", "w8", "w9"] {
            self.start_one(name);
        }
    }

    async fn supervise(self: Arc<Self>, mut deaths: UnboundedReceiver<String>) {
        while let Some(name) = deaths.recv().await {
            let base = name.split('.').next().unwrap_or_default().to_owned();
            let (this, ms) = (self.clone(), self.world.dice().between(0, RESTART_MAX_MS));
            go(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                this.world.mark(if base.starts_with('c') { "coordinator restart" } else { "worker restart" });
                this.start_one(&base);
            });
        }
    }

    /// A new process under the old name, with nothing in its memory.
    fn start_one(self: &Arc<Self>, base: &str) {
        let number = {
            let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
            let number = starts.entry(base.to_owned()).or_default();
            *number += 1;
            *number
        };
        let process = Process::new(format!("{base}.{number}"));
        self.world.enter(&process);
        if base.starts_with('c') {
            let coordinator = self.coordinator();
            go(process.run(async move { coordinator.run(CancellationToken::new()).await }));
        } else {
            self.start_worker(base, &process);
        }
    }

    /// A coordinator of its own memory and connections.
    pub(crate) fn coordinator(&self) -> Coordinator {
        let chunks_at_once = usize::try_from(self.crew.workers).unwrap_or(1) * self.crew.slots;
        let ledger = self.ledger.of_another_process();
        Coordinator::new(
            ledger,
            self.queue.clone(),
            self.connections(),
            chunks_at_once,
            Arc::new(Notify::new()),
        )
    }

    fn start_worker(self: &Arc<Self>, base: &str, process: &Arc<Process>) {
        let (inbox, mut jobs) = unbounded_channel::<ChunkJob>();
        let drain = CancellationToken::new();
        let worker = Arc::new(Worker {
            id: WorkerId(process.name().to_owned()),
            ledger: self.ledger.of_another_process(),
            connections: self.connections(),
            lease: self.world.lease,
            stuck_after: worker::STUCK_AFTER,
            paces: Paces::default(),
            sight: Sight::default(),
            settled: Arc::new(Notify::new()),
        });
        let reach = Reach { inbox, drain: drain.clone(), process: process.clone() };
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).insert(base.to_owned(), reach);
        let slots = Arc::new(Semaphore::new(self.crew.slots));
        go(process.run(async move {
            while let Some(job) = jobs.recv().await {
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                let (worker, drain) = (worker.clone(), drain.clone());
                go(seam::belonging(async move {
                    worker.process(job, &drain).await;
                    drop(slot);
                }));
            }
        }));
    }

    fn connections(&self) -> Connections {
        let world = self.world.clone();
        let wrap = move |role, inner| {
            let flaky: Arc<dyn connectors::Target> =
                Arc::new(Flaky::new(inner, Arc::new(Way { world: world.clone(), role })));
            flaky
        };
        Connections::new(Arc::new(|_| Ok(None)), 8, DEADLINE).wrapped(Arc::new(wrap))
    }

    /// Takes a job to some worker: at once, late, twice, or never.
    fn carry(self: &Arc<Self>, job: &ChunkJob) {
        let (world, weather) = (&self.world, &self.world.weather);
        if world.chance(weather.job_dropped) {
            world.mark("job dropped");
            world.line(&format!("the job for {} is dropped", job.chunk));
            return;
        }
        let copies = if world.chance(weather.job_repeated) { world.dice().between(2, 3) } else { 1 };
        for copy in 1..=copies {
            let is_late = world.chance(weather.job_late);
            let ms = world.dice().between(0, if is_late { LATE_MAX_MS } else { PROMPT_MAX_MS });
            let (this, job) = (self.clone(), job.clone());
            go(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                if copy > 1 {
                    this.world.mark("duplicate delivery");
                }
                this.deliver(job);
            });
        }
    }

    fn deliver(&self, job: ChunkJob) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<&String> = workers.keys().collect();
        let to = *self.world.dice().one_of(&names);
        self.world.line(&format!("the job for {} comes to {to}", job.chunk));
        if let Some(reach) = workers.get(to) {
            // Whoever died meanwhile takes it along.
            let _ = reach.inbox.send(job);
        }
    }

    /// A worker is told to stop: it gives back what it holds, ends, and comes back.
    pub(crate) fn drain_one(self: &Arc<Self>) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<&String> = workers.keys().collect();
        let Some(reach) = workers.get(*self.world.dice().one_of(&names)) else { return };
        self.world.mark("worker drained");
        self.world.line(&format!("{} drains", reach.process.name()));
        reach.drain.cancel();
        let (world, process) = (self.world.clone(), reach.process.clone());
        go(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            world.kill(&process);
        });
    }
}
