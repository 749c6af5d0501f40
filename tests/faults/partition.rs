//! N2, N7, N8: lines that lose packets, that only some can use, and that come and go.

use std::time::{Duration, Instant};

use harness::netns::Netns;
use harness::proxy::{Act, Dir, Hits};
use harness::wait_until;

use crate::bed::{Fleet, ROWS};
use crate::lines::{End, Lines, always};

const ENDS: [End; 4] = [End::Source, End::Target, End::Ledger, End::Redis];
/// A worker finds out within this: four tries of 3 s, or ten seconds of Redis.
const NOTICED: Duration = Duration::from_secs(45);

async fn tries_max(fleet: &Fleet) -> i64 {
    fleet.ledger.number("SELECT max(tries) FROM syncline_chunk").await
}

async fn packets_lost(percent: u8) {
    let Some(network) = Netns::new() else { return };
    let lines = Lines::at(&network.host);
    let mut fleet = lines.fleet(1_200).await;
    fleet.syncline = fleet.syncline.within(&network.name);
    network.lose(percent);
    let _ = fleet.serve("");
    // Packets are sent again after 200 ms, and later each time: a lease has to last for some of them.
    let _ = fleet.worker_with(&[], &["--concurrency", "2", "--lease", "20s"]);
    let run = fleet.submit();
    fleet.ended(&run).await;
    let lost = network.lost();
    network.heal();
    fleet.assert_sound(&run).await;
    assert!(lost >= u64::from(percent), "{lost} packets were lost");
    assert!(tries_max(&fleet).await <= 2, "{}", fleet.logs());
}

#[tokio::test]
async fn n2_one_packet_in_twenty_is_lost() {
    packets_lost(5).await;
}

#[tokio::test]
async fn n2_three_packets_in_ten_are_lost() {
    packets_lost(30).await;
}

/// The first worker has the run to itself and cannot see one of the four, in one direction or both; a second one that can
/// takes over, and no attempt is burnt.
async fn blind(end: End, dirs: &[Dir]) {
    let lines = Lines::new();
    let mut fleet = lines.hasty_fleet(ROWS).await;
    let _ = fleet.serve("");
    let worker = fleet.worker("").child.id();
    let started = async || fleet.workers[0].log().contains("worker started");
    wait_until("the worker has started", NOTICED, started).await;
    let hits: Vec<Hits> =
        dirs.iter().map(|dir| lines.to(end).add(always(*dir, Act::BlackHole).of(worker))).collect();
    let run = fleet.submit();
    // Nothing goes the other way if nobody ever asked: the first direction tells.
    wait_until("the line is broken", NOTICED, async || hits[0].count() > 0).await;
    if end != End::Redis {
        fleet.met("not_ready").await;
    }
    let _ = fleet.worker("");
    fleet.ended(&run).await;
    let first = "SELECT worker FROM syncline_attempt ORDER BY claimed_ms LIMIT 1";
    let first = fleet.ledger.text(first).await.unwrap_or_default();
    let done = format!("SELECT count(*) FROM syncline_attempt WHERE outcome = 'done' AND worker = '{first}'");
    let by_second =
        fleet.ledger.number("SELECT count(DISTINCT worker) FROM syncline_attempt WHERE outcome = 'done'");
    assert_eq!(by_second.await, 1, "one worker did it all\n{}", fleet.logs());
    if matches!(end, End::Source | End::Target) {
        assert_eq!(fleet.ledger.number(&done).await, 0, "not the one that claimed first\n{}", fleet.logs());
        assert_eq!(tries_max(&fleet).await, 1, "no attempt was burnt\n{}", fleet.logs());
        assert!(fleet.workers[0].log().contains("circuit open"), "{}", fleet.logs());
    }
    // A claim whose answer was lost is one attempt, until its lease is over.
    assert!(tries_max(&fleet).await <= 2, "{}", fleet.logs());
    lines.heal();
    if end != End::Redis {
        let again = async || fleet.workers[0].log().contains("seen again");
        wait_until("it sees all again", NOTICED, again).await;
    }
    fleet.assert_sound(&run).await;
}

/// The twelve ways in which a worker can be cut off.
macro_rules! blind {
    ($($name:ident: $end:ident, $($dir:ident)+;)+) => {$(
        #[tokio::test]
        async fn $name() {
            blind(End::$end, &[$(Dir::$dir),+]).await;
        }
    )+};
}

blind! {
    n7_the_source_is_out_of_sight: Source, ToServer ToClient;
    n7_the_source_does_not_hear: Source, ToServer;
    n7_the_source_is_not_heard: Source, ToClient;
    n7_the_target_is_out_of_sight: Target, ToServer ToClient;
    n7_the_target_does_not_hear: Target, ToServer;
    n7_the_target_is_not_heard: Target, ToClient;
    n7_the_ledger_is_out_of_sight: Ledger, ToServer ToClient;
    n7_the_ledger_does_not_hear: Ledger, ToServer;
    n7_the_ledger_is_not_heard: Ledger, ToClient;
    n7_redis_is_out_of_sight: Redis, ToServer ToClient;
    n7_redis_does_not_hear: Redis, ToServer;
    n7_redis_is_not_heard: Redis, ToClient;
}

/// All lines come and go, a second each.
async fn flapping(lasts: Duration, ends: &[End], bytes_per_second: u32) {
    let lines = Lines::new();
    let mut fleet = lines.hasty_fleet(ROWS).await;
    let _ = fleet.serve("");
    let run = fleet.submit();
    // Cut before the lines begin to flap, and slow enough to last for a while.
    wait_until("the table is cut", NOTICED, async || fleet.chunks("ready").await == 20).await;
    let _ = lines.to(End::Source).add(always(Dir::ToClient, Act::Rate(bytes_per_second)));
    let (up, down) = (Duration::from_secs(1), Duration::from_secs(1));
    let flap = always(Dir::ToServer, Act::Flap { up, down });
    let _ = fleet.worker("");
    let _ = fleet.worker("");
    fleet.some_chunks_are_done(1).await;
    let hits: Vec<Hits> = ends.iter().map(|end| lines.to(*end).add(flap)).collect();
    let begun = Instant::now();
    let is_over = async || begun.elapsed() > lasts || fleet.chunks("done").await == 20;
    wait_until("the flapping is over", lasts * 2, is_over).await;
    lines.heal();
    fleet.assert_sound(&run).await;
    assert!(hits.iter().all(|hits| hits.count() >= 2), "{hits:?}");
    assert!(tries_max(&fleet).await <= 3, "{}", fleet.logs());
    // Bounded: a flap of a second lets a process ask no more often than its back-off allows.
    let asked: usize = ENDS.iter().map(|end| lines.to(*end).accepted()).sum();
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 10;
    assert!(asked < 60 * seconds, "{asked} connections in {seconds} s");
}

#[tokio::test]
async fn n8_the_databases_flap() {
    flapping(Duration::from_secs(10), &[End::Source, End::Target], 200_000).await;
}

#[tokio::test]
async fn n8_everything_flaps() {
    flapping(Duration::from_secs(10), &ENDS, 200_000).await;
}

#[tokio::test]
#[ignore = "takes more than a minute: make faults"]
async fn n8_everything_flaps_for_a_minute() {
    // No chunk fits between two flaps: all end after them, and none has used up its attempts.
    flapping(Duration::from_secs(60), &ENDS, 40_000).await;
}
