//! The simulator: the real coordinator, workers, ledger, queue and reference engine in one thread, under virtual time,
//! with faults drawn from one seed; see README.md.
//!
//! Owns the world around the product: time, chance, networks, deaths, and the oracles that judge what is left. Refuses
//! any model of the product itself: what runs is what is shipped.

mod chaos;
mod dice;
mod expect;
mod fleet;
mod history;
mod log;
mod operator;
mod oracle;
mod shape;
mod way;
mod weather;
mod witness;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connectors::memory::Memory;
use ledger::Ledger;
use queue::{Queue, QueueConfig, SigningKey};
use tokio::sync::mpsc::unbounded_channel;

use crate::dice::Dice;
use crate::fleet::Fleet;
use crate::log::Log;
use crate::operator::Operator;
use crate::shape::Shape;
use crate::weather::Weather;
use crate::world::{Held, World, go};

/// What a simulation is to do beside what its seed says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Keep the history, for people.
    pub keeps_history: bool,
    /// The target forgets fences and receipts again and again, which no product can bear: for a test of the oracles.
    pub is_forgetful: bool,
}

/// What became of a seed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What the oracles found; empty if all is well.
    pub wrong: Vec<String>,
    /// Over the whole history: the same seed, the same hash.
    pub hash: u64,
    /// How often each rare thing was met.
    pub marks: BTreeMap<&'static str, u64>,
    /// Virtual milliseconds that it took.
    pub virtual_ms: u64,
    pub history: Vec<String>,
}

/// Runs one seed from beginning to end.
#[must_use]
pub fn simulate(seed: u64, options: Options) -> Outcome {
    // Databases are found by name in the whole process, and a seed may run more than once in it. The form is that of an
    // id, so that the history has a short name for it.
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let name = format!("install_{:032x}", RUNS.fetch_add(1, Ordering::Relaxed));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without threads can be made");
    let ledger = seam::wait(Ledger::in_memory()).expect("a ledger in memory can be made");
    let outcome = runtime.block_on(Box::pin(life(seed, options, &name, ledger.clone())));
    drop(runtime);
    seam::wait(ledger.close());
    for side in ["source", "target"] {
        Memory::forget(&format!("{name}-{side}"));
    }
    outcome
}

async fn life(seed: u64, options: Options, name: &str, ledger: Ledger) -> Outcome {
    let mut dice = Dice::new(seed);
    let (weather, shape) = (Weather::of(&mut dice), Shape::of(&mut dice));
    let (deaths, died) = unbounded_channel();
    let lease = Duration::from_millis(shape.lease_ms);
    let world = World::new(dice, weather, lease, options.keeps_history, deaths);
    let _held = seam::install(Arc::new(Held(world.clone())));
    let _log = tracing::subscriber::set_default(Log::new(world.clone()));
    let policies: Vec<_> = shape.tables.iter().map(|table| (table.name, table.policy.name())).collect();
    world.line(&format!("{policies:?} {:?} {:?} {:?}", shape.crew, shape.phases, world.weather));

    let spec = shape.spec(name);
    let of_side = |side: &str| Memory::named(&format!("{name}-{side}"));
    let (source, target) = (of_side("source"), of_side("target"));
    for table in &shape.tables {
        table.put_source(&source).await;
        table.put_target(&target).await;
    }
    let queue = Queue::open(QueueConfig::InProcess, SigningKey::ephemeral(), lease).await;
    let queue = queue.expect("a queue in this process can be opened");
    let fleet = Fleet::new(world.clone(), ledger, queue, shape.crew);
    fleet.start(died);
    let runs = Arc::new(Mutex::new(Vec::new()));
    go(chaos::rage(fleet.clone(), runs.clone()));
    let (calming, calm_at) = (fleet.clone(), Duration::from_millis(shape.calm_at_ms));
    go(async move {
        tokio::time::sleep(calm_at).await;
        calming.world.calm();
        calming.reinforce();
    });
    let operator =
        Operator { fleet: fleet.clone(), spec, source, target, runs, is_forgetful: options.is_forgetful };
    let wrong = operator.work(shape).await;
    for wrong in &wrong {
        world.line(wrong);
    }
    let (hash, virtual_ms) = (world.hash(), world.at_ms());
    let (history, marks) = world.take_history();
    Outcome { wrong, hash, marks, virtual_ms, history }
}
