//! What happens to the fleet at times that no message chooses: links go down, clocks jump, the queue forgets, processes
//! die and drain. Once every virtual second a look at the weather.

use std::sync::Arc;
use std::time::Duration;

use model::RunId;

use crate::fleet::Fleet;
use crate::world::Link;

const LINKS: [Link; 3] = [Link::Ledger, Link::Source, Link::Target];
const DOWN_MAX_MS: u64 = 20_000;
/// Longest that waiting for a clock that went back may take.
const BACK_MAX_MS: i64 = 20_000;
const AHEAD_MAX_MS: u64 = 120_000;

/// Until calm.
pub(crate) async fn rage(fleet: Arc<Fleet>, runs: Arc<std::sync::Mutex<Vec<RunId>>>) {
    let (world, weather) = (&fleet.world, &fleet.world.weather);
    while !world.is_calm() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let living = world.living();
        if !living.is_empty() {
            let unlucky = world.dice().one_of(&living).clone();
            if world.chance(weather.cut_off) {
                let link = *world.dice().one_of(&LINKS);
                let ms = world.dice().between(500, DOWN_MAX_MS);
                world.cut_off(&unlucky, link, ms);
            }
            if world.chance(weather.crash) {
                world.kill(&unlucky);
            }
            if world.chance(weather.pause) {
                world.pause(&unlucky);
            }
        }
        if world.chance(weather.clock_jump) {
            let ahead = i64::try_from(world.dice().between(0, AHEAD_MAX_MS)).unwrap_or(0);
            world.jump_clock(ahead - BACK_MAX_MS);
        }
        if world.chance(weather.drain) {
            fleet.drain_one();
        }
        if world.chance(weather.queue_forgets) {
            let runs = runs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            world.mark("queue forgot");
            world.line("the queue forgets");
            for run in runs {
                // In this process's memory nothing fails.
                let _ = fleet.queue.clear_run(&run.to_string()).await;
            }
        }
    }
}
