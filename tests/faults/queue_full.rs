//! Q: Redis is full, or is asked to hold too much.

use std::time::{Duration, Instant};

use harness::redis::{Keep, Options, Redis};
use harness::syncline::Background;
use harness::wait_until;

use crate::bed::{Fleet, RUN_MAX};
use crate::disk::Disk;
use crate::queue::{LONG, attempts_beyond_the_first, events, fleet_on, key, under_way, until_waiting};

fn on_disk(disk: &Disk, keep: Keep) -> Redis {
    // Rewrites would shrink the file and find room where there shall be none.
    let more = ["--auto-aof-rewrite-percentage", "0"].map(str::to_owned).into();
    Redis::start(&Options { keep, folder: Some(disk.folder()), more, ..Options::default() })
}

#[tokio::test]
async fn q3_disk_full_while_writing_every_second() {
    let disk = Disk::new("6M");
    let redis = on_disk(&disk, Keep::EverySecond);
    let mut fleet = fleet_on(&redis, LONG).await;
    let run = under_way(&mut fleet, &redis).await;
    disk.fill();
    until_waiting(&fleet, &run, "queue read-only (disk full)").await;
    // It says the one or the other: whether a part of what it wrote still fitted.
    let is_full = ["No space left", "Short write"].iter().any(|words| redis.log().contains(words));
    assert!(is_full, "{}", redis.log());
    assert!(fleet.chunks("done").await < 100, "the run waits");
    disk.free();
    fleet.assert_sound(&run).await;
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0, "no attempt is spent");
    assert_eq!(events(&fleet, "run-waiting").await, events(&fleet, "run-waits-no-more").await);
    let told = fleet.serves[0].log().matches("no attempt is spent").count();
    assert!(told <= 3, "said {told} times\n{}", fleet.logs());
}

#[tokio::test]
async fn q3_disk_full_while_writing_always() {
    let disk = Disk::new("6M");
    let mut redis = on_disk(&disk, Keep::Always);
    let mut fleet = fleet_on(&redis, LONG).await;
    let run = under_way(&mut fleet, &redis).await;
    disk.fill();
    until_waiting(&fleet, &run, "queue unreachable").await;
    wait_until("redis gives up", RUN_MAX, async || !redis.is_alive()).await;
    disk.free();
    redis.restart();
    fleet.assert_sound(&run).await;
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0, "no attempt is spent");
}

#[tokio::test]
async fn q4_memory_full() {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, LONG).await;
    let _ = fleet.serve("");
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let run = fleet.submit();
    until_waiting(&fleet, &run, "queue out of memory").await;
    let _ = fleet.worker("");
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    fleet.assert_sound(&run).await;
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0, "no attempt is spent");
}

#[tokio::test]
async fn q4_an_evicting_policy_is_refused() {
    let redis = Redis::start(&Options::default());
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let fleet = fleet_on(&redis, 10).await;
    for command in ["serve", "worker", "doctor"] {
        let refused = fleet.syncline.run(&[command]).expect(8);
        let text = format!("{}{}", refused.stdout, refused.stderr);
        assert!(text.contains("maxmemory-policy allkeys-lru"), "{text}");
        assert!(text.contains("redis-cli config set maxmemory-policy noeviction"), "{text}");
    }
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let text = fleet.syncline.run(&["doctor"]).expect(0).stdout;
    assert!(text.contains("keeps no append-only file"), "{text}");
    redis.cli(&["CONFIG", "SET", "appendonly", "yes"]);
    let text = fleet.syncline.run(&["doctor"]).expect(0).stdout;
    assert!(text.contains("an append-only file keeps the jobs"), "{text}");
}

