//! The world of one simulation: its clock, chance, processes and links, and the history of what happened in it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seam::{Passage, Process};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::history::History;
use crate::weather::Weather;
use crate::witness::Witness;

/// The ledger's clock when a simulation begins: some time in 2026.
const EPOCH_MS: i64 = 1_790_000_000_000;

/// What a process talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    Ledger,
    Source,
    Target,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) weather: Weather,
    pub(crate) lease: Duration,
    began: Instant,
    dice: Mutex<Dice>,
    history: Mutex<History>,
    pub(crate) witness: Mutex<Witness>,
    /// How far the ledger's clock is from the time that has passed.
    jumped_ms: AtomicI64,
    is_calm: AtomicBool,
    living: Mutex<BTreeMap<String, Arc<Process>>>,
    /// Links that are down, until when.
    down: Mutex<BTreeMap<(String, Link), u64>>,
    /// Told the name of every process that dies.
    deaths: UnboundedSender<String>,
}

impl World {
    pub(crate) fn new(
        dice: Dice,
        weather: Weather,
        lease: Duration,
        keeps_history: bool,
        deaths: UnboundedSender<String>,
    ) -> Arc<Self> {
        Arc::new(Self {
            weather,
            lease,
            began: Instant::now(),
            dice: Mutex::new(dice),
            history: Mutex::new(History::new(keeps_history)),
            witness: Mutex::default(),
            jumped_ms: AtomicI64::new(0),
            is_calm: AtomicBool::new(false),
            living: Mutex::default(),
            down: Mutex::default(),
            deaths,
        })
    }

    /// Virtual milliseconds since the beginning.
    pub(crate) fn at_ms(&self) -> u64 {
        let standing = seam::standing_ms().map(|now| now - EPOCH_MS - self.jumped_ms.load(Ordering::Relaxed));
        let standing = standing.and_then(|ms| u64::try_from(ms).ok());
        standing.unwrap_or_else(|| u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn dice(&self) -> MutexGuard<'_, Dice> {
        lock(&self.dice)
    }

    /// True `n` times in 10,000 while there are faults.
    pub(crate) fn chance(&self, n: u64) -> bool {
        n > 0 && !self.is_calm() && self.dice().chance(n)
    }

    pub(crate) fn line(&self, text: &str) {
        let who = seam::current();
        let who = who.as_ref().map_or("-", |process| process.name());
        lock(&self.history).line(self.at_ms(), who, text);
    }

    pub(crate) fn mark(&self, name: &'static str) {
        lock(&self.history).mark(name);
    }

    pub(crate) fn hash(&self) -> u64 {
        lock(&self.history).hash()
    }

    /// Lines kept and marks; the history begins anew.
    pub(crate) fn take_history(&self) -> (Vec<String>, BTreeMap<&'static str, u64>) {
        std::mem::take(&mut *lock(&self.history)).into_parts()
    }

    pub(crate) fn witness(&self) -> MutexGuard<'_, Witness> {
        lock(&self.witness)
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Relaxed)
    }

    /// No fault begins from now on, and links are up again. Who is paused for good stays so.
    pub(crate) fn calm(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
        lock(&self.down).clear();
        self.line("calm");
    }

    pub(crate) fn jump_clock(&self, ms: i64) {
        self.jumped_ms.fetch_add(ms, Ordering::Relaxed);
        self.mark("ledger clock jumped");
        self.line(&format!("the ledger's clock jumps by {ms} ms"));
    }

    /// A process that was started.
    pub(crate) fn enter(&self, process: &Arc<Process>) {
        lock(&self.living).insert(process.name().to_owned(), process.clone());
        self.line(&format!("{} starts", process.name()));
    }

    pub(crate) fn living(&self) -> Vec<Arc<Process>> {
        lock(&self.living).values().cloned().collect()
    }

    pub(crate) fn kill(&self, process: &Process) {
        if lock(&self.living).remove(process.name()).is_some() {
            self.line(&format!("{} is killed", process.name()));
            process.kill();
            let _ = self.deaths.send(process.name().to_owned());
        }
    }

    /// Stops a process for some time; for long, mostly, so that its leases end meanwhile.
    pub(crate) fn pause(self: &Arc<Self>, process: &Arc<Process>) {
        if process.is_paused() || process.is_dead() {
            return;
        }
        let lease = self.lease_ms();
        let kind = self.dice().between(0, 9);
        let ms = match kind {
            0..=2 => self.dice().between(1, lease),
            3..=7 => self.dice().between(lease + 1, 10 * lease),
            // Until everything is over.
            _ => u64::MAX,
        };
        self.pause_for(process, ms);
    }

    /// Stops a process that runs; `u64::MAX` is until everything is over.
    pub(crate) fn pause_for(self: &Arc<Self>, process: &Arc<Process>, ms: u64) {
        let lease = self.lease_ms();
        self.line(&format!("{} is paused for {ms} ms", process.name()));
        process.pause();
        if ms == u64::MAX {
            return;
        }
        let (world, process) = (self.clone(), process.clone());
        go(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            world.resume(&process, ms > lease);
        });
    }

    fn resume(&self, process: &Process, is_late: bool) {
        if process.is_paused() && !process.is_dead() {
            if is_late {
                self.mark("zombie resumed");
            }
            self.line(&format!("{} goes on", process.name()));
            process.resume();
        }
    }

    /// Lets everybody go on who was paused for good.
    pub(crate) fn wake_all(&self) {
        for process in self.living() {
            self.resume(&process, true);
        }
    }

    pub(crate) fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn cut_off(&self, process: &Process, link: Link, ms: u64) {
        self.mark("link cut");
        self.line(&format!("{} is cut off from {link:?} for {ms} ms", process.name()));
        lock(&self.down).insert((process.name().to_owned(), link), self.at_ms() + ms);
    }

    /// The way to and from the ledger is longer for coordinators: they ask much, and what may happen between their
    /// questions is worth more than the questions.
    fn ledger_ms(&self) -> u64 {
        let is_coordinator = seam::current().is_some_and(|process| process.name().starts_with('c'));
        if is_coordinator { self.weather.ledger_ms * 4 + 160 } else { self.weather.ledger_ms }
    }

    /// One way of a message, on which the sender may die or be paused; whether it arrives.
    pub(crate) async fn travel(self: &Arc<Self>, link: Link, longest_ms: u64) -> bool {
        let Some(me) = seam::current() else { return true };
        let ms = self.dice().between(0, longest_ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        if self.chance(self.weather.crash) {
            self.kill(&me);
            std::future::pending::<()>().await;
        }
        if self.chance(self.weather.pause) {
            self.pause(&me);
            tokio::task::yield_now().await;
        }
        let until = lock(&self.down).get(&(me.name().to_owned(), link)).copied();
        until.is_none_or(|until| until < self.at_ms())
    }
}

