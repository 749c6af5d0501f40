//! Q: Redis dies, forgets, goes back in time, fails over, stalls, repeats and loses jobs.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::data::Dice;
use harness::redis::{Answer, Keep, Options, Redis};
use harness::wait_until;

use crate::bed::{Fleet, RUN_MAX};

/// A hundred chunks of a hundred rows: long enough for a fault in the middle.
pub(crate) const LONG: u64 = 10_000;
/// What losing the queue may cost.
const GOES_ON_WITHIN: Duration = Duration::from_secs(10);

pub(crate) async fn fleet_on(redis: &Redis, rows: u64) -> Fleet {
    fleet_at(&redis.url(), rows).await
}

/// Over the queue at an address; chunks of a hundred rows.
pub(crate) async fn fleet_at(url: &str, rows: u64) -> Fleet {
    Fleet::on(rows, url, |spec| spec.replace("rows_max: 300", "rows_max: 100")).await
}

/// A key of the fleet's queue.
pub(crate) async fn key(fleet: &Fleet, name: &str) -> String {
    let install = fleet.ledger.text("SELECT txt FROM syncline_meta WHERE name = 'install'").await.unwrap();
    format!("{{syncline:{install}}}:{name}")
}

/// Attempts that came to nothing or were made twice.
pub(crate) async fn attempts_beyond_the_first(fleet: &Fleet) -> i64 {
    fleet.ledger.number("SELECT COALESCE(SUM(GREATEST(attempt, 1) - 1), 0) FROM syncline_chunk").await
}

pub(crate) async fn events(fleet: &Fleet, kind: &str) -> i64 {
    fleet.ledger.number(&format!("SELECT count(*) FROM syncline_event WHERE kind = '{kind}'")).await
}

/// Waits until `status` says what the run waits for.
pub(crate) async fn until_waiting(fleet: &Fleet, run: &str, reason: &str) {
    let mut last = String::new();
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let record = fleet.syncline.run(&["status", run, "--json"]).expect(0).json()["record"].clone();
        assert_eq!(record["state"], "running", "{}", fleet.logs());
        if record["waiting"]["reason"] == reason {
            break;
        }
        last = record["waiting"].to_string();
        assert!(Instant::now() < end, "status says {last}, not {reason}\n{}", fleet.logs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let shown = fleet.syncline.run(&["status", run]).expect(0).stdout;
    assert!(shown.contains(&format!("waiting: {reason}")), "{last} {shown}");
}

/// Waits until more is done than the worker's two slots can have held; how long it took.
async fn until_it_goes_on(fleet: &Fleet) -> Duration {
    let (done, since) = (fleet.chunks("done").await, Instant::now());
    fleet.some_chunks_are_done(done + 5).await;
    since.elapsed()
}

/// A fleet in the middle of a run, with jobs waiting in the queue.
pub(crate) async fn under_way(fleet: &mut Fleet, redis: &Redis) -> String {
    let _ = fleet.serve("");
    let run = fleet.submit();
    let ready = key(fleet, "ready").await;
    wait_until("most of the run is queued", RUN_MAX, async || redis.cli(&["ZCARD", &ready]).int() >= 60)
        .await;
    let _ = fleet.worker("");
    fleet.some_chunks_are_done(5).await;
    assert!(redis.cli(&["ZCARD", &ready]).int() > 0, "the fault comes in the middle");
    run
}

#[tokio::test]
async fn q1_a_restart_without_persistence() {
    let mut redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, LONG).await;
    let run = under_way(&mut fleet, &redis).await;
    redis.kill();
    // Everything is forgotten.
    redis.restart();
    let took = until_it_goes_on(&fleet).await;
    assert!(took < GOES_ON_WITHIN, "{took:?}");
    fleet.assert_sound(&run).await;
    assert!(events(&fleet, "queue-rebuilt").await > 0);
    assert!(fleet.serves[0].log().contains("queue rebuilt from ledger"), "{}", fleet.logs());
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0, "chunks in hand go on");
    println!("went on after {took:?}");
}

#[tokio::test]
async fn q1_flushall() {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, LONG).await;
    let run = under_way(&mut fleet, &redis).await;
    redis.cli(&["FLUSHALL"]);
    let took = until_it_goes_on(&fleet).await;
    assert!(took < GOES_ON_WITHIN, "{took:?}");
    fleet.assert_sound(&run).await;
    assert!(events(&fleet, "queue-rebuilt").await > 0);
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0);
}

/// A million rows take longer than thirty seconds at this pace, on any machine.
const PACED: &str = "rows_max: 4000 } }\nlimits: { rows: 25000/s }";

