//! What a run may do in a second, and chunks that prove too big.

use std::time::{Duration, Instant};

use harness::wait_until;

use crate::bed::Fleet;

/// Four workers share one limit: together they never go faster. (How close they come to it is the bench's business.)
#[tokio::test]
async fn p12_workers_share_one_limit() {
    const ROWS: u64 = 12_000;
    const LIMIT: u64 = 2_000;
    let redis = std::env::var("SYNCLINE_TEST_REDIS_URL").unwrap();
    let mut fleet = Fleet::on(ROWS, &redis, |spec| format!("limits: {{ rows: {LIMIT}/s }}\n{spec}")).await;
    fleet.serve("");
    for _ in 0..4 {
        fleet.worker("");
    }
    let run = fleet.submit();
    let started = Instant::now();
    let shown = fleet.syncline.run(&["status", &run]).expect(0);
    assert!(shown.stdout.contains("limited to 2,000 rows/s"), "{}", shown.stdout);
    fleet.assert_sound(&run).await;
    // Half a second's worth may have been saved up, and one batch for each of eight slots paid for afterwards.
    let at_once = LIMIT / 2 + 8 * 300;
    let floor = Duration::from_secs_f64((ROWS - at_once) as f64 / LIMIT as f64);
    assert!(started.elapsed() >= floor, "{:?} for {ROWS} rows is faster than {LIMIT}/s", started.elapsed());
}

/// A limit that is set while the run goes on holds from then on, and one that is taken away does not.
#[tokio::test]
async fn p12_a_limit_is_changed_while_the_run_goes_on() {
    let mut fleet = Fleet::new(12_000).await;
    fleet.serve("");
    fleet.worker("");
    let run = fleet.submit();
    let _ = fleet.syncline.run(&["set", &run, "rows=300/s"]).expect(0);
    // Chunks that began without a limit end without one; those that follow are held to it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = fleet.chunks("done").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let after = fleet.chunks("done").await;
    assert!(after - before <= 6, "{} chunks of 300 rows in 4 s at 300 rows/s", after - before);
    let _ = fleet.syncline.run(&["set", &run, "rows=off"]).expect(0);
    fleet.assert_sound(&run).await;
}

/// A gauge over its limit, and one that can no longer be read, hold the run; it says why, burns nothing, and goes on by
/// itself.
#[tokio::test]
async fn t13_a_brake_holds_the_run_while_its_gauge_is_high_or_lost() {
    let redis = std::env::var("SYNCLINE_TEST_REDIS_URL").unwrap();
    let brakes = "limits: { rows: 2000/s }\nbrakes:\n  - { at: target, gauge: SELECT max(seconds) FROM delay, max: 10 }\n\
                  \u{20} - { at: source, gauge: running, max: 1000 }\n";
    let mut fleet = Fleet::on(12_000, &redis, |spec| format!("{brakes}{spec}")).await;
    fleet.to.exec("CREATE TABLE delay (seconds INT); INSERT INTO delay VALUES (0)").await;
    fleet.serve("");
    fleet.worker("");
    let run = fleet.submit();
    fleet.some_chunks_are_done(2).await;
    for (hold, reason, release) in [
        ("UPDATE delay SET seconds = 60", "target query is 60, over 10", "UPDATE delay SET seconds = 3"),
        ("RENAME TABLE delay TO lost", "cannot be read", "RENAME TABLE lost TO delay"),
    ] {
        fleet.to.exec(hold).await;
        wait_until("the run waits", Duration::from_secs(20), async || {
            let shown = fleet.syncline.run(&["status", &run]).expect(0).stdout;
            shown.contains("waiting:") && shown.contains(reason)
        })
        .await;
        wait_until("nothing is under way", Duration::from_secs(20), async || {
            fleet.chunks("running").await == 0
        })
        .await;
        let done = fleet.chunks("done").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(fleet.chunks("done").await, done, "something was handed out");
        fleet.to.exec(release).await;
    }
    let record = fleet.assert_sound(&run).await;
    assert_eq!(record["retries"], 0, "{record:#}");
    assert_eq!(record["waiting"], serde_json::Value::Null, "{record:#}");
}

/// A range a hundred times wider than what the plan was made from: the chunk commits what it has and leaves the rest,
/// again and again, and the chain stays whole.
#[tokio::test]
async fn k7_a_chunk_that_proves_too_big_splits_itself() {
    let redis = std::env::var("SYNCLINE_TEST_REDIS_URL").unwrap();
    let spec = "defaults: { chunk: { target_size: 1MiB } }\ntables:\n  - from: customers";
    let mut fleet = Fleet::on(5_000, &redis, |_| spec.to_owned()).await;
    fleet
        .from
        .exec("UPDATE customers SET notes = REPEAT('wide ', 2000) WHERE id > (SELECT id FROM (SELECT id FROM customers ORDER BY id LIMIT 1 OFFSET 3000) AS c)")
        .await;
    fleet.serve("");
    fleet.worker("k4:3=abort");
    let run = fleet.submit();
    fleet.met("k4").await;
    fleet.worker("");
    fleet.assert_sound(&run).await;
    let splits = format!("SELECT count(*) FROM syncline_event WHERE run = '{run}' AND kind = 'chunk-split'");
    assert!(fleet.ledger.number(&splits).await > 0, "no chunk was split");
    let chunks = fleet.syncline.run(&["show", &run, "--table", "customers"]).expect(0).stdout;
    assert!(chunks.lines().any(|line| line.contains(".1 ")), "rests are named after their chunk:\n{chunks}");
}

/// A worker that is asked to drain finishes what it holds and leaves; the others go on.
#[tokio::test]
async fn a_drained_worker_leaves_by_itself() {
    let mut fleet = Fleet::new(9_000).await;
    fleet.serve("");
    fleet.worker("");
    let run = fleet.submit();
    fleet.some_chunks_are_done(2).await;
    let listed = fleet.syncline.run(&["workers", "--json"]).expect(0).json();
    let id = listed["worker"].as_str().unwrap().to_owned();
    assert_eq!(listed["state"], "alive", "{listed}");
    fleet.worker("");
    let _ = fleet.syncline.run(&["workers", "drain", &id]).expect(0);
    wait_until("it has left", Duration::from_secs(30), async || !fleet.workers[0].is_alive()).await;
    assert_eq!(fleet.workers[0].child.wait().unwrap().code(), Some(0), "{}", fleet.workers[0].log());
    let _ = fleet.syncline.run(&["workers", "drain", &id]).expect(7);
    let record = fleet.assert_sound(&run).await;
    assert_eq!(record["retries"], 0, "{record:#}");
}