/// The world where the product meets it.
pub(crate) struct Held(pub(crate) Arc<World>);

impl seam::Simulation for Held {
    fn now_ms(&self) -> i64 {
        let passed = i64::try_from(self.0.at_ms()).unwrap_or(i64::MAX / 4);
        EPOCH_MS + passed + self.0.jumped_ms.load(Ordering::Relaxed)
    }

    fn dice(&self) -> u64 {
        self.0.dice().roll()
    }

    fn before(&self, operation: &'static str) -> Passage {
        let world = self.0.clone();
        Box::pin(async move {
            let arrives = world.travel(Link::Ledger, world.ledger_ms()).await;
            if seam::current().is_none() {
                return true;
            }
            if world.chance(world.weather.ledger_silent) {
                world.line(&format!("`{operation}` gets no answer"));
                world.mark("ledger silent");
                std::future::pending::<()>().await;
            }
            let arrives = arrives && !world.chance(world.weather.ledger_refused);
            world.line(&format!("{operation}{}", if arrives { "" } else { ": not reached" }));
            arrives
        })
    }

    fn after(&self, operation: &'static str) -> Passage {
        let world = self.0.clone();
        Box::pin(async move {
            let arrives = world.travel(Link::Ledger, world.ledger_ms()).await;
            if seam::current().is_none() || (arrives && !world.chance(world.weather.ledger_unanswered)) {
                return true;
            }
            world.line(&format!("{operation}: answer lost"));
            world.mark("ledger answer lost");
            false
        })
    }
}

/// Starts a task of the world itself, which no process takes along when it dies.
#[allow(
    clippy::disallowed_methods,
    reason = "the runtime ends with the simulation, and all its tasks with it"
)]
pub(crate) fn go(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