/// Flushes again and again while a run goes on; at most what was in hand is done twice.
#[allow(clippy::print_stdout, reason = "a figure for people")]
async fn flushed_over_and_over(rows: u64, chunk: &str, every: Duration, at_least: usize) {
    let redis = Redis::start(&Options::default());
    let spec = |text: String| text.replace("rows_max: 300 } }", chunk);
    let mut fleet = Fleet::on(rows, &redis.url(), spec).await;
    let _ = fleet.serve("");
    let _ = fleet.worker("");
    let _ = fleet.worker("");
    let run = fleet.submit();
    fleet.some_chunks_are_done(1).await;
    let state = format!("SELECT state FROM syncline_run WHERE id = '{run}'");
    let (begun, mut flushed) = (Instant::now(), 0);
    while begun.elapsed() < every * 10 && fleet.ledger.text(&state).await.as_deref() == Some("running") {
        redis.cli(&["FLUSHALL"]);
        flushed += 1;
        tokio::time::sleep(every).await;
    }
    assert!(flushed >= at_least, "flushed {flushed} times only");
    let record = fleet.assert_sound(&run).await;
    let redone = attempts_beyond_the_first(&fleet).await;
    assert!(redone <= 4, "two workers of two slots: {redone}");
    println!("{rows} rows, flushed {flushed} times, {redone} chunks redone, {}", record["chunks"]);
}

#[tokio::test]
async fn q1_flushall_over_and_over() {
    flushed_over_and_over(20_000, "rows_max: 100 } }", Duration::from_millis(500), 3).await;
}

#[tokio::test]
#[ignore = "takes minutes: make faults"]
async fn q1_flushall_every_3_s_during_a_million_rows() {
    flushed_over_and_over(1_000_000, PACED, Duration::from_secs(3), 10).await;
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from.join("appendonlydir")).arg(to).status().unwrap();
    assert!(done.success());
}

/// The ids of all jobs.
fn ids(redis: &Redis, jobs: &str) -> Vec<String> {
    let Answer::List(ids) = redis.cli(&["HKEYS", jobs]) else { panic!("no list") };
    ids.iter().map(Answer::text).collect()
}

#[tokio::test]
async fn q2_an_older_file_comes_back() {
    let mut redis = Redis::start(&Options { keep: Keep::EverySecond, ..Options::default() });
    let mut fleet = fleet_on(&redis, LONG).await;
    let run = under_way(&mut fleet, &redis).await;
    let old = tempfile::tempdir().unwrap();
    copy(redis.folder(), old.path());
    fleet.some_chunks_are_done(fleet.chunks("done").await + 20).await;
    redis.kill();
    // What the old file knows is looked at in a server of its own, before anybody else can.
    let aside = tempfile::tempdir().unwrap();
    copy(old.path(), aside.path());
    let options =
        Options { keep: Keep::EverySecond, folder: Some(aside.path().to_owned()), ..Options::default() };
    let looked = Redis::start(&options);
    let known: HashSet<String> = ids(&looked, &key(&fleet, "jobs").await).into_iter().collect();
    drop(looked);
    let done = fleet
        .ledger
        .text("SELECT group_concat(concat(run, '-', id, '-0')) FROM syncline_chunk WHERE state = 'done'")
        .await
        .unwrap();
    let again = done.split(',').filter(|id| known.contains(*id)).count();
    assert!(again >= 15, "the old file knows jobs of chunks that are done: {again}");
    std::fs::remove_dir_all(redis.folder().join("appendonlydir")).unwrap();
    copy(old.path(), redis.folder());
    redis.restart();
    fleet.assert_sound(&run).await;
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0, "jobs of done chunks are no-ops");
}

#[tokio::test]
async fn q5_failover_to_a_replica_that_lacks_jobs() {
    let secret = |more: &[&str]| Options {
        more: ["--requirepass", "pw", "--masterauth", "pw"]
            .iter()
            .chain(more)
            .map(|w| (*w).to_owned())
            .collect(),
        ..Options::default()
    };
    let mut primary = Redis::start(&secret(&[]));
    primary.login("default", "pw");
    let replica = primary.replica(&secret(&["--replica-read-only", "no"]));
    let mut sentinel =
        primary.sentinel("mymaster", "sentinel auth-pass mymaster pw\nrequirepass \"sentinel pw\"");
    sentinel.login("default", "sentinel pw");
    let url = format!(
        "redis+sentinel://:pw@127.0.0.1:1,127.0.0.1:{}/mymaster?sentinel_password=sentinel%20pw",
        sentinel.port
    );
    let mut fleet = fleet_at(&url, LONG).await;
    wait_until("the sentinel knows the replica", RUN_MAX, async || {
        sentinel.cli(&["SENTINEL", "REPLICAS", "mymaster"]).text().contains(&replica.port.to_string())
    })
    .await;
    let run = under_way(&mut fleet, &primary).await;
    // What the primary acknowledged last has not come over.
    let (ready, jobs) = (key(&fleet, "ready").await, key(&fleet, "jobs").await);
    let Answer::List(lost) = replica.cli(&["ZREVRANGE", &ready, "0", "4"]) else { panic!("no list") };
    assert_eq!(lost.len(), 5);
    for id in &lost {
        replica.cli(&["ZREM", &ready, &id.text()]);
        replica.cli(&["HDEL", &jobs, &id.text()]);
    }
    primary.kill();
    let took = until_it_goes_on(&fleet).await;
    fleet.assert_sound(&run).await;
    let now = sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]).text();
    assert!(now.ends_with(&replica.port.to_string()), "the replica took over: {now}");
    assert!(events(&fleet, "queue-rebuilt").await > 0, "the lost jobs were sent again");
    assert!(attempts_beyond_the_first(&fleet).await <= 2);
    for process in fleet.serves.iter().chain(&fleet.workers) {
        assert!(
            !process.log().contains("sentinel pw") && !process.log().contains(":pw"),
            "a secret in a log"
        );
    }
    println!("went on {took:?} after the primary died");
}