/// Memory the process has used at most, in KiB.
fn peak(process: &Background) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Fills the ledger with a run whose one table has so many chunks due at once.
async fn many_chunks(fleet: &Fleet, count: u64) {
    let run = fleet.submit();
    let state = format!("SELECT state FROM syncline_table WHERE run = '{run}'");
    wait_until("the table is cut", RUN_MAX, async || {
        fleet.ledger.number(&format!("SELECT count(*) FROM syncline_table WHERE run = '{run}'")).await == 1
            && fleet.ledger.text(&state).await.as_deref() == Some("working")
    })
    .await;
    // Chunks as the planner makes them, but for their ids and ranges, which nobody reads before a claim.
    let sql = format!(
        "INSERT INTO syncline_chunk (id, run, tbl, pass, ordinal, lower_key, upper_key, state, due_ms) \
         SELECT concat('chunk_', lpad(lower(hex(seq)), 32, '0')), '{run}', 0, 'copy', 1000000 + seq * 1000, lower_key, upper_key, \
         'ready', 0 FROM seq_1_to_{count} \
         JOIN (SELECT lower_key, upper_key FROM syncline_chunk WHERE run = '{run}' LIMIT 1) AS one"
    );
    fleet.ledger.exec(&sql).await;
}

/// Watches for `time` that the queue never holds more than a thousand jobs; the highest number seen.
async fn watched(redis: &Redis, jobs: &str, time: Duration) -> i64 {
    let (begun, mut most) = (Instant::now(), 0);
    while begun.elapsed() < time {
        most = most.max(redis.cli(&["HLEN", jobs]).int());
        assert!(most <= 1_000, "{most} jobs in the queue");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    most
}

/// The coordinator's peak memory over a run with so many chunks.
#[allow(clippy::print_stdout, reason = "a figure for people")]
async fn coordinating(count: u64) -> u64 {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, 3_000).await;
    let _ = fleet.serve("");
    many_chunks(&fleet, count).await;
    let jobs = key(&fleet, "jobs").await;
    wait_until("jobs are queued", RUN_MAX, async || redis.cli(&["HLEN", &jobs]).int() >= 200).await;
    let most = watched(&redis, &jobs, Duration::from_secs(10)).await;
    let peak = peak(&fleet.serves[0]);
    println!("{count} chunks due at once: at most {most} jobs in Redis, coordinator's peak {peak} KiB");
    fleet.leave().await;
    peak
}

#[tokio::test]
async fn q9_eight_thousand_and_one_chunks_due_at_once() {
    let (few, many) = (coordinating(1_000).await, coordinating(8_001).await);
    assert!(many < few + 8 * 1024, "{few} KiB with 1,000 chunks, {many} KiB with 8,001");
}

#[tokio::test]
#[ignore = "takes minutes: make faults"]
async fn q9_a_million_chunks_cost_the_coordinator_no_memory() {
    let few = coordinating(1_000).await;
    let more = coordinating(100_000).await;
    let most = coordinating(1_000_000).await;
    assert!(more < few + 16 * 1024 && most < few + 16 * 1024, "{few}, {more}, {most} KiB");
}

/// Eight thousand due jobs in Redis itself wedge nobody, whoever put them there.
#[tokio::test]
async fn q9_eight_thousand_jobs_in_redis_wedge_no_worker() {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, 3_000).await;
    let _ = fleet.serve("");
    let run = fleet.submit();
    let (ready, jobs) = (key(&fleet, "ready").await, key(&fleet, "jobs").await);
    let script = "for i = 1, 8001 do redis.call('ZADD', KEYS[1], 0, 'x' .. i) redis.call('HSET', KEYS[2], 'x' .. i, 'x') end";
    redis.cli(&["EVAL", script, "2", &ready, &jobs]);
    let _ = fleet.worker("");
    fleet.assert_sound(&run).await;
    let dead = redis.cli(&["LLEN", &key(&fleet, "dead").await]).int();
    assert_eq!(dead, 1_000, "dead letters are bounded");
    let seen = fleet.ledger.number("SELECT n FROM syncline_meta WHERE name = 'security'").await;
    assert_eq!(seen, 8_001, "and every one was counted");
    assert!(fleet.ledger.number("SELECT count(*) FROM syncline_security").await <= 10, "in few rows");
}