/// A stall delays, and nothing more: no attempt is spent.
async fn stalled(seconds: &str) -> (Fleet, Duration) {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, LONG).await;
    let run = under_way(&mut fleet, &redis).await;
    let asleep = Instant::now();
    redis.cli(&["DEBUG", "SLEEP", seconds]);
    let slept = asleep.elapsed();
    assert!(slept.as_secs_f64() >= seconds.parse::<f64>().unwrap(), "it slept for {slept:?}");
    fleet.assert_sound(&run).await;
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0);
    (fleet, slept)
}

#[tokio::test]
async fn q6_a_stall_of_a_second_and_a_half_is_not_visible() {
    let (fleet, _) = stalled("1.5").await;
    assert_eq!(events(&fleet, "run-waiting").await, 0);
}

#[tokio::test]
async fn q6_a_stall_of_ten_seconds() {
    stalled("10").await;
}

#[tokio::test]
async fn q6_a_server_that_is_stopped_and_continued() {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, LONG).await;
    let run = under_way(&mut fleet, &redis).await;
    redis.signal("STOP");
    until_waiting(&fleet, &run, "queue unreachable").await;
    redis.signal("CONT");
    fleet.assert_sound(&run).await;
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0);
    assert_eq!(events(&fleet, "run-waiting").await, events(&fleet, "run-waits-no-more").await);
}

#[tokio::test]
async fn q7_jobs_come_again_in_any_order_and_late() {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, LONG).await;
    let run = under_way(&mut fleet, &redis).await;
    let (ready, jobs) = (key(&fleet, "ready").await, key(&fleet, "jobs").await);
    let Answer::List(all) = redis.cli(&["HGETALL", &jobs]) else { panic!("no list") };
    let pairs: Vec<(String, String)> = all.chunks(2).map(|pair| (pair[0].text(), pair[1].text())).collect();
    assert!(pairs.len() > 20);
    let mut dice = Dice::new(7);
    let push = |id: &str, payload: &str, dice: &mut Dice| {
        redis.cli(&["HSET", &jobs, id, payload]);
        redis.cli(&["ZADD", &ready, &dice.below(1 << 40).to_string(), id]);
    };
    for _ in 0..3 {
        for (id, payload) in &pairs {
            push(id, payload, &mut dice);
        }
        fleet.some_chunks_are_done(fleet.chunks("done").await + 5).await;
    }
    fleet.ended(&run).await;
    // Late: all of them, after the end.
    for (id, payload) in &pairs {
        push(id, payload, &mut dice);
    }
    wait_until("late jobs are taken and dropped", RUN_MAX, async || redis.cli(&["DBSIZE"]).int() == 0).await;
    fleet.assert_sound(&run).await;
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0);
    assert_eq!(fleet.ledger.number("SELECT n FROM syncline_meta WHERE name = 'security'").await, 0);
}

#[tokio::test]
async fn q8_one_job_in_ten_vanishes() {
    let redis = Redis::start(&Options::default());
    let mut fleet = fleet_on(&redis, LONG).await;
    let run = under_way(&mut fleet, &redis).await;
    let (ready, jobs) = (key(&fleet, "ready").await, key(&fleet, "jobs").await);
    let Answer::List(waiting) = redis.cli(&["ZRANGE", &ready, "0", "-1"]) else { panic!("no list") };
    let mut vanished = 0;
    for id in waiting.iter().step_by(10) {
        vanished += redis.cli(&["ZREM", &ready, &id.text()]).int();
        redis.cli(&["HDEL", &jobs, &id.text()]);
    }
    assert!(vanished >= 2, "{vanished}");
    fleet.assert_sound(&run).await;
    assert!(events(&fleet, "queue-rebuilt").await > 0);
    assert_eq!(attempts_beyond_the_first(&fleet).await, 0);
}
